"""NumPy's own formats, .npy and .npz, read a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy_format

from sonoscale.errors import SonoscaleError

_PIECE = 1 << 18  # bytes asked of a zip member at once
_PASS = 1 << 26  # bytes that one pass over a column-major zip member may keep


def npy_arrays(path: Path) -> dict[str | None, tuple[tuple[int, ...], str]]:
    """The one array of a .npy file under the key None: shape and dtype name.

    Raises:
        SonoscaleError: the data are shorter (truncated) or longer (a second array appended) than the header says.
        ValueError: the header is not one of an .npy file.
    """
    with path.open("rb") as stream:
        shape, _, dtype = _header(stream)
        _check_size(f"{path}: the array", shape, dtype, path.stat().st_size - stream.tell())
    return {None: (shape, dtype.name)}


def npy_chunks(path: Path, key: str | None, shape: tuple[int, int], rows: int) -> Iterator[np.ndarray]:
    """Rows of a .npy file; memory is one chunk, whatever the size of the file, and the chunks own their data.

    A slice of an array stored row by row is mapped, copied and unmapped before the next. One stored column by column
    (Fortran order) is read piece by piece: mapped, each column would draw in many more pages than asked for.
    """
    with path.open("rb") as stream:
        (n, dim), columns_first, dtype = _header(stream)
        offset = stream.tell()
        for start in range(0, n, rows):
            count = min(rows, n - start)
            if columns_first:
                stream.seek(offset)
                yield np.array(_columns(stream, n, start, np.empty((dim, count), dtype)).T, order="C")
            else:
                yield np.array(np.memmap(path, dtype, "r", offset + start * dim * dtype.itemsize, (count, dim)))


def npz_arrays(path: Path) -> dict[str | None, tuple[tuple[int, ...], str]]:
    """The arrays of a .npz file by name: shapes and dtype names, from the headers alone.

    Raises:
        SonoscaleError: the data of an array are shorter or longer than its header says.
        ValueError, zipfile.BadZipFile, zlib.error, ...: not a .npz file, or damaged.
    """
    arrays = {}
    with ZipFile(path) as archive:
        for name in dict.fromkeys(archive.namelist()):
            if name.endswith(".npy"):
                key = name.removesuffix(".npy")
                with archive.open(name) as stream:
                    shape, _, dtype = _header(stream)
                    left = archive.getinfo(name).file_size - stream.tell()
                _check_size(f"{path}: array {key!r}", shape, dtype, left)
                arrays[key] = (shape, dtype.name)
    return arrays


def npz_chunks(path: Path, key: str | None, shape: tuple[int, int], rows: int) -> Iterator[np.ndarray]:
    """Rows of one array of a .npz file, inflated as they come, their checksum verified.

    Memory is one chunk for an array stored row by row. One stored column by column is passed over once for every
    64 MiB of it, and these and one chunk are the memory.
    """
    with ZipFile(path) as archive:
        with archive.open(f"{key}.npy") as stream:
            (n, dim), columns_first, dtype = _header(stream)
            if not columns_first:
                for start in range(0, n, rows):
                    yield _read(stream, np.empty((min(rows, n - start), dim), dtype))
                return
        kept = max(1, _PASS // (dim * dtype.itemsize))  # rows of one pass
        for start in range(0, n, kept):
            with archive.open(f"{key}.npy") as stream:
                _header(stream)
                columns = _columns(stream, n, start, np.empty((dim, min(kept, n - start)), dtype))
            for first in range(0, columns.shape[1], rows):
                yield np.array(columns[:, first : first + rows].T, order="C")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first (Fortran order), and dtype; the stream is then at the first byte of data."""
    version = npy_format.read_magic(stream)
    if version == (1, 0):
        return npy_format.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy_format.read_array_header_2_0(stream)
    raise ValueError(f"version {version[0]}.{version[1]} of the format is for structured arrays")


def _check_size(what: str, shape: tuple[int, ...], dtype: np.dtype, found: int) -> None:
    needed = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or found == needed:  # the size of a pickle says nothing; its dtype is refused later
        return
    why = "it is truncated" if found < needed else "save one array a file"
    raise SonoscaleError(f"{what} holds {found} bytes of data where {list(shape)} {dtype.name} are {needed}: {why}")


def _columns(stream: IO[bytes], n: int, start: int, out: np.ndarray) -> np.ndarray:
    """Fill `[dim, count]` with values `start` and on of each column of n; the stream is at the first, and ends last."""
    for column in out:
        stream.seek(start * out.itemsize, 1)
        _read(stream, column)
        stream.seek((n - start - len(column)) * out.itemsize, 1)
    return out


def _read(stream: IO[bytes], out: np.ndarray) -> np.ndarray:
    """Fill a contiguous array from a stream."""
    target, done = out.reshape(-1).view(np.uint8), 0
    while done < target.size:
        piece = stream.read(min(_PIECE, target.size - done))
        if not piece:
            raise EOFError("the data end early")
        target[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return out
