"""Executors besides local processes, through kills and time limits, and those of users: the ledger stays the same."""

import os
import signal
import threading
import time

import pytest
from tests.study.test_end_to_end import hidden, table, wait_for
from tests.study.test_kills import SLOW, owners, states, trained_steps

import sonoscale as so
from sonoscale.claims import holder, holders
from sonoscale.errors import SonoscaleError
from sonoscale.extras import available
from sonoscale.study._failures import read_failures

needs_ray = pytest.mark.skipif(not available("ray"), reason="Ray is not installed: pip install 'sonoscale[ray]'")
needs_slurm = pytest.mark.skipif(
    not available("submitit"), reason="submitit is not installed: pip install 'sonoscale[slurm]'"
)
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800), pytest.mark.xdist_group("study")]


@pytest.fixture(scope="module")
def undisturbed(sonoscale, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    sonoscale("study", "run", tiny, "--out", out, "--workers", 1, *SLOW)
    return out


def kill_two(out, stop):
    """Kill the first process that has a run, and then the next."""
    killed = set()
    while not stop.is_set() and len(killed) < 2:
        for who in holders(out / "runs").values():
            if who.alive and who.pid not in {os.getpid(), *killed} and len(killed) < 2:
                os.kill(who.pid, signal.SIGSTOP)  # so that it cannot finish its run meanwhile
                still = holder(out / "runs", who.name)
                if still is not None and (still.pid, still.generation) == (who.pid, who.generation):
                    os.kill(who.pid, signal.SIGKILL)
                    killed.add(who.pid)
                else:
                    os.kill(who.pid, signal.SIGCONT)
        time.sleep(0.05)


@pytest.mark.slow
@needs_ray
def test_ray_gives_the_same_ledger_also_where_workers_are_killed(finished, tiny, cache, tmp_path, cluster):
    out, stop = tmp_path / "out", threading.Event()
    killer = threading.Thread(target=kill_two, args=(out, stop))
    killer.start()
    said = []
    try:
        made = so.study(tiny, out=out, cache=cache, set={"train.checkpoint_minutes": 0})
        made.run(executor="ray", workers=2, retries=3, progress=said.append)
    finally:
        stop.set()
        killer.join()
    assert sum("killed: its worker died" in line for line in said) == 2
    assert table(out) == with_minutes(finished[0], 0.0)
    assert read_failures(out) == {}
    assert hidden(out) == []


@pytest.mark.slow
@needs_ray
@pytest.mark.parametrize("whom", ["driver", "both"])
def test_ray_survives_two_kills_of_its_driver_and_of_the_worker(undisturbed, start, tiny, tmp_path, cluster, whom):
    """The tasks of a driver that is gone end with it, and the next driver takes their runs over."""
    address = cluster.get_runtime_context().gcs_address
    killed_twice(undisturbed, start, tiny, tmp_path / "out", whom, "ray", f"address={address}")


@pytest.mark.slow
@needs_slurm
@pytest.mark.parametrize("whom", ["worker", "driver", "both"])
def test_submitit_survives_two_kills_of_its_driver_and_of_the_worker(undisturbed, start, tiny, tmp_path, whom):
    """Jobs outlive their driver, and the next one waits for their runs."""
    killed_twice(undisturbed, start, tiny, tmp_path / "out", whom, "slurm", "cluster=local", "minutes=10")


def killed_twice(undisturbed, start, tiny, out, whom, executor, *options):
    how = [
        "study",
        "run",
        tiny,
        "--out",
        out,
        "--executor",
        executor,
        *(part for o in options for part in ("--option", o)),
    ]
    how += ["--workers", 1, "--retries", 5, *SLOW]
    command = start(*how)
    for _ in range(2):
        before = states(out)
        wait_for(lambda b=before: states(out).items() - b.items() or list((out / "runs").glob("*/record.json")))
        if whom != "driver":
            for pid in owners(out):
                os.kill(pid, signal.SIGKILL)
        if whom != "worker":
            command.kill()
            command.communicate()
            command = start(*how)
    _, errors = command.communicate(timeout=900)
    assert command.returncode == 0, errors
    assert table(out) == table(undisturbed)
    assert read_failures(out) == {}
    assert hidden(out) == []
    assert not any(trained_steps(out).values())


def out_of_time(out, stop):
    """Send the signal that Slurm sends before a time limit, to the first run that is well under way."""
    while not stop.is_set():
        for who in holders(out / "runs").values():
            if who.alive and who.note.get("stage") == "train" and (who.note.get("done") or 0) > 50:
                os.kill(who.pid, signal.SIGUSR2)
                return
        time.sleep(0.05)


@pytest.mark.slow
@needs_slurm
def test_a_job_whose_time_is_up_keeps_its_state_and_is_queued_again(cache, tiny, tmp_path):
    out, anew, stop = tmp_path / "out", tmp_path / "anew", threading.Event()
    longer = {"train.budgets": [4, 2000], "sweep": {}, "train.checkpoint_minutes": 100}
    clock = threading.Thread(target=out_of_time, args=(out, stop))
    clock.start()
    try:
        made = so.study(tiny, out=out, cache=cache, set=longer)
        made.run(executor="slurm", workers=1, cluster="local", minutes=10)
    finally:
        stop.set()
        clock.join()
    logs = "".join(file.read_text() for file in (out / "slurm").glob("*_log.*"))
    assert "Requeued job" in logs
    so.study(tiny, out=anew, cache=cache, set=longer).run(workers=1)
    assert table(out) == table(anew)


def test_what_an_executor_does_not_take_is_said(tiny, cache, tmp_path):
    made = so.study(tiny, out=tmp_path / "out", cache=cache)
    for how, said in (
        ({"executor": "dask"}, "executor = 'dask': must be one of local, ray, slurm"),
        ({"address": "auto"}, "address: executor local takes no such option; it takes none"),
        ({"executor": "slurm", "cluster": "pbs"}, "cluster = 'pbs': must be slurm or local"),
        ({"executor": "slurm", "cluster": "local", "minutes": 0}, "minutes = 0: give the time limit of a job"),
        ({"retries": -1}, "retries = -1: give 0 or more"),
    ):
        with pytest.raises(SonoscaleError, match=said):
            made.run(**how)
    assert not (tmp_path / "out" / "runs").exists()


def with_minutes(folder, minutes):
    import json

    rows = table(folder)
    for row in rows:
        configuration = json.loads(row["configuration"])
        configuration["train"]["checkpoint_minutes"] = minutes
        row["configuration"] = json.dumps(configuration, sort_keys=True)
    return rows


OWN = """
import time
from sonoscale.study import attempt

class Here:
    name, device, detached, slots = "here", "cpu", False, 1

    def __init__(self, *, folder, pause=0.0):
        self.folder, self.pause, self.ended = folder, pause, []

    def takes(self, task):
        return not self.ended

    def start(self, index, task, *, alone=False):
        self.ended.append((index, attempt(task)))

    def poll(self, timeout, progress):
        time.sleep(self.pause)
        ended, self.ended = self.ended, []
        return ended

    def stop(self):
        pass

    def close(self):
        (self.folder / "closed").touch()

class Bare:
    name = "bare"

class Broken:
    def __init__(self):
        raise OSError("nobody there")
"""


def test_an_executor_of_the_users_own_gives_the_same_ledger(finished, tiny, cache, tmp_path):
    file, out = tmp_path / "own.py", tmp_path / "out"
    file.write_text(OWN)
    so.study(tiny, out=out, cache=cache).run(executor=f"python:{file}:Here", pause=0.01)
    assert table(out) == table(finished[0])
    assert (out / "closed").is_file()


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        ("Here", {"speed": 1}, "speed: executor python:.*Here takes no such option; it takes pause"),
        ("Bare", {}, "Bare has no device"),
        ("Broken", {}, "Broken: failed: OSError: nobody there"),
        ("OWN", {}, "has no OWN"),
        ("time", {}, "is a module, and must be a class"),
    ],
)
def test_what_is_wrong_with_an_executor_of_the_users_own_is_one_line(name, how, said, tiny, cache, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    with pytest.raises(SonoscaleError, match=said):
        so.study(tiny, out=tmp_path / "out", cache=cache).run(executor=f"python:{file}:{name}", **how)
