"""Rolling origins: what would have been predicted from the smaller runs alone."""

from __future__ import annotations

import numpy as np

from sonoscale.laws.forms._form import Array

__all__ = ["rolling_windows"]

_ORIGINS = 4
_FACTOR = 2.0


def rolling_windows(size: Array, clusters: np.ndarray, least: int) -> Array:
    """Which rows lie at or below each origin, the first row all ones: [1 + O, n] of zeros and ones.

    Origins are a half, a quarter, an eighth and a sixteenth of the largest size (Tashman, International Journal
    of Forecasting 16, 2000), as far as `least` clusters of different size lie below them.

    Arguments:
        size: [n], what is extrapolated along.
        clusters: [n] numbers.
        least: 1 or more.
    """
    windows = [np.ones(len(size))]
    for k in range(1, _ORIGINS + 1):
        below = size <= size.max() / _FACTOR**k * (1 + 1e-9)
        if len(np.unique(clusters[below])) < least or len(np.unique(size[below])) < min(least, 4):
            break
        if (below == (windows[-1] > 0)).all():
            continue
        windows.append(below.astype(np.float64))
    return np.stack(windows)
