"""Standard output and error as they may be: closed, full, or with a reader that has gone."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["Output", "guard_output"]


class Output:
    """A text stream to which nothing can fail: what can no longer be written is dropped, and why is kept.

    Arguments:
        stream: what is written to.

    Attributes:
        problem: the first error of the system, None while there is none.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.problem: OSError | None = None

    def write(self, text: str) -> int:
        """Write, or drop."""
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what is waiting."""
        self._try(self._stream.flush)

    @property
    def told(self) -> str:
        """What the user should know, empty if nothing: that a reader has gone is as it should be."""
        if self.problem is None or self.problem.errno == errno.EPIPE:
            return ""
        return f"standard output: {(self.problem.strerror or str(self.problem)).lower()}: not all was printed"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, doing: Any, *arguments: Any) -> None:
        if self.problem is not None:
            return
        try:
            doing(*arguments)
        except OSError as error:
            self.problem = error
            # What waits in the stream would fail again at the end of the process.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def guard_output() -> Output:
    """Let nothing that is printed fail; called once, at the start of a command.

    Returns:
        what is now `sys.stdout`.
    """
    guarded = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (until the end of the process)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without some sign shows another, and does not fail
        guarded.append(Output(stream))
        setattr(sys, name, guarded[-1])
    return guarded[0]
