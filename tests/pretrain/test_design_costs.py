"""What designs would cost, against runs that are built, and against a ledger whose clips are joined."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import RunConfig, training_cost
from sonoscale.pretrain._design_costs import base_run, cost_notes, exact_costs

STUDY = {
    "name": "small",
    "data": {"kind": "procedural", "clips": 64},
    "encoder": {"backbone": "vit", "width": 32, "depth": 2},
    "objective": {"kind": "mae", "mask_ratio": 0.75},
    "train": {"batch_size": 8, "budgets": [40, 80], "warmup_steps": 4, "lr_rule": "of another version"},
}


def counted(width, depth, ratio, examples):
    """What a run of the study costs: (parameters, FLOPs)."""
    config = RunConfig.model_validate(
        {
            "encoder": {"backbone": "vit", "width": width, "depth": depth},
            "objective": {"kind": "mae", "mask_ratio": ratio},
            "train": {"batch_size": 8},
        }
    )
    cost = training_cost(config)
    return cost.params_encoder, float(cost.flops * examples)


def test_costs_are_those_of_the_run_that_it_would_be(tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    base, notes = base_run(tmp_path / "study.yaml")
    assert "train.lr_rule" in notes[0]
    costs = exact_costs(base)
    columns = {
        "width": [32, 30, 64],
        "depth": [2, 2, 3],
        "mask_ratio": [0.5, 0.5, 0.75],
        "examples_seen": [100, 100, 7],
    }
    found = costs({name: np.array(values) for name, values in columns.items()})
    for i, (width, depth, ratio, clips) in enumerate(zip(*columns.values(), strict=True)):
        if width == 30:  # no multiple of 4
            assert np.isnan(found["flops"][i])
            continue
        params, flops = counted(width, depth, ratio, clips)
        assert found["params"][i] == params
        assert found["flops"][i] == pytest.approx(flops)
    assert found["clips"].tolist() == [100, 100, 7]
    by_steps = costs({"width": np.array([32]), "step": np.array([10])})
    assert by_steps["flops"][0] == pytest.approx(counted(32, 2, 0.75, 80)[1])
    objective = costs({"objective": np.array(["mae", "contrastive"], dtype=object)})
    assert objective["params"][0] == objective["params"][1]
    assert objective["memory"][0] != objective["memory"][1]
    wide = costs({"width": np.array([32]), "clip_seconds": np.array([4.0])})["latency"]
    assert wide[0] > 0


@pytest.mark.parametrize("amount", ["examples_seen", "step", "hours_seen", "clips_seen"])
def test_clips_that_are_joined_into_one_example_are_not_counted_as_examples(amount, tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    base, _ = base_run(tmp_path / "study.yaml")
    steps, width = np.array([40, 80, 40, 80]), np.array([16, 16, 32, 32])
    examples = 8 * steps
    config = RunConfig.model_validate({"train": {"batch_size": 8}})
    seconds = config.frames * config.encoder.front_end.hop / config.encoder.front_end.sample_rate
    ledger = {
        "width": width, "step": steps, "examples_seen": examples, "clips_seen": 1.69 * examples,
        "hours_seen": examples * seconds / 3600, "train_clips": np.full(4, 64), "train_hours": np.full(4, 0.02),
        "flops": np.array([counted(w, 2, 0.75, n)[1] for w, n in zip(width, examples, strict=True)]),
    }  # fmt: skip
    costs = exact_costs(base, clips_per_example=1.69)
    found = costs({"width": width, amount: ledger[amount]})
    np.testing.assert_allclose(found["flops"], ledger["flops"], rtol=1e-12)
    np.testing.assert_allclose(found["clips"], ledger["clips_seen"], rtol=1e-12)
    np.testing.assert_allclose(found["hours"], ledger["hours_seen"], rtol=1e-12)
    assert cost_notes(costs, ledger, ["width", amount]) == []
    note = cost_notes(exact_costs(base), ledger, ["width", "clips_seen"])[0]
    assert "differ from the column flops by up to 69.00%" in note


def test_a_file_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(SonoscaleError, match="no such configuration file"):
        base_run(tmp_path / "x.yaml")
    (tmp_path / "bare.yaml").write_text("a: 1")
    with pytest.raises(SonoscaleError, match="neither a run nor a study"):
        base_run(tmp_path / "bare.yaml")
