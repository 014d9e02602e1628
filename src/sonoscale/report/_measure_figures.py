"""Rank by layer, by duration and by group of clips, as figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sonoscale.measure import Measured, Measurement
from sonoscale.rank import RankRecord
from sonoscale.report._format import name_of, significant
from sonoscale.report._spec import Axis, FigureSpec, Key, Panel, Series

__all__ = ["durations_figure", "groups_figure", "layers_figure"]

_MOST_GROUPS = 40
_MOST_MARKS = 13
_LONGEST = 22

_Points = list[tuple[float, str, RankRecord]]
"""Where a number stands along the axis, what it is of, and the number."""


def layers_figure(results: Measurement) -> FigureSpec:
    """The first estimator against the layer, one line each."""
    found: list[_Points] = [
        [(float(record.layer or 0), f"layer {record.layer}", record) for record in one.layers]
        for one in results.measured
    ]
    deepest = max((int(at) for points in found for at, _, _ in points), default=0)
    every = max(1, math.ceil((deepest + 1) / _MOST_MARKS))
    marks = tuple((float(layer), str(layer)) for layer in range(0, deepest + 1, every))
    rank = name_of(results.estimator)
    return FigureSpec(
        "by_layer", f"{rank} by layer",
        f"{rank} of the embeddings that each layer gives, with {results.percent} intervals. The layer of the "
        "highest rank need not be the best for a task.",
        f"{rank} against the index of the layer, one line per encoder.",
        (_lined(results, found, Axis("layer", marks=marks)),), legend=_legend(results, found), height=21,
    )  # fmt: skip


def durations_figure(results: Measurement) -> FigureSpec:
    """The first estimator against how much of each clip was embedded, one line each."""
    found: list[_Points] = [
        [(record.mean_seconds or 0.0, f"first {record.mean_seconds:g} s", record) for record in one.durations]
        for one in results.measured
    ]
    lengths = sorted({at for points in found for at, _, _ in points})
    marks = tuple((at, f"{at:g}") for at in lengths) if len(lengths) <= _MOST_MARKS else ()
    rank = name_of(results.estimator)
    return FigureSpec(
        "by_duration", f"{rank} by duration",
        f"{rank} of the beginnings of the same clips, with {results.percent} intervals.",
        f"{rank} against the seconds embedded of each clip, one line per encoder.",
        (_lined(results, found, Axis("seconds of each clip", log=True, marks=marks)),),
        legend=_legend(results, found), height=21,
    )  # fmt: skip


def groups_figure(results: Measurement) -> FigureSpec:
    """The first estimator of each group, the highest on top, with intervals."""
    clips: dict[str, int] = {}
    for one in results.measured:
        for value, record in one.groups.items():
            clips[value] = max(clips.get(value, 0), record.n)
    kept = sorted(clips, key=lambda value: -clips[value])[:_MOST_GROUPS]
    kept.sort(key=lambda value: next(-one.groups[value].value for one in results.measured if value in one.groups))
    series, many = [], len(results.measured)
    for colour, one in enumerate(results.measured):
        shift = 0.25 - 0.5 * (colour + 0.5) / many
        places = [shift - place for place, value in enumerate(kept) if value in one.groups]
        records = [one.groups[value] for value in kept if value in one.groups]
        series.append(
            Series(
                "points", one.name, tuple(record.value for record in records), tuple(places),
                x_low=tuple(record.low for record in records), x_high=tuple(record.high for record in records),
                hover=tuple(_hover(results, one, f"{results.grouped_by or 'group'} {value}", one.groups[value])
                            for value in kept if value in one.groups),
                colour=colour, groups=(one.name,),
            )
        )  # fmt: skip
    rank, which = name_of(results.estimator), results.grouped_by or "group"
    caption = f"{rank} of the clips of each {which}, the highest on top, with {results.percent} intervals."
    if len(clips) > len(kept):
        caption += f" Of {len(clips)} groups the {len(kept)} of most clips are drawn."
    if len(set(clips.values())) > 1:
        caption += " A rank grows with the number of clips: only groups of about as many compare."
    marks = tuple((float(-place), _short(value)) for place, value in enumerate(kept))
    panel = Panel("", Axis(rank), Axis(which, marks=marks), tuple(one for one in series if one.x), note="no groups")
    return FigureSpec(
        "by_group", f"{rank} by {which}", caption, f"{rank} of each {which} as points with intervals.", (panel,),
        legend=tuple(Key(one.name, one.name, "points", i) for i, one in enumerate(results.measured) if one.groups),
        height=8 + len(kept) * max(1.4, 0.55 * many),
    )  # fmt: skip


def _lined(results: Measurement, found: Sequence[_Points], x: Axis) -> Panel:
    """Lines with their points, above bands of their intervals."""
    bands, lines = [], []
    for colour, (one, points) in enumerate(zip(results.measured, found, strict=True)):
        if not points:
            continue
        where, values = tuple(at for at, _, _ in points), tuple(record.value for _, _, record in points)
        low, high = (tuple(getattr(record, end) for _, _, record in points) for end in ("low", "high"))
        style = {"colour": colour, "groups": (one.name,)}
        if all(map(math.isfinite, low + high)):
            bands.append(
                Series("band", f"{one.name}, interval", where, y_low=low, y_high=high, opacity=0.2, **style)
                if len(points) > 1
                else Series("line", f"{one.name}, interval", where * 2, low + high, **style)
            )
        hover = tuple(_hover(results, one, words, record) for _, words, record in points)
        if len(points) > 1:
            lines.append(Series("line", one.name, where, values, **style))
        lines.append(Series("points", one.name, where, values, hover=hover, **style))
    return Panel("", x, Axis(name_of(results.estimator)), (*bands, *lines), note="nothing was measured")


def _legend(results: Measurement, found: Sequence[_Points]) -> tuple[Key, ...]:
    return tuple(
        Key(one.name, one.name, "line", i)
        for i, (one, points) in enumerate(zip(results.measured, found, strict=True))
        if points
    )


def _hover(results: Measurement, one: Measured, words: str, record: RankRecord) -> str:
    span = "" if math.isnan(record.low) else f" [{significant(record.low)}, {significant(record.high)}]"
    rank = name_of(results.estimator)
    return f"{one.name}\n{words}\n{rank} {significant(record.value)}{span}\nn = {record.n:,}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
