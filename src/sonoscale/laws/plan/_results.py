"""What a plan is, for each kind and for several groups: the answer in a sentence, its tables, JSON and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sonoscale._figure import new_axes
from sonoscale.errors import SonoscaleError
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._runs import RunTable
from sonoscale.laws._target import Target
from sonoscale.laws.loglinear import LogLinear
from sonoscale.laws.plan._candidates import Candidate, Choice
from sonoscale.laws.plan._cost import Cost
from sonoscale.laws.plan._drift import OptimumDrift
from sonoscale.laws.plan._evidence import Check, Doubling, Reach, edges_text
from sonoscale.laws.plan._next import NextRuns
from sonoscale.laws.plan._optimum import Curve, Frontier
from sonoscale.laws.plan._surface import LAW, Surface
from sonoscale.results import Result, plain

__all__ = ["Allocation", "Designed", "GroupPlans", "Plan"]

Rows = list[dict[str, Any]]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Plan(Result):
    """What plans of both kinds have.

    Attributes:
        target: y, and how it is fitted. runs: the rows that were fitted.
        edges: variables whose best is an end of what was tried, or beyond it: name -> `smallest` or `largest`.
        doublings, reach, next_runs, check: see their classes; the last two are None where not asked for.
        warnings: what a reader of these numbers must know, one sentence each.
    """

    target: Target
    runs: RunTable = field(repr=False)
    edges: dict[str, str]
    doublings: tuple[Doubling, ...]
    reach: tuple[Reach, ...]
    next_runs: NextRuns | None
    check: Check | None
    warnings: tuple[str, ...]

    @property
    def best(self) -> dict[str, Any]:
        """What to train: variable -> value."""
        raise NotImplementedError

    @property
    def details(self) -> list[str]:
        """What else is to be known, in sentences."""
        raise NotImplementedError

    def tables(self) -> list[tuple[str, Rows]]:
        """All tables as (title, rows), numbers with their intervals as text; the main one first."""
        raise NotImplementedError

    @property
    def fitted(self) -> str:
        """What was fitted, in words: `log(1 - accuracy), 24 runs of 12 configurations`."""
        return f"log({self.target.words}), {self.runs.counts}"

    def _shared(self, level: str) -> list[tuple[str, Rows]]:
        doubled: Rows = [
            {
                "": one.variable, "at": one.at,
                f"change [{level}]": f"{one.change.value:+.3g} [{one.change.low:+.2g}, {one.change.high:+.2g}]",
                "FLOPs more": one.flops, "change per FLOP": one.per_flop,
            }
            for one in self.doublings
        ]  # fmt: skip
        reach: Rows = [
            {
                "": one.name, "plan": one.value, "data": f"{_g(one.low)} to {_g(one.high)}",
                "reach": "inside" if one.side == "inside" else f"{one.beyond:.3g}x {one.side}",
            }
            for one in self.reach
        ]  # fmt: skip
        tables = [(f"doubled: change of expected {self.target.name}", doubled), ("how far beyond the data", reach)]
        if self.next_runs is not None:
            suggested = self.next_runs
            most = "" if suggested.most is None else f", each at most {_g(suggested.most)} FLOPs"
            title = (
                f"next runs{most}: standard error of {suggested.of} falls from {_g(suggested.before)} to "
                f"{_g(suggested.after[-1])}"
            )
            rows: Rows = [
                {"": i + 1, **run, "FLOPs": flops, "standard error": after,
                 "configuration": "another seed" if repeat else "new"}
                for i, (run, flops, repeat, after) in enumerate(
                    zip(suggested.runs, suggested.flops, suggested.repeats, suggested.after, strict=True)
                )
            ]  # fmt: skip
            tables.append((title, rows))
        if self.check is not None:
            tables.append(_check_table(self.check, self.target.name))
        return [(title, rows) for title, rows in tables if rows]

    def _shared_dict(self) -> dict[str, Any]:
        return {
            "best": self.best, "headline": self.headline, "details": self.details, "fitted": self.fitted,
            "edges": dict(self.edges),
            "higher_is_better": self.target.higher_is_better,
            "doublings": [one.as_dict() for one in self.doublings],
            "reach": {one.name: one.as_dict() for one in self.reach},
            "next_runs": None if self.next_runs is None else self.next_runs.as_dict(),
            "check": None if self.check is None else self.check.as_dict(),
            "n_rows": len(self.runs), "n_clusters": self.runs.n_clusters, "warnings": list(self.warnings),
        }  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Allocation(Plan):
    """A plan for parameters and data.

    Attributes:
        names: the columns of N, D and y.
        budget: FLOPs, or None where caps alone bound the plan.
        cost: where FLOPs come from, in words.
        n, d: the best ones for the budget, with intervals over resamples of clusters and, under one root, of how far
            they moved at rolling origins (see `OptimumDrift`).
        origins: how many rolling origins.
        flops: what they cost; below the budget where both caps are reached.
        y: the prediction for one run there, with its calibrated interval.
        expected: the same with the uncertainty of the law alone.
        basin: the range of N within `basin_share` of the best y at this budget; None without a budget.
        a, b: exponents of N_opt ~ C^a and D_opt ~ C^b, local ones where the cost is no power product.
        law: the parameters of the law with intervals.
        isoflops, frontier: see their classes.
        level: of intervals.
    """

    names: tuple[str, str, str]
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
    origins: int
    level: float
    _surface: Surface = field(repr=False)
    _drift: OptimumDrift = field(repr=False)
    _cost: Cost = field(repr=False)

    @property
    def best(self) -> dict[str, Any]:
        """N and D by the names of their columns."""
        return {self.names[0]: self.n.value, self.names[1]: self.d.value}

    @property
    def headline(self) -> str:
        """What to train, and y that it is predicted to have."""
        n, d, y = self.names
        within = "" if self.budget is None else f" for {_g(self.budget)} FLOPs"
        return (
            f"Train {n} = {_g(self.n.value)} on {d} = {_g(self.d.value)}{within}: {y} = {_span(self.y)} "
            f"({self.level:.0%}, one run)."
        )

    @property
    def details(self) -> list[str]:
        """Intervals, the flat basin, and the exponents."""
        n, d, _ = self.names
        found = [
            f"{n} {_ends(self.n)}, {d} {_ends(self.d)} over resamples of {self.runs.n_clusters} independent runs"
            f"{self._moved}.",
            *([edges_text(self.edges)] if self.edges else []),
        ]  # fmt: skip
        if self.basin is not None:
            low, high = self.basin
            tried = next(one for one in self.reach if one.name == n)
            beyond = f" ({n} was tried from {_g(tried.low)} to {_g(tried.high)} only)"
            found.append(
                f"Flat: {n} from {_g(low)} to {_g(high)} costs at most {self.basin_share:.0%} of {self.target.words}"
                f"{beyond if low < tried.low or high > tried.high else ''}."
            )
        ratio = any(" / " in name for name in self.edges)
        assumed = " The runs do not lie on both sides of the optimum: a and b rest on the form of the law."
        found.append(
            f"{n}_opt ~ C^a, a = {_span(self.a)}; {d}_opt ~ C^b, b = {_span(self.b)}. FLOPs = {self.cost}."
            f"{assumed if ratio else ''}"
        )
        return found

    @property
    def _moved(self) -> str:
        times = "the origin" if self.origins == 1 else f"{self.origins} origins"
        return f" and the drift of the optimum over {times} in the data" if self.origins else ""

    def rows(self) -> Rows:
        """The frontier: the best N and D for each of 25 budgets, and y expected of them."""
        found = []
        for k, flops in enumerate(self.frontier.flops.tolist()):
            row: dict[str, Any] = {"flops": flops}
            for name, one in zip(self.names, (self.frontier.n, self.frontier.d, self.frontier.y), strict=True):
                row |= {name: float(one[0, k]), f"{name}_low": float(one[1, k]), f"{name}_high": float(one[2, k])}
            found.append(row)
        return found

    def tables(self) -> list[tuple[str, Rows]]:
        """The frontier, the law, doublings, reach, next runs and held-out runs."""
        n, d, y = self.names
        level = f"{self.level:.0%}"
        rows = self.rows()
        step = max(1, len(rows) // 6)
        shown = [*rows[: len(rows) - 1 : step], rows[-1]]
        heads = {n: f"best {n} [{level}]", d: f"best {d} [{level}]", y: f"expected {y} [{level}]"}
        frontier: Rows = [
            {"FLOPs": row["flops"]}
            | {head: f"{_g(row[c])} [{_g(row[f'{c}_low'])}, {_g(row[f'{c}_high'])}]" for c, head in heads.items()}
            for row in shown
        ]
        law: Rows = [{"": name, f"value [{level}]": _span(value)} for name, value in self.law.items()]
        return [
            ("the frontier, without caps", frontier),
            (f"the law: {self.target.words} = E + A {n}^-alpha + B {d}^-beta", law),
            *self._shared(level),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, None for what is not finite."""
        return {
            "kind": "allocation",
            "columns": dict(zip(("n", "d", "y"), self.names, strict=True)),
            "formula": LAW.formula, "citation": LAW.citation,
            "budget": self.budget, "cost": self.cost, "flops": plain(self.flops),
            **{name: getattr(self, name).as_dict() for name in ("n", "d", "y", "expected", "a", "b")},
            "basin": None if self.basin is None else {
                "share": self.basin_share, "n_low": plain(self.basin[0]), "n_high": plain(self.basin[1])
            },
            "law": {name: one.as_dict() for name, one in self.law.items()},
            "isoflops": [curve.as_dict() for curve in self.isoflops],
            "frontier": self.frontier.as_dict(), "origins": self.origins, "level": self.level,
            **self._shared_dict(),
        }  # fmt: skip

    def plot(self, ax: Any = None) -> Any:
        """The expected y along N at several budgets, and the plan; on a Matplotlib Axes, which is returned."""
        axes = new_axes(ax)
        for curve in self.isoflops:
            axes.plot(curve.n, curve.y, label=f"{curve.flops:.2g} FLOPs")
        axes.fill_between(self.isoflops[-1].n, self.isoflops[-1].low, self.isoflops[-1].high, alpha=0.2)
        axes.errorbar(
            [self.n.value], [self.y.value], yerr=[[self.y.value - self.y.low], [self.y.high - self.y.value]],
            marker="*", color="black", capsize=3, linestyle="none", label="the plan",
        )  # fmt: skip
        axes.set(xscale="log", xlabel=self.names[0], ylabel=self.names[2])
        axes.legend()
        return axes


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Designed(Plan):
    """The best design for the budgets.

    Attributes:
        law: of y (divided by `unit`) in the design.
        unit: 1, or 100 for percentages.
        budgets: the most of each cost.
        choice: the best candidates, with costs, intervals and ties.
        plan: what to train, with costs and y: the best candidate, but for variables without a shown effect.
        no_effect: these variables -> the cheapest value that is tied with the best, or the usual one.
    """

    law: LogLinear = field(repr=False)
    unit: float
    budgets: dict[str, float]
    choice: Choice
    plan: Candidate
    no_effect: dict[str, Any]

    @property
    def level(self) -> float:
        """Of intervals."""
        return self.law.level

    @property
    def fitted(self) -> str:
        """What was fitted, in words: `logit accuracy, 24 runs of 12 configurations`."""
        y = self.law.y if self.unit == 1.0 else f"({self.law.y} / {self.unit:g})"
        return f"{self.law._scale.text.format(y)}, {self.runs.counts}"

    @property
    def best(self) -> dict[str, Any]:
        """The design: column -> value."""
        return dict(self.plan.design)

    @property
    def y(self) -> Estimate:
        """The prediction for one run of it."""
        return self.plan.y

    @property
    def headline(self) -> str:
        """The variables with a significant effect, and y that is predicted."""
        within = " and ".join(f"{_g(value)} {name.replace('flops', 'FLOPs')}" for name, value in self.budgets.items())
        known = {name: value for name, value in self.plan.design.items() if name not in self.no_effect}
        said = f"Train {_design(known)}" if known else "No variable of the design has a significant effect: keep it"
        said += f" for {within}" if within else ""
        return f"{said}: {self.law.y} = {_span(self.plan.y)} ({self.level:.0%}, one run)."

    @property
    def details(self) -> list[str]:
        """Variables without effect, how sure the choice is, and what is tied with it."""
        found = []
        if self.no_effect:
            found.append(f"No effect shown, keep them cheap or as they are: {_design(self.no_effect)}.")
        ties = f"{self.choice.ties} others are tied with the best."
        if self.edges:
            found += [
                edges_text(self.edges), f"Best of {self.choice.count} candidates by what the law expects; {ties}"
            ]  # fmt: skip
        else:
            found.append(
                f"Best of {self.choice.count} candidates in {self.choice.best.share:.0%} of the resamples; {ties}"
            )
        cheap = self.choice.cheapest
        if cheap is not None:
            what = "flops" if "flops" in cheap.costs else "params"
            found.append(f"Tied, and cheapest ({_g(cheap.costs[what])} {what}): {_design(cheap.design)}.")
        return found

    def rows(self) -> Rows:
        """The best candidates: design, y with its interval, in how many resamples each is the best, and costs."""
        y = self.law.y
        return [
            {**one.design, y: one.y.value, f"{y}_low": one.y.low, f"{y}_high": one.y.high, "share_best": one.share,
             "tied": one.tied, **{f"cost:{name}": value for name, value in one.costs.items()}}
            for one in self.choice.shown
        ]  # fmt: skip

    def tables(self) -> list[tuple[str, Rows]]:
        """The best candidates, the values that win, the law, doublings, reach, next runs and held-out runs."""
        level = f"{self.level:.0%}"
        costs = [name for name in self.choice.best.costs if name in ("flops", "params") or name in self.budgets]
        candidates: Rows = [
            {**one.design, f"{self.law.y} [{level}]": _span(one.y), "best in": f"{one.share:.1%}",
             "tie": "best" if i == 0 else "tied" if one.tied else "",
             **{name.replace("flops", "FLOPs"): one.costs[name] for name in costs}}
            for i, one in enumerate(self.choice.shown)
        ]  # fmt: skip
        shares: Rows = [
            {"": name, "value: share": "  ".join(f"{_g(v)}: {share:.0%}" for v, share in by.items() if share >= 0.005),
             "note": self._about(name)}
            for name, by in self.choice.shares.items()
        ]  # fmt: skip
        law: Rows = [{"": k, f"value [{level}]": _span(v)} for k, v in self.law.coefficients.items()]
        return [
            ("the best candidates", candidates),
            ("in how many resamples the best candidate has", shares),
            (f"the law: {self.law.formula}", law),
            *self._shared(level),
        ]

    def _about(self, name: str) -> str:
        if name in self.no_effect:
            return "no effect shown"
        return "at the edge of what was tried" if name in self.edges else ""

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, None for what is not finite."""
        return {
            "kind": "design",
            "columns": {"y": self.law.y, "x": list(self.law.x)},
            "law": self.law.as_dict(), "unit": self.unit, "budgets": dict(self.budgets),
            "plan": self.plan.as_dict(), "no_effect": dict(self.no_effect),
            "choice": self.choice.as_dict(), "level": self.level,
            **self._shared_dict(),
        }  # fmt: skip

    def plot(self, ax: Any = None) -> Any:
        """The best candidates with their intervals, best first; on a Matplotlib Axes, which is returned."""
        axes = new_axes(ax)
        shown = self.choice.shown
        y = np.array([[one.y.value, one.y.low, one.y.high] for one in shown])
        axes.errorbar(
            y[:, 0], np.arange(len(shown)), xerr=[y[:, 0] - y[:, 1], y[:, 2] - y[:, 0]], marker="o", linestyle="none",
            capsize=3,
        )  # fmt: skip
        axes.set_yticks(np.arange(len(shown)), [_design(one.design) for one in shown])
        axes.invert_yaxis()
        axes.set_xlabel(self.law.y)
        return axes


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GroupPlans(Result):
    """A plan for each group of the runs, or why there is none.

    Attributes:
        groups: of each group, column -> value.
        plans: the plan of each group, or the reason why it has none.
    """

    groups: tuple[dict[str, Any], ...]
    plans: tuple[Allocation | Designed | str, ...]

    @property
    def best(self) -> list[dict[str, Any]]:
        """What to train, for each group that has a plan: its labels and the values."""
        return [
            labels | one.best for labels, one in zip(self.groups, self.plans, strict=True) if not isinstance(one, str)
        ]

    @property
    def headline(self) -> str:
        """How many groups have a plan."""
        count = sum(not isinstance(one, str) for one in self.plans)
        return f"Plans for {count} of {len(self.plans)} groups by {', '.join(self.groups[0])}."

    def rows(self) -> Rows:
        """One row per group: its labels, what to train and y with its interval, or why there is no plan."""
        found = []
        for labels, one in zip(self.groups, self.plans, strict=True):
            if isinstance(one, str):
                found.append(labels | {"no plan": one})
                continue
            y = one.target.name
            found.append(labels | one.best | {y: one.y.value, f"{y}_low": one.y.low, f"{y}_high": one.y.high})
        return found

    def as_dict(self) -> dict[str, Any]:
        """The plans as plain JSON values, `error` for a group that has none."""
        return {
            "kind": "groups",
            "plans": [
                {"group": labels} | ({"error": one} if isinstance(one, str) else one.as_dict())
                for labels, one in zip(self.groups, self.plans, strict=True)
            ],
        }

    def plot(self) -> Any:
        """The figure of each plan, side by side; on Matplotlib Axes, which are returned."""
        made = [(labels, one) for labels, one in zip(self.groups, self.plans, strict=True) if not isinstance(one, str)]
        if not made:
            raise SonoscaleError(f"{self.headline} There is nothing to draw")
        axes = new_axes(ncols=len(made), squeeze=False, figsize=(6 * len(made), 5))
        for (labels, one), ax in zip(made, axes[0], strict=True):
            one.plot(ax).set_title(", ".join(f"{name} = {value}" for name, value in labels.items()))
        return axes[0]


def _check_table(check: Check, y: str) -> tuple[str, Rows]:
    known = [one for one in check.runs if one.covered is not None]
    title = f"held out, {y}: none observed"
    if known:
        title = (
            f"held out, {y}: {sum(bool(one.covered) for one in known)} of {len(known)} inside their {check.level:.0%} "
            f"intervals, {check.error:.1%} off"
        )
    rows: Rows = []
    for one in check.runs:
        row = {
            "row": one.row, **one.run, "FLOPs": one.flops, "observed": one.observed, "predicted": one.predicted.value,
            "interval": _ends(one.predicted), "covered": "outside" if one.covered is False else "",
        }  # fmt: skip
        if one.best is not None:
            row |= {f"plan's {name}": value for name, value in one.best.items()} | {"it expects": one.best_y}
        rows.append(row)
    return title, rows


def _design(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_g(value)}" for name, value in values.items())


def _span(value: Any) -> str:
    return f"{_g(value.value)} {_ends(value)}"


def _ends(value: Any) -> str:
    return f"[{_g(value.low)}, {_g(value.high)}]"


def _g(value: Any) -> str:
    if isinstance(value, int) and abs(value) < 1e6:
        return str(value)
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
