"""The evidence on rank: the audit check by check, the decisions that each column would make, held-out predictions, and
what budgets buy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sonoscale.report._chart_quality import colour_of, scatter
from sonoscale.report._encoders import Encoders
from sonoscale.report._figure import Figure, Panel
from sonoscale.report._format import decimal, label_of, name_of, plural
from sonoscale.report._model import StudyResults

__all__ = [
    "audit_figure", "audit_rows", "decision_rows", "decisions_figure", "frontier_figure", "held_out_figure",
    "isoflop_figure",
]  # fmt: skip


def audit_rows(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The checks of an audit as its JSON form has them: each a correlation with its interval and its p."""
    rank, quality = name_of(str(audit.get("rank", "rank"))), _quality(audit)
    found: list[dict[str, Any]] = []

    def add(check: str, entry: Any, asks: str) -> None:
        if isinstance(entry, Mapping) and isinstance(entry.get("value"), int | float):
            row = {"check": check, "asks": asks, "value": float(entry["value"])}
            row |= {end: float(entry[end]) for end in ("low", "high") if _number(entry.get(end))}
            if _number(entry.get("p")):
                row["p"] = float(entry["p"])
            low, high = row.get("low", math.nan), row.get("high", math.nan)
            row["result"] = "above zero" if low > 0 else "below zero" if high < 0 else "zero is possible"
            found.append(row)

    add("Spearman's rho", audit.get("spearman"), f"Does {rank} order {quality} at all?")
    add("Kendall's tau", audit.get("kendall"), "The same by pairs")
    add("within families", audit.get("within"), "Inside each family of encoders?")
    add("across families", audit.get("across"), "Between the means of families?")
    adjusted = audit.get("adjusted") or {}
    for each in adjusted.get("each") or ():
        add(f"given {', '.join(map(name_of, map(str, each.get('given', []))))}", each, "At equal size, one covariate")
    add("given all, linear", adjusted.get("linear"), "At equal parameters, data and compute?")
    add("given all, bends allowed", adjusted.get("partial"), "The same, where covariates may bend")
    if adjusted.get("richer") != adjusted.get("partial"):
        add("given all, more bends", adjusted.get("richer"), "The same, with a richer basis")
    add("beyond any common effect of size", audit.get("joint"), "Beyond any bend or step that both share")
    return found


def audit_figure(audit: Mapping[str, Any]) -> Figure:
    """Each check of the audit as a point with its interval, zero marked."""
    import altair as alt

    rows = audit_rows(audit)
    chart = None
    if rows:
        base = alt.Chart(alt.NamedData("audit"))
        y = alt.Y("check:N", title=None, sort=[row["check"] for row in rows], axis=alt.Axis(labelLimit=230))
        x = alt.X("value:Q", title="correlation of rank and quality", scale=alt.Scale(domain=[-1, 1]))
        order = ["above zero", "zero is possible", "below zero"]
        mark = alt.Shape("result:N", title="interval", sort=order,
                         scale=alt.Scale(domain=order, range=["circle", "diamond", "square"]))  # fmt: skip
        colour = alt.Color("result:N", title="interval", sort=order,
                           scale=alt.Scale(domain=order, range=["#1f8a70", "#c98a00", "#b3261e"]))  # fmt: skip
        tips = [alt.Tooltip("check:N"), alt.Tooltip("asks:N", title="question"),
                alt.Tooltip("value:Q", format=".3f"), alt.Tooltip("low:Q", format=".3f"),
                alt.Tooltip("high:Q", format=".3f"), alt.Tooltip("p:Q", format=".2~g")]  # fmt: skip
        zero = alt.Chart(alt.NamedData("zero")).mark_rule(style="chance").encode(x="at:Q")
        bars = base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", title="correlation of rank and quality"), x2="high:Q", y=y, color=colour
        )  # fmt: skip
        chart = alt.layer(zero, bars, base.mark_point(filled=True, size=90).encode(
            x=x, y=y, color=colour, shape=mark, tooltip=tips))  # fmt: skip
    return Figure(
        "audit", "The audit, check by check",
        "Each check asks more than the one above it: first whether rank orders quality at all, then whether it still "
        "does among encoders of equal size. A check whose interval holds zero is open, not failed.",
        "Correlations of rank and quality with intervals. "
        + " ".join(f"{row['check']}: {decimal(row['value'], 2)}, {row['result']}." for row in rows),
        (Panel(chart, note=str(audit.get("reason") or "rank was not audited"), height=70 + 30 * len(rows),
               names=tuple(row["check"] for row in rows)),),
        data={"audit": rows, "zero": [{"at": 0}]},
    )  # fmt: skip


def decision_rows(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Share of pairs of configurations that each column orders as quality does."""
    found = []
    for one in audit.get("decisions") or ():
        accuracy, difference = one.get("accuracy") or {}, one.get("difference") or {}
        if _number(accuracy.get("value")):
            row = {"by": name_of(str(one["by"])), "share": float(accuracy["value"]), "pairs": one.get("pairs")}
            row |= {end: float(accuracy[end]) for end in ("low", "high") if _number(accuracy.get(end))}
            row |= {f"difference_{k}": float(difference[k]) for k in ("value", "low", "high")
                    if _number(difference.get(k))}  # fmt: skip
            found.append(row)
    return sorted(found, key=lambda row: -row["share"])


def decisions_figure(audit: Mapping[str, Any]) -> Figure:
    """How often each column picks the better of two encoders."""
    import altair as alt

    rows = decision_rows(audit)
    chart = None
    if rows:
        base = alt.Chart(alt.NamedData("decisions"))
        y = alt.Y("by:N", title=None, sort=[row["by"] for row in rows], axis=alt.Axis(labelLimit=230))
        title = "share of pairs ordered as quality orders them"
        chance = alt.Chart(alt.NamedData("half")).mark_rule(style="chance").encode(x="at:Q")
        bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y)
        points = base.mark_point(size=95, style="ink", filled=True).encode(
            x=alt.X("share:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")), y=y,
            tooltip=[alt.Tooltip("by:N", title="choose by"), alt.Tooltip("share:Q", format=".1%"),
                     alt.Tooltip("low:Q", format=".1%"), alt.Tooltip("high:Q", format=".1%"), "pairs:Q"],
        )  # fmt: skip
        chart = alt.layer(chance, bars, points)
    return Figure(
        "decisions", "Choosing the better of two",
        "Of all pairs of configurations whose qualities differ by more than seeds do, the share that each column "
        "orders rightly; guessing gets half of them (dotted).",
        "Decision accuracy with intervals. "
        + " ".join(f"{row['by']}: {row['share']:.0%}." for row in rows),
        (Panel(chart, note="the audit compared no decisions", height=70 + 30 * len(rows),
               names=tuple(row["by"] for row in rows)),),
        data={"decisions": rows, "half": [{"at": 0.5}]},
    )  # fmt: skip


def held_out_figure(rows: Sequence[Mapping[str, Any]], y: str, law: str, encoders: Encoders | None = None) -> Figure:
    """Predicted against observed, each predicted without its own configuration; and how often intervals hold.

    Arguments:
        rows: `predicted`, `observed`, and of encoders `run`, `config`, `label` and what colours show; `inside`: the
            level of the narrowest interval that holds the observed value.
        y: what was predicted.
        law: which predicted, in words.
    """
    import altair as alt

    panels: list[Panel] = [Panel(None, note="no law predicted what was left out")]
    data: dict[str, Any] = {}
    if rows:
        ends = [one for row in rows for one in (row["predicted"], row["observed"])]
        scale = alt.Scale(domain=[min(ends), max(ends)], zero=False, nice=True)
        data = {"held": rows, "diagonal": [{"at": min(ends)}, {"at": max(ends)}]}
        line = alt.Chart(alt.NamedData("diagonal")).mark_line(style="chance").encode(
            x=alt.X("at:Q", scale=scale), y=alt.Y("at:Q", scale=scale)
        )  # fmt: skip
        paint = {"color": colour_of(encoders, encoders.colour, legend=False)} if encoders else {}
        points = alt.Chart(alt.NamedData("held")).mark_point(filled=True, size=60).encode(
            x=alt.X("predicted:Q", title=f"{y}, predicted", scale=scale),
            y=alt.Y("observed:Q", title=f"{y}, observed", scale=scale),
            opacity=alt.condition("picked == null || picked[datum.run]", alt.value(0.85), alt.value(0.08)),
            tooltip=[alt.Tooltip("label:N", title="configuration"), alt.Tooltip("predicted:Q", format=".4f"),
                     alt.Tooltip("observed:Q", format=".4f")],
            **paint,
        ).add_params(alt.selection_interval(name="brush", empty=False))  # fmt: skip
        panels = [Panel(alt.layer(line, points), "held-out prediction", height=300)]
        levels = sorted(row["inside"] for row in rows if _number(row.get("inside")))
        if len(levels) > 4:
            data["coverage"] = [{"said": 0.0, "held": 0.0}] + [
                {"said": level, "held": (i + 1) / len(levels)} for i, level in enumerate(levels)
            ]
            data["unit"] = [{"at": 0}, {"at": 1}]
            percent = alt.Axis(format="%")
            unit = alt.Chart(alt.NamedData("unit")).mark_line(style="chance").encode(x="at:Q", y="at:Q")
            steps = alt.Chart(alt.NamedData("coverage")).mark_line(style="law", interpolate="step-after").encode(
                x=alt.X("said:Q", title="level of the interval", axis=percent, scale=alt.Scale(domain=[0, 1])),
                y=alt.Y("held:Q", title="share inside", axis=percent, scale=alt.Scale(domain=[0, 1])),
            )  # fmt: skip
            panels.append(Panel(alt.layer(unit, steps), "calibration", height=300))
    return Figure(
        "held_out", "Held-out prediction and calibration",
        f"Left, each encoder predicted by {law} fitted without its configuration; on the dotted line the prediction is "
        "exact. Right, how many of them lie inside intervals of each level: above the dotted line intervals are too "
        "wide, below it too narrow.",
        f"Observed against predicted {y} of {plural(len(rows), 'encoder')}.", tuple(panels), data=data, columns=2,
    )  # fmt: skip


def frontier_figure(results: StudyResults, encoders: Encoders) -> Figure:
    """Quality against training FLOPs, with the best quality had for each budget."""
    import altair as alt

    flops = next((one for one in encoders.variables.values() if one.column == "flops"), None)
    chart, rows = None, []
    if flops is not None:
        best = -math.inf
        known = [row for row in encoders.rows if row["of"] == "configuration" and row.get("quality") is not None
                 and row.get(flops.key) is not None]  # fmt: skip
        for row in sorted(known, key=lambda row: (row[flops.key], -row["quality"])):
            if row["quality"] > best:
                best = row["quality"]
                rows.append(
                    {flops.key: row[flops.key], "quality": best, "config": row["config"], "label": row["label"]}
                )
        if rows:
            rows.append(rows[-1] | {flops.key: max(row[flops.key] for row in known)})
        line = alt.Chart(alt.NamedData("frontier")).mark_line(style="law", interpolate="step-after").encode(
            x=alt.X(f"{flops.key}:Q"), y="quality:Q"
        )  # fmt: skip
        chart = alt.layer(line, scatter(encoders, flops, colour=encoders.colour))
    return Figure(
        "frontier", "What compute buys",
        "Quality against the FLOPs of training, decoder and teacher included; the line is the best quality that any "
        "configuration reached within a budget.",
        f"Quality against training FLOPs with its frontier of {plural(max(len(rows) - 1, 0), 'step')}.",
        (Panel(chart, note="the ledger has no FLOPs", height=320),),
        data={"encoders": encoders.rows, "frontier": rows}, controls=("colour",),
    )  # fmt: skip


def isoflop_figure(plan: Mapping[str, Any], observed: Sequence[Mapping[str, Any]] = ()) -> Figure:
    """The expected y along parameters at several budgets, and the best of each.

    Arguments:
        plan: an allocation as its JSON form has it.
        observed: rows with `n`, `y` and `flops` of the runs.
    """
    import altair as alt

    columns = plan["columns"]
    curves = [
        {"budget": f"{one['flops']:.2g} FLOPs", "flops": one["flops"], "n": n, "y": y, "low": low, "high": high}
        for one in plan["isoflops"]
        for n, y, low, high in zip(one["x"], one["y"], one["low"], one["high"], strict=True)
    ]
    best = [{"n": plan["n"]["value"], "y": plan["y"]["value"], "low": plan["y"]["low"], "high": plan["y"]["high"]}]
    last = max(plan["isoflops"], key=lambda one: one["flops"])["flops"] if plan["isoflops"] else 0
    x = alt.X("n:Q", title=label_of(columns["n"]), scale=alt.Scale(type="log", nice=False),
              axis=alt.Axis(format="~s"))  # fmt: skip
    y = alt.Y("y:Q", title=label_of(columns["y"]), scale=alt.Scale(zero=False))
    colour = alt.Color("flops:O", title="FLOPs", legend=alt.Legend(format=".2~e", formatType="number"))  # type: ignore[arg-type]
    base = alt.Chart(alt.NamedData("isoflops"))
    band = base.transform_filter(alt.FieldEqualPredicate(field="flops", equal=last)).mark_area(style="band").encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q"
    )  # fmt: skip
    lines = base.mark_line().encode(x=x, y=y, color=colour, tooltip=[
        alt.Tooltip("budget:N"), alt.Tooltip("n:Q", format=".3~s"), alt.Tooltip("y:Q", format=".4~g")])  # fmt: skip
    runs = alt.Chart(alt.NamedData("observed")).mark_point(size=24, opacity=0.5, filled=False).encode(x=x, y=y)
    star = alt.Chart(alt.NamedData("planned"))
    bars = star.mark_rule(style="ink", strokeWidth=2).encode(x=x, y=alt.Y("low:Q"), y2="high:Q")
    point = star.mark_point(style="plan", filled=True, size=220, shape="diamond").encode(x=x, y=y)
    return Figure(
        "isoflops", "IsoFLOP curves",
        "What the law expects along parameters at equal FLOPs; the band is the uncertainty of the law at the largest "
        "budget, the diamond the plan with the interval of one run.",
        f"{label_of(columns['y'])} along {label_of(columns['n'])} at {len(plan['isoflops'])} budgets.",
        (Panel(alt.layer(band, lines, runs, bars, point), height=380),),
        data={"isoflops": curves, "observed": list(observed), "planned": best},
    )  # fmt: skip


def _quality(audit: Mapping[str, Any]) -> str:
    target = audit.get("target")
    return name_of(str(target.get("name", "quality"))) if isinstance(target, Mapping) else "quality"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
