"""The one console that commands print to."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from sonoscale._text import visible

if TYPE_CHECKING:
    from sonoscale.results import Result

__all__ = ["console", "download_bars", "first_process", "print_result", "progress_bars", "say", "stage_bars"]


class _Console(Console):
    """Shows what came from elsewhere as it is: no markup in it counts, and no control sequence reaches the terminal."""

    def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
        for part in super().render(renderable, options):
            yield part if part.control else Segment(visible(part.text), part.style)


_on_terminal = sys.stdout is not None and sys.stdout.isatty()
console = _Console(markup=False, width=None if _on_terminal or "COLUMNS" in os.environ else 150)


def say(text: str) -> None:
    """Print plain text as it is; long lines are not broken."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def print_result(result: Result) -> None:
    """Print the sentence and the table of a result, in the first of several processes."""
    if first_process():
        say(repr(result))


def first_process() -> bool:
    """Whether this is the first process, or the only one, of a distributed command."""
    distributed: Any = sys.modules.get("torch.distributed")
    return distributed is None or not distributed.is_initialized() or distributed.get_rank() == 0


class _Bars(Progress):
    """Bars on a terminal, gone when done; elsewhere a line now and then, unless somebody else prints them."""

    def __init__(self, *, lines: bool) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._lines, self._next, self._pause = lines and not console.is_terminal, time.monotonic() + PAUSE, PAUSE

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """See `rich`."""
        super().update(task_id, **changes)
        if self._lines and time.monotonic() >= self._next:
            self._pause = min(2 * self._pause, 20 * PAUSE)  # a day's training is no thousand lines
            self._next = time.monotonic() + self._pause
            one = next(task for task in self.tasks if task.id == task_id)
            of = "" if one.total is None else f" of {one.total:,.0f}"
            say(f"{one.description}: {one.completed:,.0f}{of}")


PAUSE = 15.0
"""Seconds before the first line of progress where there is no terminal; the pauses grow."""


def progress_bars(*, lines: bool = True) -> Progress:
    """How far work is: bars on a terminal, elsewhere (`lines`) a line now and then."""
    return _Bars(lines=lines)


@contextmanager
def stage_bars() -> Iterator[Callable[..., None]]:
    """A bar per stage: give the callable (stage, done, total) and, of a training, the loss."""
    with ExitStack() as stack:
        bars, tasks = progress_bars(), {}

        def show(stage: str, done: int, total: int, loss: float = float("nan")) -> None:
            if not tasks:
                stack.enter_context(bars)
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            said = stage if loss != loss else f"{stage} (loss {loss:.3f})"
            bars.update(tasks[stage], completed=done, total=total, description=said)

        yield show


@contextmanager
def download_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar for the file that is being downloaded: give the callable (file, bytes there, bytes in all if known)."""
    from rich.progress import DownloadColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                for task in tasks.values():
                    bars.update(task, visible=False)
                tasks[name] = bars.add_task(name, total=None)
            bars.update(tasks[name], completed=done, total=total)

        yield show
