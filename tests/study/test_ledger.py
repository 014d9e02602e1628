"""The ledger's column `loss_of`: held-out losses under one name can be compared, under two they cannot."""

import json
from pathlib import Path

import pytest

from sonoscale.config import validate
from sonoscale.pretrain import RunConfig
from sonoscale.study import PlannedRun
from sonoscale.study._ledger import build_ledger
from sonoscale.study._prepare import RunJob, TaskJob


@pytest.fixture
def loss_of(tmp_path):
    """`loss_of(sections)`: the column of a finished run of that configuration."""

    def column(sections):
        config = validate(RunConfig, sections)
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        rank = {"value": 2.0, "low": 1.0, "high": 3.0, "n": 64}
        budget = dict.fromkeys(("clips_seen", "hours_seen", "flops_encoder", "flops", "seconds", "loss"), 1.0)
        record = {
            "clips": 8, "hours": 1.0, "params_encoder": 1, "params_decoder": 1, "params_teacher": 0, "params_head": 0,
            "identity": {}, "precision": "fp32", "device": "cpu", "processes": 1, "warnings": [],
            "rank_start": {"rankme": 1.0, "rankme_centred": 1.0},
            "budgets": [budget | {"step": 4, "rank": rank, "rank_centred": rank}],
        }  # fmt: skip
        (folder / "record.json").write_text(json.dumps(record))
        score = {"protocol": "probe", "metric": "accuracy", "score": 0.5, "low": 0.4, "high": None, "chance": 0.5}
        (folder / "probe-key.json").write_text(json.dumps({"steps": {"4": score}}))
        task = TaskJob("toy", {("linear", "mean"): "key"}, Path(), (), (), {})
        job = RunJob(PlannedRun(config, "base", "base"), "id", folder, {}, Path(), Path(), (task,))
        (row,) = build_ledger([job]).to_pylist()
        return row["loss_of"]

    return column


def of(kind, **objective):
    return {"encoder": {"backbone": "vit"}, "objective": {"kind": kind, **objective}}


def test_the_first_readout_comes_first_though_the_first_run_lacks_it(tmp_path):
    rank = {"value": 2.0, "low": 1.0, "high": 3.0, "n": 64}
    budget = dict.fromkeys(("clips_seen", "hours_seen", "flops_encoder", "flops", "seconds", "loss"), 1.0)
    record = {
        "clips": 8, "hours": 1.0, "params_encoder": 1, "params_decoder": 1, "params_teacher": 0, "params_head": 0,
            "identity": {}, "precision": "fp32", "device": "cpu", "processes": 1, "warnings": [],
        "rank_start": {"rankme": 1.0, "rankme_centred": 1.0},
        "budgets": [budget | {"step": 4, "rank": rank, "rank_centred": rank}],
    }  # fmt: skip
    jobs, keys = [], {("linear", "mean+std"): "spread", ("linear", "mean"): "mean"}
    for run, readouts in (("a", ["mean"]), ("b", ["mean+std", "mean"])):
        folder = tmp_path / run
        folder.mkdir()
        (folder / "record.json").write_text(json.dumps(record))
        for key in [key for (_, readout), key in keys.items() if readout in readouts]:
            score = {"protocol": "probe", "metric": "accuracy", "score": 0.5, "chance": 0.5}
            score |= {} if key == "mean" else {"readout": "mean+std"}  # as probed before there were others
            (folder / f"probe-{key}.json").write_text(json.dumps({"steps": {"4": score}}))
        task = TaskJob("toy", keys, Path(), (), (), {})
        plan = PlannedRun(validate(RunConfig, {}), "base", "base")
        jobs.append(RunJob(plan, run, folder, {}, Path(), Path(), (task,)))
    rows = build_ledger(jobs).to_pylist()
    assert [(row["run"], row["readout"]) for row in rows] == [("b", "mean+std"), ("a", "mean"), ("b", "mean")]


MAE, LATENT, CONTRASTIVE = of("mae"), of("latent"), of("contrastive")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (MAE, MAE | {"seed": 1}),
        (MAE, MAE | {"encoder": {"width": 32, "depth": 2, "backbone": "conv"}}),
        (MAE, of("mae", decoder_depth=3)),
        (MAE, of("mae", temperature=1.0, teacher_decay=0.5, view_fraction=0.5)),  # not looked at
        (LATENT, LATENT | {"train": {"lr": 1e-4}}),
        (LATENT, of("latent", temperature=1.0)),
        (CONTRASTIVE, CONTRASTIVE | {"encoder": {"width": 32}}),
        (CONTRASTIVE, CONTRASTIVE | {"train": {"batch_size": 16}}),
        (CONTRASTIVE, of("contrastive", mask="time", teacher_decay=0.5)),
    ],
)
def test_what_does_not_change_the_meaning_of_the_loss(loss_of, one, other):
    assert loss_of(one) == loss_of(other)


def test_what_changes_the_meaning_of_the_loss(loss_of):
    different = [
        MAE, of("mae", mask="time"), LATENT, of("latent", mask="time"), LATENT | {"encoder": {"width": 32}},
        LATENT | {"encoder": {"depth": 2}}, LATENT | {"encoder": {"backbone": "conv"}},
        of("latent", teacher_layers=1), of("latent", teacher_decay=0.9), of("latent", teacher_sees="hidden"),
        CONTRASTIVE, of("contrastive", view_fraction=0.5), of("contrastive", fade_db=0.0),
        of("contrastive", temperature=0.2),
    ]  # fmt: skip
    names = [loss_of(sections) for sections in different]
    assert len(set(names)) == len(names), sorted(names)
