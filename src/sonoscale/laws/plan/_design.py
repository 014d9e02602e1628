"""The best design of an encoder for a budget: width, depth, clip length, masking and data together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_column
from sonoscale.laws._names import is_score
from sonoscale.laws._screen import as_given, check_columns
from sonoscale.laws._target import mixed_units
from sonoscale.laws.loglinear import LogLinear, fit_loglinear
from sonoscale.laws.loglinear._terms import is_categorical
from sonoscale.laws.plan._candidates import Columns, DesignCost, affordable, grid, ladder
from sonoscale.laws.plan._choice import choose, plain_item
from sonoscale.laws.plan._design_steps import design_doublings, design_next_runs
from sonoscale.laws.plan._designed import Designed
from sonoscale.laws.plan._direction import design_better
from sonoscale.laws.plan._held_out import Check, HeldRun
from sonoscale.laws.plan._reach import TOO_FAR, Reach, check_reach
from sonoscale.laws.plan._rows import row_places, split_rows
from sonoscale.laws.plan._value import Array

__all__ = ["plan_design"]

Table = Mapping[str, Sequence[Any] | NDArray[Any]]


def plan_design(
    table: Table,
    *,
    y: str,
    x: Sequence[str],
    cost: DesignCost | None = None,
    budgets: Mapping[str, float] | None = None,
    amount: str | None = None,
    higher_is_better: bool | None = None,
    curved: Sequence[str] = (),
    clusters: str | Sequence[str] | None = None,
    held_out: ArrayLike | None = None,
    places: ArrayLike | None = None,
    next_count: int = 0,
    next_flops: float | None = None,
    shown: int = 8,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    force: bool = False,
) -> Designed:
    """The designs that promise the best y within the budgets, by a log-linear law of y in the design.

    Candidates are all combinations of what was tried, of the geometric means between, and of one step above the
    largest; ratios and levels are tried as they were seen. Where an amount of data is named, each shape gets
    all that the budgets afford. y is added up on the logit scale if it lies in 0..1 (or is a score in 0..100),
    on the log scale if it is above zero, else as it is.

    Arguments:
        table: column name -> values [n].
        y: the column to be made best.
        x: the columns of the design.
        cost: columns of x [m] -> costs by name [m] ("flops", "params", ...), counted exactly by whoever knows the
            model; NaN for a design that cannot be built. None: budgets can only be on columns of x.
        budgets: name of a cost or of a numeric column of x -> the most that is allowed.
        amount: the column of x that says how much is trained on (clips, hours, steps), or None.
        higher_is_better: false where y is a loss or an error. None: by its name, else as y runs along what the runs
            cost, or are made of.
        curved: columns of x that get a square as well, so that their best can lie inside what was tried.
        clusters, held_out, places, bootstrap, seed, level: as in `fit_loglinear` and `plan_allocation`.
        next_count: how many next runs to suggest.
        next_flops: the most that one may cost; None: as much as the dearest run of the data.
        shown: how many of the best candidates are told of.
        force: plan even where all lies more than 100-fold outside the data.

    Returns:
        The `Designed`.

    Raises:
        SonoscaleError: For what `fit_loglinear` refuses, y that runs against its name, a budget that is no number above
            zero or that nothing answers to, a budget below the cheapest candidate (which is told), and one more than
            100-fold beyond the data.
    """
    limits = dict(budgets or {})
    _check_arguments(y, x, amount, curved, limits, next_flops)
    fitted_rows, held_rows = split_rows(table, y, held_out)
    part = {name: as_given(column)[fitted_rows] for name, column in table.items()}
    check_columns(part, y, *x)
    if amount is not None and is_categorical(part, amount):
        raise SonoscaleError(f"{amount} holds text: it cannot be how much is trained on")
    where = row_places(places, len(fitted_rows) + len(held_rows))
    part[y] = as_column(part[y], name=y, rows=where[fitted_rows])
    design: Columns = {
        name: part[name] if is_categorical(part, name) else as_column(part[name], name=name, rows=where[fitted_rows])
        for name in x
    }
    spent = None if cost is None else dict(cost(design))
    seen_flops = None if spent is None or "flops" not in spent else np.asarray(spent["flops"])
    higher, told = design_better(part[y], design, seen_flops, y, higher_is_better)
    mixed = mixed_units(part[y], y) if is_score(y) else None
    if mixed:
        raise SonoscaleError(mixed)
    unit, scale = _scale(part, y, higher)
    part[y] = part[y] / unit
    law = fit_loglinear(
        part, y=y, x=x, y_scale=scale, interactions=[(name, name) for name in curved], clusters=clusters,
        bootstrap=bootstrap, seed=seed, level=level,
    )  # fmt: skip
    for name in limits:
        if name not in (spent or {}) and (name not in design or is_categorical(part, name)):
            known = [*(spent or {}), *(column for column in x if not is_categorical(part, column))]
            raise SonoscaleError(f"nothing here tells {name!r}; a budget can be on: {', '.join(known)}")
    told += law.warnings
    if "flops" in limits and seen_flops is not None:
        budget = Reach("the budget", limits["flops"], float(np.nanmin(seen_flops)), float(np.nanmax(seen_flops)))
        if budget.side == "above":
            told += check_reach([budget], force=force)

    everything, costs = _candidates(design, amount, cost, limits)
    kept, near = _within(design, everything, costs, limits, force)
    told += near
    candidates = {name: values[kept] for name, values in everything.items()}
    costs = {name: np.asarray(values)[kept] for name, values in costs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # how far outside a candidate lies is told by its reach
        choice = choose(law, candidates, costs, _seed_floor(law, part, x), shown, higher)
        best = choice.best
        reach = tuple(
            Reach(name, float(best.design[name]), float(values.min()), float(values.max()))
            for name, values in design.items() if not is_categorical(part, name) and (values > 0).all()
        )  # fmt: skip
        if seen_flops is not None and "flops" in best.costs:
            reach += (Reach("FLOPs", best.costs["flops"], float(np.nanmin(seen_flops)), float(np.nanmax(seen_flops))),)
        told += check_reach(reach, force=True)
        if any(one.beyond > 1.1 for one in reach):
            told.append("beyond the data the law may bend: the intervals know nothing of that")
        told += _undecided(law, design) + _at_ends(law, design, best.design, curved)
        suggested = None
        if next_count:
            most = next_flops or (None if seen_flops is None else float(np.nanmax(seen_flops)))
            suggested = design_next_runs(law, design, amount, cost, best.design, most, next_count, part, clusters)
        return Designed(
            law=law, unit=unit, budgets=limits, choice=choice.scaled(unit), reach=reach,
            doublings=design_doublings(law, design, best.design, cost, unit), next_runs=suggested,
            check=_check(table, law, design, cost, held_rows, where, y, unit) if len(held_rows) else None,
            higher_is_better=higher, warnings=tuple(dict.fromkeys(told)),
        )  # fmt: skip


def _check_arguments(
    y: str, x: Sequence[str], amount: str | None, curved: Sequence[str], limits: Mapping[str, float],
    next_flops: float | None,
) -> None:  # fmt: skip
    for name, value in [*((f"the budget of {name}", v) for name, v in limits.items()), ("next_flops", next_flops)]:
        if value is not None and not 0 < value < np.inf:
            raise SonoscaleError(f"{name} must be a number above zero, not {value!r}")
    for name in (*curved, *([] if amount is None else [amount])):
        if name not in x:
            raise SonoscaleError(f"{name!r} is not among the columns of the design: {', '.join(x)}")
    if y in x:
        raise SonoscaleError(f"{y!r} is to be made best and is in the design")


def _scale(part: Columns, y: str, higher_is_better: bool) -> tuple[float, Literal["log", "logit", "linear"]]:
    """What y is divided by, and the scale on which it is then added up."""
    values = as_column(part[y], name=y)
    if higher_is_better and (values > 0).all() and values.max() < 1.0:
        return 1.0, "logit"
    named = any(word in y.lower() for word in ("score", "acc", "map", "f1", "quality", "auc", "percent"))
    if higher_is_better and named and (values > 0).all() and 1.5 < values.max() < 100.0:
        return 100.0, "logit"
    return 1.0, "log" if (values > 0).all() else "linear"


def _candidates(
    design: Columns, amount: str | None, cost: DesignCost | None, limits: Mapping[str, float]
) -> tuple[Columns, dict[str, Array]]:
    """All candidates and what they cost."""
    shapes = grid({name: ladder(values) for name, values in design.items() if name != amount})
    if amount is None:
        everything = shapes
    elif cost is None:
        everything = grid({name: ladder(values) for name, values in design.items()})
    else:
        everything = affordable(shapes, amount, np.unique(design[amount]).astype(np.float64), cost, limits)
    if not everything or not len(next(iter(everything.values()))):
        raise SonoscaleError(f"no design can be built, or none is within the budgets at any {amount} that was tried")
    return everything, {} if cost is None else {k: np.asarray(v) for k, v in cost(everything).items()}


def _within(
    design: Columns, everything: Columns, costs: Mapping[str, Array], limits: Mapping[str, float], force: bool
) -> tuple[NDArray[np.intp], list[str]]:
    """The candidates that can be built, are within the budgets, and not too far from the data."""
    count = len(next(iter(everything.values())))
    built = np.ones(count, dtype=bool)
    for values in costs.values():
        built &= np.isfinite(values)
    if not built.any():
        raise SonoscaleError("none of the candidates can be built")
    allowed = built.copy()
    for name, cap in limits.items():
        values = np.asarray(costs[name] if name in costs else everything[name], dtype=np.float64)
        least = float(values[built].min())
        if least > cap * (1.0 + 1e-9):
            raise SonoscaleError(f"the budget of {cap:.4g} for {name} is below the cheapest candidate: {least:.4g}")
        allowed &= values <= cap * (1.0 + 1e-9)
    if not allowed.any():
        raise SonoscaleError(
            "no candidate is within all budgets at once: " + ", ".join(f"{k} {v:.4g}" for k, v in limits.items())
        )
    near = allowed.copy()
    for name, values in design.items():
        if values.dtype.kind in "iuf" and (values > 0).all():
            at = everything[name].astype(np.float64)
            near &= (at <= TOO_FAR * values.max()) & (at >= values.min() / TOO_FAR)
    told = [] if built.all() else [f"{count - int(built.sum())} of {count} candidates cannot be built"]
    if force:
        return np.flatnonzero(allowed), told
    if not near.any():
        raise SonoscaleError(
            f"every design that spends the budget lies more than {TOO_FAR:g}x beyond what was tried: plan in smaller "
            "steps, or force it"
        )
    if near.sum() < allowed.sum():
        told.append(
            f"{int(allowed.sum() - near.sum())} candidates more than {TOO_FAR:g}x beyond what was tried are left out"
        )
    return np.flatnonzero(near), told


def _seed_floor(law: LogLinear, part: Columns, x: Sequence[str]) -> float | None:
    """Standard deviation, on the law's scale, between rows of equal design; None without any."""
    z = law._scale.forward(part[law.y])
    groups: dict[tuple[Any, ...], list[float]] = {}
    for key, value in zip(zip(*(part[name].tolist() for name in x), strict=True), z.tolist(), strict=True):
        groups.setdefault(key, []).append(value)
    repeated = [np.array(values) for values in groups.values() if len(values) > 1]
    if not repeated:
        return None
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in repeated)
    return float(np.sqrt(squares / sum(len(values) - 1 for values in repeated)))


def _undecided(law: LogLinear, design: Columns) -> list[str]:
    """A note on the variables of which no term has an interval off zero."""
    shown = {
        part.column
        for term in law._terms for part in term.parts
        if not law.coefficients[term.name].low <= 0.0 <= law.coefficients[term.name].high
    }  # fmt: skip
    silent = [name for name in design if name not in shown]
    if not silent:
        return []
    return [f"no effect of {', '.join(silent)} is shown: what the plan says of {'it' if len(silent) == 1 else 'them'} "
            "may be chance"]  # fmt: skip


def _at_ends(law: LogLinear, design: Columns, best: Mapping[str, Any], curved: Sequence[str]) -> list[str]:
    """A note on each ratio whose best is an end of what was tried, which a law without a bend can only say."""
    ends = [
        name for name, values in design.items()
        if values.dtype.kind in "iuf" and name not in curved and bool(((values > 0) & (values < 1)).all())
        and float(best[name]) in (float(values.min()), float(values.max()))
    ]  # fmt: skip
    return [
        f"{name}: a law that only rises or falls has its best at an end of what was tried; a curved term would tell "
        "whether it lies inside"
        for name in ends
    ]


def _check(
    table: Table, law: LogLinear, design: Columns, cost: DesignCost | None, rows: NDArray[np.intp],
    where: NDArray[np.intp], y: str, unit: float,
) -> Check:  # fmt: skip
    """The held-out rows against the law's forecasts."""
    held: Columns = {}
    for name, values in design.items():
        given = as_given(table[name])[rows]
        held[name] = as_column(given, name=name, rows=where[rows]) if values.dtype.kind in "iuf" else given
    seen = as_column(as_given(table[y])[rows], name=y, rows=where[rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        predicted = law.predict(held)
    unknown = np.full(len(rows), np.nan)
    flops = np.asarray(unknown if cost is None else cost(held).get("flops", unknown))
    return Check(
        tuple(
            HeldRun(
                row=int(where[rows[i]]), run={name: plain_item(values[i]) for name, values in held.items()},
                flops=float(flops[i]) if np.isfinite(flops[i]) else None, seen=float(seen[i]),
                foretold=unit * float(predicted.value[i]), low=unit * float(predicted.low[i]),
                high=unit * float(predicted.high[i]),
            )
            for i in range(len(rows))
        ),
        law.level,
    )  # fmt: skip
