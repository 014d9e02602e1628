"""Progress of a study: live bars on a terminal, one line per event elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from sonoscale.study import Failure, PlannedRun, RunJob


class RichWatcher:
    """Shows what a study does."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._names: list[str] = []
        self._bar: dict[str, TaskID] = {}
        self._done = 0

    def __enter__(self) -> RichWatcher:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def planned(self, runs: Sequence[PlannedRun]) -> None:
        """See `StudyWatcher`."""
        configurations = len({run.config_id for run in runs})
        self._say(f"{len(runs)} runs: {configurations} configurations, {len(runs) // configurations} seed(s) each")

    def preparing(self, what: str, done: int, total: int) -> None:
        """See `StudyWatcher`."""
        self._show(f"log-mels of {what}", done, total)
        if done == total:
            self._say(f"log-mels of {what}: {total} clips")

    def started(self, jobs: Sequence[RunJob], reused: int) -> None:
        """See `StudyWatcher`."""
        self._names = [f"{job.plan.label} seed={job.plan.config.seed}" for job in jobs]
        self._say(f"{reused} runs are finished already, {len(jobs)} to do" if reused else f"{len(jobs)} runs to do")
        if jobs:
            self._show("runs", 0, len(jobs))

    def progress(self, index: int, stage: str, done: int, total: int, loss: float) -> None:
        """See `StudyWatcher`."""
        tail = f" (loss {loss:.3f})" if stage == "train" else ""
        self._show(f"{self._names[index]}: {stage}", done, total, tail)

    def finished(self, index: int, failure: Failure | None) -> None:
        """See `StudyWatcher`."""
        self._done += 1
        for stage in ("train", "probe"):
            bar = self._bar.pop(f"{self._names[index]}: {stage}", None)
            if bar is not None:
                self._bars.remove_task(bar)
        self._show("runs", self._done, len(self._names))
        state = f"failed: {failure.error}" if failure else "done"
        self._say(f"[{self._done}/{len(self._names)}] {self._names[index]}: {state}")

    def _show(self, key: str, done: int, total: int, tail: str = "") -> None:
        if key not in self._bar:
            self._bar[key] = self._bars.add_task(key, total=total)
        self._bars.update(self._bar[key], completed=done, total=total, description=key + tail)
        if done >= total:
            self._bars.remove_task(self._bar.pop(key))

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)
