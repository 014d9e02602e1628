"""Training: what a budget gives does not depend on the other budgets, and the same seed gives the same numbers."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from sonoscale.audio import LogMelConfig
from sonoscale.config import validate
from sonoscale.corpora import ProceduralData, build_features
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import (
    Batches,
    RunConfig,
    build_for_training,
    read_record,
    set_lr,
    train_run,
)

DATA = {"kind": "procedural", "clips": 48, "heldout_clips": 136, "domains": ["music", "environment"]}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    cache = tmp_path_factory.mktemp("features")
    data = validate(ProceduralData, DATA)
    front_end = LogMelConfig(n_mels=64)
    train = build_features(data.training(), front_end, cache, dtype="float16")
    return train, build_features(data.heldout(), front_end, cache)


def run_config(budgets=(12, 24), seed=0, **train):
    return validate(
        RunConfig,
        {
            "data": DATA,
            "encoder": {"backbone": "vit", "width": 16, "depth": 2},
            "objective": {"kind": "mae"},
            "train": {"clip_seconds": 2.0, "batch_size": 16, "budgets": list(budgets), "warmup_steps": 4, **train},
            "seed": seed,
        },
    )


def trained(config, stores, folder):
    torch.set_num_threads(1)
    train, heldout = stores
    train_run(config, train, heldout, folder, identity={})
    return json.loads((folder / "record.json").read_text())


def numbers(record):
    """Everything measured, without the clock."""
    return [{k: v for k, v in b.items() if k not in {"seconds", "rank", "rank_centred"}} | {"rank": b["rank"]["value"]}
            for b in record["budgets"]]  # fmt: skip


@pytest.fixture(scope="module")
def finished(stores, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "both"
    return folder, trained(run_config(), stores, folder)


def weights(file):
    return torch.load(file, weights_only=True)["encoder"]


def test_same_seed_same_numbers_other_seed_others(finished, stores, tmp_path):
    folder, record = finished
    again = trained(run_config(), stores, tmp_path / "both")
    assert numbers(again) == numbers(record)
    for name, value in weights(folder / "checkpoint.pt").items():
        assert torch.equal(value, weights(tmp_path / "both" / "checkpoint.pt")[name])
    other = trained(run_config(seed=1), stores, tmp_path / "other")
    assert numbers(other) != numbers(record)


def test_the_trunk_is_the_same_with_and_without_branches(finished, stores, tmp_path):
    def trunk(folder):
        rows = pq.read_table(folder / "metrics.parquet").to_pylist()
        return [
            (r["step"], r["loss"], r["clips_seen"]) for r in rows if r["phase"] == "trunk" and r["loss"] is not None
        ]

    trained(run_config(budgets=(24,)), stores, tmp_path / "alone")
    assert trunk(tmp_path / "alone") == trunk(finished[0])


@pytest.mark.parametrize("budget", [12, 24])
def test_a_budget_gives_what_training_it_alone_gives(finished, stores, tmp_path, budget):
    folder, record = finished
    alone = trained(run_config(budgets=(budget,)), stores, tmp_path / "alone")
    assert numbers(alone) == [b for b in numbers(record) if b["step"] == budget]
    ours = weights(folder / ("checkpoint.pt" if budget == 24 else "checkpoint-000012.pt"))
    for name, value in weights(tmp_path / "alone" / "checkpoint.pt").items():
        assert torch.equal(value, ours[name]), name


def test_run_folder_holds_what_it_should(finished):
    folder, record = finished
    names = {file.name for file in folder.iterdir()}
    assert names == {
        "config.yaml",
        "metrics.parquet",
        "record.json",
        "trunk.pt",
        "checkpoint.pt",
        "checkpoint-000012.pt",
        "spectra.npz",
    }
    metrics = pq.read_table(folder / "metrics.parquet").to_pylist()
    ranks = [row for row in metrics if row["rankme"] is not None]
    assert ranks[0]["step"] == 0
    assert {row["phase"] for row in ranks} == {"trunk", "branch-12", "branch-24"}
    losses = [row["step"] for row in metrics if row["loss"] is not None and row["phase"] == "trunk"]
    assert losses == list(range(1, 20))  # the last budget of 24 decays over its last 5 steps
    assert all((row["heldout_loss"] is None) == (row["rankme"] is None) for row in metrics)
    assert all(row["grad_norm"] > 0 for row in metrics if row["loss"] is not None)
    budget = record["budgets"][-1]
    assert metrics[-1]["heldout_loss"] == budget["loss"]
    assert ranks[0]["heldout_loss"] > budget["loss"]
    assert budget["hours_seen"] == pytest.approx(24 * 16 * 1.92 / 3600)
    assert budget["clips_seen"] == 24 * 16
    spectra = np.load(folder / "spectra.npz")
    assert set(spectra.files) == {"step_0", "step_0_centred", "step_24", "step_24_centred"}
    assert spectra["step_24"].shape == (16,)


def test_training_lowers_the_held_out_loss(stores, tmp_path):
    record = trained(run_config(budgets=(10, 150), lr=4e-3), stores, tmp_path / "longer")
    first, last = (b["loss"] for b in record["budgets"])
    assert last < first - 0.02
    assert last < 0.97


@pytest.mark.slow
def test_divergence_is_said_and_leaves_nothing(stores, tmp_path):
    # Without a memory of squared gradients, Adam divides by the last one, which may be as good as zero.
    config = run_config(budgets=(200,), lr=1.0, lr_width=100_000_000, betas=(0.9, 0.0), grad_clip=1e30)
    train, heldout = stores
    with pytest.raises(SonoscaleError, match=r"the loss became (nan|inf) at step \d+ .*lower train\.lr"):
        train_run(config, train, heldout, tmp_path / "run", identity={})
    assert list(tmp_path.iterdir()) == []
    assert read_record(tmp_path / "run") is None


def test_checkpoint_embeds_waveforms_as_the_monitor_did(finished, stores):
    folder, record = finished
    encoder = load_encoder(folder)
    data = validate(ProceduralData, DATA)
    heldout = data.heldout()
    waves = torch.stack([torch.from_numpy(heldout.wave(i)) for i in range(len(heldout))])
    with torch.inference_mode():
        embeddings = encoder.embed(waves).double().numpy()
    values = np.linalg.svd(embeddings, compute_uv=False)
    p = values / values.sum()
    assert np.exp(-(p * np.log(p)).sum()) == pytest.approx(record["budgets"][-1]["rank"]["value"], rel=1e-3)


def test_batches_visit_every_clip_once_an_epoch(stores):
    batches = Batches(stores[0], clips=48, frames=192, batch_size=16, seed=0)
    first = [batches.next() for _ in range(3)]
    assert batches.clips_seen == 48
    means = np.concatenate(first).mean(axis=(1, 2))
    assert len(np.unique(means)) == 48
    state = batches.state()
    expected = [batches.next() for _ in range(2)]
    batches.restore(state)
    for batch in expected:
        np.testing.assert_array_equal(batches.next(), batch)


def test_short_clips_are_joined_not_padded(stores):
    batches = Batches(stores[0], clips=48, frames=500, batch_size=4, seed=0)
    batch = batches.next()
    assert batches.clips_seen == 4 * 3  # 197 frames each
    known = {row.tobytes() for row in stores[0].frames[: stores[0].offsets[48]].astype(np.float32)}
    assert all(frame.tobytes() in known for frame in batch.reshape(-1, 64).numpy())


def test_schedule_warms_up_stays_and_decays():
    config = run_config(budgets=(50, 100), warmup_steps=10).train
    optimiser = torch.optim.SGD([{"params": [torch.zeros(1)], "factor": 0.5}], lr=1.0)
    trunk = [set_lr(optimiser, config, step, None) for step in range(80)]
    assert trunk[0] == pytest.approx(config.lr / 10)
    assert trunk[9:] == [config.lr] * 71
    assert optimiser.param_groups[0]["lr"] == config.lr * 0.5
    branch = [set_lr(optimiser, config, step, 100) for step in range(80, 100)]
    assert np.all(np.diff(branch) < 0)
    assert branch[0] < config.lr
    assert 0 < branch[-1] < 0.06 * config.lr


def test_weight_decay_on_matrices_only_and_hidden_ones_scale_with_width():
    config = validate(RunConfig, {"encoder": {"backbone": "vit", "width": 128, "depth": 2}})
    model, optimiser = build_for_training(config, mean=0.0, std=1.0)
    grouped = [p for group in optimiser.param_groups for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}
    assert len(grouped) == len({id(p) for p in grouped})
    for group in optimiser.param_groups:
        for p in group["params"]:
            assert (group["weight_decay"] > 0) == (p.ndim >= 2)
    factor = {id(p): g["factor"] for g in optimiser.param_groups for p in g["params"]}
    assert factor[id(model.get_parameter("encoder.backbone.blocks.0.qkv.weight"))] == 0.5
    assert factor[id(model.get_parameter("encoder.backbone.embed.weight"))] == 1.0
