"""What the planner on a page computes from: a fitted law with its resamples, what designs cost, and what was tried.

The script `page/planner.js` makes of these, for any budget, the plan that `sonoscale.plan` makes.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws.plan import Allocation, Designed, PowerCost
from sonoscale.laws.plan._base_costs import base_costs
from sonoscale.laws.plan._candidates import DesignCost, amounts, base_value, grid, ladder, ladders, plain_item
from sonoscale.laws.plan._design import _silent
from sonoscale.laws.plan._evidence import TOO_FAR
from sonoscale.laws.plan._plan import AMOUNTS
from sonoscale.laws.plan._surface import ALPHA, BETA, A, B, E
from sonoscale.report._figure import Figure, Panel
from sonoscale.report._format import label_of

__all__ = ["planner_data", "planner_figure"]

MOST_SHAPES = 4000
"""Designs that a page weighs; of larger plans it has the answer, and no sliders."""
_REACH = 100.0
"""How far beyond the data a slider goes."""


def planner_data(plan: Any, folder: Path | None = None) -> dict[str, Any] | None:
    """A plan as JSON values, in which arrays of numbers are base64 of 64-bit floats.

    Arguments:
        plan: an `Allocation` or a `Designed`.
        folder: of the study, whose `study.yaml` says what designs cost.

    Returns:
        None for what has no sliders: a design whose costs are not known, costs that are no power product, more designs
        than a page weighs.
    """
    if isinstance(plan, Allocation):
        return _allocation(plan) if isinstance(plan._cost, PowerCost) else None
    if not isinstance(plan, Designed) or folder is None or plan.law.family is not None:
        return None
    try:
        cost, _ = base_costs(folder / "study.yaml", plan.runs.columns, plan.law.x)
        return _design(plan, cost)
    except SonoscaleError:
        return None


def planner_figure(plan: Any) -> Figure:
    """What each budget buys within the limits that the sliders set, with the budget chosen; the page has the rows."""
    import altair as alt

    y = plan.target.name
    base = alt.Chart(alt.NamedData("planned_budgets"))
    x = alt.X(
        "flops:Q",
        title="training FLOPs",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(format="~e", tickCount=6),
    )
    up = alt.Y("y:Q", title=f"{label_of(y)} of the plan", scale=alt.Scale(zero=False))
    band = base.mark_area(style="band").encode(x=x, y=alt.Y("low:Q", title=f"{label_of(y)} of the plan"), y2="high:Q")
    line = base.mark_line(style="law").encode(x=x, y=up)
    beyond = base.transform_filter("datum.largest").mark_rule(style="chance").encode(x=alt.X("largest:Q"))
    here = alt.Chart(alt.NamedData("planned_here"))
    bars = here.mark_rule(style="ink", strokeWidth=2).encode(x=alt.X("flops:Q"), y=alt.Y("low:Q"), y2="high:Q")
    point = here.mark_point(style="plan", filled=True, size=200, shape="diamond").encode(
        x=alt.X("flops:Q"),
        y=up,
        tooltip=[alt.Tooltip("flops:Q", format=".3~e"), alt.Tooltip("y:Q", format=".4f")],
    )
    return Figure(
        "planner-curve",
        "",
        "",
        f"{label_of(y)} of the best plan for each budget, with the interval of one run.",
        (Panel(alt.layer(band, beyond, line, bars, point), height=270),),
        data={"planned_budgets": [], "planned_here": []},
    )


def _design(plan: Designed, cost: DesignCost) -> dict[str, Any] | None:
    law, runs = plan.law, plan.runs
    design = {name: runs[name] for name in law.x}
    amount = next((name for name in AMOUNTS if name in design), None)
    if amount is None:
        return None
    known = amounts(design[amount]).astype(np.float64)
    silent = _silent(law, design)
    shaped = {name: values for name, values in design.items() if name != amount}
    shapes = grid(ladders(shaped, [name for name in silent if name != amount]))
    size = len(next(iter(shapes.values()))) if shapes else 1
    if size > MOST_SHAPES:
        return None
    least, twice = (
        {
            name: np.asarray(values, dtype=np.float64)
            for name, values in cost(shapes | {amount: np.full(size, k * known[0])}).items()
        }
        for k in (1.0, 2.0)
    )
    if "flops" not in least:
        return None
    spent = np.asarray(cost(design)["flops"], dtype=np.float64)
    grown = {name: bool(np.any(twice[name] > least[name])) for name in least}
    beta = np.array([one.value for one in law.coefficients.values()])
    data_costs = [name for name in ("hours", "clips") if name in least]
    sliders = [_slider("flops", "training FLOPs", spent, plan.budgets.get("flops"))]
    if data_costs:
        most = np.asarray(cost(design)[data_costs[0]], dtype=np.float64)
        sliders.append(_slider(data_costs[0], f"{data_costs[0]} of audio", most, plan.budgets.get(data_costs[0])))
    sliders.append(
        _slider("latency", "encoder FLOPs per second of audio", least["latency"], plan.budgets.get("latency"))
    )
    return {
        "kind": "design",
        "y": label_of(law.y),
        "level": law.level,
        "unit": plan.unit,
        "scale": law._scale.name,
        "higher_is_better": plan.target.higher_is_better,
        "too_far": TOO_FAR,
        "amount": amount,
        "known": known.tolist(),
        "beyond": float(ladder(known)[-1]),
        "whole": bool((known == np.round(known)).all()),
        "variables": {name: _tried(name, values) for name, values in design.items()},
        "shapes": {name: [plain_item(one) for one in values] for name, values in shapes.items()},
        "costs": {name: {"grown": grown[name], "values": _packed(values)} for name, values in least.items()},
        "terms": [[[part.column, part.kind, part.level] for part in term.parts] for term in law._terms],
        "beta": _packed(beta),
        "moved": _packed(law._factor * (law._draws - beta)),
        "errors": _packed(law._errors[law._resamples.rows]),
        "silent": silent,
        "floor": plan.choice.floor or 0.0,
        "flops_tried": [float(np.nanmin(spent)), float(np.nanmax(spent))],
        "sliders": sliders,
    }


def _tried(name: str, values: NDArray[Any]) -> dict[str, Any]:
    numeric = values.dtype.kind in "iuf"
    distinct, often = np.unique(values, return_counts=True)
    base = base_value(values)
    found: dict[str, Any] = {
        "title": label_of(name),
        "numeric": numeric,
        "base": None if base is None else plain_item(base),
        "counts": [[plain_item(one), int(count)] for one, count in zip(distinct, often, strict=True)],
    }
    if numeric:
        found |= {
            "low": float(values.min()),
            "high": float(values.max()),
            "positive": bool((values > 0).all()),
            "last": float(ladder(values)[-1]),
        }
    return found


def _allocation(plan: Allocation) -> dict[str, Any]:
    surface, drift, cost = plan._surface, plan._drift, plan._cost
    assert isinstance(cost, PowerCost)
    calibration = surface.calibration._calibration
    tail = 0.5 * (1.0 + plan.level)
    target = plan.target
    spent = cost.flops(surface.n, surface.d)
    n, d, y = plan.names
    return {
        "kind": "allocation",
        "y": label_of(y),
        "level": plan.level,
        "n": n,
        "d": d,
        "titles": {n: label_of(n), d: label_of(d)},
        "too_far": TOO_FAR,
        "higher_is_better": target.higher_is_better,
        "direction": target.direction,
        "ceiling": _finite(target.ceiling),
        "most": _finite(target.most),
        "order": [A, ALPHA, B, BETA, E],
        "cost": [cost.factor, cost.by_n, cost.by_d],
        "params": _packed(surface.params),
        "draws": _packed(surface.draws),
        "factor": surface.factor,
        "noise": float(stats.t.ppf(tail, max(calibration.freedom, 1.0))) * calibration.noise,
        "slope": float(stats.t.ppf(tail, max(calibration.origins, 2))) * calibration.drift,
        "largest": surface.calibration.largest,
        "drift": [float(stats.t.ppf(tail, max(drift.origins, 2))) * one for one in (drift.log_n, drift.log_d)],
        "drift_largest": drift.largest,
        "tried": {
            n: _ends(surface.n),
            d: _ends(surface.d),
            "flops": _ends(spent),
            "ratio": _ends(surface.d / surface.n),
        },
        "sliders": [
            _slider("flops", "training FLOPs", spent, plan.budget),
            _slider(n, f"most {label_of(n)}", surface.n, None),
            _slider(d, f"most {label_of(d)}", surface.d, None),
        ],
    }


def _slider(name: str, title: str, tried: NDArray[np.float64], now: float | None) -> dict[str, Any]:
    """A logarithmic slider over what was tried and beyond; all but the budget can be without limit."""
    low, high = _ends(tried[np.isfinite(tried)])
    return {
        "name": name,
        "title": title,
        "low": low,
        "high": high * _REACH,
        "tried": high,
        "now": now,
        "free": name != "flops",
    }


def _ends(values: NDArray[np.float64]) -> list[float]:
    return [float(values.min()), float(values.max())]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _packed(values: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()
