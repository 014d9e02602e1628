"""Drivers and workers that are killed, two drivers at once, runs that fail: nothing is lost, done twice, or left."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.study.test_end_to_end import children_of, hidden, run_folders, table, wait_for

from sonoscale.claims import claim, holders
from sonoscale.study._failures import read_failures

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("study")]

SLOW = ["--set", "train.budgets=[4, 60]", "--set", "sweep={encoder.width: [8]}", "--set", "train.checkpoint_minutes=0"]


def workers_of(command):
    """Processes that do runs for a command, by what they hold."""
    return [pid for pid in children_of(command.pid) if pid != command.pid]


def owners(out):
    return {who.pid for who in holders(out / "runs").values() if who.alive}


def state_files(out):
    return list((out / "runs").glob(".*.unfinished/state.pt"))


def states(out):
    found = {}
    for file in state_files(out):
        with suppress(FileNotFoundError):
            found[file] = file.stat().st_mtime_ns
    return found


def trained_steps(out):
    """Of each run, the steps of the trunk that its metrics hold more than once."""
    import pyarrow.parquet as pq

    found = {}
    for file in (out / "runs").glob("*/metrics.parquet"):
        rows = [row for row in pq.read_table(file).to_pylist() if row["loss"] is not None]
        places = [(row["phase"], row["step"]) for row in rows]
        found[file.parent.name] = len(places) - len(set(places))
    return found


@pytest.fixture(scope="module")
def undisturbed(sonoscale, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    sonoscale("study", "run", tiny, "--out", out, "--workers", 1, *SLOW)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["worker", "driver", "both"])
def test_killed_twice_and_the_ledger_is_that_of_an_undisturbed_study(undisturbed, start, tiny, tmp_path, whom):
    out = tmp_path / "out"
    command = start("study", "run", tiny, "--out", out, "--workers", 1, "--retries", 5, *SLOW)
    for _ in range(2):
        before = states(out)
        wait_for(lambda b=before: states(out).items() - b.items() or list((out / "runs").glob("*/record.json")))
        victims = owners(out)
        if whom != "driver":
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
        if whom != "worker":
            command.kill()
            command.communicate()
            wait_for(lambda pid=command.pid: not children_of(pid), 20)
            command = start("study", "run", tiny, "--out", out, "--workers", 1, "--retries", 5, *SLOW)
    _, errors = command.communicate(timeout=900)
    assert command.returncode == 0, errors
    assert table(out) == table(undisturbed)
    assert hidden(out) == []
    assert not any(trained_steps(out).values())
    wait_for(lambda: not children_of(command.pid), 20)


@pytest.mark.slow
def test_two_drivers_share_the_runs_and_each_is_trained_once(finished, start, tiny, tmp_path):
    out = tmp_path / "out"
    commands = [start("study", "run", tiny, "--out", out, "--workers", 1) for _ in range(2)]
    for command in commands:
        printed, errors = command.communicate(timeout=900)
        assert command.returncode == 0, errors
        assert "failed" not in printed
    assert len(run_folders(out)) == 5
    assert hidden(out) == []
    assert table(out) == table(finished[0])


@pytest.mark.parametrize("whom", ["driver", pytest.param("group", marks=pytest.mark.slow)])  # as schedulers do
def test_terminated_drains_with_a_checkpoint(start, tiny, tmp_path, whom):
    out = tmp_path / "out"
    long = ["--set", "train.budgets=[4, 100000]", *SLOW[2:-1], "train.checkpoint_minutes=100"]  # ended long before
    command = start("study", "run", tiny, "--out", out, "--workers", 1, *long)
    wait_for(lambda: any(who.note.get("done", 0) > 4 for who in holders(out / "runs").values()), 200)
    assert state_files(out) == []
    if whom == "driver":
        command.send_signal(signal.SIGTERM)
    else:
        os.killpg(command.pid, signal.SIGTERM)
    _, errors = command.communicate(timeout=60)
    assert command.returncode == 143
    assert errors.strip().splitlines() == ["error: terminated: whatever was finished is kept; the same command resumes"]
    assert state_files(out)
    assert holders(out / "runs") == {}
    wait_for(lambda: not children_of(command.pid), 10)


def test_a_run_that_diverges_is_not_tried_again_and_does_not_stop_the_rest(in_process, sonoscale, tiny, tmp_path):
    from sonoscale.errors import SonoscaleError

    out = tmp_path / "out"
    overrides = ["--set", "sweep={train.lr: [1.0]}", "--set", "train.budgets=[40]", "--set", "train.warmup_steps=1"]
    overrides += ["--set", "train.grad_clip=1.0e+30", "--set", "train.betas=[0.99, 0.0]", "--set", "train.lr=1.0e-6"]
    with pytest.raises(SonoscaleError) as caught:
        sonoscale("study", "run", tiny, "--out", out, "--retries", 1, *overrides)
    said = str(caught.value)
    assert said.startswith("1 run(s) failed; the others are kept"), said
    (failure,) = read_failures(out).values()
    assert (failure.reason, failure.label, failure.attempts) == ("diverged", "lr=1", 1)
    assert "the loss became" in failure.error
    assert len(run_folders(out)) == 1


def test_any_exception_of_a_run_is_that_run_s_failure(in_process, sonoscale, tiny, tmp_path, monkeypatch):
    from sonoscale.errors import SonoscaleError
    from sonoscale.study import _worker

    out, train, tried = tmp_path / "out", _worker._train, []

    def breaks(job, *rest):
        tried.append(job.plan.label)
        if job.plan.label == "width=8":
            raise OSError(5, "Input/output error", "/mnt/audio")
        if job.plan.label == "width=12":
            raise MemoryError
        train(job, *rest)

    monkeypatch.setattr(_worker, "_train", breaks)
    with pytest.raises(SonoscaleError, match=r"2 run\(s\) failed; the others are kept"):
        sonoscale("study", "run", tiny, "--out", out, "--retries", 1)
    failures = {one.label: one for one in read_failures(out).values()}
    assert {label: (one.reason, one.attempts) for label, one in failures.items()} == {
        "width=8": ("error", 2), "width=12": ("out of memory", 2),
    }  # fmt: skip
    assert "Input/output error" in failures["width=8"].error
    assert sorted(tried) == ["base", "mask_ratio=0.5", "width=12", "width=12", "width=24", "width=8", "width=8"]
    assert (out / "ledger.parquet").is_file()
    attempts = json.loads(next(iter((out / "failures").glob("*.json"))).read_text())["attempts"]
    assert "Traceback" in attempts[0]["traceback"]
    monkeypatch.undo()
    from tests.study.conftest import Here

    monkeypatch.setattr("sonoscale.study._execute.open_executor", lambda name, **how: Here())
    sonoscale("study", "run", tiny, "--out", out)
    assert read_failures(out) == {}
    assert not (out / "failures").exists()


def test_a_run_that_another_has_is_waited_for(in_process, sonoscale, finished, tiny, tmp_path):
    """Also when its owner dies: then it is taken over."""
    import multiprocessing
    import shutil

    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    run = run_folders(out)[0]
    shutil.rmtree(run)
    (out / "ledger.parquet").unlink()
    context = multiprocessing.get_context("fork")

    def own():
        claim(run.parent, run.name)
        Path(tmp_path, "has").touch()
        time.sleep(2)
        os.kill(os.getpid(), signal.SIGKILL)

    owner = context.Process(target=own)
    owner.start()
    wait_for(Path(tmp_path, "has").exists)
    printed = " ".join(sonoscale("study", "run", tiny, "--out", out).split())
    owner.join()
    assert "another process has it" in printed
    assert "is gone; taken over from there" in printed
    assert table(out) == table(finished[0])
    assert hidden(out) == []
