"""Rank beside what else might foretell quality: other columns, and the covariates themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._bootstrap import Interval, expanded_interval, small_sample_factor
from sonoscale.laws._correlation import _weighted_spearman
from sonoscale.laws.audit._marginal import Association, associate, resamples
from sonoscale.laws.audit._partial import Adjusted, Partial, adjust
from sonoscale.laws.audit._runs import Runs

__all__ = ["Rival", "compare_rivals", "oriented"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Another column in the place of rank.

    Attributes:
        name: the column; for a loss or an error by its name, less is taken as better, for all else more.
        spearman: with quality.
        difference: the rho of rank less that of this column, `interval`: of the difference, over resampled
            configurations, the same ones for both.
        partial: at equal covariates (less itself, where it is one), or None with `why`.
    """

    name: str
    spearman: Association
    difference: float
    interval: Interval | None
    partial: Partial | None
    why: str | None


def oriented(runs: Runs) -> dict[str, Array]:
    """Every other column [G], more is better: rivals, then covariates."""
    covariates = {c.name: (1.0 if c.design else -1.0) * runs.covariates[:, i] for i, c in enumerate(runs.names)}
    return runs.others | covariates


def compare_rivals(runs: Runs, *, level: float, bootstrap: int, permutations: int, seed: int) -> tuple[Rival, ...]:
    """Spearman's rho, its difference from that of rank, and the partial correlation, of every other column."""
    found = []
    weights = resamples(len(runs), bootstrap, seed)
    of_rank = associate(runs.rank, runs.quality, level=level, bootstrap=bootstrap, seed=seed).value
    options: dict[str, Any] = {"level": level, "permutations": permutations, "seed": seed}
    for name, values in oriented(runs).items():
        if np.ptp(values) == 0:
            continue
        spearman = associate(values, runs.quality, level=level, bootstrap=bootstrap, seed=seed)
        kept = [i for i, c in enumerate(runs.names) if c.name != name]
        names = [runs.names[i].label for i in kept]
        adjusted = adjust(values, runs.quality, runs.covariates[:, kept], runs.family, names, **options)
        difference = of_rank - spearman.value
        interval = None
        if len(runs) >= 4:
            draws = _weighted_spearman(runs.rank, runs.quality, weights) - _weighted_spearman(
                values, runs.quality, weights
            )
            factor = small_sample_factor(len(runs), 2, level)
            low, high = expanded_interval(draws[np.isfinite(draws)], difference, level=level, factor=factor)
            interval = Interval(float(max(low, -2)), float(min(high, 2)))
        found.append(
            Rival(
                name=name,
                spearman=spearman,
                difference=difference,
                interval=interval,
                partial=adjusted.partial if isinstance(adjusted, Adjusted) else None,
                why=None if isinstance(adjusted, Adjusted) else adjusted,
            )
        )
    return tuple(found)
