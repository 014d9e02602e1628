"""What was measured of encoders or embeddings, as figures: spectra, and rank by layer, by duration and by group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sonoscale.measure import Measurement
from sonoscale.rank import RankRecord, SpectralSketch
from sonoscale.report._figure import Figure, Panel
from sonoscale.report._format import name_of
from sonoscale.report._theme import DASHES

__all__ = ["durations_figure", "groups_figure", "layers_figure", "spectrum_figure"]

_MOST_GROUPS = 40
_MOST_VALUES = 400


def spectrum_figure(sketches: Mapping[str, SpectralSketch]) -> Figure:
    """Singular values over their sum against their index, about zero and about the mean.

    Arguments:
        sketches: by name, each of which has seen rows.
    """
    import altair as alt

    rows: list[dict[str, Any]] = []
    for name, sketch in sketches.items():
        for centred in (False, True):
            values = sketch.spectrum(centred=centred)
            shown = values[values > 0]
            shares = shown / shown.sum() if len(shown) else shown
            rows += [
                {"name": name, "centred": centred, "index": at + 1, "share": float(f"{shares[at]:.5g}")}
                for at in _places(len(shares))
            ]
    panels = []
    for title, centred in (("as they are", False), ("about the mean", True)):
        if all(row["centred"] != centred for row in rows):
            panels.append(Panel(None, title, note="all singular values are zero"))
            continue
        chart = (
            alt.Chart(alt.NamedData("spectrum"))
            .transform_filter(alt.FieldEqualPredicate(field="centred", equal=centred))
            .mark_line(point=alt.OverlayMarkDef(size=12) if len(rows) < 40 else False)
            .encode(
                x=alt.X("index:Q", title="index", scale=alt.Scale(type="log"), axis=alt.Axis(format="~s")),
                y=alt.Y("share:Q", title="share of the sum", scale=alt.Scale(type="log"),
                        axis=alt.Axis(format="~e", tickCount=6)),
                **_told(list(sketches), dashed=True),
                tooltip=[alt.Tooltip("name:N"), alt.Tooltip("index:Q"), alt.Tooltip("share:Q", format=".3~e")],
            )
        )  # fmt: skip
        panels.append(Panel(chart, title, height=300))
    return Figure(
        "spectrum", "Spectrum of the embeddings",
        "Singular values over their sum, from the largest on. A RankMe of k is that of k equal values.",
        "Singular values against their index, on logarithmic axes, one line per set of embeddings.",
        tuple(panels), data={"spectrum": rows}, columns=2,
    )  # fmt: skip


def layers_figure(results: Measurement) -> Figure:
    """The first estimator against the layer, one line each."""
    found = [[(float(record.layer or 0), record) for record in one.layers] for one in results.measured]
    rank = name_of(results.estimator)
    return _lined(
        results, found, "by_layer", f"{rank} by layer", "layer", log=False,
        caption=f"{rank} of the embeddings that each layer gives, with {results.percent} intervals. The layer of the "
        "highest rank need not be the best for a task.",
        alt=f"{rank} against the index of the layer, one line per encoder.",
    )  # fmt: skip


def durations_figure(results: Measurement) -> Figure:
    """The first estimator against how much of each clip was embedded, one line each."""
    found = [[(record.mean_seconds or 0.0, record) for record in one.durations] for one in results.measured]
    rank = name_of(results.estimator)
    return _lined(
        results, found, "by_duration", f"{rank} by duration", "seconds of each clip", log=True,
        caption=f"{rank} of the beginnings of the same clips, with {results.percent} intervals.",
        alt=f"{rank} against the seconds embedded of each clip, one line per encoder.",
    )  # fmt: skip


def groups_figure(results: Measurement) -> Figure:
    """The first estimator of each group, the highest on top, with intervals."""
    import altair as alt

    clips: dict[str, int] = {}
    for one in results.measured:
        for value, record in one.groups.items():
            clips[value] = max(clips.get(value, 0), record.n)
    kept = sorted(clips, key=lambda value: -clips[value])[:_MOST_GROUPS]
    kept.sort(key=lambda value: next(-one.groups[value].value for one in results.measured if value in one.groups))
    rows = [
        {"name": one.name, "group": value, **_numbers(one.groups[value])}
        for one in results.measured for value in kept if value in one.groups
    ]  # fmt: skip
    rank, which = name_of(results.estimator), results.grouped_by or "group"
    caption = f"{rank} of the clips of each {which}, the highest on top, with {results.percent} intervals."
    if len(clips) > len(kept):
        caption += f" Of {len(clips)} groups the {len(kept)} of most clips are drawn."
    if len(set(clips.values())) > 1:
        caption += " A rank grows with the number of clips: only groups of about as many compare."
    chart = None
    if rows:
        base = alt.Chart(alt.NamedData("groups"))
        names = [one.name for one in results.measured]
        y = alt.Y("group:N", title=None, sort=kept, axis=alt.Axis(labelLimit=180))
        offset: dict[str, Any] = {"yOffset": alt.YOffset("name:N", sort=names)} if results.several else {}
        told = _told(names)
        bars = base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", title=rank), x2="high:Q", y=y, color=told["color"], **offset
        )
        points = base.mark_point(filled=True).encode(
            x=alt.X("value:Q", title=rank, scale=alt.Scale(zero=False)), y=y, **told, **offset,
            tooltip=_tips(which, "group:N", rank),
        )  # fmt: skip
        chart = alt.layer(bars, points)
    height = 60 + round(len(kept) * max(20.0, 12.0 * len(results.measured)))
    return Figure(
        "by_group", f"{rank} by {which}", caption, f"{rank} of each {which} as points with intervals.",
        (Panel(chart, note="no groups", height=height, names=tuple(kept)),), data={"groups": rows},
    )  # fmt: skip


def _lined(
    results: Measurement, found: Sequence[Sequence[tuple[float, RankRecord]]], name: str, title: str, x_title: str,
    *, log: bool, caption: str, alt: str,
) -> Figure:  # fmt: skip
    """Lines with their points, above bands of their intervals."""
    import altair

    rows = [
        {"name": one.name, "at": at, **_numbers(record)}
        for one, points in zip(results.measured, found, strict=True) for at, record in points
    ]  # fmt: skip
    chart = None
    if rows:
        base = altair.Chart(altair.NamedData(name))
        places = sorted({row["at"] for row in rows})
        scale = altair.Scale(type="log") if log and places[0] > 0 else altair.Scale(zero=False, nice=False)
        marks: dict[str, Any] = {"values": places} if len(places) <= 13 else {}
        x = altair.X("at:Q", title=x_title, scale=scale, axis=altair.Axis(format="~g", **marks))
        rank, names = name_of(results.estimator), [one.name for one in results.measured]
        told = _told(names, dashed=True)
        band = base.mark_area(opacity=0.16).encode(
            x=x, y=altair.Y("low:Q", title=rank), y2="high:Q", color=told["color"]
        )
        line = base.mark_line().encode(x=x, y=altair.Y("value:Q", title=rank, scale=altair.Scale(zero=False)), **told)
        points = base.mark_point(filled=True, size=48).encode(
            x=x, y="value:Q", color=told["color"], tooltip=_tips(x_title, "at:Q", rank)
        )
        layers = (band, line, points) if len(places) > 1 else (
            base.mark_rule().encode(x=x, y="low:Q", y2="high:Q", color=told["color"]), points
        )  # fmt: skip
        chart = altair.layer(*layers)
    return Figure(
        name, title, caption, alt, (Panel(chart, note="nothing was measured", height=320),), data={name: rows}
    )


def _told(names: list[str], *, dashed: bool = False) -> dict[str, Any]:
    """Sets of embeddings apart: by colour, and by dash or shape for those who see none."""
    import altair as alt

    scale = alt.Scale(domain=names)
    legend = alt.Legend() if len(names) > 1 else None
    found: dict[str, Any] = {"color": alt.Color("name:N", title=None, scale=scale, legend=legend)}
    if dashed:
        dashes = alt.Scale(domain=names, range=(DASHES * len(names))[: len(names)])
        return found | {"strokeDash": alt.StrokeDash("name:N", title=None, scale=dashes, legend=legend)}
    return found | {"shape": alt.Shape("name:N", title=None, scale=scale, legend=legend)}


def _tips(what: str, field: str, rank: str) -> list[Any]:
    import altair as alt

    return [
        alt.Tooltip("name:N", title="of"), alt.Tooltip(field, title=what),
        alt.Tooltip("value:Q", title=rank, format=".4~g"), alt.Tooltip("low:Q", format=".4~g"),
        alt.Tooltip("high:Q", format=".4~g"), alt.Tooltip("n:Q"),
    ]  # fmt: skip


def _numbers(record: RankRecord) -> dict[str, Any]:
    found: dict[str, Any] = {"value": record.value, "n": record.n}
    if math.isfinite(record.low) and math.isfinite(record.high):
        found |= {"low": record.low, "high": record.high}
    return found


def _places(count: int) -> list[int]:
    """Indices of up to some hundreds of values, evenly spread over a logarithmic axis."""
    if count <= _MOST_VALUES:
        return list(range(count))
    return np.unique(np.geomspace(1, count, _MOST_VALUES).round().astype(int) - 1).tolist()
