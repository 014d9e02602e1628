"""Interrupted trainings, in whatever way, end as those that were not: bit by bit."""

import json
import signal
import time

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from commands import Command

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("resume")]

CONFIG = {
    "data": {"kind": "procedural", "clips": 48, "heldout_clips": 136, "domains": ["music", "environment"]},
    "encoder": {"backbone": "vit", "width": 16, "depth": 2},
    "objective": {"kind": "mae"},
    "train": {
        "batch_size": 16, "budgets": [60, 120], "warmup_steps": 4, "checkpoint_minutes": 0, "decay_fraction": 0.4,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A configuration, and a cache of log-mels that all runs share."""
    folder = tmp_path_factory.mktemp("pretrain")
    (folder / "run.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def start(places, out, *more):
    return Command(
        "pretrain", places / "run.yaml", "--out", out, "--cache", places / "cache", "--logger", "none",
        "--workers", "1", "--device", "cpu", *more,
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, (out, err)
    return out


def only_run(out):
    (folder,) = [path for path in out.iterdir() if not path.name.startswith(".")]
    return folder


@pytest.fixture(scope="module")
def undisturbed(places):
    finish(start(places, places / "undisturbed"))
    return only_run(places / "undisturbed")


def check_same(folder, expected):
    """Weights, and all that was measured but the clock."""
    for name in ("checkpoint.pt", "checkpoint-000060.pt"):
        ours, theirs = (torch.load(each / name, weights_only=True) for each in (folder, expected))
        for part in ("encoder", "objective"):
            assert list(ours[part]) == list(theirs[part])
            for key, value in theirs[part].items():
                assert torch.equal(ours[part][key], value), (name, part, key)
    ours, theirs = (
        [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in pq.read_table(each / "metrics.parquet").to_pylist()
        ]
        for each in (folder, expected)
    )
    assert ours == theirs
    ours, theirs = (json.loads((each / "record.json").read_text())["budgets"] for each in (folder, expected))
    for one, other in zip(ours, theirs, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def wait_for(process, out, reached):
    """Until the saved state of a run is where it should be."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        for file in out.glob(".*.unfinished/state.pt"):
            state = torch.load(file, weights_only=True)["state"]
            if reached(state["segment"], state["now"]["step"]):
                return
        time.sleep(0.02)
    raise AssertionError("never came so far")


def test_killed_thrice_and_resumed_is_bitwise_the_same(places, undisturbed):
    out = places / "killed"
    for reached in (
        lambda segment, step: step >= 10,
        lambda segment, step: segment == 1 and step >= 40,  # in a branch
        lambda segment, step: segment == 2 and step >= 45,  # back on the trunk, with a budget finished
    ):
        process = start(places, out)
        wait_for(process, out, reached)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert {path.suffix for path in out.iterdir() if path.name != ".claims"} == {".unfinished"}
    assert undisturbed.name in finish(start(places, out))
    assert [path.name for path in out.iterdir()] == [undisturbed.name]
    check_same(only_run(out), undisturbed)


def test_a_scheduler_that_terminates_leaves_what_can_go_on(places, undisturbed):
    out = places / "terminated"
    process = start(places, out, "--set", "train.checkpoint_minutes=100")
    deadline = time.monotonic() + 120
    while not list(out.glob(".claims/*/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.strip() == "error: terminated: whatever was finished is kept; the same command resumes"
    assert list(out.glob(".*.unfinished/state.pt"))
    finish(start(places, out))
    check_same(only_run(out), undisturbed)


def test_a_finished_run_is_not_trained_again(places, undisturbed):
    before = (undisturbed / "record.json").stat().st_mtime_ns
    assert str(undisturbed.name) in finish(start(places, places / "undisturbed")).replace("\n", "")
    assert (undisturbed / "record.json").stat().st_mtime_ns == before


def test_one_training_of_a_run_at_a_time(places):
    out = places / "twice"
    first = start(places, out)
    wait_for(first, out, lambda segment, step: step >= 1)
    first.send_signal(signal.SIGSTOP)  # it holds the run, and gets no further meanwhile
    second = start(places, out)
    _, err = second.communicate(timeout=120)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert "trains it; wait for it to end" in err
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130
    assert err.startswith("error: interrupted")
