"""The figures of the runs: how rank and loss move in training, and the spectra before and after it."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from sonoscale.report._figures_law import axes_of
from sonoscale.report._format import join
from sonoscale.report._model import Point, StudyResults, Trajectory
from sonoscale.report._spec import INK, Axis, FigureSpec, Key, Panel, Series

__all__ = ["spectra_figure", "trajectories_figure"]

_MOST_POINTS = 240
_FLOOR = 1e-7


def trajectories_figure(results: StudyResults, column: str) -> FigureSpec:
    """How `column` ("rankme" or "loss") moves with the training step; one panel per swept variable."""
    rank = column == "rankme"
    y = Axis("RankMe" if rank else "training loss")
    panels = []
    for axis, configs in _panels(results).items():
        series, legend = [], []
        for colour, label, points in configs:
            lines = [line for point in points for line in _lines(results, point, column, colour, label)]
            series += lines
            if lines:
                legend.append(Key(f"config:{label}", label, "line", colour))
        note = "" if series else f"no training history of {y.label}"
        panels.append(Panel(axis, Axis("training step"), y, tuple(series), tuple(legend), note))
    branched = any(one.dash == "dash" for panel in panels for one in panel.series)
    shared = (Key("trunk", "trunk", "line"), Key("branch", "decayed branch to a budget", "line", dash="dash"))
    caption = (
        "RankMe as training goes on, one line per seed; step 0 is the untrained encoder, which can outrank a "
        "trained one. Rank need not rise steadily, so a law is read at the end of a budget only."
        if rank
        else "The training loss (running mean), one line per seed. Losses of different patch sizes or mask "
        "ratios answer different questions and do not compare."
    )
    return FigureSpec(
        name="rank_trajectories" if rank else "loss_trajectories",
        title="Rank during training" if rank else "Loss during training",
        caption=caption,
        alt=f"Lines of {y.label} against training step; {_panel_words(panels)}.",
        panels=tuple(panels),
        legend=shared if branched else (),
        columns=3,
    )


def spectra_figure(results: StudyResults, *, centred: bool) -> FigureSpec:
    """Singular values before training and after it, relative to the largest."""
    panels = []
    for axis, configs in _panels(results).items():
        series, legend = [], []
        for colour, label, points in configs:
            lines = _spectra(results, points, colour, label, centred)
            series += lines
            if lines:
                legend.append(Key(f"config:{label}", label, "line", colour))
        x, y = (
            Axis("index of the singular value", log=True),
            Axis("relative to the largest", log=True, ticks="power"),
        )
        panels.append(Panel(axis, x, y, tuple(series), tuple(legend), "" if series else "no spectra were kept"))
    kind = "centred embeddings" if centred else "embeddings as they are (RankMe's own)"
    return FigureSpec(
        name="spectra_centred" if centred else "spectra",
        title="Singular values, centred" if centred else "Singular values",
        caption=f"Spectra of the {kind}, each divided by its largest value, for the first seed of each "
        "configuration. A flatter line is a higher rank."
        + (" Without centring, the mean of the embeddings is often the first value." if not centred else ""),
        alt=f"Normalised singular value spectra before and after training; {_panel_words(panels)}.",
        panels=tuple(panels),
        legend=(
            Key("final", "after training", "line"),
            Key("initial", "before training", "line", dash="dot"),
        ),
        columns=3,
    )


def _panels(results: StudyResults) -> dict[str, list[tuple[int, str, list[Point]]]]:
    """For each swept variable its configurations (colour, label, one point per run); the base is in each."""
    configs: dict[tuple[str, str, str], list[Point]] = {}
    for point in results.final_points or results.points:
        runs = configs.setdefault((point.axis, point.config, point.label), [])
        if all(other.run != point.run for other in runs):
            runs.append(point)
    base = [(INK, label, points) for (axis, _, label), points in configs.items() if axis == "base"]
    panels = {}
    for axis in [axis for axis in axes_of(results) if axis != "base"] or ["base"]:
        own = sorted((_natural(label), label, points) for (of, _, label), points in configs.items() if of == axis)
        swept = [(colour, label, points) for colour, (_, label, points) in enumerate(own)]
        panels[axis] = base if axis == "base" else base + swept
    return panels


def _lines(results: StudyResults, point: Point, column: str, colour: int, label: str) -> list[Series]:
    phases = results.runs[point.run].phases
    trunks = [phase for phase in phases if phase.phase == "trunk"]
    made = []
    for phase in phases:
        steps, values = phase.of(column)
        if len(steps) == 0:
            continue
        branch = phase.phase != "trunk"
        if branch and trunks:
            steps, values = _rooted(trunks[0], column, phase.columns["step"][0], steps, values)
        steps, values = _thin(steps, values)
        made.append(
            Series(
                "line",
                f"{label}, seed {point.seed}, {phase.phase}",
                tuple(steps.tolist()),
                tuple(values.tolist()),
                colour=colour,
                dash="dash" if branch else "solid",
                width=1.1 if branch else 1.5,
                opacity=0.9,
                groups=(f"config:{label}", "branch" if branch else "trunk"),
            )
        )
    return made


def _rooted(
    trunk: Trajectory, column: str, fork: float, steps: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A branch with the trunk's last measured point up to its fork put before it, so that lines join."""
    trunk_steps, trunk_values = trunk.of(column)
    before = np.flatnonzero((trunk_steps <= fork) & (trunk_steps < steps[0]))
    if len(before) == 0:
        return steps, values
    return np.r_[trunk_steps[before[-1]], steps], np.r_[trunk_values[before[-1]], values]


def _spectra(results: StudyResults, points: list[Point], colour: int, label: str, centred: bool) -> list[Series]:
    for point in sorted(points, key=lambda point: point.seed):
        run = results.runs[point.run]
        made = []
        for final in (False, True):
            values = run.spectrum(final=final, centred=centred)
            if values is None or len(values) == 0 or not values[0] > 0:
                continue
            relative = values / values[0]
            index = np.arange(1, len(values) + 1)[relative > _FLOOR]
            when = "after training" if final else "before training"
            made.append(
                Series(
                    "line",
                    f"{label}, seed {point.seed}, {when}",
                    tuple(index.astype(float).tolist()),
                    tuple(relative[relative > _FLOOR].tolist()),
                    colour=colour,
                    dash="solid" if final else "dot",
                    width=1.6 if final else 1.2,
                    opacity=0.95 if final else 0.8,
                    groups=(f"config:{label}", "final" if final else "initial"),
                )
            )
        if made:
            return made
    return []


def _thin(steps: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    if len(steps) <= _MOST_POINTS:
        return steps, values
    keep = np.unique(np.linspace(0, len(steps) - 1, _MOST_POINTS).round().astype(int))
    return steps[keep], values[keep]


def _natural(label: str) -> list[tuple[int, float, str]]:
    parts = re.split(r"(\d+(?:\.\d+)?)", label)
    return [(1, float(part), "") if index % 2 else (0, 0.0, part) for index, part in enumerate(parts)]


def _panel_words(panels: list[Panel]) -> str:
    return f"panels by swept variable: {join([panel.title for panel in panels])}"
