"""From whatever holds embeddings (arrays, tensors, lists, data frames, files) to a sketch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.rank._files import EmbeddingFile, open_embeddings
from sonoscale.rank._rows import NanPolicy
from sonoscale.rank._sketch import Method, SpectralSketch

if TYPE_CHECKING:
    from torch import Tensor

KINDS = "an array or tensor [n, dim] of floats, nested lists, a data frame, a file of embeddings or a SpectralSketch"


@dataclass(frozen=True)
class FileSketch:
    """What one pass over a file leaves: the sketch of all rows, and a sample of the rows as they are.

    Attributes:
        file: what was read.
        sketch: of all rows.
        sample: rows at even distances, float64 `[<= asked for, dim]`, for what needs the embeddings themselves.
    """

    file: EmbeddingFile
    sketch: SpectralSketch
    sample: np.ndarray

    @property
    def name(self) -> str:
        """Path, and key where there is one."""
        return f"{self.file.path}:{self.file.key}" if self.file.key else str(self.file.path)


def sketch_file(
    file: EmbeddingFile,
    *,
    blocks: int = 16,
    method: Method = "gram",
    nan_policy: NanPolicy = "raise",
    sample: int = 0,
    progress: Callable[[int], None] | None = None,
) -> FileSketch:
    """Read a file once, in bounded memory.

    Arguments:
        file: from `open_embeddings`.
        blocks, method, nan_policy: as for `SpectralSketch`.
        sample: keep at most so many rows, evenly spaced.
        progress: called with the number of rows of each chunk read.

    Raises:
        SonoscaleError: the file cannot be read to its end, or holds what no sketch takes (the file is named).
    """
    sketch = SpectralSketch(file.dim, blocks=blocks, method=method, nan_policy=nan_policy)
    step = -(-file.n // sample) if sample else 0
    kept, done = [], 0
    for chunk in file.chunks():
        try:
            sketch.update(chunk)
        except SonoscaleError as error:
            raise SonoscaleError(f"{file.path}: {error}") from None
        if step:
            rows = np.asarray(chunk[-done % step :: step], dtype=np.float64)
            kept.append(rows[np.isfinite(rows).all(axis=1)])
        done += len(chunk)
        if progress:
            progress(len(chunk))
    sketch.dtypes = {file.dtype}  # as stored: NumPy has no bfloat16
    return FileSketch(file, sketch, np.concatenate(kept) if kept else np.empty((0, file.dim)))


def as_sketch(
    embeddings: Any,
    *,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    blocks: int = 16,
    method: Method = "gram",
    nan_policy: NanPolicy = "raise",
    key: str | None = None,
) -> SpectralSketch:
    """The sketch of embeddings in any form; a sketch is returned as it is.

    Arguments:
        embeddings: see `rankme`.
        groups: see `SpectralSketch.update`; for arrays, lists and frames.
        blocks, method, nan_policy: as for `SpectralSketch`.
        key: which array of a file, or column of lists of a frame.

    Raises:
        SonoscaleError: not embeddings, in one line.
    """
    if isinstance(embeddings, SpectralSketch):
        if groups is not None:
            raise SonoscaleError("groups: a sketch has its blocks already; give the groups to its update()")
        return embeddings
    if isinstance(embeddings, (str, PathLike, EmbeddingFile)):
        if groups is not None:
            raise SonoscaleError("groups: the rows of a file have none; load the array and give both")
        file = embeddings if isinstance(embeddings, EmbeddingFile) else open_embeddings(Path(embeddings), key=key)
        return sketch_file(file, blocks=blocks, method=method, nan_policy=nan_policy).sketch
    rows = _rows(embeddings, key)
    if rows.ndim != 2:
        raise SonoscaleError(f"embeddings must be [n, dim], not {list(rows.shape)}")
    sketch = SpectralSketch(int(rows.shape[1]), blocks=blocks, method=method, nan_policy=nan_policy)
    sketch.update(rows, groups)
    return sketch


def _rows(embeddings: Any, key: str | None) -> np.ndarray | Tensor:
    """Anything but sketches and files as an array or a tensor."""
    if hasattr(embeddings, "columns") and hasattr(embeddings, "to_numpy"):
        return _frame_rows(embeddings, key)
    if key is not None:
        raise SonoscaleError(f"key = {key!r}: only files and data frames have named arrays")
    if hasattr(embeddings, "detach") or isinstance(embeddings, np.ndarray):
        return embeddings
    if isinstance(embeddings, (list, tuple)):
        try:
            return np.array([np.asarray(row, dtype=np.float64) for row in embeddings], dtype=np.float64)
        except (TypeError, ValueError, RuntimeError):
            raise SonoscaleError("embeddings must be rows of numbers, all of one length") from None
    if hasattr(embeddings, "__array__"):
        return np.asarray(embeddings)
    raise SonoscaleError(f"embeddings must be {KINDS}, not {type(embeddings).__name__}")


def _frame_rows(frame: Any, key: str | None) -> np.ndarray:
    """A column of lists of a pandas or Polars frame, or its float columns as dimensions, as in Parquet files."""
    columns = {str(name): np.asarray(frame[name].to_numpy()) for name in frame.columns}
    if key is not None and key not in columns:
        raise SonoscaleError(f"key = {key!r}: the frame has no such column; it has {', '.join(columns) or 'none'}")
    lists = [name for name, values in columns.items() if values.ndim == 2 or _holds_lists(values)]
    chosen = [key] if key is not None else lists
    if len(chosen) > 1:
        raise SonoscaleError(f"several columns of the frame hold lists; choose one as key: {', '.join(chosen)}")
    if chosen:
        values = columns[chosen[0]]
        try:
            return values if values.ndim == 2 else np.stack([np.asarray(row) for row in values])
        except ValueError:
            raise SonoscaleError(f"column {chosen[0]!r} does not hold lists of one length in every row") from None
    floats = [values for values in columns.values() if values.dtype.kind == "f"]
    if not floats:
        raise SonoscaleError(f"the frame has no columns of floats; it has {', '.join(columns) or 'none'}")
    return np.stack(floats, axis=1)


def _holds_lists(values: np.ndarray) -> bool:
    return values.dtype == object and len(values) > 0 and isinstance(values[0], (list, tuple, np.ndarray))
