"""A larger budget continues the kept trunk, and damage to what is kept is seen before it is used."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from sonoscale.config import validate
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.files import check_zip
from sonoscale.pretrain import RunConfig, check_run, find_trunk, pretrain, read_record, train_run, unfinished_run
from sonoscale.pretrain._record import finished_runs


@pytest.fixture(scope="module")
def train(make_log_mels, tmp_path_factory):
    """`train(place, budgets)`: folder of the run, and the steps that were trained."""
    log_mels, heldout = make_log_mels(tmp_path_factory.mktemp("log-mels"))

    def run(place, budgets, objective="mae", **keys):
        torch.set_num_threads(1)
        raw = {
            "encoder": {"backbone": "vit", "width": 16, "depth": 1},
            "objective": {"kind": objective},
            "train": {
                "clip_seconds": 0.5, "batch_size": 8, "budgets": budgets, "warmup_steps": 1, "rank_points": 2,
                "decay_fraction": 0.4, **keys,
            },
        }  # fmt: skip
        config = validate(RunConfig, raw)
        identity = {"run": config.outcome(), "clips": 24}
        folder, steps = place / "-".join(map(str, budgets)), []
        source = find_trunk(config, identity, finished_runs(place))
        train_run(
            config, log_mels, heldout, folder, identity=identity, continues=source,
            progress=lambda done, total, loss: steps.append(done),
        )  # fmt: skip
        return folder, steps

    return run


def results(folder):
    """Of each budget, without the clock and the name of the run."""

    def bare(value):
        if isinstance(value, dict):
            return {key: bare(one) for key, one in value.items() if key not in ("seconds", "encoder")}
        return value

    return [bare(budget) for budget in (read_record(folder) or {})["budgets"]]


def weights(folder):
    files = sorted(folder.glob("checkpoint*.pt"))
    return {file.name: torch.load(file, weights_only=True)["objective"] for file in files}


@pytest.mark.parametrize("objective", ["mae", "latent", "contrastive"])
@pytest.mark.parametrize("short", [[4, 8], [4, 10]])
def test_a_larger_budget_ends_as_if_it_had_been_there_from_the_start(train, tmp_path, objective, short):
    longer = [short[0], short[-1], 24] if short[-1] == 8 else [4, 24]  # with all old budgets, or without the last
    (tmp_path / "anew").mkdir()
    anew, all_steps = train(tmp_path / "anew", longer, objective)
    place = tmp_path / "continued"
    train(place, short, objective)
    folder, steps = train(place, longer, objective)
    assert len(steps) < len(all_steps) - 0.4 * short[-1]
    assert results(folder) == results(anew)
    ours, theirs = weights(folder), weights(anew)
    assert list(ours) == list(theirs)
    for name in ours:
        assert all(torch.equal(ours[name][key], theirs[name][key]) for key in theirs[name])
    trunk = pq.read_table(folder / "metrics.parquet").to_pylist()
    loss = {row["step"]: row["loss"] for row in trunk if row["phase"] == "trunk" and row["loss"] is not None}
    expected = pq.read_table(anew / "metrics.parquet").to_pylist()
    assert loss == {r["step"]: r["loss"] for r in expected if r["phase"] == "trunk" and r["loss"] is not None}
    assert not unfinished_run(folder).exists()


def test_only_the_same_trunk_is_continued_and_only_forwards(train, tmp_path):
    _, steps = train(tmp_path, [4, 8])
    for budgets, keys in (([4, 24], {"lr": 1e-3}), ([3, 24], {}), ([4], {})):
        folder, done = train(tmp_path, budgets, **keys)
        assert min(done) == 1, (budgets, keys)
        shutil.rmtree(folder)
    folder, done = train(tmp_path, [4, 8, 24])
    assert min(done) > len(steps) - 2


def test_the_verb_continues_a_finished_run(tmp_path):
    keys = {
        "data": {"kind": "procedural", "clips": 16, "heldout_clips": 32, "seconds": 1.0, "domains": ["environment"]},
        "encoder": {"width": 8, "depth": 1},
        "train": {"clip_seconds": 1.0, "batch_size": 4, "budgets": [4], "warmup_steps": 1, "rank_points": 2},
    }
    steps = []

    def run(place, budgets):
        steps.clear()
        return pretrain(
            keys, tmp_path / place, set={"train.budgets": budgets}, cache=tmp_path / "cache", device="cpu",
            logger="none", workers=1, progress=lambda stage, done, total, loss: steps.append((stage, done)),
        )  # fmt: skip

    run("runs", [4])
    longer = run("runs", [4, 12])
    assert min(done for stage, done in steps if stage == "train") == 5
    assert results(longer.folder) == results(run("anew", [4, 12]).folder)


def flipped(file, place):
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 4
    file.write_bytes(content)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other or one != one


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_flipped_bit_in_a_checkpoint_is_seen(train, tmp_path, place):
    folder, _ = train(tmp_path, [4, 8])
    assert check_run(folder, thorough=True) == []
    flipped(folder / "checkpoint.pt", place)
    assert check_run(folder) == []
    (wrong,) = check_run(folder, thorough=True)
    assert wrong == f"{folder / 'checkpoint.pt'}: damaged: it is not what was written"
    with pytest.raises(SonoscaleError, match=r"checkpoint.pt: (damaged|truncated or damaged)"):
        load_encoder(folder)


def test_truncated_and_deleted_checkpoints_are_no_finished_run(train, tmp_path):
    folder, _ = train(tmp_path, [4, 8])
    last = folder / "checkpoint.pt"
    size = last.stat().st_size
    last.write_bytes(last.read_bytes()[: size // 2])
    (folder / "checkpoint-000004.pt").unlink()
    missing, short = check_run(folder)
    assert missing == f"{folder / 'checkpoint-000004.pt'}: is missing"
    assert short == f"{last}: has {size // 2} bytes, and had {size} when it was written"
    with pytest.raises(SonoscaleError, match=r"checkpoint.pt: truncated or damaged"):
        load_encoder(folder)


def test_a_damaged_state_is_not_resumed_from(train_tiny, killed, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(killed):
        train_tiny(folder, until=3)
    state = unfinished_run(folder) / "state.pt"
    whole = state.read_bytes()
    kept = torch.load(state, weights_only=True)
    seen = 0
    for place in np.linspace(0.001, 0.999, 40):
        state.write_bytes(whole)
        flipped(state, place)
        try:
            check_zip(state)
            found = torch.load(state, weights_only=True)
        except (SonoscaleError, RuntimeError):
            seen += 1
        else:  # between the parts, where nothing is read
            assert same(found, kept)
    assert seen > 20
    state.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        SonoscaleError, match=r"state.pt: cannot be read; delete it to restart this run \(.*truncated or damaged"
    ):
        train_tiny(folder)


def test_a_seed_beyond_what_a_ledger_holds_is_refused():
    with pytest.raises(SonoscaleError, match="seed = 9223372036854775808"):
        validate(RunConfig, {"seed": 2**63})
