"""The one console that commands print to."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["console", "progress_bars"]

console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 150)


def progress_bars(*, disable: bool = False) -> Progress:
    """Bars that are shown on a terminal only, and gone when done."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=disable or not console.is_terminal,
    )  # fmt: skip
