"""Files that a command will write, tried before it works for long."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from sonoscale.errors import SonoscaleError

__all__ = ["check_outputs"]


def check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path]) -> None:
    """Try the files that a command will write, None for those that it will not.

    Raises:
        SonoscaleError: a file cannot be written there, is written twice, or is one that the command reads.
    """
    read = {path.expanduser().resolve() for path in inputs}
    written: set[Path] = set()
    for path in filter(None, outputs):
        where = path.resolve()
        if where in read:
            raise SonoscaleError(f"{path}: is to be measured, and would be overwritten")
        if where in written:
            raise SonoscaleError(f"{path}: is to be written twice; name another file")
        written.add(where)
        _check_writable(path)


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise SonoscaleError(f"{path}: is a folder")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None
