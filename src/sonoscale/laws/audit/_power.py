"""How many configurations a question needs."""

from __future__ import annotations

import math

from scipy import stats

__all__ = ["ASSUMED", "MOST", "POWER", "configurations_needed", "power_of"]

ASSUMED = 0.5
"""The partial correlation that an audit should be able to see."""
POWER = 0.8
"""Probability with which the number of runs is to show the effect."""
MOST = 1000
"""Numbers above this are told as 'more than'."""


def power_of(correlation: float, df: int, level: float) -> float:
    """The chance that a two-sided test sees a partial correlation with `df` residual degrees of freedom.

    By Fisher's z, whose variance is 1 / (df - 1): atanh(r) sqrt(df - 1) against the normal quantile.
    """
    if df <= 1:
        return 0.0
    return float(stats.norm.cdf(math.atanh(correlation) * math.sqrt(df - 1) - stats.norm.ppf(0.5 * (1 + level))))


def configurations_needed(correlation: float, parameters: int, level: float) -> int | None:
    """How many show a partial correlation with a chance of `POWER`, given `parameters` columns of covariates.

    None where that is more than `MOST`.
    """
    size = abs(correlation)
    if size < 1e-6:
        return None
    if size >= 1 - 1e-9:
        return parameters + 4
    quantiles = stats.norm.ppf(0.5 * (1 + level)) + stats.norm.ppf(POWER)
    df = 1 + (quantiles / math.atanh(size)) ** 2
    count = math.ceil(df + parameters + 1)
    return count if count <= MOST else None
