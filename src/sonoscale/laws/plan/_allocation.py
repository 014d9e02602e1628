"""The best split of a budget between parameters and data."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws._runs import RunTable
from sonoscale.laws.plan._cost import Array, Cost, CostFunction, PowerCost, as_cost, fit_cost
from sonoscale.laws.plan._drift import drifting_frontier, optimum_drift, widened
from sonoscale.laws.plan._evidence import Check, Doubling, HeldRun, Reach, check_reach, edges_of
from sonoscale.laws.plan._next import next_runs as suggest_runs
from sonoscale.laws.plan._optimum import basin, exponents, find_optimum, isoflop_curve
from sonoscale.laws.plan._results import Allocation
from sonoscale.laws.plan._surface import LAW, Surface, fit_surface, loss

__all__ = ["plan_allocation"]

BASIN = 0.01
_CURVES = 5  # IsoFLOP curves across the data, besides the one of the plan
_BUDGETS = 25  # of the frontier
_GRID = 21  # candidates for the next runs along each of N and D


def plan_allocation(
    source: Source,
    *,
    n: str,
    d: str,
    flops: float | None = None,
    most_n: float | None = None,
    most_d: float | None = None,
    cost: Cost | CostFunction | str | None = None,
    next_runs: int = 0,
    next_flops: float | None = None,
    basin_share: float = BASIN,
    huber: float = 1e-3,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    force: bool = False,
    **reading: Unpack[Reading],
) -> Allocation:
    """The best N and D for a budget, by y = E + A N^-alpha + B D^-beta (Hoffmann et al., arXiv 2203.15556).

    The law is fitted as approach 3 of that paper, in the way of Besiroglu et al., arXiv 2404.10102: Huber's
    loss of log y, summed. A score is fitted as its distance from the ceiling, another rising y as its inverse.
    Intervals of N, D and the exponents are over resampled clusters, widened by how far the same optimum moved as the
    larger runs were added (rolling origins); the one of y is for a new run, calibrated by how wrong the same law was
    when it predicted the larger runs from the smaller ones.

    Arguments:
        source: a `RunTable`, or anything that `read_runs` reads, with its options (y, clusters, held_out, ...).
        n, d: columns of parameters and of data, above zero.
        flops: the budget.
        most_n, most_d: caps on N and D (memory, or the data there are); both, or flops.
        cost: a `Cost`; a function (N, D) -> FLOPs, counted exactly by whoever knows the model; the name of a column of
            FLOPs, from which k N D (or a power product) is fitted; None: 6 N D.
        next_runs: how many next runs to suggest.
        next_flops: what one may cost at most; None: as much as the most expensive run of the data, within the budget.
        basin_share: how far from the best y (as it falls) the flat basin reaches.
        huber: delta of log y.
        bootstrap, seed, level: of intervals.
        force: plan even where the answer lies more than 100-fold outside the data.

    Returns:
        The `Allocation`.

    Raises:
        SonoscaleError: For what `read_runs` refuses; a budget or cap that is not a number above zero; no
            budget; too few runs; y that does not depend on N or D, or runs against its name; an answer more than
            100-fold outside the data.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5)))
        >>> loss = (1.7 + 400 / n**0.34 + 1200 / d**0.36) * np.exp(0.003 * rng.standard_normal(25))
        >>> table = {"params": n, "tokens": d, "loss": loss}
        >>> plan = plan_allocation(table, n="params", d="tokens", flops=1e21, bootstrap=100)
        >>> bool(plan.n.low < 4.8e9 < plan.n.high), round(plan.a.value, 1)
        (True, 0.5)
    """
    for name, amount in (("the budget of flops", flops), (f"the cap on {n}", most_n), (f"the cap on {d}", most_d),
                         ("next_flops", next_flops), ("huber", huber), ("basin_share", basin_share)):  # fmt: skip
        given = isinstance(amount, (int, float, np.number)) and not isinstance(amount, bool)
        if not (given and 0 < float(amount or 0) < np.inf) and (amount is not None or name in ("huber", "basin_share")):
            raise SonoscaleError(f"{name} must be a number above zero, not {amount!r}")
    for name, column in (("n", n), ("d", d)):
        if not isinstance(column, str):
            raise SonoscaleError(f"{name} must be the name of a column, not {column!r}")
    if cost is not None and not isinstance(cost, (str, Cost)) and not callable(cost):
        raise SonoscaleError(f"cost must be a Cost, a function of N and D, or the name of a column, not {cost!r}")
    if flops is None and (most_n is None or most_d is None):
        raise SonoscaleError(f"nothing bounds the plan: give a budget of FLOPs, or caps on both {n} and {d}")
    read = as_runs(source, **reading)
    y = read.y
    if len({n, d, y}) < 3:
        raise SonoscaleError(f"{n}, {d} and {y} must be three different columns")
    runs = read.use(positive=(n, d), with_y=True).apart(n, d)
    target = runs.target(along=(n, d))
    fitted = runs.fitted
    if isinstance(cost, str):
        fitted = fitted.use(positive=(cost,))
    fitted = fitted.ordered(y, d, n)
    target.check(fitted[y], fitted.rows)
    ns, ds = fitted[n], fitted[d]
    notes = [*fitted.notes]
    if isinstance(cost, str):
        known, note = fit_cost(ns, ds, fitted[cost], name=cost)
        notes += [] if note is None else [note]
    else:
        known = as_cost(cost, ns, ds)
    spent = known.flops(ns, ds)
    surface = fit_surface(
        fitted, (n, d, y), target, spent, huber=huber, bootstrap=bootstrap, seed=seed, level=level
    )  # fmt: skip
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
    notes += [*surface.warnings, *check_reach(reach, force=force)]
    if flops is not None and used < flops * (1.0 - 1e-6):
        notes.append(f"both caps are reached: of {flops:.3g} FLOPs, {used:.3g} are of use")
    ratio = f"{d} / {n}"
    tried = {ratio: ds / ns}
    if spent.min() <= used <= spent.max() * (1.0 + 1e-9):  # else N and D lie beyond since the budget does: see reach
        tried |= {n: ns, d: ds}
    edges = edges_of({name: {n: at_n, d: at_d, ratio: at_d / at_n}[name] for name in tried}, tried)
    for name, value, cap in ((n, at_n, most_n), (d, at_d, most_d)):  # what a cap bounds is no optimum
        if cap is not None and value >= cap * (1.0 - 1e-9):
            edges = {other: end for other, end in edges.items() if other not in (name, ratio)}
    a, b = exponents(laws, used, known, around=around)
    drift = optimum_drift(surface, spent, fitted.clusters, known, around=around)
    half_n, half_d, half_a, half_b = drift.half_widths(used)
    if any(cap is not None and at >= cap * (1.0 - 1e-9) for at, cap in ((at_n, most_n), (at_d, most_d))):
        half_n = half_d = 0.0  # a cap does not move
    if not drift.origins:
        notes.append(f"too few runs at half the largest FLOPs to see how the optimum moves: intervals of {n} and {d} "
                     "hold within the data only")  # fmt: skip
    centre = float(np.exp(np.log(ns).mean())), float(np.exp(np.log(ds).mean()))
    budgets = np.geomspace(spent.min(), max(spent.max(), used), _BUDGETS)
    curves = [*np.geomspace(np.quantile(spent, 0.05), np.quantile(spent, 0.95), _CURVES).tolist(), used]
    y_at = surface.predict(best_n[:1], best_d[:1], np.array([used]))
    suggested = None
    if next_runs:
        grid = _candidates(surface, at_n, at_d)
        most = next_flops or float(min(spent.max(), max(flops or np.inf, spent.min())))
        suggested = suggest_runs(surface, grid, known.flops(grid[:, 0], grid[:, 1]), at_n, at_d, most, next_runs)
    return Allocation(
        names=(n, d, y), target=target, runs=fitted, budget=flops, cost=known.words,
        n=widened(surface.interval(best_n[1:], at_n, log=True), half_n, log=True),
        d=widened(surface.interval(best_d[1:], at_d, log=True), half_d, log=True), flops=used,
        y=Estimate(*(float(one[0]) for one in y_at)), expected=surface.expected(at_n, at_d),
        basin=None if flops is None else basin(
            surface.params, used, known, at_n, basin_share, most_n=most_n, most_d=most_d
        ),
        basin_share=basin_share, edges=edges,
        a=widened(_exponent(surface, a), half_a, most=_steepest(known, "by_n")),
        b=widened(_exponent(surface, b), half_b, most=_steepest(known, "by_d")),
        law=_law(surface),
        isoflops=tuple(isoflop_curve(surface, known, budget, around=around) for budget in curves),
        frontier=drifting_frontier(surface, drift, known, budgets, around=around), origins=drift.origins,
        doublings=(
            *doubled(surface, known, at_n, at_d, "the plan", frontier=flops is not None and not (most_n or most_d)),
            *doubled(surface, known, *centre, "the centre of the data", frontier=False),
        ),
        reach=reach, next_runs=suggested,
        check=_check(runs.held_out, surface, known, around) if runs.held.any() else None,
        level=level, warnings=tuple(dict.fromkeys(notes)), _surface=surface, _drift=drift, _cost=known,
    )  # fmt: skip


def doubled(surface: Surface, cost: Cost, n: float, d: float, at: str, *, frontier: bool) -> list[Doubling]:
    """Doublings of N and of D at a point and, on the frontier, of compute at the best split."""
    spent = float(cost.flops(np.array([n]), np.array([d]))[0])
    laws = np.concatenate([surface.params[None], surface.draws])
    steps = [(surface.names[0], (2.0 * n, d)), (surface.names[1], (n, 2.0 * d))]
    if frontier:
        # The split is the plan's own: what is asked is what doubling this plan's compute would buy under each law.
        n2, d2 = (float(one[0]) for one in find_optimum(surface.params[None], 2.0 * spent, cost, around=n))
        steps.append(("compute", (n2, d2)))
    found = []
    for name, after in steps:
        change = surface.target.up(loss(laws, *after)) - surface.target.up(loss(laws, n, d))
        more = float(cost.flops(np.array([after[0]]), np.array([after[1]]))[0]) - spent
        found.append(Doubling(variable=name, at=at, change=surface.interval(change[1:], float(change[0])), flops=more))
    return found


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


def _steepest(cost: Cost, name: str) -> float:
    """The largest exponent under which the other amount still grows with compute."""
    return 1.0 / getattr(cost, name) if isinstance(cost, PowerCost) else np.inf


def _candidates(surface: Surface, n: float, d: float) -> Array:
    """Runs that could be tried: N and D from the smallest of the data to the largest of data and plan.

    D / N stays within what the data have, since a law is not to be trusted about shapes that nobody trains.
    """
    sides = [
        np.geomspace(column.min(), max(column.max(), at), _GRID) for column, at in ((surface.n, n), (surface.d, d))
    ]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    ratio, known = grid[:, 1] / grid[:, 0], surface.d / surface.n
    return grid[(ratio >= known.min()) & (ratio <= known.max())]


def _check(held: RunTable, surface: Surface, cost: Cost, around: float) -> Check:
    """The held-out rows against the law's predictions, and against what the plan would have trained."""
    n_name, d_name, _ = surface.names
    n, d, observed = (held[name] for name in surface.names)
    spent = cost.flops(n, d)
    y, low, high = surface.predict(n, d, spent)
    runs = []
    for i in np.argsort(spent):
        best_n, best_d = find_optimum(surface.params[None], float(spent[i]), cost, around=around)
        expected = surface.target.up(loss(surface.params, best_n, best_d))
        runs.append(
            HeldRun(
                row=int(held.rows[i]),
                run={n_name: float(n[i]), d_name: float(d[i])},
                flops=float(spent[i]),
                observed=float(observed[i]) if np.isfinite(observed[i]) else None,
                predicted=Estimate(float(y[i]), float(low[i]), float(high[i])),
                best={n_name: float(best_n[0]), d_name: float(best_d[0])},
                best_y=float(expected[0]),
            )
        )
    return Check(tuple(runs), surface.level)
