"""The smallest study that ends in a law, and the command that runs it."""

import os

import pytest
from typer.testing import CliRunner

from commands import Command
from sonoscale.cli.main import app
from sonoscale.processes import single_threaded
from sonoscale.study import _execute
from sonoscale.study._worker import attempt

TINY = """
name: tiny
data: {kind: procedural, clips: 48, heldout_clips: 64, seconds: 1.0, domains: [music, environment]}
encoder: {backbone: vit, width: 16, depth: 1}
objective: {kind: mae}
train: {clip_seconds: 1.0, batch_size: 16, budgets: [4, 8], warmup_steps: 2, rank_points: 2}
sweep: {encoder.width: [8, 12, 24], objective.mask_ratio: [0.5]}
seeds: [0]
law: {bootstrap: 100}
protocols: [linear]
readouts: [mean]
tasks:
  - {kind: procedural, name: event, train_clips: 52, valid_clips: 26, test_clips: 26}
  - {kind: procedural, name: instrument, train_clips: 30, valid_clips: 20, test_clips: 20}
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One cache of log-mels for the whole test session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def sonoscale(cache):
    """`sonoscale(...)`: the command, in this process; gives what it printed, and raises what it reports."""

    def call(*arguments):
        done = CliRunner(env={"SONOSCALE_CACHE": str(cache)}).invoke(app, list(map(str, arguments)))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return call


@pytest.fixture(scope="session")
def start(cache):
    """`start(...)`: the command in a process and a session of its own, to be interrupted."""
    return lambda *arguments: Command(*arguments, env=os.environ | {"SONOSCALE_CACHE": str(cache)}, session=True)


class Here:
    """An executor that does runs in this process, one after the other."""

    name, device, detached, slots = "here", "cpu", False, 1

    def __init__(self):
        single_threaded()  # as workers are
        self._waiting = []

    def takes(self, task):
        return not self._waiting

    def start(self, index, task, *, alone=False):
        self._waiting.append((index, task))

    def poll(self, timeout, progress):
        waiting, self._waiting = self._waiting, []
        return [(i, attempt(task, lambda *said, i=i: progress(i, *said))) for i, task in waiting]

    def stop(self):
        pass

    def close(self):
        pass


@pytest.fixture
def in_process(monkeypatch):
    """Runs are executed without worker processes."""
    monkeypatch.setattr(_execute, "open_executor", lambda name, **how: Here())


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster on this machine, of its own."""
    import ray

    from sonoscale.measure._ray import join_cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_worker_niceness", "0")  # else whatever runs beside the tests comes first
        yield join_cluster("local")
        ray.shutdown()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    file = tmp_path_factory.mktemp("study") / "tiny.yaml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="session")
def finished(sonoscale, tiny, tmp_path_factory):
    """An uninterrupted study without worker processes: its folder and what the command printed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_execute, "open_executor", lambda name, **how: Here())
        return out, sonoscale("study", "run", tiny, "--out", out, "--workers", 1)
