"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sonoscale.errors import SonoscaleError

__all__ = ["only_one_process"]


@contextmanager
def only_one_process(folder: Path, doing: str) -> Iterator[None]:
    """Hold the folder for this process until the block ends; the lock of a process that was killed does not count.

    Raises:
        SonoscaleError: another process holds it.
    """
    lock = folder / ".lock"
    with lock.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SonoscaleError(f"{folder}: another process {doing} this folder; wait for it to end") from error
        yield
        lock.unlink(missing_ok=True)
