"""Who is notified of what a study does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from sonoscale.study._design import PlannedRun
    from sonoscale.study._prepare import RunJob

__all__ = ["Failure", "Lines", "Watcher"]


@dataclass(frozen=True)
class Failure:
    """A run that could not be finished, and why.

    Attributes:
        label, seed: of the run.
        error: the last thing that went wrong.
        reason: its kind: diverged, out of memory, killed, lost (its machine is gone), time limit, or error.
        attempts: how often it was tried.
        run: its name, which is that of its folder.
    """

    label: str
    seed: int
    error: str
    reason: str = "error"
    attempts: int = 1
    run: str = ""


@runtime_checkable
class Watcher(Protocol):
    """Is notified of what a study does."""

    def planned(self, runs: Sequence[PlannedRun]) -> None:
        """The design is valid and has these runs."""
        ...

    def preparing(self, what: str, done: int, total: int) -> None:
        """Log-mels are being computed."""
        ...

    def started(self, jobs: Sequence[RunJob], reused: int) -> None:
        """These runs remain to be done; `reused` are finished."""
        ...

    def progress(self, index: int, stage: str, done: int, total: int, loss: float) -> None:
        """Job `index` of those started is at `done` of `total` in training or probing."""
        ...

    def event(self, index: int, what: str) -> None:
        """Something happened to job `index`: another process has it, or it is tried again."""
        ...

    def going_on(self, done: int, running: int, total: int, seconds_left: float) -> None:
        """Called now and then: how many of the jobs are done, how many run, and the time left (NaN: not known yet)."""
        ...

    def finished(self, index: int, failure: Failure | None) -> None:
        """Job `index` has ended."""
        ...


EVERY = 180.0
"""Seconds between two lines that say how far a study is."""


class Lines:
    """Gives a function a line for each thing that happens, and one every few minutes; None for silence."""

    def __init__(self, say: Callable[[str], object] | None) -> None:
        self.say = say or (lambda line: None)
        self.names: list[str] = []
        self.done = 0
        self._said = time.monotonic()

    def planned(self, runs: Sequence[PlannedRun]) -> None:
        configurations = len({run.config_id for run in runs})
        self.say(f"{len(runs)} runs: {configurations} configurations, {len(runs) // configurations} seed(s) each")

    def preparing(self, what: str, done: int, total: int) -> None:
        if done == total:
            self.say(f"log-mels of {what}: {total} clips")

    def started(self, jobs: Sequence[RunJob], reused: int) -> None:
        self.names = [f"{job.plan.label} seed={job.plan.config.seed}" for job in jobs]
        self.say(f"{reused} runs are finished already, {len(jobs)} to do" if reused else f"{len(jobs)} runs to do")

    def progress(self, index: int, stage: str, done: int, total: int, loss: float) -> None:
        pass

    def event(self, index: int, what: str) -> None:
        self.say(f"{self.names[index]}: {what}")

    def going_on(self, done: int, running: int, total: int, seconds_left: float) -> None:
        if time.monotonic() - self._said >= EVERY:
            left = "" if seconds_left != seconds_left else f", about {duration(seconds_left)} left"
            self.say(f"{done} of {total} runs done, {running} running{left}")
            self._said = time.monotonic()

    def finished(self, index: int, failure: Failure | None) -> None:
        self.done += 1
        self._said = time.monotonic()
        state = f"failed ({failure.reason}): {failure.error}" if failure else "done"
        self.say(f"[{self.done}/{len(self.names)}] {self.names[index]}: {state}")


def duration(seconds: float) -> str:
    """A length of time, in its two largest units."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
