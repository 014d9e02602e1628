"""The best N and D for a budget, how flat the curve is around them, and the frontier of all budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from sonoscale.laws.plan._cost import Array, Cost, PowerCost
from sonoscale.laws.plan._surface import ALPHA, BETA, A, B, Surface, loss, span
from sonoscale.results import plain

__all__ = ["Curve", "Frontier", "basin", "exponents", "find_optimum", "frontier", "isoflop_curve"]

_GRID = 601
_REACH = 23.0  # e-folds beyond a point in which an optimum or an edge of the basin is searched
_FARTHEST = 69.0  # e-folds about 1 that a closed form may reach
_POINTS = 41  # of an isoFLOP curve
_BEYOND = 4.0  # a curve runs over so many times the N of the data at both ends, and over its own optimum


@dataclass(frozen=True, kw_only=True)
class Curve:
    """y along N at one budget: `flops`, and [K] each of `n`, `d` and the expected `y` with `low`, `high`."""

    flops: float
    n: Array
    d: Array
    y: Array
    low: Array
    high: Array

    def as_dict(self) -> dict[str, Any]:
        return {"flops": self.flops, "d": plain(self.d), "x": plain(self.n)} | _band(self.y, self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The best N, D and y for each of the budgets `flops` [K], each [3, K]: estimate, lower, upper end."""

    flops: Array
    n: Array
    d: Array
    y: Array

    def as_dict(self) -> dict[str, Any]:
        return {name: {"x": plain(self.flops)} | _band(*getattr(self, name)) for name in ("n", "d", "y")}


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


def isoflop_curve(surface: Surface, cost: Cost, flops: float, *, around: float) -> Curve:
    """The curve over the N of the data and its own best N, and a factor 4 beyond at both ends."""
    best = float(find_optimum(surface.params[None], flops, cost, around=around)[0][0])
    low = min(surface.n.min() / _BEYOND, best / _BEYOND)
    high = max(surface.n.max() * _BEYOND, best * _BEYOND)
    n = np.geomspace(low, high, _POINTS)
    d = cost.data(flops, n)
    y, low, high = _expected(surface, n, d)
    return Curve(flops=flops, n=n, d=d, y=y, low=low, high=high)


def frontier(surface: Surface, cost: Cost, flops: Array, *, around: float) -> Frontier:
    """The best of each budget [K], without caps, with the uncertainty of the law."""
    found = []
    laws = np.concatenate([surface.params[None], surface.draws])
    for budget in flops.tolist():
        n, d = find_optimum(laws, budget, cost, around=around)
        y = loss(laws, n, d)
        row = []
        for values in (n, d, y):
            low, high = span(values[1:], values[0], level=surface.level, factor=surface.factor, log=True)
            row.append([values[0], float(low), float(high)])
        up = surface.target.up(np.array(row[2]))
        row[2] = [up[0], up[1:].min(), up[1:].max()]
        found.append(row)
    n, d, y = np.array(found).transpose(1, 2, 0)
    return Frontier(flops=flops, n=n, d=d, y=y)


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


def _expected(surface: Surface, n: Array, d: Array) -> tuple[Array, Array, Array]:
    centre = loss(surface.params, n, d)
    draws = loss(surface.draws[:, None, :], n, d)
    low, high = span(draws, centre, level=surface.level, factor=surface.factor, log=True)
    low, high = surface.target.ends(low, high)
    return surface.target.up(centre), low, high


def _band(y: Array, low: Array, high: Array) -> dict[str, list[float]]:
    return {"y": plain(y), "low": plain(low), "high": plain(high)}
