"""Is rank tied to quality beyond what sizes do to both? A model of the two at once, with a common effect of size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from sonoscale.laws._estimate import Estimate
from sonoscale.laws.audit._kernels import Spectra, spectra

__all__ = ["MOST_JOINT", "Joint", "joint_test"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

MOST_JOINT = 150
"""Configurations that the model takes; of more, so many are drawn, spread evenly over the sizes."""
LEAST_LEFT = 5
"""Configurations beyond the linear columns, for there to be a test."""
SHRINK = 1.0
"""The signed root is shortened by sqrt(1 - SHRINK / k), k configurations beyond the linear columns: for few of them
the likelihood ratio exceeds its limit (Bartlett 1937). Chosen on simulated tables."""
APART = 4.0
"""Robust standard deviations of what is peculiar in rank, and in quality, beyond which a configuration stands apart."""
STEPS, FOLLOWING = 60, 25
"""Iterations of expectation and maximisation, from the start and from a neighbouring solution."""
GRID = np.array([-3.6, -2.6, -1.9, -1.2, -0.5, 0.5, 1.2, 1.9, 2.6, 3.6])
"""Where the likelihood is profiled, in standard errors of the correlation on the scale of artanh."""
NEGLIGIBLE = 18.0
"""Kernels whose likelihood at its maximum is smaller than the best by this (log) are left out of the profile."""


@dataclass(frozen=True, kw_only=True)
class Joint(Estimate):
    """Rank and quality beyond whatever sizes do to both, smoothly or in a step.

    Attributes:
        value: correlation of what is peculiar to each configuration in rank and quality;
        low, high: its interval by likelihood.
        z: signed root of the likelihood ratio against no correlation (or that which the luck of seeds makes by
            itself, where it is known);
        p: one-sided.
        made: the correlation that errors of the sizes would make by themselves, at the stated reliability;
        made_p: one-sided, of a correlation above that.
        bound: one-sided upper bound of the correlation at the audit's level.
        explained: share of the covariance of rank and quality that is not peculiar to a configuration.
        reliability: of the sizes, as stated;
        undone_by: the reliability of the sizes at which the lower end of the interval would be no more than what their
            error makes; 1 where it is already; 0 where no error does.
        rank_reliability: share of what is peculiar in rank that is not its own error of measurement, None where that
            is not known;
        attenuated: the correlation that `value` would be with a rank free of error, None where that is not known.
        configurations: in the model.
        df: those beyond the linear columns.
        apart: places of the configurations that stand apart from the others in both rank and quality: as runs that
            diverged do, or those on the wrong side of a jump that no cut describes.
    """

    z: float
    p: float
    made: float
    made_p: float
    bound: float
    explained: float
    reliability: float
    undone_by: float
    rank_reliability: float | None
    attenuated: float | None
    configurations: int
    df: int
    apart: tuple[int, ...] = ()


def joint_test(
    rank: Array, quality: Array, covariates: Array, family: Index | None, sums: list[list[int]], *, level: float,
    reliability: float = 1.0, seeds: float = 0.0, rank_error: float | None = None, profile: bool = True,
) -> Joint | str:  # fmt: skip
    """Tests whether rank [G] and quality [G] share what sizes do not make.

    At the configurations, (rank, quality) = linear part + s(sizes) + e. The s are Gaussian processes that may be one
    and the same in rank and in quality, so that a bend or a step that a model misses cannot pose as agreement; e is
    independent between configurations, and the correlation in it is the question. The likelihood is restricted (the
    linear part is projected out) and averaged over kernels: Matern kernels of smoothness 1/2 and 3/2, and a step at
    every cut of every size (linear coregionalisation: Goovaerts, Geostatistics for Natural Resources Evaluation, 1997).

    Arguments:
        covariates: [G, C]; family: [G] or None; sums: see `spectra`.
        reliability: share of the variance of the sizes, as recorded, that is not an error of theirs. Errors of sizes
            with reliability L leave (1 - L) of the covariance of rank and quality to each configuration.
        seeds: covariance of rank and quality between the seeds of one configuration, over seeds: it is no merit.
        rank_error: variance of the error of rank.
        profile: also the interval; without, `low`, `high` and `bound` are by the curvature (Fisher's z), quicker.
    """
    drawn = _spread(covariates, family)
    rank, quality, covariates = rank[drawn], quality[drawn], covariates[drawn]
    family = None if family is None else np.unique(family[drawn], return_inverse=True)[1]
    with threadpool_limits(1):  # threads only get into the way of many small matrices
        found = spectra(covariates, family, sums)
    k = found.values.shape[1]
    if k < LEAST_LEFT:
        return f"{len(rank)} configurations are too few beside {found.linear.shape[1]} columns of the covariates"
    scale = np.array([max(rank.std(), 1e-300), max(quality.std(), 1e-300)])
    y = np.column_stack([rank - rank.mean(), quality - quality.mean()]) / scale
    rotated = np.matmul(found.vectors, y)
    within = y - _means(y, family)
    total = within.T @ within / max(len(y) - (1 if family is None else int(family.max()) + 1), 1)
    free = _climb(found.values, rotated, None, STEPS, None)
    likelihood, weights = _average(found.weights, free.likelihood)
    noise = np.tensordot(weights, free.noise, axes=1)  # [3]: variance of rank, covariance, variance of quality
    apart = drawn[_stand_apart(free, weights, found, rotated)].tolist()
    size = float(np.sqrt(noise[0] * noise[2]))
    value = float(weights @ (free.noise[:, 1] / np.sqrt(free.noise[:, 0] * free.noise[:, 2])))
    shrink = np.sqrt(1 - SHRINK / k)
    luck = max(seeds, 0.0) / (scale[0] * scale[1])
    made = float(min(((1 - reliability) * max(total[0, 1], 0.0) + luck) / size, 0.99))
    alpha = 1 - level

    posterior = free.likelihood + found.weights
    kept_kernels = posterior > posterior.max() - NEGLIGIBLE
    values, rotated, priors = found.values[kept_kernels], rotated[kept_kernels], found.weights[kept_kernels]
    free = _Fit(free.likelihood[kept_kernels], free.smooth[kept_kernels], free.noise[kept_kernels])

    def root(rho: float) -> float:
        held = _average(priors, _climb(values, rotated, rho, FOLLOWING, free).likelihood)[0]
        return float(np.sign(value - rho) * shrink * np.sqrt(max(2 * (likelihood - held), 0)))

    z, above = root(min(luck / size, 0.99)), root(made)
    if profile:
        centre = np.arctanh(np.clip(value, -0.99, 0.99))
        grid = centre + GRID / np.sqrt(max(k - 3, 1))
        roots = np.minimum.accumulate([root(rho) for rho in np.tanh(np.clip(grid, -3.5, 3.5))])

        def where(quantile: float) -> float:
            """The correlation whose signed root is this: roots fall along the grid."""
            return float(np.tanh(np.interp(-quantile, -roots, grid, left=-np.inf, right=np.inf)))

        half = float(stats.norm.ppf(1 - alpha / 2))
        low, high, bound = where(half), where(-half), where(-float(stats.norm.ppf(level)))
    else:
        low, high, bound = -1.0, 1.0, 1.0
    share = float(np.clip(1 - noise[1] / total[0, 1], 0, 1)) if total[0, 1] > 0 else 0.0
    undone = 0.0
    if profile and total[0, 1] > 0:
        undone = float(np.clip(1 - low * size / total[0, 1], 0.0, 1.0))
    kept = attenuated = None
    if rank_error is not None:
        kept = float(np.clip(1 - rank_error / scale[0] ** 2 / noise[0], 0.0, 1.0))
        attenuated = float(np.clip(value / np.sqrt(kept), -1, 1)) if kept > 0 else None
    return Joint(
        value=value, low=min(low, value), high=max(high, value), z=z, p=float(stats.norm.sf(z)),
        made=made, made_p=float(stats.norm.sf(above)),
        bound=max(bound, value), explained=share, reliability=reliability, undone_by=undone, rank_reliability=kept,
        attenuated=attenuated, configurations=len(rank), df=k, apart=tuple(apart),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Fit:
    """For each kernel: [M] likelihood, [M, 3] covariance of the smooth part and of the noise."""

    likelihood: Array
    smooth: Array
    noise: Array


def _climb(values: Array, y: Array, rho: float | None, steps: int, start: _Fit | None) -> _Fit:
    """Maximises the likelihood at each kernel by expectation and maximisation.

    Arguments:
        values: [M, k]; y: [M, k, 2], independent along k with covariance values * smooth + noise.
        rho: the correlation of the noise, or None where it is free.
    """
    y0, y1 = y[:, :, 0], y[:, :, 1]
    s00, s01, s11 = (y0 * y0).mean(axis=1), (y0 * y1).mean(axis=1), (y1 * y1).mean(axis=1)
    if start is None:
        n00, n01, n11 = 0.3 * s00, 0.3 * s01, 0.3 * s11
        mean = values.mean(axis=1)
        b00, b01, b11 = 0.7 * s00 / mean + 1e-9, 0.7 * s01 / mean, 0.7 * s11 / mean + 1e-9
    else:
        (n00, n01, n11), (b00, b01, b11) = start.noise.T, start.smooth.T
    if rho is not None:
        n01 = rho * np.sqrt(n00 * n11)
    least0, least1 = 1e-6 * s00, 1e-6 * s11
    k = values.shape[1]
    for _ in range(steps):
        # Coordinates in which the covariances of the noise and of the smooth part are I and diag(d): w'Nw, w'Bw.
        root = np.sqrt(n00)
        f10 = n01 / root
        f11 = np.sqrt(np.maximum(n11 - f10 * f10, 1e-12 * n11))  # the noise is F F', F lower triangular
        h00 = b00 / n00
        h01 = (b01 - f10 * b00 / root) / (root * f11)
        h11 = (b11 - 2 * f10 * b01 / root + f10 * f10 * h00) / (f11 * f11)
        angle = 0.5 * np.arctan2(2 * h01, h00 - h11)
        cos, sin = np.cos(angle), np.sin(angle)
        middle, spread = 0.5 * (h00 + h11), np.hypot(0.5 * (h00 - h11), h01)
        d0, d1 = middle + spread, np.maximum(middle - spread, 1e-300)
        # y = a z, with a = F times the rotation; a is [M, 2, 2] by its entries
        a00, a01 = root * cos, -root * sin
        a10, a11 = f10 * cos + f11 * sin, f11 * cos - f10 * sin
        det = a00 * a11 - a01 * a10
        z0 = ((a11 / det)[:, None] * y0) - ((a01 / det)[:, None] * y1)
        z1 = ((a00 / det)[:, None] * y1) - ((a10 / det)[:, None] * y0)
        v0, v1 = 1 / (1 + values * d0[:, None]), 1 / (1 + values * d1[:, None])
        r0, r1 = v0 * z0, v1 * z1  # what remains as noise
        s0, s1 = values * r0, values * r1  # the smooth part is d times this, and over values once more
        t00 = d0 * d0 * _sum(r0, s0) / k + d0 * v0.sum(axis=1) / k
        t01 = d0 * d1 * _sum(r0, s1) / k
        t11 = d1 * d1 * _sum(r1, s1) / k + d1 * v1.sum(axis=1) / k
        u00 = _sum(r0, r0) / k + 1 - v0.sum(axis=1) / k
        u01 = _sum(r0, r1) / k
        u11 = _sum(r1, r1) / k + 1 - v1.sum(axis=1) / k
        b00, b01, b11 = _turned(a00, a01, a10, a11, t00, t01, t11)
        n00, n01, n11 = _turned(a00, a01, a10, a11, u00, u01, u11)
        b00, b11 = b00 + 1e-10, b11 + 1e-10
        n00, n11 = np.maximum(n00, least0), np.maximum(n11, least1)
        if rho is None:
            limit = 0.999 * np.sqrt(n00 * n11)
            n01 = np.clip(n01, -limit, limit)
        else:
            r = np.clip(n01 / np.sqrt(n00 * n11), -0.999, 0.999)
            factor = (1 - rho * r) / (1 - rho * rho)
            n00, n11 = n00 * factor, n11 * factor
            n01 = rho * np.sqrt(n00 * n11)
    v00, v01, v11 = (values * b[:, None] + n[:, None] for b, n in ((b00, n00), (b01, n01), (b11, n11)))
    det = v00 * v11 - v01 * v01
    likelihood = -0.5 * (np.log(det) + (y0 * y0 * v11 - 2 * y0 * y1 * v01 + y1 * y1 * v00) / det).sum(axis=1)
    return _Fit(likelihood, np.column_stack([b00, b01, b11]), np.column_stack([n00, n01, n11]))


def _stand_apart(fit: _Fit, weights: Array, found: Spectra, y: Array) -> NDArray[np.bool_]:
    """Whether what is peculiar to each configuration [G], by the average over kernels, is far out in both columns."""
    peculiar = np.zeros((found.vectors.shape[2], 2))
    for m in np.flatnonzero(weights > 1e-3):
        noise, smooth = (np.array([[a, b], [b, c]]) for a, b, c in (fit.noise[m], fit.smooth[m]))
        total = found.values[m][:, None, None] * smooth + noise  # [k, 2, 2]
        peculiar += weights[m] * found.vectors[m].T @ np.linalg.solve(total, y[m][..., None])[..., 0] @ noise
    spread = 1.4826 * np.median(np.abs(peculiar - np.median(peculiar, axis=0)), axis=0)
    return np.all(np.abs(peculiar) > APART * np.maximum(spread, 1e-300), axis=1)


def _sum(x: Array, y: Array) -> Array:
    return np.einsum("mk,mk->m", x, y)


def _turned(a00: Array, a01: Array, a10: Array, a11: Array, t00: Array, t01: Array, t11: Array) -> tuple[Array, ...]:
    """a t a' of matrices by their entries, t symmetric: its entries 00, 01, 11."""
    return (
        a00 * a00 * t00 + 2 * a00 * a01 * t01 + a01 * a01 * t11,
        a00 * a10 * t00 + (a00 * a11 + a01 * a10) * t01 + a01 * a11 * t11,
        a10 * a10 * t00 + 2 * a10 * a11 * t01 + a11 * a11 * t11,
    )


def _average(priors: Array, likelihood: Array) -> tuple[float, Array]:
    """The logarithm of the likelihood averaged over kernels, and the weights [M] after the data."""
    total = likelihood + priors
    most = total.max()
    weights = np.exp(total - most)
    return float(most + np.log(weights.sum())), weights / weights.sum()


def _means(y: Array, family: Index | None) -> Array:
    if family is None:
        return y.mean(axis=0)
    count = np.bincount(family)
    return np.column_stack([np.bincount(family, weights=one) / count for one in y.T])[family]


def _spread(covariates: Array, family: Index | None) -> Index:
    """The configurations that the model takes: all, or `MOST_JOINT`, evenly along their first component, by family."""
    count = len(covariates)
    if count <= MOST_JOINT:
        return np.arange(count)
    spread = covariates.std(axis=0)
    z = (covariates - covariates.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    first = z @ np.linalg.svd(z, full_matrices=False)[2][0] if z.shape[1] else np.zeros(count)
    order = np.lexsort((first, np.zeros(count) if family is None else family))
    return np.sort(order[np.linspace(0, count - 1, MOST_JOINT).round().astype(int)])
