"""Rank beside what else might predict quality: other columns, the covariates themselves, and chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._bootstrap import expanded_interval, small_sample_factor
from sonoscale.laws._correlation import _weighted_spearman
from sonoscale.laws._estimate import Estimate
from sonoscale.laws.audit._gather import Configurations
from sonoscale.laws.audit._marginal import Association, associate, resamples
from sonoscale.laws.audit._partial import Adjusted, Partial, adjust

__all__ = ["Baseline", "Regret", "compare_baselines", "oriented", "selection_regret"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Another column in the place of rank.

    Attributes:
        name: the column; for a loss or an error by its name, less is taken as better, for all else more.
        spearman: with quality.
        difference: the rho of rank less that of this column, over resampled configurations, the same ones for both;
            -2 to 2 with fewer than 4 of them.
        partial: at equal covariates (less itself, where it is one), or None with `why`.
    """

    name: str
    spearman: Association
    difference: Estimate
    partial: Partial | None
    why: str | None


@dataclass(frozen=True, kw_only=True)
class Regret:
    """Best quality less the quality of the run that is chosen.

    Attributes:
        by: the column whose best value is chosen, or `random` or `oracle`.
        regret: in the unit of quality; ties are broken at random, in expectation.
        relative: as a share of what a random choice costs: 0 is the oracle, 1 chance.
        expected: mean regret over resampled sets of configurations, with an interval of the sets, not of the mean. The
            oracle sees the noise of this very table, so that every other choice looks a little worse than it is.
    """

    by: str
    regret: float
    relative: float
    expected: Estimate


def oriented(runs: Configurations) -> dict[str, Array]:
    """Every other column [G], more is better: baselines, then covariates."""
    covariates = {c.name: (1.0 if c.design else -1.0) * runs.covariates[:, i] for i, c in enumerate(runs.names)}
    return runs.others | covariates


def compare_baselines(
    runs: Configurations, *, level: float, bootstrap: int, permutations: int, seed: int
) -> tuple[Baseline, ...]:
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
        difference = Estimate(of_rank - spearman.value, -2.0, 2.0)
        if len(runs) >= 4:
            draws = _weighted_spearman(runs.rank, runs.quality, weights) - _weighted_spearman(
                values, runs.quality, weights
            )
            factor = small_sample_factor(len(runs), 2, level)
            low, high = expanded_interval(draws[np.isfinite(draws)], difference.value, level=level, factor=factor)
            difference = Estimate(difference.value, float(max(low, -2)), float(min(high, 2)))
        found.append(
            Baseline(
                name=name,
                spearman=spearman,
                difference=difference,
                partial=adjusted.partial if isinstance(adjusted, Adjusted) else None,
                why=None if isinstance(adjusted, Adjusted) else adjusted,
            )
        )
    return tuple(found)


def selection_regret(
    runs: Configurations, selectors: dict[str, Array], *, level: float, bootstrap: int, seed: int
) -> tuple[Regret, ...]:
    """Regret of each selector [G], whose largest value is chosen, of a random choice, and of the oracle."""
    present = resamples(len(runs), bootstrap, seed) > 0
    present = np.concatenate([np.ones((1, len(runs)), dtype=bool), present])  # the table itself first
    quality = runs.quality
    best = np.where(present, quality, -np.inf).max(axis=1)
    random = best - present @ quality / present.sum(axis=1)
    costs = {}
    for name, values in selectors.items():
        top = np.where(present, values, -np.inf).max(axis=1)
        chosen = present & (values == top[:, None])
        costs[name] = best - chosen @ quality / chosen.sum(axis=1)
    costs |= {"random": random, "oracle": np.zeros(len(present))}
    tails = (0.5 * (1 - level), 0.5 * (1 + level))
    out = []
    for name, cost in costs.items():
        low, high = np.quantile(cost[1:], tails)
        relative = float(cost[0] / random[0]) if random[0] > 0 else 0.0
        expected = Estimate(float(cost[1:].mean()), float(low), float(high))
        out.append(Regret(by=name, regret=float(cost[0]), relative=relative, expected=expected))
    return tuple(out)
