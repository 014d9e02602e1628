"""Rank and quality as they are, nothing taken out: order, concordance, and whether quality turns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sonoscale.laws._bootstrap import expanded_interval, small_sample_factor
from sonoscale.laws._correlation import spearman
from sonoscale.laws._estimate import Estimate

__all__ = ["MOST_PAIRED", "Association", "associate", "kendall", "paired", "resamples", "turning_point"]

Array = NDArray[np.float64]

MOST_PAIRED = 2000
"""Points whose pairs are all gone through; of more, so many are drawn."""


@dataclass(frozen=True, kw_only=True)
class Association(Estimate):
    """A rank correlation over independent points.

    Attributes:
        value: -1 to 1.
        low, high: its interval at the audit's level; -1 and 1 with too few points for one.
        p: two-sided, for no association, or None with fewer than 3 points.
        n: points.
    """

    p: float | None
    n: int


def associate(x: Array, y: Array, *, level: float, bootstrap: int, seed: int) -> Association:
    """Spearman's rho of [G] and [G], both varying: the interval of `sonoscale.laws.spearman`, p by Student's t."""
    found: Any = stats.spearmanr(x, y)
    value, p = float(found.statistic), float(found.pvalue) if len(x) >= 3 else None
    if p is not None:
        p = max(p, 2.0 / math.gamma(min(len(x), 150) + 1.0))  # of an order that is perfect, or reversed
    if len(x) < 4:
        return Association(value=value, low=-1.0, high=1.0, p=p, n=len(x))
    interval = spearman(x, y, level=level, bootstrap=bootstrap, seed=seed)
    return Association(value=value, low=interval.low, high=interval.high, p=p, n=len(x))


def kendall(x: Array, y: Array, *, level: float, bootstrap: int, seed: int) -> Association:
    """Kendall's tau-b of [G] and [G].

    The interval is a percentile interval over resampled points on the scale of artanh, stretched for few of them,
    and never narrower than Fieller's (Biometrika 44, 1957), whose variance is 0.437 / (G - 4). Of more points than
    `MOST_PAIRED`, so many are drawn for it, and the interval that they give is shortened as the root of how many more
    there are.
    """
    found: Any = stats.kendalltau(x, y)
    value, count = float(found.statistic), len(x)
    p = float(found.pvalue) if count >= 3 else None
    if count < 6:
        return Association(value=value, low=-1.0, high=1.0, p=p, n=count)
    drawn = paired(count, seed)
    x, y = x[drawn], y[drawn]
    a, b = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    weights = resamples(len(drawn), bootstrap, seed)

    def over_pairs(matrix: Array) -> Array:
        return np.einsum("rg,rg->r", weights @ matrix, weights)

    size = np.sqrt(over_pairs(a * a) * over_pairs(b * b))
    draws = over_pairs(a * b)[size > 0] / size[size > 0]
    limit = 1 - 2 / (count * (count - 1))
    centre = np.arctanh(np.clip(value, -limit, limit))
    draws = np.arctanh(np.clip(draws, -limit, limit))
    if len(drawn) < count:
        among: Any = stats.kendalltau(x, y)
        draws = centre + (draws - np.arctanh(np.clip(among.statistic, -limit, limit))) * np.sqrt(len(drawn) / count)
    low, high = expanded_interval(draws, centre, level=level, factor=small_sample_factor(count, 2, level))
    half = stats.norm.ppf(0.5 * (1 + level)) * np.sqrt(0.437 / (count - 4))
    low, high = float(np.tanh(min(low, centre - half))), float(np.tanh(max(high, centre + half)))
    return Association(value=value, low=min(low, value), high=max(high, value), p=p, n=count)


def paired(count: int, seed: int) -> NDArray[np.intp]:
    """The points of `count` whose pairs are gone through: all, or `MOST_PAIRED` at random, in order."""
    if count <= MOST_PAIRED:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MOST_PAIRED, replace=False))


def resamples(count: int, bootstrap: int, seed: int) -> Array:
    """How often each of `count` points is in each resample: [R, G]."""
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=bootstrap)
    return draws.astype(np.float64)


def turning_point(rank: Array, quality: Array, *, level: float) -> float | None:
    """The rank [G] at which quality [G] turns, or None where it does not.

    It does where a parabola in the order of the ranks has its vertex inside the points and straight lines on both
    sides of it slope against one another, each by more than chance (the two lines of Simonsohn, Advances in Methods
    and Practices in Psychological Science 1, 2018).
    """
    if len(np.unique(rank)) < 8:
        return None
    place = stats.rankdata(rank)
    a, b, _ = np.polyfit(place - place.mean(), quality, 2)
    if a == 0:
        return None
    vertex = place.mean() - b / (2 * a)
    signs = []
    for side in (place <= vertex, place >= vertex):
        if side.sum() < 4 or np.ptp(place[side]) == 0:
            return None
        line: Any = stats.linregress(place[side], quality[side])
        signs.append(np.sign(line.slope) if line.pvalue < 1 - level else 0)
    order = np.argsort(place)
    return float(np.interp(vertex, place[order], rank[order])) if signs[0] * signs[1] < 0 else None
