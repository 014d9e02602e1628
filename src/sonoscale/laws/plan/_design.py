"""The best design of an encoder for a budget."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_names
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._names import find_sizes
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws._runs import RunTable
from sonoscale.laws._target import Target
from sonoscale.laws.loglinear import LogLinear, fit_loglinear
from sonoscale.laws.plan._candidates import (
    Candidate,
    Columns,
    DesignCost,
    affordable,
    amounts,
    base_value,
    choose,
    differences,
    grid,
    ladder,
    ladders,
    plain_item,
    price_of,
    usual_value,
)
from sonoscale.laws.plan._cost import Array
from sonoscale.laws.plan._design_steps import design_doublings, design_next_runs
from sonoscale.laws.plan._evidence import TOO_FAR, Check, HeldRun, Reach, check_reach, edges_of
from sonoscale.laws.plan._results import Designed

__all__ = ["plan_design"]


def plan_design(
    source: Source,
    *,
    x: Sequence[str],
    cost: DesignCost | None = None,
    budgets: Mapping[str, float] | None = None,
    amount: str | None = None,
    curved: Sequence[str] = (),
    next_runs: int = 0,
    next_flops: float | None = None,
    shown: int = 8,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    force: bool = False,
    **reading: Unpack[Reading],
) -> Designed:
    """The designs that promise the best y within the budgets, by a log-linear law of y in the design.

    Candidates are all combinations of what was tried, of the geometric means between, and of one step above the
    largest; ratios and levels are tried as they are in the data. Where an amount of data is named, each shape gets
    all that the budgets afford. y is added up on the logit scale if it is a score that lies inside 0 to its ceiling,
    on the log scale if it is above zero, else as it is.

    The plan is the best candidate, except in variables of which no effect is shown (no term of theirs has an interval
    off zero): these stay at the base design, the value of a third of the runs or more and of twice as many as any
    other; without such a value, or where it is not tied or not affordable, they are taken at the cheapest value that is
    tied with the best one.

    Arguments:
        source: a `RunTable`, or anything that `read_runs` reads, with its options (y, clusters, held_out, ...).
        x: the columns of the design.
        cost: columns of x [m] -> costs by name [m] ("flops", "params", ...), counted exactly by whoever knows the
            model; NaN for a design that cannot be built. None: budgets can only be on columns of x.
        budgets: name of a cost or of a numeric column of x -> the most that is allowed.
        amount: the column of x that says how much is trained on (examples, hours, steps), or None.
        curved: columns of x that get a square as well, so that their best can lie inside what was tried.
        next_runs: how many next runs to suggest.
        next_flops: the most that one may cost; None: as much as the most expensive run of the data.
        shown: how many of the best candidates are reported.
        bootstrap, seed, level: as in `fit_loglinear`.
        force: plan even where all lies more than 100-fold outside the data.

    Returns:
        The `Designed`.

    Raises:
        SonoscaleError: For what `read_runs` and `fit_loglinear` refuse, y that runs against its name, a budget that is
            no number above zero or that no cost or column has, a budget below the cheapest candidate (with what that
            costs), and one more than 100-fold beyond the data.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> width, depth = (v.ravel() for v in np.meshgrid([32, 64, 128, 256], [2, 4, 8]))
        >>> z = 0.5 * np.log(width) - 3 + 0.02 * rng.standard_normal(12)
        >>> table = {"width": width, "depth": depth, "score": 1 / (1 + np.exp(-z))}
        >>> plan = plan_design(table, x=["width", "depth"], budgets={"width": 256}, bootstrap=100)
        >>> plan.best["width"], plan.no_effect
        (256, {'depth': 2})
    """
    x, curved = as_names(x, "x"), as_names(curved, "curved")
    if budgets is not None and not isinstance(budgets, Mapping):
        raise SonoscaleError(f"budgets must map costs or columns to the most that is allowed, not {budgets!r}")
    if cost is not None and not callable(cost):
        raise SonoscaleError(f"cost must be a function of the columns of the design, not {cost!r}")
    if amount is not None and not isinstance(amount, str):
        raise SonoscaleError(f"amount must be the name of a column, not {amount!r}")
    if isinstance(shown, bool) or not isinstance(shown, (int, np.integer)) or shown < 1:
        raise SonoscaleError(f"shown must be a whole number, 1 or more, not {shown!r}")
    limits = dict(budgets or {})
    read = as_runs(source, **reading)
    y = read.y
    _check_arguments(y, x, amount, curved, limits, next_flops)
    read.need(*x)
    words = {name for name in x if _is_text(read[name])}
    if amount is not None and amount in words:
        raise SonoscaleError(f"{amount} holds text: it cannot be how much is trained on")
    runs = read.use(*(name for name in x if name not in words), labels=words, with_y=True).apart(*x)
    target = _target(runs, [name for name in x if name not in words], None if cost is None else cost(
        {name: runs[name] for name in x}
    ).get("flops"))  # fmt: skip
    fitted = runs.fitted
    notes = [*fitted.notes]
    design: Columns = {name: fitted[name] for name in x}
    spent = None if cost is None else dict(cost(design))
    flops = None if spent is None or "flops" not in spent else np.asarray(spent["flops"])
    unit, scale = _scale(fitted[y], target)
    part = replace(fitted, columns={**fitted.columns, y: fitted[y] / unit}, family_by=None)
    law = fit_loglinear(
        part, x, y_scale=scale, interactions=[(name, name) for name in curved], bootstrap=bootstrap, seed=seed,
        level=level,
    )  # fmt: skip
    for name in limits:
        if name not in (spent or {}) and (name not in design or name in words):
            known = [*(spent or {}), *(column for column in x if column not in words)]
            raise SonoscaleError(f"no cost or column of the design is called {name!r}; a budget can be on: "
                                 f"{', '.join(known)}")  # fmt: skip
    notes += law.warnings
    if "flops" in limits and flops is not None:
        budget = Reach("the budget", limits["flops"], float(np.nanmin(flops)), float(np.nanmax(flops)))
        if budget.side == "above":
            notes += check_reach([budget], force=force)

    silent = _silent(law, design)
    everything, costs = _candidates(design, silent, amount, cost, limits)
    kept, near = _within(design, everything, costs, limits, force)
    notes += near
    candidates = {name: values[kept] for name, values in everything.items()}
    costs = {name: np.asarray(values)[kept] for name, values in costs.items()}
    floor = _seed_floor(law, part, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # how far outside a candidate lies is reported by its reach
        choice = choose(law, candidates, costs, floor, shown, target.higher_is_better)
        plan = _settled(
            law, choice.best, silent, design, candidates, amount, cost, limits, floor, target.higher_is_better
        )  # fmt: skip
        best, price = plan.design, plan.costs
        reach = tuple(
            Reach(name, float(best[name]), float(values.min()), float(values.max()))
            for name, values in design.items() if name not in words and (values > 0).all()
        )  # fmt: skip
        if flops is not None and "flops" in price:
            reach += (Reach("FLOPs", price["flops"], float(np.nanmin(flops)), float(np.nanmax(flops))),)
        notes += check_reach(reach, force=True)
        if any(one.beyond > 1.1 for one in reach):
            notes.append("beyond the data the law may bend: the intervals know nothing of that")
        edges = _edges(best, design, candidates, silent, amount, limits)
        notes += [
            f"{name}: a law that only rises or falls has its best at an end of what was tried; a curved term can place "
            "it inside (curved)"
            for name in edges if name not in curved and name != amount
        ]  # fmt: skip
        suggested = None
        if next_runs:
            dear = None if flops is None else float(np.nanmax(flops))
            most = next_flops or (None if dear is None else min(dear, limits.get("flops", dear)))
            suggested = design_next_runs(law, design, silent, amount, cost, best, most, next_runs, fitted.clusters)
        return Designed(
            law=law, target=target, runs=fitted, unit=unit, budgets=limits, choice=choice.scaled(unit),
            plan=plan.scaled(unit), no_effect={name: best[name] for name in silent}, edges=edges, reach=reach,
            doublings=design_doublings(law, design, best, cost, unit), next_runs=suggested,
            check=_check(runs.held_out, law, design, cost, unit) if runs.held.any() else None,
            warnings=tuple(dict.fromkeys(notes)),
        )  # fmt: skip


def _settled(
    law: LogLinear, best: Candidate, silent: Sequence[str], design: Columns, candidates: Columns, amount: str | None,
    cost: DesignCost | None, limits: Mapping[str, float], floor: float | None, higher_is_better: bool,
) -> Candidate:  # fmt: skip
    """The best candidate with each variable without a shown effect at its value in the base design.

    The base has the best of all else that the budgets then afford, and must be tied with the best; without a base it
    is the cheapest tied value.
    """
    now = dict(best.design)
    bases = {name: base for name in silent if name != amount and (base := base_value(design[name])) is not None}
    kept = np.ones(len(next(iter(candidates.values()))), dtype=bool)
    for name, base in bases.items():
        kept &= candidates[name] == base
    if bases and kept.any():
        rows = {key: values[kept] for key, values in candidates.items()}
        expected = law._expect(rows)[0]
        first = int(expected.argmax() if higher_is_better else expected.argmin())
        now = {key: plain_item(values[first]) for key, values in rows.items()}
    else:
        bases = {}
    for name in [name for name in silent if name not in bases]:
        values = np.unique(candidates[name])
        if name == amount:
            values = values[values <= float(now[name])]
        rows = {
            key: values if key == name else np.array([now[key]] * len(values), dtype=design[key].dtype)
            for key in design
        }
        costs = {} if cost is None else {key: np.asarray(one, dtype=np.float64) for key, one in cost(rows).items()}
        centre, X, _ = law._expect(rows)
        at = values.tolist().index(now[name])
        off, low, high = differences(law, centre, X, at)
        allowed = ((low <= 0.0) & (high >= 0.0)) | (np.abs(off) < (floor or 0.0))
        for one in costs.values():
            allowed &= np.isfinite(one)
        for key, cap in limits.items():
            spent = costs[key] if key in costs else np.asarray(rows[key], dtype=np.float64)
            allowed &= spent <= cap * (1.0 + 1e-9)
        allowed[at] = True
        price = np.where(allowed, price_of(costs, len(values)), np.inf)
        cheap = values[price <= price.min() * (1.0 + 1e-9)]
        now[name] = plain_item(usual_value(design[name], cheap) if np.isin(cheap, design[name]).any() else cheap[0])
    if now == best.design:
        return best
    rows = {key: np.array([value], dtype=design[key].dtype) for key, value in now.items()}
    expected, X, _ = law._expect({key: np.array([best.design[key], now[key]], dtype=design[key].dtype) for key in now})
    off, least, most = (float(one[1]) for one in differences(law, expected, X, 0))
    if not (least <= 0.0 <= most or abs(off) < (floor or 0.0)):  # each alone is tied, but not all together
        return best
    back, start = law._scale.back, float(expected[0])
    less, *ends = (float(back(np.array([start + one]))[0] - back(expected[:1])[0]) for one in (off, least, most))
    return Candidate(
        design=now,
        costs={} if cost is None else {key: float(np.asarray(one)[0]) for key, one in cost(rows).items()},
        y=law.predict(rows)[0], share=np.nan, tied=True,
        difference=Estimate(less, min(ends), max(ends)),
    )  # fmt: skip


def _edges(
    best: Mapping[str, Any], design: Columns, candidates: Columns, silent: Sequence[str], amount: str | None,
    limits: Mapping[str, float],
) -> dict[str, str]:  # fmt: skip
    """The variables with an effect whose best is an end of what was tried, unless the budgets are what ends it."""
    tried = {
        name: values for name, values in design.items() if values.dtype.kind in "iuf" and name not in silent
    }  # fmt: skip
    found = edges_of({name: float(best[name]) for name in tried}, tried)
    for name, end in list(found.items()):
        allowed = np.unique(candidates[name])
        paid = name == amount and bool({"flops", "clips", "hours"} & {*limits})
        cut = allowed[-1] < ladder(design[name])[-1] and float(best[name]) >= allowed[-1]
        if len(allowed) == 1 or (end == "largest" and (paid or cut)):
            del found[name]
    return found


def _check_arguments(
    y: str, x: Sequence[str], amount: str | None, curved: Sequence[str], limits: Mapping[str, float],
    next_flops: float | None,
) -> None:  # fmt: skip
    for name, value in [*((f"the budget of {name}", v) for name, v in limits.items()), ("next_flops", next_flops)]:
        if value is not None and not (isinstance(value, (int, float, np.number)) and 0 < value < np.inf):
            raise SonoscaleError(f"{name} must be a number above zero, not {value!r}")
    for name in (*curved, *([] if amount is None else [amount])):
        if name not in x:
            raise SonoscaleError(f"{name!r} is not among the columns of the design: {', '.join(x)}")
    if y in x:
        raise SonoscaleError(f"{y!r} is the quality, and is among the columns of the design")


def _is_text(values: NDArray[Any]) -> bool:
    """Whether a column holds text; one word among numbers is a mistake in a column of numbers."""
    if values.dtype.kind in "biuf":
        return False
    return not any(isinstance(value, (int, float)) for value in values.tolist() if value is not None)


def _target(runs: RunTable, along: Sequence[str], flops: Array | None) -> Target:
    """Which end of y is good: along the FLOPs of the table, else along these counted ones, else along the columns."""
    if flops is not None and "compute" not in find_sizes(runs.filled, besides=(runs.y,)):
        runs = replace(runs, columns={**runs.columns, "FLOPs": np.asarray(flops, dtype=np.float64)})
    return runs.target(along=along)


def _scale(values: Array, target: Target) -> tuple[float, Literal["log", "logit", "linear"]]:
    """What y is divided by, and the scale on which it is then added up."""
    if target.direction == "score" and (values > 0).all() and values.max() < target.ceiling:
        return target.ceiling, "logit"
    return 1.0, "log" if (values > 0).all() else "linear"


def _candidates(
    design: Columns, silent: Sequence[str], amount: str | None, cost: DesignCost | None, limits: Mapping[str, float]
) -> tuple[Columns, dict[str, Array]]:
    """All candidates and what they cost."""
    shaped = {name: values for name, values in design.items() if name != amount}
    shapes = grid(ladders(shaped, [name for name in silent if name != amount]))
    if amount is None:
        everything = shapes
    elif cost is None:
        everything = grid(ladders(design, silent))
    else:
        everything = affordable(shapes, amount, amounts(design[amount]).astype(np.float64), cost, limits)
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
    notes = [] if built.all() else [f"{count - int(built.sum())} of {count} candidates cannot be built"]
    if force:
        return np.flatnonzero(allowed), notes
    if not near.any():
        raise SonoscaleError(
            f"every design that spends the budget lies more than {TOO_FAR:g}x beyond what was tried: plan in smaller "
            "steps, or force it"
        )
    if near.sum() < allowed.sum():
        notes.append(
            f"{int(allowed.sum() - near.sum())} candidates more than {TOO_FAR:g}x beyond what was tried are left out"
        )
    return np.flatnonzero(near), notes


def _seed_floor(law: LogLinear, part: RunTable, x: Sequence[str]) -> float | None:
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


def _silent(law: LogLinear, design: Columns) -> list[str]:
    """The variables of which no term has an interval off zero."""
    shown = {
        part.column
        for term in law._terms for part in term.parts
        if not law.coefficients[term.name].low <= 0.0 <= law.coefficients[term.name].high
    }  # fmt: skip
    return [name for name in design if name not in shown]


def _check(held: RunTable, law: LogLinear, design: Columns, cost: DesignCost | None, unit: float) -> Check:
    """The held-out rows against the law's predictions."""
    rows: Columns = {name: held[name] for name in design}
    observed = held[law.y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        y = law.predict(rows)
    unknown = np.full(len(held), np.nan)
    flops = np.asarray(unknown if cost is None else cost(rows).get("flops", unknown))
    return Check(
        tuple(
            HeldRun(
                row=int(held.rows[i]), run={name: plain_item(values[i]) for name, values in rows.items()},
                flops=float(flops[i]) if np.isfinite(flops[i]) else None,
                observed=float(observed[i]) if np.isfinite(observed[i]) else None,
                predicted=Estimate(unit * y[i].value, unit * y[i].low, unit * y[i].high),
            )
            for i in range(len(held))
        ),
        law.level,
    )  # fmt: skip
