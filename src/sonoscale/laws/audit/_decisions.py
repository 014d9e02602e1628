"""How often each column would choose the better of two configurations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._bootstrap import expanded_interval, small_sample_factor
from sonoscale.laws._estimate import Estimate
from sonoscale.laws.audit._gather import Configurations
from sonoscale.laws.audit._marginal import resamples
from sonoscale.laws.audit._pairs import SeedFloor

__all__ = ["MOST_DECIDED", "Decisions", "decision_accuracy"]

Array = NDArray[np.float64]

MOST_DECIDED = 500
"""Configurations whose pairs are gone through; of more, so many are drawn."""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Pairs of configurations that a column orders as quality does (decision accuracy: Magnusson and others, 2025).

    Attributes:
        by: the column; more is taken as better, but less of a loss or an error.
        pairs: that count: their qualities differ by more than the seed floor, where there is one.
        ties: pairs that do not.
        accuracy: share of `pairs` in the right order, one half for a pair of equal values. Its interval is over
            resampled configurations.
        difference: of the accuracy of rank, less that of this column, over the same resamples.
    """

    by: str
    pairs: int
    ties: int
    accuracy: Estimate
    difference: Estimate


def decision_accuracy(
    runs: Configurations, columns: dict[str, Array], floor: SeedFloor | str, *, level: float, bootstrap: int, seed: int
) -> tuple[Decisions, ...] | str:
    """Of each of the columns [G], more is better; the first is the one that the others are compared with."""
    count = len(runs)
    drawn = np.arange(count)
    if count > MOST_DECIDED:
        drawn = np.sort(np.random.default_rng(seed).choice(count, MOST_DECIDED, replace=False))
    quality, size = runs.quality[drawn], runs.size[drawn]
    gap = quality[:, None] - quality
    least = np.zeros_like(gap)
    if isinstance(floor, SeedFloor):  # means of several seeds resolve smaller differences
        least = floor.difference * np.sqrt(0.5 * (1 / size[:, None] + 1 / size))
    counted = np.abs(gap) > least
    pairs = int(counted.sum()) // 2
    candidates = len(drawn) * (len(drawn) - 1) // 2
    if pairs == 0:
        return f"none of {candidates} pairs differs by more than seeds do"
    weights = resamples(len(drawn), bootstrap, seed)
    whole = counted.astype(np.float64)
    total = np.einsum("rg,rg->r", weights @ whole, weights)
    kept = total > 0
    factor = small_sample_factor(max(len(drawn), 3), 1, level)
    shares, draws = {}, {}
    for name, values in columns.items():
        agree = whole * (0.5 + 0.5 * np.sign((values[drawn, None] - values[drawn]) * gap))
        shares[name] = float(agree.sum() / whole.sum())
        draws[name] = np.einsum("rg,rg->r", weights @ agree, weights)[kept] / total[kept]
    first = next(iter(columns))

    def interval(found: Array, value: float, limits: tuple[float, float]) -> Estimate:
        low, high = expanded_interval(found, value, level=level, factor=factor)
        return Estimate(value, max(float(low), limits[0]), min(float(high), limits[1]))

    return tuple(
        Decisions(
            by=name,
            pairs=pairs,
            ties=candidates - pairs,
            accuracy=interval(draws[name], shares[name], (0.0, 1.0)),
            difference=interval(draws[first] - draws[name], shares[first] - shares[name], (-1.0, 1.0)),
        )
        for name in columns
    )
