"""Quality against rank, against the alternatives to rank, and against what was varied."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sonoscale.report._encoders import Encoders, Variable
from sonoscale.report._figure import Figure, Panel, picked
from sonoscale.report._format import interval, join, name_of, plural
from sonoscale.report._model import StudyResults

__all__ = [
    "alternatives_figure",
    "alternatives_of",
    "colour_of",
    "curves_of",
    "effects_figure",
    "extent_of",
    "quality_figure",
    "x_of",
]

ALTERNATIVES = ("rankme_centred", "params", "hours_seen", "train_hours", "flops", "loss")
MOST_EFFECTS = 6
MOST_LINES = 5
"""Values of a second variable that have a colour each in one panel."""


def alternatives_of(results: StudyResults) -> list[str]:
    """The predictors beside RankMe that vary in the ledger; of the two kinds of hours, the fitted one."""
    known = [x for x in ALTERNATIVES if len({p.get(x) for p in results.points if math.isfinite(p.get(x))}) > 1]
    fitted = {fit.x for fit in results.laws.fits} | set(results.laws.correlations)
    if "hours_seen" in known and "train_hours" in known:
        known.remove("hours_seen" if "train_hours" in fitted and "hours_seen" not in fitted else "train_hours")
    extra = [x for x in dict.fromkeys(fit.x for fit in results.laws.fits) if x not in ALTERNATIVES and x != "rankme"]
    return known + [x for x in extra if any(math.isfinite(p.get(x)) for p in results.points)]


def curves_of(results: StudyResults) -> list[dict[str, Any]]:
    """The fitted laws of quality as points of curves, each with the key of its variable and whether it is the best."""
    rows = []
    for x in dict.fromkeys(fit.x for fit in results.laws.fits):
        for fit in results.laws.of(x):
            if fit.curve is None:
                continue
            best = fit is results.laws.of(x)[0]
            ends = zip(fit.curve.low or [math.nan] * len(fit.curve.x), fit.curve.high or [math.nan] * len(fit.curve.x),
                       strict=True)  # fmt: skip
            for at, y, (low, high) in zip(fit.curve.x, fit.curve.y, ends, strict=True):
                known = math.isfinite(low) and math.isfinite(high) and best
                rows.append(
                    {"xname": x, "form": f"{fit.form}: {fit.formula}", "best": best, "x": _short(at), "y": _short(y)}
                    | ({"low": _short(low), "high": _short(high)} if known else {})
                )
    return rows


def quality_figure(results: StudyResults, encoders: Encoders) -> Figure:
    """Quality against RankMe: a point for each configuration and budget, the law and its band."""
    fits = [fit for fit in results.laws.of("rankme") if fit.curve]
    seeds = sorted({row["n"] for row in encoders.configurations})
    several = plural(seeds[0], "seed") if len(seeds) == 1 else f"seeds ({seeds[0]} to {seeds[-1]})"
    caption = (
        f"Each point is a configuration at one budget, the mean of its {several}, with bars from the lowest to the "
        "highest seed; small points are earlier budgets, joined by a line."
        if seeds[-1] > 1
        else "Each point is an encoder at one budget; small points are earlier budgets, joined by a line."
    )
    if fits:
        caption += (
            f" The curve is the fitted law, {fits[0].formula}; the band is where it predicts {results.laws.percent} of "
            "new encoders."
        )
    x = encoders.variables.get("rankme")
    curves = curves_of(results)
    chart = scatter(encoders, x, colour=encoders.colour, curves=curves) if x else None
    return Figure(
        name="quality",
        title="Quality against RankMe",
        caption=caption,
        alt=f"Scatter of quality against RankMe, {plural(len(encoders.configurations), 'configuration')}. "
        + _correlation(results, "rankme"),
        panels=(Panel(chart, note="the ledger has no values of RankMe", height=430),),
        data={"encoders": encoders.rows, "curves": curves},
        controls=("x", "y", "colour", "facet"),
    )


def alternatives_figure(results: StudyResults, encoders: Encoders) -> Figure:
    """The same quality against everything that could stand in for rank."""
    panels, curves = [], curves_of(results)
    for x in alternatives_of(results):
        variable = next((one for one in encoders.variables.values() if one.column == x), None)
        spearman = results.laws.correlations.get(x)
        chart = (
            scatter(
                encoders,
                variable,
                colour=encoders.colour,
                legend=False,
                curves=[row for row in curves if row["xname"] == x],
            )
            if variable
            else None
        )
        subtitle = f"Spearman {interval(spearman, 2)}" if spearman else ""
        panels.append(Panel(chart, name_of(x), subtitle, note=f"no values of {name_of(x)}", height=210))
    return Figure(
        name="alternatives",
        title="Quality against the alternatives to rank",
        caption="The same encoders against what else could predict their quality, each with the best form fitted to "
        f"it and its {results.laws.percent} prediction band; below each name Spearman's correlation with its interval.",
        alt=" ".join(_correlation(results, x) for x in alternatives_of(results)) or "No alternative varies.",
        panels=tuple(panels),
        data={"encoders": encoders.rows, "curves": curves},
        columns=3,
        controls=("colour",),
    )


def effects_figure(results: StudyResults, encoders: Encoders) -> Figure:
    """Quality by the values of each variable of the design, that which explains most of it first."""
    import altair as alt

    shown = [one for one in encoders.design if one.few and one.key != "axis"]
    swept = one_at_a_time(encoders)
    families = encoders.families if swept else None
    known = [row[key] for row in encoders.configurations for key in ("quality", "quality_low", "quality_high")
             if row.get(key) is not None]  # fmt: skip
    ends = alt.Scale(domain=[min(known), max(known)], nice=True, zero=False) if known else alt.Scale()
    panels = []
    for one in shown:
        kind = "O" if one.kind == "number" else "N"
        large = one.kind == "number" and max(row[one.key] or 0 for row in encoders.configurations) >= 1000
        numbers: dict[str, Any] = (
            {"format": ".3~s" if large else ".3~g", "formatType": "number"} if one.kind == "number" else {}
        )
        x = alt.X(f"{one.key}:{kind}", title=None, sort="ascending",
                  axis=alt.Axis(labelAngle=0, labelLimit=90, **numbers))  # fmt: skip
        base = alt.Chart(alt.NamedData("encoders")).transform_filter("datum.of == 'configuration' && datum.final")
        if swept:
            axis = next((a for a, keys in swept.items() if one.key in keys), None)
            if axis is None:
                continue
            base = base.transform_filter(
                alt.FieldOneOfPredicate(field="axis", oneOf=[axis, "base"])  # data never become an expression
            )
            if families is not None:
                of = sorted({row[families.key] for row in encoders.configurations if row["axis"] == axis})
                base = base.transform_filter(alt.FieldOneOfPredicate(field=families.key, oneOf=of))
        y = alt.Y("quality:Q", title="quality", scale=ends)
        tips = _tooltip(encoders, one.key, "quality")
        other = families if swept else next((v for v in shown if v is not one and v.levels <= MOST_LINES), None)
        split: dict[str, Any] = {}
        shape: dict[str, Any] = {}
        if other is not None:
            split = {"color": colour_of(encoders, other)}
            domain = alt.Scale(domain=order_of(encoders, other))
            shape = {
                "shape": alt.Shape(f"{other.key}:N", title=other.title, scale=domain, **legend_of(encoders, other))
            }
        bars = base.mark_rule().encode(x=x, y="quality_low:Q", y2="quality_high:Q", opacity=picked(full=0.55), **split)
        mark: dict[str, Any] = {} if split else {"shape": "circle"}
        marks = base.mark_point(filled=True, size=70, **mark).encode(
            x=x, y=y, opacity=picked(full=0.7), tooltip=tips, **split, **shape
        )
        mean = base.mark_tick(style="ink", thickness=2.5, size=30).encode(
            x=x, y=alt.Y("mean(quality):Q", title="quality")
        )
        lines = base.mark_line(strokeWidth=1.4) if split else base.mark_line(style="soft", strokeWidth=1)
        line = lines.encode(x=x, y=alt.Y("mean(quality):Q", title="quality"), **split)
        share = encoders.explains(one.key)
        about = f"{max(share, 0):.0%} of the variance between configurations" if not swept else ""
        layers = (line, bars, marks) if swept or split else (line, bars, marks, mean)
        panels.append(Panel(alt.layer(*layers), one.title, about, height=190))
    panels = panels[:MOST_EFFECTS]
    split_up = families is not None if swept else len(shown) > 1
    how = "where nothing else differs from the base" if swept else "over all configurations"
    coloured = "each family's" if swept else "those of another variable's values"
    drawn = f"lines are means, in colour {coloured}" if split_up else "the bar is the mean"
    return Figure(
        name="effects",
        title="Quality by each variable of the design",
        caption=f"Quality at the largest budget by the value of each variable, {how}; {drawn}; points are "
        "configurations, thin lines the range of their seeds."
        + ("" if swept else " Panels are in the order of the variance that they explain."),
        alt=f"Quality by {join([panel.title for panel in panels]) or 'nothing'}, a panel for each.",
        panels=tuple(panels) or (Panel(None, note="nothing of the design has several values"),),
        data={"encoders": encoders.rows},
        columns=3,
    )


def one_at_a_time(encoders: Encoders) -> dict[str, set[str]]:
    """Swept variable -> keys of what differs between its configurations and their base; empty for any other design.

    Each family has a base of its own.
    """
    rows = encoders.configurations
    bases = {row.get("family"): row for row in rows if row["axis"] == "base"}
    axes = {row["axis"] for row in rows} - {"base"}
    several = sum(row["axis"] == "base" for row in rows) > len(bases)
    if several or not axes or "several" in axes or any(row.get("family") not in bases for row in rows):
        return {}
    return {
        axis: {one.key for one in encoders.design
               if any(row[one.key] != bases[row.get("family")][one.key] for row in rows if row["axis"] == axis)}
        for axis in axes
    }  # fmt: skip


def scatter(
    encoders: Encoders, x: Variable, *, y: str = "quality", colour: Variable | None, legend: bool = True,
    curves: Sequence[Mapping[str, Any]] = (),
) -> Any:  # fmt: skip
    """Encoders against a variable: configurations with the range of their seeds, and their runs once selected."""
    import altair as alt

    data = alt.NamedData("encoders")
    across = x_of(x)
    along = alt.Y(
        f"{y}:Q", title=encoders.variables[y].title if y in encoders.variables else y,
        scale=alt.Scale(domain=extent_of(encoders, y), nice=True, zero=False) if curves else alt.Scale(zero=False),
    )  # fmt: skip
    paint = colour_of(encoders, colour, legend=legend)
    shape = {}
    if colour is not None and colour.few:
        shown: dict[str, Any] = legend_of(encoders, colour) if legend else {"legend": None}
        scale = alt.Scale(domain=order_of(encoders, colour))
        shape["shape"] = alt.Shape(f"{colour.key}:N", title=colour.title, scale=scale, **shown)
    base = alt.Chart(data)
    configurations = base.transform_filter("datum.of == 'configuration'")
    layers = []
    if curves:
        layers += _laws(across, x, curves)
    layers.append(
        configurations.mark_line(strokeWidth=1.1).encode(
            x=across, y=along, color=paint, detail="config:N", order="step:Q", opacity=picked(full=0.3, dimmed=0.04)
        )
    )
    layers.append(
        configurations.mark_rule(strokeWidth=1.1).encode(
            x=across, y=alt.Y(f"{y}_low:Q"), y2=f"{y}_high:Q", color=paint, opacity=picked(full=0.5, dimmed=0.06)
        )
    )
    if x.role != "design" and x.kind == "number":
        layers.append(
            configurations.mark_rule(strokeWidth=1.1).encode(
                x=alt.X(f"{x.key}_low:Q"), x2=f"{x.key}_high:Q", y=along, color=paint,
                opacity=picked(full=0.5, dimmed=0.06),
            )
        )  # fmt: skip
    layers.append(  # beneath the configurations; the page takes what cannot be seen for not there
        base.transform_filter("datum.of == 'run'")
        .mark_point(filled=False, strokeWidth=1.3, size=34)
        .encode(
            x=across,
            y=along,
            color=paint,
            tooltip=_tooltip(encoders, x.key, y),
            opacity=alt.condition("picked != null && picked[datum.run]", alt.value(0.9), alt.value(0)),
        )
    )
    points = configurations.mark_point(filled=True).encode(
        x=across, y=along, color=paint, **shape,
        size=alt.condition("datum.final", alt.value(95), alt.value(26)),
        opacity=picked(full=0.92), tooltip=_tooltip(encoders, x.key, y),
    )  # fmt: skip
    brush = alt.selection_interval(name="brush", empty=False)
    layers.append(points.add_params(brush))
    return alt.layer(*layers, data=data)


def extent_of(encoders: Encoders, key: str) -> list[float]:
    """From the lowest to the highest of the encoders, and a little more: a wide band does not squeeze them together."""
    known = [row[k] for row in encoders.rows for k in (key, f"{key}_low", f"{key}_high") if row.get(k) is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    spare = 0.15 * (high - low) or 0.1 * abs(high) or 1.0
    return [low - spare, high + spare]


def _laws(across: Any, x: Variable, curves: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The laws of a variable: the band and the line of the best, other forms dashed; the page drops what is empty."""
    import altair as alt

    lines = alt.Chart(alt.NamedData("curves")).transform_filter(alt.FieldEqualPredicate(field="xname", equal=x.column))
    along = across_of(across, "x")
    layers = []
    if any("low" in row for row in curves):
        band = lines.transform_filter("datum.best && isValid(datum.low)").mark_area(style="band", clip=True)
        layers.append(band.encode(x=along, y=alt.Y("low:Q"), y2="high:Q"))
    for best, test, style in ((False, "!datum.best", "other-law"), (True, "datum.best", "law")):
        if any(row["best"] is best for row in curves):
            line = lines.transform_filter(test).mark_line(style=style, clip=True)
            layers.append(line.encode(x=along, y="y:Q", detail="form:N", tooltip=alt.Tooltip("form:N", title="law")))
    return layers


def x_of(x: Variable) -> Any:
    """A variable along the horizontal axis."""
    import altair as alt

    if x.kind == "word":
        return alt.X(f"{x.key}:N", title=x.title, axis=alt.Axis(labelAngle=-20))
    scale = alt.Scale(type="log", nice=False, padding=14) if x.log else alt.Scale(zero=False)
    return alt.X(f"{x.key}:Q", title=x.title, scale=scale, axis=alt.Axis(format=format_of(x), tickCount=6))


def format_of(x: Variable) -> str:
    """How numbers of a variable are written along an axis (D3's format)."""
    if x.column.startswith("flops"):
        return "~e"
    return "~s" if x.column.startswith(("params", "train_clips", "examples", "clips", "budget")) else "~g"


def across_of(across: Any, key: str) -> Any:
    """The same axis for the field of a curve."""
    import altair as alt

    copy = across.copy(deep=True)
    copy.shorthand = f"{key}:Q"
    return copy if isinstance(copy, alt.X) else across


def order_of(encoders: Encoders, one: Variable) -> Any:
    """The order of the values of a variable: as numbers, or the base configuration first."""
    values = {row.get(one.key) for row in encoders.configurations if row.get(one.key) is not None}
    return sorted(values, key=lambda v: (v != "base", isinstance(v, str), v))


def colour_of(encoders: Encoders, one: Variable | None, *, legend: bool = True) -> Any:
    """A variable as colour: single colours for few values, else a ramp."""
    import altair as alt

    if one is None:
        return alt.ColorValue("#2f5d8a")
    shown: dict[str, Any] = legend_of(encoders, one) if legend else {"legend": None}
    if one.kind == "number" and not one.few:
        scale = alt.Scale(type="log") if one.log else alt.Scale(zero=False)
        return alt.Color(f"{one.key}:Q", title=one.title, scale=scale, **shown)
    kind = "O" if one.kind == "number" else "N"
    scale = alt.Scale(domain=order_of(encoders, one))  # the same for colour, shape and dash, which so share a legend
    return alt.Color(f"{one.key}:{kind}", title=one.title, scale=scale, **shown)


def legend_of(encoders: Encoders, one: Variable) -> dict[str, Any]:
    """A legend in as many columns as there is room for."""
    import altair as alt

    if not one.few and one.kind == "number":
        return {"legend": alt.Legend(gradientLength=160, format=format_of(one))}
    longest = max((len(str(value)) for value in order_of(encoders, one)), default=1)
    columns = {"expr": f"max(1, floor(width / {round(6.4 * min(longest, 34)) + 40}))"}
    return {"legend": alt.Legend(columns=columns, symbolOpacity=1)}  # type: ignore[arg-type]


def _tooltip(encoders: Encoders, *keys: str) -> list[Any]:
    import altair as alt

    named = {one.key: one for one in encoders.variables.values()}
    found = [alt.Tooltip("label:N", title="configuration"), alt.Tooltip("step:Q", title="step")]
    for key in dict.fromkeys(keys):
        one = named.get(key)
        if one is None or one.kind == "word":
            found.append(alt.Tooltip(f"{key}:N", title=one.title if one else key))
        else:
            found.append(alt.Tooltip(f"{key}:Q", title=one.title, format=".4~g"))
    return found


def _correlation(results: StudyResults, x: str) -> str:
    found = results.laws.correlations.get(x)
    return f"Spearman of quality with {name_of(x)}: {interval(found, 2)}." if found else ""


def _short(value: float) -> float:
    return float(f"{value:.6g}")
