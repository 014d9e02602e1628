"""IsoFLOP curves and the frontier, as plain data for tables and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sonoscale.laws.plan._cost import Cost
from sonoscale.laws.plan._optimum import find_optimum
from sonoscale.laws.plan._surface import Surface, loss
from sonoscale.laws.plan._value import Array, span

__all__ = ["Curve", "Frontier", "frontier", "isoflop_curve"]

_POINTS = 41
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
        return {"flops": self.flops, "d": _list(self.d), "x": _list(self.n)} | _band(self.y, self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The best N, D and y for each of the budgets `flops` [K], each [3, K]: estimate, lower, upper end."""

    flops: Array
    n: Array
    d: Array
    y: Array

    def as_dict(self) -> dict[str, Any]:
        return {name: {"x": _list(self.flops)} | _band(*getattr(self, name)) for name in ("n", "d", "y")}


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


def _expected(surface: Surface, n: Array, d: Array) -> tuple[Array, Array, Array]:
    centre = loss(surface.params, n, d)
    draws = loss(surface.draws[:, None, :], n, d)
    low, high = span(draws, centre, level=surface.level, factor=surface.factor, log=True)
    low, high = surface.target.ends(low, high)
    return surface.target.up(centre), low, high


def _band(y: Array, low: Array, high: Array) -> dict[str, list[float]]:
    return {"y": _list(y), "low": _list(low), "high": _list(high)}


def _list(values: Array) -> list[Any]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
