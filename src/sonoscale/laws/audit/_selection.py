"""What it costs to choose a run by rank, instead of by its quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._bootstrap import Interval
from sonoscale.laws.audit._marginal import resamples
from sonoscale.laws.audit._runs import Runs

__all__ = ["Regret", "selection_regret"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Regret:
    """Best quality less the quality of the run that is chosen.

    Attributes:
        by: the column whose best value is chosen, or `random` or `oracle`.
        regret: in the unit of quality; ties are broken at random, in expectation.
        relative: as a share of what a random choice costs: 0 is the oracle, 1 chance.
        expected: mean regret over resampled sets of configurations, and its `interval` (of the sets, not of the mean).
            The oracle sees the noise of this very table, so that every other choice looks a little worse than it is.
    """

    by: str
    regret: float
    relative: float
    expected: float
    interval: Interval


def selection_regret(
    runs: Runs, selectors: dict[str, Array], *, level: float, bootstrap: int, seed: int
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
        out.append(
            Regret(
                by=name,
                regret=float(cost[0]),
                relative=relative,
                expected=float(cost[1:].mean()),
                interval=Interval(float(low), float(high)),
            )
        )
    return tuple(out)
