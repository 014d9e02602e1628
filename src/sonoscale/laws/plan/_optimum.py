"""The best N and D for a budget, and how flat the curve is around them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq

from sonoscale.laws.plan._cost import Cost, PowerCost
from sonoscale.laws.plan._surface import ALPHA, BETA, A, B, loss
from sonoscale.laws.plan._value import Array

__all__ = ["basin", "exponents", "find_optimum"]

_GRID = 601
_REACH = 23.0  # e-folds beyond a point in which an optimum or an edge of the basin is searched
_FARTHEST = 69.0  # e-folds about 1 that a closed form may reach


def find_optimum(
    params: Array,
    flops: float | None,
    cost: Cost,
    *,
    around: float,
    most_n: float | None = None,
    most_d: float | None = None,
) -> tuple[Array, Array]:
    """N and D [R] that are best for each law of params [R, 5], within a budget and caps.

    Along the curve of equal FLOPs, y = E + A N^-alpha + B D^-beta is least where, for a cost k N^p D^q,
    alpha A N^-alpha = (p / q) beta B D^-beta; for p = q = 1 that is N = G (C / k)^(beta / (alpha + beta)) with
    G = (alpha A / (beta B))^(1 / (alpha + beta)) (Hoffmann et al., arXiv 2203.15556, equation 4). Any other cost
    is searched on two grids of log N and a parabola. A cap cuts the curve: what it saves is spent on the other.

    Arguments:
        flops: the budget; None where both caps are given.
        around: a usual N, in whose e^23-fold neighbourhood is searched.
        most_n, most_d: caps, or None.
    """
    rows = len(params)
    corner = np.full(rows, most_n or np.inf), np.full(rows, most_d or np.inf)
    if flops is None:
        return corner
    least_log = -np.inf if most_d is None else float(np.log(cost.size(flops, np.array([most_d]))[0]))
    most_log = np.inf if most_n is None else float(np.log(most_n))
    if least_log >= most_log:
        return corner
    if isinstance(cost, PowerCost):
        free = _closed(params, flops, cost)
    else:
        free = _searched(params, flops, cost, np.log(around), least_log, most_log)
    n = np.exp(np.clip(free, least_log, most_log))
    return n, cost.data(flops, n)


def exponents(params: Array, flops: float, cost: Cost, *, around: float) -> tuple[Array, Array]:
    """d log N_opt / d log C and d log D_opt / d log C [R] at a budget; the same at all budgets for a power cost."""
    if isinstance(cost, PowerCost):
        alpha, beta = params[:, ALPHA], params[:, BETA]
        a = (beta / cost.by_d) / (alpha + cost.by_n / cost.by_d * beta)
        return a, (1.0 - cost.by_n * a) / cost.by_d
    step = 1.1
    n0, d0 = find_optimum(params, flops / step, cost, around=around)
    n1, d1 = find_optimum(params, flops * step, cost, around=around)
    width = 2.0 * np.log(step)
    return np.log(n1 / n0) / width, np.log(d1 / d0) / width


def basin(
    params: Array, flops: float, cost: Cost, n: float, share: float, *, most_n: float | None, most_d: float | None
) -> tuple[float, float]:
    """The smallest and the largest N at this budget whose y is within `share` of the best; caps end it.

    Infinite (or zero) where y has not risen so far within e^23-fold of the best N.
    """
    best = float(loss(params, n, cost.data(flops, np.array([n]))[0]))

    def excess(log_n: float) -> float:
        at = np.exp(log_n)
        return float(loss(params, at, cost.data(flops, np.array([at]))[0])) / best - 1.0 - share

    ends = []
    for side, endless in ((-1.0, 0.0), (1.0, np.inf)):
        centre, far = float(np.log(n)), float(np.log(n)) + side * _REACH
        found: Any = brentq(excess, centre, far) if excess(far) > 0 else None
        ends.append(endless if found is None else float(np.exp(found)))
    least = 0.0 if most_d is None else float(cost.size(flops, np.array([most_d]))[0])
    return max(ends[0], least), min(ends[1], np.inf if most_n is None else most_n)


def _closed(params: Array, flops: float, cost: PowerCost) -> Array:
    alpha, beta = params[:, ALPHA], params[:, BETA]
    steep = cost.by_n / cost.by_d
    balance = np.log(alpha * params[:, A] + 1e-300) - np.log(steep * beta * params[:, B] + 1e-300)
    spent = beta / cost.by_d * np.log(flops / cost.factor)
    return np.clip((balance + spent) / (alpha + steep * beta), -_FARTHEST, _FARTHEST)


def _searched(params: Array, flops: float, cost: Cost, centre: float, least: float, most: float) -> Array:
    low, high = max(centre - _REACH, least), min(centre + _REACH, most)
    best = np.array([])
    for _ in range(3):
        grid = np.linspace(low, high, _GRID)
        n = np.exp(grid)
        y = np.log(loss(params[:, None, :], n, cost.data(flops, n)))  # [R, K]
        y = np.where(np.isfinite(y), y, np.inf)
        place = np.clip(y.argmin(axis=1), 1, _GRID - 2)
        rows = np.arange(len(params))
        left, middle, right = y[rows, place - 1], y[rows, place], y[rows, place + 1]
        bent = left - 2.0 * middle + right
        step = grid[1] - grid[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            off = np.where((bent > 0) & np.isfinite(bent), 0.5 * (left - right) / bent, 0.0)
        best = grid[place] + step * np.clip(np.nan_to_num(off), -1.0, 1.0)
        low, high = max(best.min() - 2.0 * step, low), min(best.max() + 2.0 * step, high)
    return best
