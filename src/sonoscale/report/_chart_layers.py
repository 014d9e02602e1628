"""Layer by layer: what each scores, and its rank."""

from __future__ import annotations

import math
from typing import Any

from sonoscale.report._chart_quality import colour_of
from sonoscale.report._encoders import Encoders
from sonoscale.report._figure import Figure, Panel, picked
from sonoscale.report._model import StudyResults

__all__ = ["layers_figure", "layers_words"]

MOST = 200
"""Configurations that are drawn."""


def layers_words(results: StudyResults) -> str:
    """Where the best layer lies, and whether rank finds it, in a sentence."""
    by: dict[str, list[Any]] = {}
    for point in results.layers:
        if math.isfinite(point.score) and math.isfinite(point.rank):
            by.setdefault(point.config, []).append(point)
    best = {config: max(of, key=lambda point: point.score) for config, of in by.items()}
    last = sum(best[config].layer == max(point.layer for point in of) for config, of in by.items())
    ranked = sum(max(of, key=lambda point: point.rank) is best[config] for config, of in by.items())
    return (
        f"Of {len(by)} configurations the output is the best layer in {last}; the layer of the largest rank is the "
        f"best in {ranked}."
    )


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def layers_figure(results: StudyResults, encoders: Encoders) -> Figure:
    """Score and rank of each layer, a line for each configuration."""
    import altair as alt

    about = {row["config"]: {one.key: row.get(one.key) for one in encoders.design} for row in encoders.configurations}
    if encoders.colour is not None:
        for row in encoders.configurations:
            about[row["config"]][encoders.colour.key] = row.get(encoders.colour.key)
    kept = [config for config in dict.fromkeys(point.config for point in results.layers) if config in about][:MOST]
    rows = [
        {"config": point.config, "label": point.label, "layer": point.layer, "score": _short(point.score),
         "rank": _short(point.rank)} | about[point.config]
        for point in results.layers if point.config in set(kept)
    ]  # fmt: skip
    deepest = max((point.layer for point in results.layers), default=0)
    places = list(range(0, deepest + 1, max(1, round(deepest / 12))))
    panels = []
    for column, title in (("score", "mean score"), ("rank", "RankMe of what is probed")):
        chart = (
            alt.Chart(alt.NamedData("layers"))
            .mark_line(point=True, strokeWidth=1.3)
            .encode(
                x=alt.X(
                    "layer:Q",
                    title="layer (0: what goes into the first)",
                    axis=alt.Axis(values=places, format="d"),
                    scale=alt.Scale(nice=False, padding=12),
                ),
                y=alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False)),
                color=colour_of(encoders, encoders.colour, legend=column == "score"),
                detail="config:N",
                opacity=picked(full=0.85),
                tooltip=[
                    alt.Tooltip("label:N", title="configuration"),
                    "layer:Q",
                    alt.Tooltip("score:Q", format=".3f"),
                    alt.Tooltip("rank:Q", format=".3~s"),
                ],
            )
        )
        panels.append(Panel(chart if rows else None, title, note="no layers", height=260))
    caption = (
        "A line for each configuration at its largest budget, a mean over its seeds: the plain mean of its scores on "
        "the readout of quality, and the rank of the same numbers. The last layer is the output, which quality is of."
    )
    return Figure(
        "layers", "Layer by layer", caption, layers_words(results), tuple(panels), data={"layers": rows}, columns=2,
        controls=("colour",),
    )  # fmt: skip
