"""Task by task: what was scored, between what bounds, and how well a task tells configurations apart."""

from __future__ import annotations

import math
from typing import Any

from sonoscale.report._chart_quality import colour_of
from sonoscale.report._encoders import Encoders
from sonoscale.report._figure import Figure, Panel, picked
from sonoscale.report._format import join
from sonoscale.report._model import StudyResults

__all__ = ["reliability_of", "task_rows", "tasks_figure"]

MOST_ROWS = 6000


def task_rows(results: StudyResults, encoders: Encoders) -> list[dict[str, Any]]:
    """A row for each configuration at its largest budget and each task."""
    found = []
    for task in results.tasks:
        key = next((one.key for one in encoders.variables.values() if one.column == f"score:{task}"), None)
        if key is None:
            continue
        for row in encoders.configurations[: MOST_ROWS // max(len(results.tasks), 1)]:
            if row.get(key) is not None:
                about = {name: row.get(name) for name in ("config", "label", "step")}
                about |= {one.key: row.get(one.key) for one in encoders.design}
                found.append(about | {"task": task, "score": row[key]})
    return found


def reliability_of(results: StudyResults, task: str) -> dict[str, float]:
    """How much of the variance of a task's single runs is between configurations, with the ends of its interval.

    Returns:
        `value`, `low` and `high`, those that are known.
    """
    about = results.about_tasks.get(task, {})
    found = {key: about.get(name, math.nan) for key, name in (
        ("value", "reliability"), ("low", "reliability_low"), ("high", "reliability_high"))}  # fmt: skip
    return {key: value for key, value in found.items() if math.isfinite(value)} if math.isfinite(found["value"]) else {}


def tasks_figure(results: StudyResults, encoders: Encoders) -> Figure:
    """The scores of each task between its chance, floor and ceiling, and its reliability beside it."""
    import altair as alt

    rows = task_rows(results, encoders)
    bounds: list[dict[str, Any]] = []
    reliability: list[dict[str, Any]] = []
    names = {
        "chance": "chance", "floor_untrained": "untrained encoder", "floor_logmel": "log-mel statistics",
        "ceiling": "strong encoder",
    }  # fmt: skip
    for task in results.tasks:
        about = results.about_tasks.get(task, {})
        bounds += [
            {"task": task, "bound": words, "at": about[key]}
            for key, words in names.items()
            if math.isfinite(about.get(key, math.nan))
        ]
        found = reliability_of(results, task)
        if found:
            reliability.append({"task": task, **found})
    panels: list[Panel] = [Panel(None, note="no scores")]
    if rows:
        y = alt.Y("task:N", title=None, sort=list(results.tasks), axis=alt.Axis(labelLimit=180))
        points = (
            alt.Chart(alt.NamedData("tasks"))
            .mark_circle(size=62)
            .encode(
                x=alt.X("score:Q", title="score", scale=alt.Scale(zero=False)),
                y=y,
                color=colour_of(encoders, encoders.colour, legend=False),
                opacity=picked(full=0.75),
                tooltip=[alt.Tooltip("label:N", title="configuration"), "task:N", alt.Tooltip("score:Q", format=".3f")],
            )
        )
        kinds = [words for words in names.values() if any(row["bound"] == words for row in bounds)]
        signs = ("diamond", "square", "triangle-right", "triangle-left")
        shapes = dict(zip(names.values(), signs, strict=True))
        marks = (
            alt.Chart(alt.NamedData("bounds"))
            .mark_point(style="soft", filled=True, size=150)
            .encode(
                x="at:Q",
                y=y,
                shape=alt.Shape("bound:N", title=None, scale=alt.Scale(domain=kinds, range=[shapes[k] for k in kinds])),
                tooltip=["task:N", "bound:N", alt.Tooltip("at:Q", title="score", format=".3f")],
            )
        )
        panels = [
            Panel(
                alt.layer(marks, points) if bounds else points,
                "scores",
                height=90 + 34 * len(results.tasks),
                names=tuple(results.tasks),
            )
        ]
        if reliability:
            base = alt.Chart(alt.NamedData("reliability"))
            x = alt.X(
                "value:Q",
                title="share of variance between configurations",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%"),
            )
            layers = [
                base.mark_bar(style="soft", size=3).encode(x=x, y=y),
                base.mark_point(style="ink", filled=True, size=80).encode(
                    x=x, y=y, tooltip=["task:N", alt.Tooltip("value:Q", title="reliability", format=".2f")]
                ),
            ]
            if any("low" in row for row in reliability):
                layers.insert(1, base.mark_rule(style="ink").encode(x=alt.X("low:Q"), x2="high:Q", y=y))
            panels.append(
                Panel(
                    alt.layer(*layers), "reliability", height=90 + 34 * len(results.tasks), names=tuple(results.tasks)
                )
            )
    return Figure(
        "tasks",
        "Task by task",
        "Each point is a configuration at its largest budget. A task can only tell configurations apart between its "
        "floor and its ceiling, and only as far as its reliability goes: the share of the variance of single runs that "
        "is between configurations, not between seeds.",
        f"Scores of {join(list(results.tasks))} with their bounds"
        + (
            "; reliability: " + ", ".join(f"{row['task']} {row['value']:.2f}" for row in reliability)
            if reliability
            else ""
        )
        + ".",
        tuple(panels),
        data={"tasks": rows, "bounds": bounds, "reliability": reliability},
        columns=2,
        controls=("colour",),
    )
