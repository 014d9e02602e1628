"""Resampling whole clusters, and intervals that do not pretend that few clusters are many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError

__all__ = ["draw_counts", "expanded_interval", "leverage_corrected", "small_sample_factor"]

Array = NDArray[np.float64]


def draw_counts(
    x: Array, clusters: NDArray[np.intp], *, bootstrap: int, distinct: int, rng: np.random.Generator
) -> Array:
    """How often each cluster is in each resample of as many clusters, drawn with replacement: [R, G].

    A configuration's seeds and checkpoints enter or leave together (Cameron, Gelbach and Miller, Review of
    Economics and Statistics 90, 2008), so that repeating a row inside its cluster adds no certainty.
    Resamples with fewer than `distinct` different values of x leave the law undetermined and are drawn again.

    Raises:
        SonoscaleError: Where hardly any resample has enough values of x.
    """
    from scipy import sparse

    groups = int(clusters.max()) + 1
    values, column = np.unique(x, axis=0, return_inverse=True)
    holds = sparse.csr_array((np.ones(len(clusters)), (clusters, column.reshape(-1))), shape=(groups, len(values)))
    kept: list[Array] = []
    found = 0
    for _ in range(200):
        counts = rng.multinomial(groups, np.full(groups, 1.0 / groups), size=bootstrap).astype(np.float64)
        enough = ((counts @ holds) > 0).sum(axis=1) >= distinct
        kept.append(counts[enough])
        found += int(enough.sum())
        if found >= bootstrap:
            return np.concatenate(kept)[:bootstrap]
    raise SonoscaleError(
        f"hardly any resample of the {groups} clusters has {distinct} different values of x "
        f"(there are {len(values)} in all); spread the clusters over more values"
    )


def small_sample_factor(groups: int, used: int, level: float, *, variance: bool = True) -> float:
    """By how much deviations observed with few clusters are to be stretched.

    The ratio of Student's t with G - P degrees of freedom to the normal quantile and, if `variance`,
    sqrt(G / (G - P)) for the spread that fitting P parameters took out of the residuals.
    """
    from scipy import stats

    tail = 0.5 * (1.0 + level)
    factor = float(stats.t.ppf(tail, groups - used) / stats.norm.ppf(tail))
    return factor * float(np.sqrt(groups / (groups - used))) if variance else factor


def expanded_interval(draws: Array, estimate: Any, *, level: float, factor: float = 1.0) -> tuple[Array, Array]:
    """The percentile interval of the draws [R, ...], its distances from the estimate [...] stretched.

    The plain percentile interval is too narrow with few clusters (Hesterberg, The American Statistician 69,
    2015); it keeps the skew of the bootstrap distribution, and so does the stretched one.
    """
    low, high = np.quantile(draws, [0.5 * (1.0 - level), 0.5 * (1.0 + level)], axis=0)
    return np.minimum(estimate, estimate + factor * (low - estimate)), np.maximum(
        estimate, estimate + factor * (high - estimate)
    )


def leverage_corrected(residual: Array, jacobian: Array, clusters: NDArray[np.intp]) -> Array:
    """Residuals as large as errors are: (I - H_gg)^(-1/2) r_g for each cluster g [n].

    H is the projection on the columns of the Jacobian [n, P] and H_gg its block for the cluster: the CR2
    correction of Bell and McCaffrey (Survey Methodology 28, 2002), which undoes that a fit pulls its own
    points towards the curve.
    """
    scale = np.abs(jacobian).max(axis=0)
    left, singular, _ = np.linalg.svd(jacobian / np.where(scale > 0, scale, 1.0), full_matrices=False)
    basis = left[:, singular > 1e-9 * singular[0]]
    corrected = np.empty_like(residual)
    for group in range(int(clusters.max()) + 1):
        rows = np.flatnonzero(clusters == group)
        # I - B B' has eigenvalues 1 - s^2 along the left singular vectors of B = basis[rows], else 1.
        vectors, s, _ = np.linalg.svd(basis[rows], full_matrices=False)
        growth = 1.0 / np.sqrt(np.maximum(1.0 - s**2, 0.01)) - 1.0
        corrected[rows] = residual[rows] + vectors @ (growth * (vectors.T @ residual[rows]))
    return corrected
