"""What a finite sample does to a rank: the rank against n, its limit, and how many clips are needed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.rank._estimators import Estimator, get_estimator
from sonoscale.rank._interval import Compute, check_level, jackknife
from sonoscale.rank._measure import ROWS_PER_DIM
from sonoscale.rank._moments import About, merged
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
        value: the limit, if the bias is a sum of terms in 1/n and 1/n**2.
        low, high: its interval at `level`.
        level: nominal coverage.
        bias: value at the n measured minus the limit (negative: the sample shows too low a rank).
        n, dim: what was measured.
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
        """Whether n is at least 8 * dim; below, the interval covers less often than it says."""
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

    Arguments:
        sketch: of the embeddings.
        estimator: name of one, or an `Estimator`; see `rankme`.

    Returns:
        A point for each number of rows, the fewest first.

    Raises:
        SonoscaleError: the sketch is empty.

    Example:
        >>> import numpy as np
        >>> sketch = SpectralSketch(16)
        >>> sketch.update(np.random.default_rng(0).standard_normal((1600, 16)))
        >>> [(point.n, point.samples) for point in rank_curve(sketch)]
        [(100.0, 16), (200.0, 8), (400.0, 4), (800.0, 2), (1600.0, 1)]
    """
    check_arguments(rank_curve, locals())
    chosen = get_estimator(estimator) if isinstance(estimator, str) else estimator
    parts = [part for part in sketch.parts() if part.count]
    if not parts:
        raise SonoscaleError("the sketch is empty: it holds no embeddings")
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
    """The limit for infinitely many clips, with an interval.

    The bias of a finite sample is taken to be `b / n + c / n**2`. Two extrapolations in 1/n leave two different
    multiples of c: the mean of the jackknife's pseudo-values (Quenouille, 1956), and Richardson's from the two halves
    of the blocks; together they leave none. The error is the jackknife's, and a quarter of the term in c is added to
    the half-width for the terms beyond. `benchmarks/interval_coverage.py` measures how often the interval holds.

    Arguments:
        sketch: of the embeddings.
        estimator: name of one, or an `Estimator`; see `rankme`.
        level: coverage of the interval.

    Returns:
        The limit with its interval.

    Raises:
        SonoscaleError: n is under 2 * dim, from which nothing can be extrapolated; too few rows for an error; or the
            estimator is infinite or not defined for these embeddings.

    Example:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).standard_normal((1000, 16))
        >>> sketch = SpectralSketch(16)
        >>> sketch.update(rows)
        >>> limit = extrapolate(sketch)
        >>> print(f"{limit.value:.2f} [{limit.low:.2f}, {limit.high:.2f}]")
        16.00 [15.98, 16.00]
    """
    check_arguments(extrapolate, locals())
    check_level(level)
    chosen = get_estimator(estimator) if isinstance(estimator, str) else estimator
    n, dim = sketch.n, sketch.dim
    if n < 2 * dim:
        raise SonoscaleError(
            f"n = {n} is under 2 * dim = {2 * dim}: too few to extrapolate from; measure {ROWS_PER_DIM * dim:,} clips "
            f"({ROWS_PER_DIM} * dim)"
        )
    found = jackknife(sketch, chosen.compute, chosen.about)
    if not math.isfinite(found.half_width(level)):
        raise SonoscaleError(f"{chosen.name} of these {n} embeddings has no standard error to extrapolate with")
    parts = [part for part in sketch.parts() if part.count]
    halves = [merged(parts[first::2]) for first in (0, 1)]
    at_half = float(np.mean([chosen.compute(half.spectrum(chosen.about), half.count, dim) for half in halves]))
    # Left of c / n**2 by either: with b blocks, -b / (b - 1) by the jackknife, -1 / share by the halves.
    share = 1 / (float(np.mean([n / half.count for half in halves])) - 1)
    richardson = found.value + (found.value - at_half) * share
    left, left_richardson = len(parts) / (len(parts) - 1), 1 + 1 / share
    second = (found.corrected - richardson) * left / (left_richardson - left)
    half_width = found.half_width(level) + abs(second) / 4
    least, most = chosen.bounds(10**12, dim)
    limit = min(max(found.corrected + second, least), most)
    low, high = max(least, limit - half_width), min(most, limit + half_width)
    return Extrapolation(limit, low, high, level, found.value - limit, n, dim)


def clips_needed(
    sketch: SpectralSketch, tolerance: float = 0.01, estimator: str | Estimator = "rankme", *, level: float = 0.95
) -> ClipsNeeded:
    """How many clips like these bring the estimator within `tolerance` of the truth.

    The interval shrinks as 1/sqrt(n), and the bias as 1/n, from what this sketch shows.

    Arguments:
        tolerance: a share of the value, e.g. 0.01 for 1%.

    Returns:
        The number of clips for the interval, for the bias, and for both.

    Raises:
        SonoscaleError: tolerance not positive, or as for `extrapolate`.

    Example:
        >>> import numpy as np
        >>> sketch = SpectralSketch(16)
        >>> sketch.update(np.random.default_rng(0).standard_normal((1000, 16)) * np.arange(1, 17) ** -0.5)
        >>> clips_needed(sketch, 0.01).n < 10_000
        True
    """
    check_arguments(clips_needed, locals())
    if not tolerance > 0:
        raise SonoscaleError(f"tolerance must be a positive share such as 0.01, not {tolerance}")
    limit = extrapolate(sketch, estimator, level=level)
    wanted = tolerance * abs(limit.value)
    if not wanted:
        raise SonoscaleError(f"the limit is 0, of which {tolerance:g} is nothing: no number of clips is enough")
    half = jackknife(sketch, *_of(estimator)).half_width(level)
    for_interval = math.ceil(limit.n * (half / wanted) ** 2)
    for_bias = math.ceil(limit.n * abs(limit.bias) / wanted)
    return ClipsNeeded(max(for_interval, for_bias, 2), for_interval, for_bias, tolerance, limit.trusted)


def _of(estimator: str | Estimator) -> tuple[Compute, About]:
    chosen = get_estimator(estimator) if isinstance(estimator, str) else estimator
    return chosen.compute, chosen.about


def _value(part: object, estimator: Estimator, dim: int) -> float | None:
    """The estimator on one union of blocks, None where it is not defined."""
    try:
        return float(estimator.compute(part.spectrum(estimator.about), part.count, dim))  # type: ignore[attr-defined]
    except SonoscaleError:
        return None
