"""Files that a command will write, tried before it works for long."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sonoscale.errors import SonoscaleError

__all__ = ["check_writable"]


def check_writable(path: Path) -> None:
    """Raises:
    SonoscaleError: the file cannot be written there.
    """
    if path.is_dir():
        raise SonoscaleError(f"{path}: is a folder")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None
