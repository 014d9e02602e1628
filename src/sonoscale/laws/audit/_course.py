"""Rank over the steps of a training, and over the layers of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sonoscale.laws._estimate import Estimate
from sonoscale.laws.audit._gather import Configurations, Rows
from sonoscale.laws.audit._marginal import Association, associate

__all__ = ["WARMUP_SHARE", "Course", "Layers", "Trajectory", "follow_layers", "follow_steps"]

Array = NDArray[np.float64]

WARMUP_SHARE = 1 / 3
"""Where no warm-up is given, the first third of each configuration's steps is taken for it."""
_LEAST_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Course:
    """Spearman's rho of rank and quality over the steps of one configuration (means over its seeds at each step).

    Attributes:
        mean: over configurations, with its interval by Student's t: -1 to 1 with one configuration.
        configurations: with at least three steps here, and neither rank nor quality constant over them.
    """

    mean: Estimate
    configurations: int


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Does quality follow rank within a training?

    Attributes:
        warmup: its last step, or None where the first third was taken.
        inside, after: the courses, or None where fewer than three steps are there.
        all_steps: over both.
        unfinished: configurations whose last step lies inside the warm-up.
    """

    warmup: float | None
    inside: Course | None
    after: Course | None
    all_steps: Course | None
    unfinished: int


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Does rank choose the layer?

    Attributes:
        by_layer: layer -> Spearman's rho over configurations, or None where it is constant or there are fewer than 4.
        configurations: with several layers.
        agree: in how many of them the layer of the highest rank is that of the highest quality;
        chance: what picking at random would give.
        regret: mean quality lost by the layer of the highest rank;
        last: by the last layer.
    """

    by_layer: dict[str, Association | None]
    configurations: int
    agree: int
    chance: float
    regret: float
    last: float


def follow_steps(runs: Configurations, warmup: float | None, *, level: float) -> Trajectory | str:
    """Each configuration over its steps; in its last layer, where there are layers."""
    rows = _last_layer(runs.everything)
    if rows.step is None:
        return "no column of steps was named"
    inside, after, whole, unfinished = [], [], [], 0
    for config in range(int(rows.config.max()) + 1):
        mine = rows.config == config
        steps, place = np.unique(rows.step[mine], return_inverse=True)
        count = np.bincount(place)
        rank = np.bincount(place, rows.rank[mine]) / count
        quality = np.bincount(place, rows.quality[mine]) / count
        early = steps <= (steps[0] + WARMUP_SHARE * np.ptp(steps) if warmup is None else warmup)
        unfinished += bool(warmup is not None and early[-1])
        for part, kept in ((inside, early), (after, ~early), (whole, early | True)):
            if kept.sum() >= _LEAST_STEPS and np.ptp(rank[kept]) > 0 and np.ptp(quality[kept]) > 0:
                found: Any = stats.spearmanr(rank[kept], quality[kept])
                part.append(float(found.statistic))
    if not whole:
        return f"no configuration has {_LEAST_STEPS} steps at which rank and quality differ"
    courses = [_course(part, level) for part in (inside, after, whole)]
    return Trajectory(warmup=warmup, inside=courses[0], after=courses[1], all_steps=courses[2], unfinished=unfinished)


def follow_layers(runs: Configurations, *, level: float, bootstrap: int, seed: int) -> Layers | str:
    """Each layer over the configurations, and the choice of a layer in each, at its last step."""
    rows = _last_step(runs.everything)
    if rows.layer is None:
        return "no column of layers was named"
    by_layer: dict[str, Association | None] = {}
    grids: dict[int, list[tuple[float, float, float]]] = {}
    for layer in np.unique(rows.layer):
        mine = rows.layer == layer
        configs, place = np.unique(rows.config[mine], return_inverse=True)
        count = np.bincount(place)
        rank, quality = (np.bincount(place, column[mine]) / count for column in (rows.rank, rows.quality))
        enough = len(configs) >= 4 and np.ptp(rank) > 0 and np.ptp(quality) > 0
        by_layer[f"{layer:g}"] = (
            associate(rank, quality, level=level, bootstrap=bootstrap, seed=seed) if enough else None
        )
        for config, r, q in zip(configs.tolist(), rank.tolist(), quality.tolist(), strict=True):
            grids.setdefault(config, []).append((float(layer), r, q))
    several = [np.array(points) for points in grids.values() if len(points) > 1]
    if not several:
        return "no configuration has several layers"
    chosen = [int(points[:, 1].argmax()) for points in several]
    return Layers(
        by_layer=by_layer,
        configurations=len(several),
        agree=sum(int(points[:, 2].argmax()) == i for points, i in zip(several, chosen, strict=True)),
        chance=float(np.mean([1 / len(points) for points in several])),
        regret=float(np.mean([points[:, 2].max() - points[i, 2] for points, i in zip(several, chosen, strict=True)])),
        last=float(np.mean([points[:, 2].max() - points[-1, 2] for points in several])),
    )


def _last_layer(rows: Rows) -> Rows:
    return rows if rows.layer is None else rows.take(_is_last(rows, rows.layer))


def _last_step(rows: Rows) -> Rows:
    return rows if rows.step is None else rows.take(_is_last(rows, rows.step))


def _is_last(rows: Rows, column: Array) -> NDArray[np.bool_]:
    last = np.full(int(rows.config.max()) + 1, -np.inf)
    np.maximum.at(last, rows.config, column)
    return column == last[rows.config]


def _course(values: list[float], level: float) -> Course | None:
    if not values:
        return None
    mean, count = float(np.mean(values)), len(values)
    half = np.inf
    if count > 1:
        half = float(stats.t.ppf(0.5 * (1 + level), count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return Course(mean=Estimate(mean, max(mean - half, -1.0), min(mean + half, 1.0)), configurations=count)
