"""The best split of a budget between size and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_column
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._screen import as_given, check_columns, screen
from sonoscale.laws._target import Direction
from sonoscale.laws.plan._cost import Cost, CostFunction, as_cost, fit_cost
from sonoscale.laws.plan._curves import Curve, Frontier, frontier, isoflop_curve
from sonoscale.laws.plan._direction import allocation_direction
from sonoscale.laws.plan._doubling import Doubling, doubled
from sonoscale.laws.plan._held_out import Check, HeldRun
from sonoscale.laws.plan._next import NextRuns, next_runs
from sonoscale.laws.plan._optimum import basin, exponents, find_optimum
from sonoscale.laws.plan._reach import Reach, check_reach
from sonoscale.laws.plan._rows import row_places, split_rows
from sonoscale.laws.plan._surface import LAW, Surface, fit_surface, loss
from sonoscale.laws.plan._value import Array, plain

__all__ = ["Allocation", "plan_allocation"]

Table = Mapping[str, Sequence[Any] | NDArray[Any]]

BASIN = 0.01
_CURVES = 5  # IsoFLOP curves across the data, besides the asked one
_BUDGETS = 25  # of the frontier
_GRID = 21  # candidates for the next runs along each of N and D


@dataclass(frozen=True, eq=False, kw_only=True)
class Allocation:
    """A plan for size and data.

    Attributes:
        names: the columns of N, D and y.
        fitted: what the law is of, in words (of y as it falls).
        budget: FLOPs, or None where caps alone bound the plan.
        cost: where FLOPs come from, in words.
        n, d: the best ones for the budget, with intervals over resamples of clusters.
        flops: what they cost; below the budget where both caps are reached.
        y: the forecast for one run there, with its calibrated interval;
        expected: with the law's alone.
        basin: the range of N within `basin_share` of the best y at this budget; None without a budget.
        a, b: exponents of N_opt ~ C^a and D_opt ~ C^b, local ones where the cost is no power product.
        law: the parameters of the law with intervals.
        isoflops, frontier, doublings, reach, next_runs, check: see their classes.
        n_rows, n_clusters, level, warnings: .
    """

    names: tuple[str, str, str]
    fitted: str
    budget: float | None
    cost: str
    n: Estimate
    d: Estimate
    flops: float
    y: Estimate
    expected: Estimate
    basin: tuple[float, float] | None
    basin_share: float
    a: Estimate
    b: Estimate
    law: dict[str, Estimate]
    isoflops: tuple[Curve, ...]
    frontier: Frontier
    doublings: tuple[Doubling, ...]
    reach: tuple[Reach, ...]
    next_runs: NextRuns | None
    check: Check | None
    n_rows: int
    n_clusters: int
    level: float
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, None for what is not finite."""
        values = {name: getattr(self, name).as_dict() for name in ("n", "d", "y", "expected", "a", "b")}
        return {
            "kind": "allocation",
            "columns": dict(zip(("n", "d", "y"), self.names, strict=True)),
            "formula": LAW.formula, "citation": LAW.citation, "fitted": self.fitted,
            "budget": self.budget, "cost": self.cost, "flops": plain(self.flops), **values,
            "basin": None if self.basin is None else {
                "share": self.basin_share, "n_low": plain(self.basin[0]), "n_high": plain(self.basin[1])
            },
            "law": {name: one.as_dict() for name, one in self.law.items()},
            "isoflops": [curve.as_dict() for curve in self.isoflops],
            "frontier": self.frontier.as_dict(),
            "doublings": [one.as_dict() for one in self.doublings],
            "reach": {one.name: one.as_dict() for one in self.reach},
            "next_runs": None if self.next_runs is None else self.next_runs.as_dict(),
            "check": None if self.check is None else self.check.as_dict(),
            "n_rows": self.n_rows, "n_clusters": self.n_clusters, "level": self.level,
            "warnings": list(self.warnings),
        }  # fmt: skip


def plan_allocation(
    table: Table,
    *,
    n: str,
    d: str,
    y: str,
    flops: float | None = None,
    most_n: float | None = None,
    most_d: float | None = None,
    cost: Cost | CostFunction | str | None = None,
    clusters: str | Sequence[str] | None = None,
    held_out: ArrayLike | None = None,
    places: ArrayLike | None = None,
    higher_is_better: bool | None = None,
    direction: Direction | None = None,
    next_count: int = 0,
    next_flops: float | None = None,
    basin_share: float = BASIN,
    huber: float = 1e-3,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    force: bool = False,
) -> Allocation:
    """The best N and D for a budget, by y = E + A N^-alpha + B D^-beta (Hoffmann et al., arXiv 2203.15556).

    The law is fitted as approach 3 of that paper, in the way of Besiroglu et al., arXiv 2404.10102: Huber's
    loss of log y, summed. A score is fitted as its distance from the top, another rising y as its inverse.
    Intervals of N, D and the exponents are over resampled clusters; the one of y is for a new run, calibrated
    by how wrong the same law was when it foretold the larger runs from the smaller ones.

    Arguments:
        table: column name -> values [n].
        n, d, y: columns of parameters, data and what is to improve.
        flops: the budget.
        most_n, most_d: caps on N and D (memory, or the data there are); both, or flops.
        cost: a `Cost`; a function (N, D) -> FLOPs, counted exactly by whoever knows the model; the name of a column of
            FLOPs, from which k N D (or a power product) is fitted; None: 6 N D.
        clusters: columns that say which rows depend on one another.
        held_out: [n] true for rows that are not fitted but foretold.
        places: [n] of the rows in the table that these are a part of, for messages; None: 0, 1, 2, ...
        higher_is_better: None: by the name of y (a score, or a loss or an error), else as y runs along FLOPs.
        direction: as in `extrapolate`; None: by `higher_is_better`.
        next_count: how many next runs to suggest.
        next_flops: what one may cost at most; None: as much as the dearest run of the data.
        basin_share: how far from the best y (as it falls) the flat basin reaches.
        huber: delta of log y.
        bootstrap, seed, level: of intervals.
        force: plan even where the answer lies more than 100-fold outside the data.

    Returns:
        The `Allocation`.

    Raises:
        SonoscaleError: For what `screen` refuses; a budget or cap that is not a number above zero; no budget; too few
            runs; y that does not depend on N or D, or runs against its name; an answer more than 100-fold outside the
            data.
    """
    for name, amount in (("the budget", flops), (f"the cap on {n}", most_n), (f"the cap on {d}", most_d),
                         ("next_flops", next_flops), ("huber", huber), ("basin_share", basin_share)):  # fmt: skip
        if amount is not None and not 0 < amount < np.inf:
            raise SonoscaleError(f"{name} must be a number above zero, not {amount!r}")
    if flops is None and (most_n is None or most_d is None):
        raise SonoscaleError(f"nothing bounds the plan: give a budget of FLOPs, or caps on both {n} and {d}")
    if len({n, d, y}) < 3:
        raise SonoscaleError(f"{n}, {d} and {y} must be three different columns")
    fitted_rows, held_rows = split_rows(table, y, held_out)
    part = {name: as_given(column)[fitted_rows] for name, column in table.items()}
    where = row_places(places, len(fitted_rows) + len(held_rows))
    check_columns(part, y, n, d)
    for name in (n, d, y):
        as_column(part[name], name=name, positive=name != y, rows=where[fitted_rows])
    screened = screen(part, x=(n, d), y=y, log=(n, d), clusters=clusters, least=len(LAW.parameters) + 1)
    ns, ds = screened.columns[n], screened.columns[d]
    told: list[str] = []
    if isinstance(cost, str):
        check_columns(part, cost)
        known, note = fit_cost(ns, ds, as_column(as_given(part[cost]), name=cost, positive=True), name=cost)
        told += [] if note is None else [note]
    else:
        known = as_cost(cost, ns, ds)
    spent = known.flops(ns, ds)
    if direction is None:
        direction = allocation_direction(screened.columns[y], spent, y, higher_is_better)
    surface = fit_surface(
        screened, (n, d, y), spent, huber=huber, bootstrap=bootstrap, seed=seed, level=level, direction=direction
    )
    around = float(np.exp(np.log(ns).mean()))
    laws = np.concatenate([surface.params[None], surface.draws])
    best_n, best_d = find_optimum(laws, flops, known, around=around, most_n=most_n, most_d=most_d)
    at_n, at_d = float(best_n[0]), float(best_d[0])
    used = float(known.flops(best_n[:1], best_d[:1])[0])

    reach = (
        Reach(n, at_n, float(ns.min()), float(ns.max())),
        Reach(d, at_d, float(ds.min()), float(ds.max())),
        Reach("FLOPs", used, float(spent.min()), float(spent.max())),
    )
    told += [*surface.warnings, *check_reach(reach, force=force)]
    if flops is not None and used < flops * (1.0 - 1e-6):
        told.append(f"both caps are reached: of {flops:.3g} FLOPs, {used:.3g} are of use")
    a, b = exponents(laws, used, known, around=around)
    centre = float(np.exp(np.log(ns).mean())), float(np.exp(np.log(ds).mean()))
    budgets = np.geomspace(spent.min(), max(spent.max(), used), _BUDGETS)
    curves = [*np.geomspace(np.quantile(spent, 0.05), np.quantile(spent, 0.95), _CURVES).tolist(), used]
    y_at = surface.foretold(best_n[:1], best_d[:1], np.array([used]))
    suggested = None
    if next_count:
        grid = _candidates(surface, at_n, at_d)
        suggested = next_runs(
            surface, grid, known.flops(grid[:, 0], grid[:, 1]), at_n, at_d, next_flops or float(spent.max()), next_count
        )
    return Allocation(
        names=(n, d, y), fitted=surface.target.words, budget=flops, cost=known.words,
        n=surface.interval(best_n[1:], at_n, log=True), d=surface.interval(best_d[1:], at_d, log=True), flops=used,
        y=Estimate(*(float(one[0]) for one in y_at)), expected=surface.expected(at_n, at_d),
        basin=None if flops is None else basin(
            surface.params, used, known, at_n, basin_share, most_n=most_n, most_d=most_d
        ),
        basin_share=basin_share,
        a=_exponent(surface, a), b=_exponent(surface, b),
        law=_law(surface),
        isoflops=tuple(isoflop_curve(surface, known, budget, around=around) for budget in curves),
        frontier=frontier(surface, known, budgets, around=around),
        doublings=(
            *doubled(surface, known, at_n, at_d, "the plan", frontier=flops is not None and not (most_n or most_d)),
            *doubled(surface, known, *centre, "the centre of the data", frontier=False),
        ),
        reach=reach, next_runs=suggested,
        check=_check(table, surface, known, held_rows, where, around) if len(held_rows) else None,
        n_rows=len(ns), n_clusters=surface.n_clusters, level=level, warnings=tuple(dict.fromkeys(told)),
    )  # fmt: skip


def _law(surface: Surface) -> dict[str, Estimate]:
    """The parameters with intervals: on a log scale, but for the floor, which may be zero."""
    found = {}
    for i, name in enumerate(LAW.parameters):
        draws, estimate = surface.draws[:, i], float(surface.params[i])
        found[name] = surface.interval(draws + 1e-300, estimate + 1e-300, log=name != "E")
    floor = found["E"]
    return found | {"E": Estimate(floor.value, max(floor.low, 0.0), floor.high)}


def _exponent(surface: Surface, draws: Array) -> Estimate:
    """Exponents [1 + R], the estimate first; they lie above zero."""
    found = surface.interval(draws[1:], float(draws[0]))
    return Estimate(found.value, max(found.low, 0.0), found.high)


def _candidates(surface: Surface, n: float, d: float) -> Array:
    """Runs that could be tried: N and D from the smallest of the data to the largest of data and plan.

    D / N stays within what the data have, since a law is not to be trusted about shapes that nobody trains.
    """
    sides = [
        np.geomspace(column.min(), max(column.max(), at), _GRID) for column, at in ((surface.n, n), (surface.d, d))
    ]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    ratio, seen = grid[:, 1] / grid[:, 0], surface.d / surface.n
    return grid[(ratio >= seen.min()) & (ratio <= seen.max())]


def _check(
    table: Table, surface: Surface, cost: Cost, rows: NDArray[np.intp], where: NDArray[np.intp], around: float
) -> Check:
    """The held-out rows against the law's forecasts, and against what the plan would have trained."""
    n_name, d_name, y_name = surface.names
    held = {name: as_given(table[name])[rows] for name in surface.names}
    n, d = (as_column(held[name], name=name, positive=True, rows=where[rows]) for name in (n_name, d_name))
    seen = as_column(held[y_name], name=y_name, rows=where[rows])
    spent = cost.flops(n, d)
    y, low, high = surface.foretold(n, d, spent)
    runs = []
    for i in np.argsort(spent):
        best_n, best_d = find_optimum(surface.params[None], float(spent[i]), cost, around=around)
        best = {n_name: float(best_n[0]), d_name: float(best_d[0])}
        expected = surface.target.up(loss(surface.params, best_n, best_d))
        runs.append(
            HeldRun(
                row=int(where[rows[i]]),
                run={n_name: float(n[i]), d_name: float(d[i])},
                flops=float(spent[i]),
                seen=float(seen[i]),
                foretold=float(y[i]),
                low=float(low[i]),
                high=float(high[i]),
                best=best,
                best_y=float(expected[0]),
            )
        )
    return Check(tuple(runs), surface.level)
