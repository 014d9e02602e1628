"""Spearman's rank correlation with an interval over clusters of dependent rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._bootstrap import draw_counts, expanded_interval, small_sample_factor
from sonoscale.laws._data import as_clusters, as_column, check_draws, check_pair, constant_column, numbered
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._thin import MOST_RESAMPLED, thinned

__all__ = ["Correlation", "spearman"]

Array = NDArray[np.float64]

_LEAST_CLUSTERS = 4


@dataclass(frozen=True, kw_only=True)
class Correlation(Estimate):
    """A rank correlation.

    Attributes:
        value: Spearman's rho over all rows, -1 to 1; ties take their mean rank.
        low, high: the ends of its interval at `level`.
        n, n_clusters: rows, and the independent clusters that they form.
        level: confidence level.
    """

    n: int
    n_clusters: int
    level: float

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return super().as_dict() | {"level": self.level, "n": self.n, "n_clusters": self.n_clusters}


def spearman(
    x: ArrayLike,
    y: ArrayLike,
    *,
    clusters: Iterable[Hashable] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    x_name: str = "x",
    y_name: str = "y",
) -> Correlation:
    """How well the order of x predicts the order of y.

    The interval is the percentile interval over resampled clusters, on the scale of artanh(rho) and stretched
    for few clusters as in `fit_form`; it is never narrower than the interval of Bonett and Wright (Psychometrika
    65, 2000) for G independent points, since resamples of a perfect order are perfect too. Of more than 5,000 rows,
    about so many are resampled, drawn by cluster, and deviations shrink by the root of the share of clusters drawn.

    Arguments:
        x, y: [n] finite numbers of any sign.
        clusters: [n] labels of dependent rows, or None.
        bootstrap, seed, level, x_name, y_name: as in `fit_form`.

    Returns:
        The `Correlation`.

    Raises:
        SonoscaleError: For malformed or constant columns and for fewer than 4 clusters.

    Example:
        >>> rank, accuracy = [12, 18, 25, 31, 40, 44], [0.31, 0.30, 0.42, 0.47, 0.55, 0.53]
        >>> print(f"{spearman(rank, accuracy).value:.2f}")
        0.89
    """
    from scipy import stats

    check_draws(bootstrap, level, seed)
    xs, ys = as_column(x, name=x_name), as_column(y, name=y_name)
    check_pair(xs, ys, x_name=x_name, y_name=y_name)
    groups = as_clusters(clusters, len(xs))
    reason = constant_column(xs, name=x_name) or constant_column(ys, name=y_name)
    if reason:
        raise SonoscaleError(reason)
    count = int(groups.max()) + 1
    if count < _LEAST_CLUSTERS:
        raise SonoscaleError(f"a correlation needs {_LEAST_CLUSTERS} clusters or more, but there are {count}")

    value = float(_weighted_spearman(xs, ys, np.ones((1, len(xs))))[0])
    rng = np.random.default_rng(seed)
    kept, share, about = thinned(groups, MOST_RESAMPLED, seed), 1.0, value
    n, drawn = len(xs), groups
    if kept is not None:  # a large table
        xs, ys, drawn = xs[kept], ys[kept], numbered(groups[kept])
        share = (int(drawn.max()) + 1) / count
        about = float(_weighted_spearman(xs, ys, np.ones((1, len(xs))))[0])
    counts = draw_counts(xs, drawn, bootstrap=bootstrap, distinct=2, rng=rng)
    draws = _weighted_spearman(xs, ys, counts[:, drawn])
    draws = draws[np.isfinite(draws)]  # a resample may hold one value of y only

    # Half a step below 1: the largest rho short of perfect order is 1 - 12 / (G^3 - G).
    limit = 1.0 - 6.0 / (count**3 - count)
    centre = np.arctanh(np.clip(value, -limit, limit))
    factor = small_sample_factor(count, 2, level)
    off = np.arctanh(np.clip(draws, -limit, limit)) - np.arctanh(np.clip(about, -limit, limit))
    low, high = expanded_interval(centre + np.sqrt(share) * off, centre, level=level, factor=factor)
    half = stats.norm.ppf(0.5 * (1 + level)) * np.sqrt((1 + value**2 / 2) / (count - 3))
    low, high = np.tanh(np.minimum(low, centre - half)), np.tanh(np.maximum(high, centre + half))
    return Correlation(
        value=value,
        low=float(min(low, value)),
        high=float(max(high, value)),
        n=n,
        n_clusters=count,
        level=level,
    )


def _weighted_spearman(x: Array, y: Array, weights: Array) -> Array:
    """Spearman's rho with each row taken weights [R, n] times: [R], NaN where one column is constant."""
    p, q = _weighted_ranks(x, weights), _weighted_ranks(y, weights)
    total = weights.sum(axis=1, keepdims=True)
    p -= (weights * p).sum(axis=1, keepdims=True) / total
    q -= (weights * q).sum(axis=1, keepdims=True) / total
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = (weights * p * q).sum(axis=1) / np.sqrt((weights * p * p).sum(axis=1) * (weights * q * q).sum(axis=1))
    return np.clip(rho, -1.0, 1.0)


def _weighted_ranks(column: Array, weights: Array) -> Array:
    """Mean rank (less one half) of each row among rows repeated weights [R, n] times: [R, n]."""
    values, place = np.unique(column, return_inverse=True)
    mass = np.zeros((len(values), len(weights)))
    np.add.at(mass, place, weights.T)
    return (np.cumsum(mass, axis=0) - 0.5 * mass)[place].T
