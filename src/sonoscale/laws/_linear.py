"""Non-negative linear least squares for many small problems at once."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_coefficients"]

Array = NDArray[np.float64]


def best_coefficients(basis: Array, target: Array) -> Array:
    """The a >= 0 that minimise |basis @ a - target|^2, by trying every set of columns: exact for few columns.

    Arguments:
        basis: [S, n, K], K of 4 or fewer.
        target: [S, n].

    Returns:
        a [S, K]; zero for a column that the best solution leaves out.
    """
    size = basis.shape[-1]
    norms = np.sqrt(np.einsum("snk,snk->sk", basis, basis))
    norms = np.where(norms > 0, norms, 1.0)
    across = np.swapaxes(basis, 1, 2)
    gram = (across @ basis) / (norms[:, :, None] * norms[:, None, :])
    aim = (across @ target[..., None])[..., 0] / norms
    if size == 2:
        return _best_pair(gram, aim) / norms
    best, found = np.zeros(len(basis)), np.zeros((len(basis), size))
    for count in range(1, size + 1):
        for kept in itertools.combinations(range(size), count):
            rows = np.array(kept)
            inner = gram[:, rows[:, None], rows] + 1e-12 * np.eye(count)
            a = np.linalg.solve(inner, aim[:, rows, None])[..., 0]
            gain = -np.einsum("sk,sk->s", a, aim[:, rows])  # by how much it changes the sum of squares
            better = (a >= 0).all(axis=1) & (gain < best)
            if better.any():
                best = np.where(better, gain, best)
                full = np.zeros_like(found)
                full[:, rows] = a
                found = np.where(better[:, None], full, found)
    return found / norms


def _best_pair(gram: Array, aim: Array) -> Array:
    """The same for two columns of length 1, in closed form: [S, 2]."""
    cosine, first, second = gram[:, 0, 1], aim[:, 0], aim[:, 1]
    spread = 1.0 - cosine**2
    both = np.stack([first - cosine * second, second - cosine * first], axis=1) / np.maximum(spread, 1e-12)[:, None]
    alone = np.maximum(aim, 0.0)
    keep_first = alone[:, 0] >= alone[:, 1]
    one = np.stack([np.where(keep_first, alone[:, 0], 0.0), np.where(keep_first, 0.0, alone[:, 1])], axis=1)
    apart = (spread > 1e-12) & (both[:, 0] >= 0) & (both[:, 1] >= 0)  # of parallel columns, one is as good as both
    return np.where(apart[:, None], both, one)
