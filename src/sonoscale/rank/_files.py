"""Embeddings that others have saved: one file of any usual format, as chunks of rows in bounded memory."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.extras import EXTRAS
from sonoscale.rank._npy import npy_arrays, npy_chunks, npz_arrays, npz_chunks
from sonoscale.rank._parquet import FLOATS, Arrays, parquet_arrays, parquet_chunks

_SMALL = 1 << 30
_EXPANSION = 300
"""A file that promises more bytes than `_SMALL`, and more than so many times its own, is not read."""


@dataclass(frozen=True)
class EmbeddingFile:
    """A file that holds a `[n, dim]` array of embeddings; only its head has been read.

    `key` names the array, column, tensor or dataset (None where the format has just one nameless array, or where
    the float columns of a Parquet file are the dimensions); `dtype` is as stored, one of float16, bfloat16,
    float32, float64.
    """

    path: Path
    key: str | None
    n: int
    dim: int
    dtype: str

    def chunks(self, rows: int = 4096) -> Iterator[np.ndarray]:
        """The embeddings in the file's order; memory is about one chunk, whatever the size of the file.

        Arguments:
            rows: most rows of a chunk.

        Returns:
            an iterator of `[<= rows, dim]` arrays of the stored dtype in native byte order; bfloat16 comes as
            float32, which holds it exactly. NaN and infinity are passed on.

        Raises:
            SonoscaleError: `rows` is under 1; while iterating: the data are truncated or damaged, the file has
                changed since it was opened, or a row of a Parquet file is null, holds a null or is of another
                length (named, counted from 0).
        """
        if rows < 1:
            raise SonoscaleError(f"{self.path}: chunks need at least 1 row, not {rows}")
        return self._chunks(rows)

    def _chunks(self, rows: int) -> Iterator[np.ndarray]:
        form, seen = _FORMATS[self.path.suffix.lower()], 0
        with _one_line(self.path, form.name):
            if form.arrays(self.path).get(self.key) != ((self.n, self.dim), self.dtype):
                raise SonoscaleError(f"{self.path}: has changed since it was opened; open it again")
            for chunk in form.chunks(self.path, self.key, (self.n, self.dim), rows):
                seen += len(chunk)
                yield np.ascontiguousarray(chunk, chunk.dtype.newbyteorder("="))
        if seen != self.n:
            raise SonoscaleError(
                f"{self.path}: gave {seen} rows where its head says {self.n}: damaged, or changed meanwhile"
            )


@in_one_line
def open_embeddings(path: Path | str, *, key: str | None = None) -> EmbeddingFile:
    """Find the embeddings in a file: .npy, .npz, .parquet, .safetensors, .pt, .pth, .h5 or .hdf5.

    Nothing in a file is ever executed: pickled NumPy objects are refused, and torch files load weights only.

    Arguments:
        path: the file; its suffix says the format.
        key: the array, column, tensor or dataset to take; not needed where only one is `[clips, dim]` of floats.
            A Parquet file without any column of lists gives its float columns as dimensions, without a key.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/clips.npy", np.zeros((100, 8), dtype=np.float32))
        ...     file = open_embeddings(f"{folder}/clips.npy")
        >>> file.n, file.dim, file.dtype
        (100, 8, 'float32')

    Returns:
        the file, opened as far as its head.

    Raises:
        SonoscaleError: missing, unreadable, empty, truncated or not of its format; no array, or several and no
            key, or a key that is not there; an array that is not 2-D, not of floats, or without rows or columns;
            a package that reads the format is not installed.
    """
    check_arguments(open_embeddings, locals())
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            raise SonoscaleError(f"{path}: is a folder; give one file of embeddings")
        if not path.is_file():
            raise SonoscaleError(f"{path}: no such file")
        if suffix not in _FORMATS:
            raise SonoscaleError(f"{path}: embeddings are read from {', '.join(_FORMATS)}, not from {suffix or 'this'}")
        with path.open("rb") as stream:
            if not stream.read(1):
                raise SonoscaleError(f"{path}: is empty (0 bytes)")
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be opened ({error.strerror})") from error
    form = _FORMATS[suffix]
    with _one_line(path, form.name):
        arrays = form.arrays(path)
    key = _chosen(path, form.noun, arrays, key)
    (n, dim), dtype = arrays[key]
    promised, there = n * dim * (2 if dtype.endswith("16") else 8 if dtype == "float64" else 4), path.stat().st_size
    if promised > max(_SMALL, _EXPANSION * there):
        raise SonoscaleError(
            f"{path}: {there:,} bytes that promise {promised / 2**30:,.0f} GiB of embeddings ({n:,} x {dim:,}): more "
            f"than {_EXPANSION}-fold, as no embeddings are packed"
        )
    return EmbeddingFile(path=path, key=key, n=n, dim=dim, dtype=dtype)


def is_embedding_file(path: str | PathLike[str]) -> bool:
    """Whether there is a file of this name, of a format that `open_embeddings` reads."""
    return Path(path).suffix.lower() in _FORMATS and Path(path).is_file()


def _chosen(path: Path, noun: str, arrays: Arrays, key: str | None) -> str | None:
    """The key of the array to read, which is then sure to be `[>= 1, >= 1]` of floats."""
    if not arrays:
        raise SonoscaleError(f"{path}: holds no {noun}")
    if key is not None and key not in arrays:
        if list(arrays) == [None]:
            raise SonoscaleError(f"{path}: has one {noun} without a name, so none is named {key!r}: leave the key out")
        raise SonoscaleError(f"{path}: no {noun} is named {key!r}; there are {_listed(arrays)}")
    if key is None:
        fits = {k: v for k, v in arrays.items() if _fault(*v) is None}
        if len(fits) > 1:
            raise SonoscaleError(f"{path}: more than one {noun} fits, choose one as key: {_listed(fits)}")
        if not fits and len(arrays) > 1:
            raise SonoscaleError(f"{path}: no {noun} is [clips, dim] of floats; there are {_listed(arrays)}")
        key = next(iter(fits or arrays))
    shape, dtype = arrays[key]
    what = f"{path}: the {noun}" if key is None else f"{path}: {noun} {key!r}"
    fault = _fault(shape, dtype)
    if fault is not None:
        raise SonoscaleError(f"{what} {fault}")
    if shape[0] < 1:
        raise SonoscaleError(f"{what} holds no rows: its shape is {list(shape)}")
    if shape[1] < 1:
        raise SonoscaleError(f"{what} holds no values in row 0: [clips, dim] is needed, with dim at least 1")
    return key


def _fault(shape: tuple[int, ...], dtype: str) -> str | None:
    """Why this cannot be embeddings, or None."""
    if dtype.startswith(("int", "uint", "bool")):
        return f"is {dtype} {list(shape)}: integers are not embeddings; convert to float32 if they really are"
    if dtype not in FLOATS:
        pickled = " (a pickle, never loaded)" if dtype == "object" else ""
        return f"is {dtype}{pickled} {list(shape)}: embeddings are {', '.join(FLOATS[:-1])} or {FLOATS[-1]}"
    if len(shape) != 2:
        return f"is of shape {list(shape)}: embeddings are [clips, dim]"
    return None


def _listed(arrays: Arrays) -> str:
    texts = [f"{key!r} {list(shape)} {dtype}" for key, (shape, dtype) in arrays.items() if key is not None]
    return ", ".join(texts[:12]) + (f" and {len(texts) - 12} more" if len(texts) > 12 else "")


@contextmanager
def _one_line(path: Path, name: str) -> Iterator[None]:
    """What a decoder makes of damaged bytes can be any exception: report it in one line, with the file."""
    try:
        yield
    except SonoscaleError:
        raise
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        install = next((f"'sonoscale[{extra}]'" for extra, has in EXTRAS.items() if package in has), package)
        raise SonoscaleError(f"{path}: {error.name} is needed to read {name}: pip install {install}") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SonoscaleError(f"{path}: cannot be read as {name} ({reason})") from error


def _safetensors_arrays(path: Path) -> Arrays:
    from safetensors import safe_open

    words = {"BF": "bfloat", "F": "float", "I": "int", "U": "uint", "C": "complex", "BOOL": "bool"}
    arrays: Arrays = {}
    with safe_open(str(path), framework="np") as file:
        for key in file.keys():  # noqa: SIM118  not a dict
            part = file.get_slice(key)
            name = re.sub(r"^(BF|F|I|U|C)(?=\d+$)|^BOOL$", lambda found: words[found[0]], part.get_dtype())
            arrays[key] = (tuple(part.get_shape()), name)
    return arrays


def _safetensors_chunks(path: Path, key: str | None, shape: tuple[int, int], rows: int) -> Iterator[np.ndarray]:
    from safetensors import safe_open

    halves = _safetensors_arrays(path)[key][1] == "bfloat16"  # which NumPy has not
    for start in range(0, shape[0], rows):  # opened anew each time: pages once read would stay mapped
        with safe_open(str(path), framework="pt" if halves else "np") as file:
            part = file.get_slice(key)[start : min(start + rows, shape[0])]
        yield part.float().numpy() if halves else part


def _tensors(path: Path) -> dict[str | None, Any]:
    """The tensors of a file of `torch.save`, mapped, not read."""
    import torch

    with path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            raise SonoscaleError(
                f"{path}: not a file of torch.save, or one of torch before 1.6: load and save it again"
            )
    try:
        held = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        raise SonoscaleError(f"{path}: holds more than tensors; save the tensor alone with torch.save") from error
    if isinstance(held, torch.Tensor):
        return {None: held}
    if not isinstance(held, dict):
        raise SonoscaleError(f"{path}: holds a {type(held).__name__}; a tensor or a dict of tensors is needed")
    return {str(key): value for key, value in held.items() if isinstance(value, torch.Tensor)}


def _torch_arrays(path: Path) -> Arrays:
    return {key: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in _tensors(path).items()}


def _torch_chunks(path: Path, key: str | None, shape: tuple[int, int], rows: int) -> Iterator[np.ndarray]:
    import torch

    for start in range(0, shape[0], rows):  # mapped anew each time: pages once read would stay resident
        part = _tensors(path)[key].detach()[start : start + rows]
        part = part.float() if part.dtype == torch.bfloat16 else part.clone()
        yield part.numpy()


def _hdf5_arrays(path: Path) -> Arrays:
    import h5py

    arrays: Arrays = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = (item.shape or (), item.dtype.name)

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # links to other files are not followed
    return arrays


def _hdf5_chunks(path: Path, key: str | None, shape: tuple[int, int], rows: int) -> Iterator[np.ndarray]:
    import h5py

    with h5py.File(path, "r") as file:
        if isinstance(file.get(key, getlink=True), h5py.ExternalLink):
            raise SonoscaleError(f"{path}: {key!r} is a link to another file; name that file")
        dataset: Any = file[key]
        if dataset.external:
            raise SonoscaleError(
                f"{path}: dataset {key!r} keeps its values in another file ({str(dataset.external[0][0])[:100]}), "
                "which is not read; copy it whole"
            )
        if dataset.is_virtual:
            raise SonoscaleError(
                f"{path}: dataset {key!r} is virtual, and missing parts would read as 0; copy it whole"
            )
        _check_written(path, dataset)
        for start in range(0, shape[0], rows):
            yield dataset[start : start + rows]


def _check_written(path: Path, dataset: Any) -> None:
    """Whether all parts of a dataset were ever written: the others would read as 0."""
    if dataset.chunks is None:
        share = dataset.id.get_storage_size() / max(1, dataset.nbytes)
    else:
        chunks = math.prod(-(-n // size) for n, size in zip(dataset.shape, dataset.chunks, strict=True))
        share = dataset.id.get_num_chunks() / max(1, chunks)
    if share < 1:
        raise SonoscaleError(
            f"{path}: dataset {dataset.name!r}: {share:.1%} of it was ever written, and the rest would read as 0"
        )


class _Format(NamedTuple):
    name: str
    noun: str
    arrays: Callable[[Path], Arrays]
    chunks: Callable[[Path, str | None, tuple[int, int], int], Iterator[np.ndarray]]


_TORCH = _Format("a file of torch.save", "tensor", _torch_arrays, _torch_chunks)
_HDF5 = _Format("HDF5", "dataset", _hdf5_arrays, _hdf5_chunks)
_FORMATS = {
    ".npy": _Format("a NumPy .npy file", "array", npy_arrays, npy_chunks),
    ".npz": _Format("a NumPy .npz file", "array", npz_arrays, npz_chunks),
    ".parquet": _Format("Parquet", "column", parquet_arrays, parquet_chunks),
    ".safetensors": _Format("safetensors", "tensor", _safetensors_arrays, _safetensors_chunks),
    ".pt": _TORCH, ".pth": _TORCH, ".h5": _HDF5, ".hdf5": _HDF5,
}  # fmt: skip
