"""The figures of the laws: quality against rank, against the alternatives to rank, and score by task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

from sonoscale.report._format import count, decimal, flops, hours, interval, join, name_of
from sonoscale.report._model import Fit, Point, StudyResults
from sonoscale.report._spec import INK, Axis, FigureSpec, Key, Panel, Series

__all__ = ["ALTERNATIVES", "alternatives_figure", "alternatives_of", "law_figure", "tasks_figure"]

ALTERNATIVES = ("rankme_centred", "params", "hours_seen", "train_hours", "flops", "loss")

_TICKS: dict[str, Literal["si", "power"]] = {
    "params": "si",
    "flops": "power",
    "train_clips": "si",
    "clips_seen": "si",
}


def axes_of(results: StudyResults) -> list[str]:
    """The swept variables, the base configuration first."""
    axes = dict.fromkeys(point.axis for point in results.points)
    return sorted(axes, key=lambda axis: (axis != "base", axis))


def axis_colours(results: StudyResults) -> dict[str, int]:
    """A colour for each swept variable; the base configuration takes the text's colour."""
    swept = [axis for axis in axes_of(results) if axis != "base"]
    return {"base": INK} | {axis: index for index, axis in enumerate(swept)}


def alternatives_of(results: StudyResults) -> list[str]:
    """The predictors beside RankMe that vary in the ledger; of the two kinds of hours, the fitted one."""
    known = [x for x in ALTERNATIVES if len({p.get(x) for p in results.points if math.isfinite(p.get(x))}) > 1]
    fitted = {fit.x for fit in results.laws.fits} | set(results.laws.correlations)
    if "hours_seen" in known and "train_hours" in known:
        known.remove("hours_seen" if "train_hours" in fitted and "hours_seen" not in fitted else "train_hours")
    extra = [x for x in dict.fromkeys(fit.x for fit in results.laws.fits) if x not in ALTERNATIVES and x != "rankme"]
    return known + [x for x in extra if any(math.isfinite(p.get(x)) for p in results.points)]


def law_figure(results: StudyResults) -> FigureSpec:
    """Quality against RankMe, with the fitted law and its prediction band."""
    panel = _law_panel(results, "rankme", bars=True, other_forms=True)
    fits = [fit for fit in results.laws.of("rankme") if fit.curve]
    law = f" The curve is the fitted law, {fits[0].formula} ({fits[0].form})." if fits else " No law was fitted."
    return FigureSpec(
        name="law",
        title="Quality against RankMe",
        caption="Each symbol is one encoder at the end of one training budget; bars are the 95% intervals of "
        f"its RankMe.{law}"
        + (f" The shaded band is where the law predicts {results.laws.percent} of new encoders." if fits else "")
        + (" Other fitted forms are dashed." if len(fits) > 1 else ""),
        alt=_alt(results, ["rankme"]),
        panels=(panel,),
        legend=_legend(results, fits, other_forms=True),
    )


def alternatives_figure(results: StudyResults) -> FigureSpec:
    """The same quality against everything that could stand in for rank."""
    alternatives = alternatives_of(results)
    fits = [fit for x in alternatives for fit in results.laws.of(x)[:1] if fit.curve]
    return FigureSpec(
        name="law_alternatives",
        title="Quality against the alternatives to rank",
        caption="The same encoders against what else could predict their quality. Each panel has the best "
        f"form fitted to it, with its {results.laws.percent} prediction band; the number is Spearman's "
        f"correlation with its {results.laws.percent} interval.",
        alt=_alt(results, alternatives),
        panels=tuple(_law_panel(results, x, bars=False, other_forms=False, title=True) for x in alternatives),
        legend=_legend(results, fits, other_forms=False),
        columns=3,
    )


def tasks_figure(results: StudyResults) -> FigureSpec:
    """The score of each task against RankMe, with its chance level."""
    panels = []
    for task in results.tasks:
        series = _point_series(results, "rankme", lambda point, task=task: point.scores.get(task, math.nan), False)
        xs = [x for one in series for x in one.x]
        chance = results.chance.get(task, math.nan)
        if xs and math.isfinite(chance):
            ends = (min(xs), max(xs))
            line = Series("line", f"chance of {task}", ends, (chance,) * 2, dash="dot", groups=("chance",))
            series = (line, *series)
        metric = results.metrics.get(task)
        y = Axis(f"score ({metric})" if metric else "score")
        note = "" if series else "no scores"
        panels.append(Panel(task, _axis("rankme", series), y, series, note=note))
    known = any(math.isfinite(value) for value in results.chance.values())
    chance_key = (Key("chance", "chance", "line", dash="dot"),) if known else ()
    return FigureSpec(
        name="tasks",
        title="Score by task",
        caption="The same encoders, task by task, before the scores are averaged into one quality.",
        alt=f"One panel per task ({join(list(results.tasks))}), each the score against RankMe.",
        panels=tuple(panels),
        legend=_legend(results, [], other_forms=False) + chance_key,
        columns=3,
    )


def _law_panel(results: StudyResults, x: str, *, bars: bool, other_forms: bool, title: bool = False) -> Panel:
    points = _point_series(results, x, lambda point: point.quality, bars)
    fits = [fit for fit in results.laws.of(x) if fit.curve]
    curves = [series for fit in reversed(fits[1:]) if other_forms for series in _curve(fit, best=False)]
    if fits:
        curves = [*_curve(fits[0], best=True), *curves]
    series = (*curves, *points)
    spearman = results.laws.correlations.get(x)
    subtitle = f"Spearman {interval(spearman, 2)}" if spearman and title else ""
    note = "" if points else f"the ledger has no values of {name_of(x)}"
    return Panel(
        name_of(x) if title else "",
        _axis(x, points),
        Axis("quality (mean task score)"),
        series if points else (),
        note=note,
        subtitle=subtitle,
    )


def _curve(fit: Fit, *, best: bool) -> list[Series]:
    assert fit.curve is not None
    x, y = fit.curve.x, fit.curve.y
    label = f"{fit.form}: {fit.formula}"
    if not best:
        return [Series("line", label, x, y, dash="dash", width=1.2, opacity=0.6, groups=(f"fit:{fit.form}",))]
    line = Series("line", label, x, y, width=2.2, groups=("law",))
    edges = [edge for edge in zip(x, fit.curve.low, fit.curve.high, strict=False) if all(map(math.isfinite, edge))]
    if not edges:
        return [line]
    x, low, high = zip(*edges, strict=True)
    return [Series("band", "prediction band", x, y_low=low, y_high=high, opacity=0.13, groups=("band",)), line]


def _point_series(results: StudyResults, x: str, y: Callable[[Point], float], bars: bool) -> tuple[Series, ...]:
    groups: dict[tuple[bool, str, int], list[Point]] = {}
    for point in results.points:
        if math.isfinite(point.get(x)) and math.isfinite(y(point)):
            groups.setdefault((point.is_final, point.axis, point.seed), []).append(point)
    colours, seeds = axis_colours(results), results.seeds
    made = []
    for final, axis, seed in sorted(groups):
        points = groups[final, axis, seed]
        ends = [point.interval(x) for point in points]
        has_bars = bars and any(end.bounded for end in ends)
        made.append(
            Series(
                "points",
                f"{axis}, seed {seed}",
                tuple(point.get(x) for point in points),
                tuple(y(point) for point in points),
                x_low=tuple(end.low for end in ends) if has_bars else (),
                x_high=tuple(end.high for end in ends) if has_bars else (),
                hover=tuple(_hover(point) for point in points),
                colour=colours[axis],
                symbol=seeds.index(seed),
                filled=final,
                opacity=0.9,
                groups=(f"axis:{axis}", f"seed:{seed}", "final" if final else "earlier"),
            )
        )
    return tuple(made)


def _hover(point: Point) -> str:
    lines = [
        f"{point.label}, seed {point.seed}",
        f"step {point.step}" + (" (largest budget)" if point.is_final else ""),
        f"RankMe {interval(point.interval('rankme'), 1)}",
        f"quality {decimal(point.quality)}",
        *(f"{task} {decimal(score)}" for task, score in point.scores.items()),
        f"loss {decimal(point.get('loss'))}",
        f"{count(point.get('params'))} parameters, {hours(point.get('hours_seen'))} processed, "
        f"{flops(point.get('flops'))} FLOPs",
    ]
    return "\n".join(lines)


def _legend(results: StudyResults, fits: list[Fit], *, other_forms: bool) -> tuple[Key, ...]:
    colours = axis_colours(results)
    keys = [Key(f"axis:{axis}", axis, "colour", colours[axis]) for axis in axes_of(results)]
    if len(results.seeds) > 1:
        keys += [Key(f"seed:{s}", f"seed {s}", "points", symbol=i) for i, s in enumerate(results.seeds)]
    if len({point.is_final for point in results.points}) > 1:
        keys += [
            Key("final", "largest budget", "points"),
            Key("earlier", "earlier budget", "points", filled=False),
        ]
    if fits:
        keys.append(Key("law", f"{fits[0].form} law" if other_forms else "fitted law", "line"))
        if any(fit.curve and fit.curve.low for fit in fits):
            keys.append(Key("band", f"{results.laws.percent} prediction band", "band"))
        if other_forms:
            keys += [Key(f"fit:{fit.form}", f"{fit.form} law", "line", dash="dash") for fit in fits[1:]]
    return tuple(keys)


def _axis(x: str, series: Iterable[Series]) -> Axis:
    values = [value for one in series for value in one.x]
    wide = bool(values) and min(values) > 0 and max(values) / min(values) >= 4
    return Axis(name_of(x), log=wide, ticks=_TICKS.get(x, "plain"))


def _alt(results: StudyResults, xs: list[str]) -> str:
    parts = [f"Scatter of quality against {join([name_of(x) for x in xs])}, {len(results.points)} encoders."]
    for x in xs:
        if x in results.laws.correlations:
            parts.append(f"Spearman with {name_of(x)}: {interval(results.laws.correlations[x], 2)}.")
    return " ".join(parts)
