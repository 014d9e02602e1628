"""Who is notified of what a study does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from sonoscale.study._design import PlannedRun
    from sonoscale.study._prepare import RunJob

__all__ = ["Failure", "Lines", "Watcher"]


@dataclass(frozen=True)
class Failure:
    """A run that could not be finished, and why."""

    label: str
    seed: int
    error: str


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

    def finished(self, index: int, failure: Failure | None) -> None:
        """Job `index` has ended."""
        ...


class Lines:
    """Gives a function a line for each thing that happens; None for silence."""

    def __init__(self, say: Callable[[str], object] | None) -> None:
        self.say = say or (lambda line: None)
        self.names: list[str] = []
        self.done = 0

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

    def finished(self, index: int, failure: Failure | None) -> None:
        self.done += 1
        state = f"failed: {failure.error}" if failure else "done"
        self.say(f"[{self.done}/{len(self.names)}] {self.names[index]}: {state}")
