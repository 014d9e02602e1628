"""From a file of embeddings to a sketch, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.rank._files import EmbeddingFile
from sonoscale.rank._rows import NanPolicy
from sonoscale.rank._sketch import Method, SpectralSketch


@dataclass(frozen=True)
class FileSketch:
    """What one pass over a file leaves: the sketch of all rows, and some rows as they are.

    Attributes:
        file: what was read.
        sketch: of all rows.
        sample: every so-manieth row, float64 `[<= asked for, dim]`, for what needs the embeddings themselves.
    """

    file: EmbeddingFile
    sketch: SpectralSketch
    sample: np.ndarray


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
        progress: told the number of rows of each chunk read.

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
