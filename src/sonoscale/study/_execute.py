"""Give runs to an executor until each has ended, here or with another driver of the same study."""

from __future__ import annotations

import inspect
import math
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

from sonoscale.claims import claim, file_time, holder, newer
from sonoscale.errors import SonoscaleError
from sonoscale.own_code import MARK, attribute, named, one_line
from sonoscale.pretrain import training_cost
from sonoscale.study._failures import note_failure, read_failures
from sonoscale.study._prepare import RunJob
from sonoscale.study._watch import Failure, Watcher
from sonoscale.study._worker import Attempt, Outcome, is_finished

__all__ = ["Executor", "check_executor", "open_executor", "run_jobs", "stop_file"]

LOOK_EVERY = 1.0
"""Seconds between two looks at a run that another driver has."""


EXECUTORS = ("local", "ray", "slurm")


class Executor(Protocol):
    """Where attempts are carried out. A class of your own is named `python:module:Class`.

    It is made with what it names among the arguments `workers`, `device` (auto, cpu or cuda) and `folder` (of the
    study), and with the options that are given for it. Whatever carries an attempt out calls `attempt` on it.

    Attributes:
        name: for messages.
        device: cpu or cuda, for all attempts.
        detached: whether what it runs outlives it.
    """

    name: str
    device: str
    detached: bool

    @property
    def slots(self) -> int:
        """How many runs at most are done at once."""
        ...

    def takes(self, task: Attempt) -> bool:
        """Whether one more attempt can be begun now."""
        ...

    def start(self, index: int, task: Attempt, *, alone: bool = False) -> None:
        """Begin an attempt; `alone`: best with nothing beside it, as it has run out of memory before."""
        ...

    def poll(self, timeout: float, progress: Callable[[int, str, int, int, float], None]) -> list[tuple[int, Outcome]]:
        """What has ended, by the index it was started with, after at most so many seconds.

        `progress` may be called with an index and what the attempt reports: stage, done, total, loss.
        """
        ...

    def stop(self) -> None:
        """Wait until every run has kept what it has and ended: attempts look for `Attempt.stop_files`."""
        ...

    def close(self) -> None:
        """Nothing is left running."""
        ...


def open_executor(name: str, *, workers: int | None, device: str, folder: Path, **how: object) -> Executor:
    """An executor by its name.

    Arguments:
        name: local, ray or slurm; or `python:module:Class`, see `Executor`.
        workers: runs at once; None: as many as there is room for.
        device: auto, cpu or cuda.
        folder: of the study.
        how: what only one of them takes.

    Raises:
        SonoscaleError: there is none of that name, it lacks its package, or there is no such device.
    """
    if name == "local":
        from sonoscale.encoders import find_device
        from sonoscale.study._local import LocalExecutor, local_devices

        devices = local_devices(find_device(device), workers)
        return _made(LocalExecutor, name, how, devices=devices)
    if name == "ray":
        from sonoscale.study._ray import RayExecutor

        return _made(RayExecutor, name, how, workers=workers, device=device)
    if name == "slurm":
        from sonoscale.study._slurm import SlurmExecutor

        return _made(SlurmExecutor, name, how, folder=folder, workers=workers, device=device)
    check_executor(name)
    return _own(name, how, workers=workers, device=device, folder=folder)


def check_executor(name: str) -> None:
    """Whether there may be an executor of that name.

    Raises:
        SonoscaleError: there is none.
    """
    if name not in EXECUTORS and not name.startswith(MARK):
        raise SonoscaleError(
            f"executor = {name!r}: must be one of {', '.join(EXECUTORS)}, or python:module:Class for one of your own"
        )


def _own(spec: str, how: Mapping[str, Any], **given: Any) -> Executor:
    """An executor of the user's own.

    Raises:
        SonoscaleError: it cannot be imported or made, or lacks something that an executor has.
    """
    kind = named(spec)
    if not inspect.isclass(kind):
        raise SonoscaleError(f"{spec}: is a {type(kind).__name__}, and must be a class; see sonoscale.study.Executor")
    takes = inspect.signature(kind).parameters
    try:
        made = _made(
            cast("Callable[..., Executor]", kind),
            spec,
            how,
            **{key: value for key, value in given.items() if key in takes},
        )
    except SonoscaleError:
        raise
    except Exception as error:
        raise SonoscaleError(f"{spec}: failed: {one_line(error)}") from error
    for name in ("name", "device", "detached", "slots", "takes", "start", "poll", "stop", "close"):
        attribute(made, name, spec, where=kind.__name__)
    return made


def _made(kind: Callable[..., Executor], name: str, how: Mapping[str, Any], **given: Any) -> Executor:
    """Raises:
    SonoscaleError: an option that this executor does not take.
    """
    known = [option for option in inspect.signature(kind).parameters if option not in given]
    for option in how:
        if option not in known:
            takes = ", ".join(known) or "none"
            raise SonoscaleError(f"{option}: executor {name} takes no such option; it takes {takes}")
    return kind(**given, **how)


def stop_file(folder: Path) -> Path:
    """When it is touched, the drivers of the study end, and runs under way are left with their state."""
    return folder / ".stop"


class StoppedError(SonoscaleError):
    """Somebody asked for an end of the study."""


def run_jobs(
    jobs: Sequence[RunJob], executor: Executor, watcher: Watcher, *, folder: Path, retries: int, device: str = "cpu",
    done: Callable[[], None] = lambda: None,
) -> list[Failure]:  # fmt: skip
    """Bring all jobs to their end, the longest first.

    A run that fails by itself, in whatever way, is retried or reported, and the others continue. Runs that another
    driver has are waited for, and taken over if it is gone. If this is interrupted, or the disk is full, runs under way
    keep their state, and those that are finished stay.

    Arguments:
        jobs: not finished yet.
        executor: where they run; closed afterwards.
        watcher: is notified.
        folder: of the study.
        retries: see `note_failure`.
        device: see `Attempt`.
        done: called when a run is finished.

    Returns:
        Runs that could not be finished.

    Raises:
        SonoscaleError: the disk is full, or somebody asked for a stop.
    """
    mine = folder / f".stop-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    driver = _Driver(jobs, executor, watcher, folder, retries, device, (stop_file(folder), mine), done)
    try:
        return driver.run()
    except BaseException:
        if not executor.detached:
            with suppress(OSError):
                mine.touch()
        executor.stop()
        raise
    finally:
        executor.close()
        with suppress(OSError):
            mine.unlink(missing_ok=True)


class _Driver:
    def __init__(
        self, jobs: Sequence[RunJob], executor: Executor, watcher: Watcher, folder: Path, retries: int, device: str,
        stop_files: tuple[Path, ...], done: Callable[[], None],
    ) -> None:  # fmt: skip
        self.jobs, self.executor, self.watcher, self.folder, self.retries = jobs, executor, watcher, folder, retries
        self.done = done
        self.work = [_work(job) for job in jobs]
        self.tasks = [Attempt(job, folder, retries, device, stop_files) for job in jobs]
        self.todo = sorted(range(len(jobs)), key=lambda i: -self.work[i])
        self.alone: set[int] = set()
        self.running: set[int] = set()
        self.elsewhere: dict[int, float] = {}  # when to look again
        self.failures: dict[int, Failure] = {}
        self.ended: set[int] = set()
        self.done_here, self.began, self.since = 0.0, time.monotonic(), file_time(folder)

    def run(self) -> list[Failure]:
        looked = 0.0
        while self.todo or self.running or self.elsewhere:
            if time.monotonic() - looked > 0.5:
                looked = time.monotonic()
                self.look_around()
            self.start_some()
            for index, outcome in self.executor.poll(0.2 if self.running else 0.5, self.watcher.progress):
                self.running.discard(index)
                self.take(index, outcome)
        return [self.failures[index] for index in sorted(self.failures)]

    def look_around(self) -> None:
        """Whether all should stop, and what has become of the runs that others have."""
        if newer(stop_file(self.folder), self.since):
            raise StoppedError(
                f"{self.folder}: was asked to stop: whatever was finished is kept; run the study again to resume"
            )
        self.watcher.going_on(len(self.ended), len(self.running), len(self.jobs), self.seconds_left())
        for index in [index for index, when in self.elsewhere.items() if time.monotonic() >= when]:
            job = self.jobs[index]
            who = holder(job.folder.parent, job.folder.name)
            if who is not None and who.alive:
                self.elsewhere[index] = time.monotonic() + LOOK_EVERY
                if who.note.get("stage"):
                    note = who.note
                    self.watcher.progress(
                        index, note["stage"], note.get("done", 0), note.get("total", 1), note.get("loss") or math.nan
                    )
                continue
            del self.elsewhere[index]
            if is_finished(job):
                self.end(index, None)
            elif job.folder.name in (failed := read_failures(self.folder, [job.folder.name])):
                self.end(index, failed[job.folder.name])
            else:
                if who is not None:
                    self.watcher.event(index, f"process {who.pid} on {who.host} is gone; taken over from there")
                self.todo.insert(0, index)

    def start_some(self) -> None:
        for index in list(self.todo):
            alone = index in self.alone
            if (alone and self.running) or not self.executor.takes(self.tasks[index]):
                return
            job = self.jobs[index]
            self.todo.remove(index)
            who = holder(job.folder.parent, job.folder.name)
            if who is not None and who.alive:
                self.wait_for(index)
                continue
            self.executor.start(index, self.tasks[index], alone=alone)
            self.running.add(index)

    def take(self, index: int, outcome: Outcome) -> None:
        """Deal with the end of an attempt."""
        job = self.jobs[index]
        if outcome.state == "done":
            self.done_here += self.work[index]
            self.end(index, None)
        elif outcome.state == "busy":
            self.wait_for(index)
        elif outcome.state == "full":
            raise SonoscaleError(
                f"no space left on the disk of {job.folder.parent}: finished runs are kept; free some space and run "
                "the study again"
            )
        elif outcome.state == "stopped":
            self.todo.insert(0, index)
        elif not outcome.recorded:
            self.record(index, outcome)
        elif outcome.state == "again":
            self.again(index, outcome)
        else:
            self.fail(index, outcome)

    def record(self, index: int, outcome: Outcome) -> None:
        """Keep what a process that died could not say itself."""
        job = self.jobs[index]
        left = claim(job.folder.parent, job.folder.name)
        if left is None:
            self.wait_for(index)
            return
        try:
            plan = job.plan
            again = note_failure(
                self.folder, job.folder.name, plan.label, plan.config.seed, outcome.reason, outcome.error,
                retries=self.retries,
            )  # fmt: skip
        finally:
            left.release()
        if again:
            self.again(index, outcome)
        else:
            self.fail(index, outcome)

    def again(self, index: int, outcome: Outcome) -> None:
        self.watcher.event(index, f"{outcome.reason}: {outcome.error}; tried again")
        if outcome.reason in ("out of memory", "killed"):
            self.alone.add(index)
            self.todo.append(index)
        else:
            self.todo.insert(0, index)

    def fail(self, index: int, outcome: Outcome) -> None:
        job = self.jobs[index]
        plan = job.plan
        kept = read_failures(self.folder, [job.folder.name]).get(job.folder.name)
        self.end(
            index,
            kept or Failure(plan.label, plan.config.seed, outcome.error, outcome.reason or "error", 1, job.folder.name),
        )

    def wait_for(self, index: int) -> None:
        self.watcher.event(index, "another process has it")
        self.elsewhere[index] = time.monotonic() + LOOK_EVERY

    def end(self, index: int, failure: Failure | None) -> None:
        self.ended.add(index)
        if failure is not None:
            self.failures[index] = failure
        self.watcher.finished(index, failure)
        if failure is None:
            self.done()

    def seconds_left(self) -> float:
        """By what was done here so far."""
        if not self.done_here:
            return math.nan
        left = sum(work for index, work in enumerate(self.work) if index not in self.ended)
        return left * (time.monotonic() - self.began) / self.done_here


def _work(job: RunJob) -> float:
    config = job.plan.config
    return float(training_cost(config).flops) * config.train.batch_size * config.budgets[-1]
