"""What a finite sample does to a rank: the rank against n, its limit, and how many clips are enough."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.rank._estimators import Estimator, get_estimator
from sonoscale.rank._interval import jackknife
from sonoscale.rank._measure import ROWS_PER_DIM
from sonoscale.rank._sketch import SpectralSketch


@dataclass(frozen=True)
class CurvePoint:
    """The mean value of the estimator over `samples` disjoint samples of `n` rows each."""

    n: float
    value: float
    samples: int


@dataclass(frozen=True)
class Extrapolation:
    """The value of the estimator for infinitely many clips.

    Attributes:
        value: the limit, if the bias falls as 1/n.
        low, high: its interval at `level`.
        level: nominal coverage.
        bias: value at the n measured minus the limit (negative: the sample shows too low a rank).
        n, dim: what was measured.
        trusted: whether n is at least 8 * dim. Below, the bias also has terms of higher order, and the interval
            covers less often than it says.
    """

    value: float
    low: float
    high: float
    level: float
    bias: float
    n: int
    dim: int

    @property
    def trusted(self) -> bool:
        return self.n >= ROWS_PER_DIM * self.dim


@dataclass(frozen=True)
class ClipsNeeded:
    """How many clips bring an estimate within a share `tolerance` of the truth.

    Attributes:
        n: the larger of the two below.
        for_interval: so many make the half-width of the interval `tolerance` of the value.
        for_bias: so many bring the value within `tolerance` of its limit. Encoders that are compared at equal n and
            have like spectra share most of their bias, and need less.
        trusted: whether n measured is at least 8 * dim.
    """

    n: int
    for_interval: int
    for_bias: int
    tolerance: float
    trusted: bool


def rank_curve(sketch: SpectralSketch, estimator: str | Estimator = "rankme") -> list[CurvePoint]:
    """The estimator against the number of rows, from unions of the blocks of one sketch.

    Samples of 1, 2, 4, ... blocks and of all; those of one size share no rows.

    Raises:
        SonoscaleError: the sketch is empty.
    """
    chosen = get_estimator(estimator) if isinstance(estimator, str) else estimator
    parts = [part for part in sketch.parts() if part.count]
    if not parts:
        raise SonoscaleError("the sketch is empty: it has seen no embeddings")
    points, level = [], [part.copy() for part in parts]
    while level:
        found = [(part.count, _value(part, chosen, sketch.dim)) for part in level]
        usable = [(n, value) for n, value in found if value is not None]
        if usable:
            n, value = np.mean(np.array(usable), axis=0)
            points.append(CurvePoint(float(n), float(value), len(usable)))
        pairs = [(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        for a, b in pairs:
            a.merge(b)
        level = [a for a, _ in pairs]
    if len(parts) & (len(parts) - 1):  # not a power of two: the last union was not of all
        value = _value(sketch.total(), chosen, sketch.dim)
        if value is not None:
            points.append(CurvePoint(float(sketch.n), value, 1))
    return points


def extrapolate(sketch: SpectralSketch, estimator: str | Estimator = "rankme", *, level: float = 0.95) -> Extrapolation:
    """The limit for infinitely many clips, supposing a bias that falls as 1/n, with a jackknife interval.

    The mean of the jackknife's pseudo-values (Quenouille, 1956; Efron & Tibshirani, 1993, chapter 11). For RankMe of
    Gaussian embeddings with n at least 8 * dim the 95% interval held the population's own rank in 93 to 98% of
    samples over six spectra; with n = 2 * dim in as few as 40% (`benchmarks/coverage.py`).

    Raises:
        SonoscaleError: fewer than two blocks hold rows, or the estimator is not defined for what was seen.
    """
    chosen = get_estimator(estimator) if isinstance(estimator, str) else estimator
    found = jackknife(sketch, chosen.compute, chosen.about)
    half = found.half_width(level)
    if not math.isfinite(half):
        raise SonoscaleError(f"{sketch.n} embeddings in fewer than two blocks cannot be extrapolated")
    limit = found.corrected
    return Extrapolation(limit, limit - half, limit + half, level, found.value - limit, sketch.n, sketch.dim)


def clips_needed(
    sketch: SpectralSketch, tolerance: float = 0.01, estimator: str | Estimator = "rankme", *, level: float = 0.95
) -> ClipsNeeded:
    """How many clips, of the kind seen, bring the estimator within `tolerance` of the truth.

    The interval shrinks as 1/sqrt(n), and the bias as 1/n, from what this sketch shows.

    Arguments:
        tolerance: a share of the value, e.g. 0.01 for 1%.

    Raises:
        SonoscaleError: tolerance not positive, or as for `extrapolate`.
    """
    if not tolerance > 0:
        raise SonoscaleError(f"tolerance must be a positive share such as 0.01, not {tolerance}")
    limit = extrapolate(sketch, estimator, level=level)
    wanted = tolerance * abs(limit.value)
    for_interval = math.ceil(limit.n * ((limit.high - limit.value) / wanted) ** 2)
    for_bias = math.ceil(limit.n * abs(limit.bias) / wanted)
    return ClipsNeeded(max(for_interval, for_bias, 2), for_interval, for_bias, tolerance, limit.trusted)


def _value(part: object, estimator: Estimator, dim: int) -> float | None:
    """The estimator on one union of blocks, None where it is not defined."""
    try:
        return float(estimator.compute(part.spectrum(estimator.about), part.count, dim))  # type: ignore[attr-defined]
    except SonoscaleError:
        return None
