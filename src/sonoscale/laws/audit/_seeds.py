"""What seeds and the measurement itself contribute to rank and quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sonoscale.laws._estimate import Estimate
from sonoscale.laws.audit._gather import Configurations, mean_over

__all__ = ["Errors", "Reliability", "errors", "reliability_of"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Reliability(Estimate):
    """The intraclass correlation of single runs: the share of the variance of a column that is between configurations.

    Attributes:
        value: 0 to 1, by analysis of variance (Shrout and Fleiss, Psychological Bulletin 86, 1979, case 1);
        low, high: its interval by the distribution of F, which takes the noise for Gaussian.
        of_means: the same of the means that are audited, over the seeds of each configuration.
        ratio: variance between configurations over variance between seeds; infinite where seeds do not differ.
        configurations, runs: that it is known from.
    """

    of_means: float
    ratio: float
    configurations: int
    runs: int


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors of measurement of the means of configurations.

    Attributes:
        rank: variance of the error of log rank, None where neither seeds nor an interval of rank are known;
        by: what it is known from.
        shared: covariance of rank and quality that seeds alone make.
    """

    rank: float | None
    by: str
    shared: float


def reliability_of(runs: Configurations, column: str, *, level: float) -> Reliability | str:
    """Of `rank` (its logarithm) or `quality`, from rows of one configuration with the same design."""
    rows = runs.rows
    values = rows.rank if column == "rank" else rows.quality
    size = np.bincount(rows.cell).astype(np.float64)
    groups, total = len(size), len(values)
    if total == groups or groups < 2:
        return "no configuration has several seeds: how much of the variance they make is not known"
    means = mean_over(values, rows.cell)
    within = float(((values - means[rows.cell]) ** 2).sum()) / (total - groups)
    between = float(size @ (means - values.mean()) ** 2) / (groups - 1)
    each = (total - (size**2).sum() / total) / (groups - 1)
    if within <= 0:
        return Reliability(
            value=1.0, low=1.0, high=1.0, of_means=1.0, ratio=float("inf"), configurations=groups, runs=total
        )
    f = between / within
    tail = 0.5 * (1 - level)

    def share(ratio: float) -> float:
        return float(np.clip((ratio - 1) / (ratio + each - 1), 0.0, 1.0))

    low = share(f / float(stats.f.ppf(1 - tail, groups - 1, total - groups)))
    high = share(f * float(stats.f.ppf(1 - tail, total - groups, groups - 1)))
    return Reliability(
        value=share(f),
        low=low,
        high=high,
        of_means=float(np.clip(1 - 1 / f, 0.0, 1.0)) if f > 0 else 0.0,
        ratio=max((f - 1) / each, 0.0),
        configurations=groups,
        runs=total,
    )


def errors(runs: Configurations) -> Errors:
    """From the seeds of the configurations and from the interval of rank; of two variances, the larger."""
    rows = runs.rows
    df = int((np.bincount(rows.cell) - 1).sum())
    share = float(np.mean(1 / runs.size))
    known: list[tuple[float, str]] = []
    shared = 0.0
    if df > 0:
        rank, quality = (one - mean_over(one, rows.cell)[rows.cell] for one in (rows.rank, rows.quality))
        known.append((float(rank @ rank) / df * share, "its differences between seeds"))
        shared = float(rank @ quality) / df * share
    if runs.rank_error is not None:
        known.append((runs.rank_error, "its interval"))
    variance, by = max(known, default=(None, ""), key=lambda one: one[0] or 0.0)
    return Errors(rank=variance, by=by, shared=shared)
