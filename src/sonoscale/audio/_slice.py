"""A part of a file that is read as if it were a file."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes `offset` to `offset + size` of a file, such as a member of a tar archive, to be read like a file."""

    path: Path
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.path} (bytes {self.offset} to {self.offset + self.size})"

    def open(self) -> BinaryIO:
        """A seekable binary stream over these bytes alone.

        Raises:
            OSError: the file cannot be opened.
        """
        return io.BufferedReader(_SliceIO(self))

    def read(self) -> bytes:
        """All of the bytes; fewer where the file ends before."""
        with self.open() as stream:
            return stream.read()


class _SliceIO(io.RawIOBase):
    def __init__(self, part: FileSlice) -> None:
        self._fd = -1
        self._fd = os.open(part.path, os.O_RDONLY)
        self._part, self._at = part, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, (0, self._at, self._part.size)[whence] + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        size = max(0, min(len(buffer), self._part.size - self._at))
        content = os.pread(self._fd, size, self._part.offset + self._at)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed and self._fd >= 0:
            os.close(self._fd)
        super().close()
