"""How rank and loss move in training, and the spectra of embeddings before and after it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.report._chart_quality import colour_of, legend_of, order_of
from sonoscale.report._encoders import Encoders, Variable
from sonoscale.report._figure import Figure, Panel
from sonoscale.report._model import StudyResults, Trajectory
from sonoscale.report._theme import DASHES

__all__ = ["spectra_figure", "spectra_rows", "trajectories_figure", "trajectory_rows"]

MOST_POINTS = 24_000
"""Points of trajectories that a figure holds."""
_PER_LINE = (14, 160)
_SPECTRA = 60
_FLOOR = 1e-7


def trajectory_rows(results: StudyResults, encoders: Encoders) -> tuple[list[dict[str, Any]], int]:
    """Rows of the histories of runs (thinned, and of so many runs as there is room for), and how many were left out."""
    runs = list(results.runs)
    lines = 2 * sum(len(run.phases) for run in results.runs.values()) or 1
    per_line = min(max(MOST_POINTS // lines, _PER_LINE[0]), _PER_LINE[1])
    kept = _spaced(runs, max(1, min(len(runs), int(MOST_POINTS / per_line * len(runs) / lines))))
    rows: list[dict[str, Any]] = []
    about = _about(encoders)
    for name in kept:
        if name not in about:
            continue
        phases = results.runs[name].phases
        trunks = [phase for phase in phases if phase.phase == "trunk"]
        for phase in phases:
            branch = phase.phase != "trunk"
            for column in ("rankme", "loss"):
                steps, values = phase.of(column)
                if len(steps) == 0:
                    continue
                if branch and trunks:
                    steps, values = _rooted(trunks[0], column, phase.columns["step"][0], steps, values)
                at = _thin(len(steps), per_line)
                rows += [
                    about[name]
                    | {"phase": phase.phase, "of": column, "step": int(step), "value": float(f"{value:.4g}")}
                    for step, value in zip(steps[at], values[at], strict=True)
                ]
    return rows, len(runs) - len(kept)


def trajectories_figure(results: StudyResults, encoders: Encoders) -> Figure:
    """How rank and loss move with the training step, side by side."""
    import altair as alt

    rows, left_out = trajectory_rows(results, encoders)
    panels = []
    for column, title in (("rankme", "RankMe"), ("loss", "training loss")):
        if all(row["of"] != column for row in rows):
            panels.append(Panel(None, title, note=f"no training history of {title}"))
            continue
        chart = (
            alt.Chart(alt.NamedData("histories"))
            .transform_filter(alt.FieldEqualPredicate(field="of", equal=column))
            .mark_line(strokeWidth=1.3)
            .encode(
                x=alt.X("step:Q", title="training step", axis=alt.Axis(format="~s")),
                y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
                color=colour_of(encoders, encoders.colour),
                detail=["run:N", "phase:N"],
                strokeDash=dash_of(encoders, encoders.colour),
                opacity=_run_opacity(0.75),
                tooltip=[
                    alt.Tooltip("label:N", title="configuration"),
                    alt.Tooltip("seed:Q", title="seed"),
                    alt.Tooltip("phase:N", title="phase"),
                ],
            )
        )
        panels.append(Panel(chart, title, height=300))
    caption = (
        "One line per run, the trunk and each decayed branch to a budget; step 0 is the untrained encoder, which can "
        "outrank a trained one. Rank need not rise steadily, so a law is read at the end of a budget only. Losses of "
        "different patch sizes, mask ratios or objectives do not compare."
    )
    if left_out:
        caption += f" {left_out} of {len(results.runs)} runs are left out of this figure."
    return Figure(
        "trajectories",
        "Rank and loss during training",
        caption,
        "Lines of RankMe and of the training loss against the training step.",
        tuple(panels),
        data={"histories": rows},
        columns=2,
        controls=("colour",),
    )


def spectra_rows(results: StudyResults, encoders: Encoders) -> list[dict[str, Any]]:
    """Singular values over the largest, before and after training, of the first seed of each configuration."""
    about, rows, seen = _about(encoders), [], set()
    chosen = []
    for name, run in results.runs.items():
        config = about.get(name, {}).get("config")
        if run.spectra and config is not None and config not in seen:
            seen.add(config)
            chosen.append(name)
    chosen = _spaced(chosen, _SPECTRA)
    for name in chosen:
        for centred in (False, True):
            for final in (False, True):
                values = results.runs[name].spectrum(final=final, centred=centred)
                if values is None or len(values) == 0 or not values[0] > 0:
                    continue
                share = values / values[0]
                share = share[share > _FLOOR]
                rows += [
                    about[name]
                    | {
                        "centred": centred,
                        "when": "after training" if final else "before training",
                        "index": int(at) + 1,
                        "share": float(f"{share[at]:.4g}"),
                    }
                    for at in _spaced_logs(len(share))
                ]
    return rows


def spectra_figure(results: StudyResults, encoders: Encoders) -> Figure:
    """Singular values before training and after it, as they are and about the mean."""
    import altair as alt

    rows = spectra_rows(results, encoders)
    panels = []
    for centred, title in ((False, "as they are (RankMe's own)"), (True, "about their mean")):
        if all(row["centred"] != centred for row in rows):
            panels.append(Panel(None, title, note="no spectra were kept"))
            continue
        chart = (
            alt.Chart(alt.NamedData("spectra"))
            .transform_filter(alt.FieldEqualPredicate(field="centred", equal=centred))
            .mark_line(strokeWidth=1.4, clip=True)
            .encode(
                x=alt.X(
                    "index:Q",
                    title="index of the singular value",
                    scale=alt.Scale(type="log"),
                    axis=alt.Axis(format="~s"),
                ),
                y=alt.Y(
                    "share:Q",
                    title="over the largest",
                    scale=alt.Scale(type="log"),
                    axis=alt.Axis(format="~e", tickCount=5),
                ),
                color=colour_of(encoders, encoders.colour),
                detail="run:N",
                strokeDash=alt.StrokeDash(
                    "when:N",
                    title=None,
                    sort=["after training", "before training"],
                    scale=alt.Scale(domain=["after training", "before training"], range=[[1, 0], [2, 3]]),
                ),
                opacity=_run_opacity(0.8),
                tooltip=[alt.Tooltip("label:N", title="configuration"), alt.Tooltip("when:N", title="spectrum")],
            )
        )
        panels.append(Panel(chart, title, height=300))
    return Figure(
        "spectra",
        "Spectra of the embeddings",
        "Singular values over the largest, for the first seed of each configuration. A flatter line is a higher rank. "
        "As they are, the first value is often little more than the mean of the embeddings.",
        "Singular values against their index before and after training, on logarithmic axes.",
        tuple(panels),
        data={"spectra": rows},
        columns=2,
        controls=("colour",),
    )


def dash_of(encoders: Encoders, one: Variable | None) -> Any:
    """A variable as the dash of a line, beside its colour."""
    import altair as alt

    if one is None or not one.few:
        return alt.value([1, 0])
    values = order_of(encoders, one)
    return alt.StrokeDash(
        f"{one.key}:N",
        title=one.title,
        **legend_of(encoders, one),
        scale=alt.Scale(domain=values, range=(DASHES * len(values))[: len(values)]),
    )


def _run_opacity(full: float) -> Any:
    import altair as alt

    return alt.condition("picked == null || picked[datum.run]", alt.value(full), alt.value(0.05))


def _about(encoders: Encoders) -> dict[str, dict[str, Any]]:
    """Run -> what of it colours can show: whatever does not depend on the step."""
    keys = ["run", "config", "label", "seed", "axis"]
    keys += [one.key for one in encoders.variables.values() if one.role == "design" or one.key == "params"]
    return {
        row["run"]: {key: row.get(key) for key in dict.fromkeys(keys)} for row in encoders.rows if row["of"] == "run"
    }


def _rooted(
    trunk: Trajectory, column: str, fork: float, steps: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A branch with the trunk's last measured point up to its fork put before it, so that lines join."""
    trunk_steps, trunk_values = trunk.of(column)
    before = np.flatnonzero((trunk_steps <= fork) & (trunk_steps < steps[0]))
    if len(before) == 0:
        return steps, values
    return np.r_[trunk_steps[before[-1]], steps], np.r_[trunk_values[before[-1]], values]


def _thin(count: int, most: int) -> NDArray[np.intp]:
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.intp))


def _spaced(names: list[str], most: int) -> list[str]:
    return [names[i] for i in _thin(len(names), most)]


def _spaced_logs(count: int) -> list[int]:
    """Indices of up to about 60 values, evenly spread over a logarithmic axis."""
    return np.unique(np.geomspace(1, count, 60).round().astype(int) - 1).tolist() if count else []
