"""The one accumulator behind every spectral estimator: count, mean and Gram matrix, float64, in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from torch import Tensor


class SpectralSketch:
    """Streaming second moments of embeddings, kept in blocks so that an interval can be jackknifed.

    Rows are dealt to `blocks` groups in turn (row i of the stream goes to block i mod blocks). For each block the
    sketch keeps the count, the sum, and the Gram matrix of the rows minus a shift (the mean of the first batch):
    taking a large common mean out before the products keeps the centred spectrum accurate to float64 rounding.

    Memory is `blocks * dim**2` float64 numbers, whatever the number of rows.

    Arguments:
        dim: width of the embeddings.
        blocks: number of jackknife groups, at least 2.
    """

    def __init__(self, dim: int, *, blocks: int = 16) -> None:
        if dim < 1 or blocks < 2:
            raise SonoscaleError(f"a sketch needs dim >= 1 and blocks >= 2, not dim={dim}, blocks={blocks}")
        self.dim = dim
        self.blocks = blocks
        self._shift: np.ndarray | None = None  # [dim]
        self._count = np.zeros(blocks, dtype=np.int64)
        self._sum = np.zeros((blocks, dim))  # of shifted rows
        self._gram = np.zeros((blocks, dim, dim))  # of shifted rows

    @property
    def n(self) -> int:
        """Number of rows seen."""
        return int(self._count.sum())

    def update(self, embeddings: np.ndarray | Tensor) -> None:
        """Add rows.

        Arguments:
            embeddings: `[batch, dim]`, any float dtype, NumPy or torch on any device.

        Raises:
            SonoscaleError: wrong shape, or NaN or infinity in a row (named); the sketch is then unchanged.
        """
        rows = _as_float64(embeddings)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise SonoscaleError(f"embeddings must be [batch, {self.dim}], not {list(rows.shape)}")
        if rows.shape[0] == 0:
            return
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise SonoscaleError(f"embedding {self.n + int(np.argmin(finite))} holds NaN or infinity")
        if self._shift is None:
            self._shift = rows.mean(axis=0)
        shifted = rows - self._shift
        start = self.n
        for block in range(min(self.blocks, len(shifted))):
            part = shifted[block :: self.blocks]
            target = (start + block) % self.blocks
            self._count[target] += len(part)
            self._sum[target] += part.sum(axis=0)
            self._gram[target] += part.T @ part

    def merge(self, other: SpectralSketch) -> SpectralSketch:
        """A new sketch of the rows of both; associative and commutative up to rounding, counts exact."""
        if (other.dim, other.blocks) != (self.dim, self.blocks):
            raise SonoscaleError(
                f"cannot merge a sketch of dim {other.dim}, {other.blocks} blocks into one of dim {self.dim}, "
                f"{self.blocks} blocks"
            )
        merged = SpectralSketch(self.dim, blocks=self.blocks)
        if self._shift is None or other._shift is None:
            source = other if self._shift is None else self
            merged._shift = source._shift
            merged._count, merged._sum, merged._gram = (
                source._count.copy(),
                source._sum.copy(),
                source._gram.copy(),
            )
            return merged
        merged._shift = self._shift
        move = other._shift - self._shift  # other's rows, minus our shift, are their rows minus theirs plus this
        cross = other._sum[:, :, None] * move
        merged._count = self._count + other._count
        merged._sum = self._sum + other._sum + other._count[:, None] * move
        merged._gram = (
            self._gram + other._gram + cross + cross.transpose(0, 2, 1)
            + other._count[:, None, None] * np.outer(move, move)
        )  # fmt: skip
        return merged

    def singular_values(self, *, centred: bool = False, leave_out: int | None = None) -> np.ndarray:
        """Singular values of the matrix of rows, descending.

        Arguments:
            centred: subtract the mean row first.
            leave_out: drop this block (for the jackknife).

        Returns:
            float64 `[min(n, dim)]`.
        """
        keep = np.arange(self.blocks) != (-1 if leave_out is None else leave_out)
        count = int(self._count[keep].sum())
        if self._shift is None or count == 0:
            raise SonoscaleError("the sketch is empty: it has seen no embeddings")
        total, gram = self._sum[keep].sum(axis=0), self._gram[keep].sum(axis=0)
        gram = gram - np.outer(total, total) / count  # about the mean
        if not centred:
            mean = total / count + self._shift
            gram = gram + count * np.outer(mean, mean)
        eigenvalues = np.linalg.eigvalsh(gram)[::-1][: min(count, self.dim)]
        return np.sqrt(np.maximum(eigenvalues, 0.0))

    def mean_energy(self) -> float:
        """Share of the uncentred energy (sum of squared singular values) that lies in the mean, in [0, 1]."""
        total = float(np.square(self.singular_values()).sum())
        return 1.0 - float(np.square(self.singular_values(centred=True)).sum()) / total if total > 0 else 0.0


def _as_float64(embeddings: Any) -> np.ndarray:
    if hasattr(embeddings, "detach"):  # a torch tensor, without importing torch
        embeddings = embeddings.detach().double().cpu().numpy()
    return np.asarray(embeddings, dtype=np.float64)
