"""Progress of a study: live bars on a terminal, one line per event elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import TaskID

from sonoscale.cli._console import progress_bars
from sonoscale.study import Lines
from sonoscale.study._watch import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonoscale.study import Failure
    from sonoscale.study._prepare import RunJob


class RichWatcher(Lines):
    """Shows what a study does."""

    def __init__(self, console: Console) -> None:
        super().__init__(lambda line: console.print(line, highlight=False, markup=False))
        self._bars = progress_bars(lines=False)  # `Lines` prints them
        self._bar: dict[str, TaskID] = {}

    def __enter__(self) -> RichWatcher:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def preparing(self, what: str, done: int, total: int) -> None:
        self._show(f"log-mels of {what}", done, total)
        super().preparing(what, done, total)

    def started(self, jobs: Sequence[RunJob], reused: int) -> None:
        super().started(jobs, reused)
        if jobs:
            self._show("runs", 0, len(jobs))

    def progress(self, index: int, stage: str, done: int, total: int, loss: float) -> None:
        tail = f" (loss {loss:.3f})" if stage == "train" else ""
        self._show(f"{self.names[index]}: {stage}", done, total, tail)

    def going_on(self, done: int, running: int, total: int, seconds_left: float) -> None:
        left = "" if seconds_left != seconds_left else f" (about {duration(seconds_left)} left)"
        self._show("runs", done, total, left)
        super().going_on(done, running, total, seconds_left)

    def finished(self, index: int, failure: Failure | None) -> None:
        for stage in ("train", "probe"):
            bar = self._bar.pop(f"{self.names[index]}: {stage}", None)
            if bar is not None:
                self._bars.remove_task(bar)
        self._show("runs", self.done + 1, len(self.names))
        super().finished(index, failure)

    def _show(self, key: str, done: int, total: int, tail: str = "") -> None:
        if key not in self._bar:
            self._bar[key] = self._bars.add_task(key, total=total)
        self._bars.update(self._bar[key], completed=done, total=total, description=key + tail)
        if done >= total:
            self._bars.remove_task(self._bar.pop(key))
