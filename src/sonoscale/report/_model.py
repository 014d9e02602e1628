"""What a finished study holds, as the report sees it: plain frozen records, no files and no drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Cells",
    "Curve",
    "Failure",
    "Fit",
    "Interval",
    "Laws",
    "LayerPoint",
    "Point",
    "Route",
    "Run",
    "StudyResults",
    "Trajectory",
    "TwoStage",
]

T = TypeVar("T")
NAN = math.nan


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its interval; unknown parts are NaN."""

    value: float
    low: float = NAN
    high: float = NAN

    @property
    def bounded(self) -> bool:
        """Whether both ends are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def includes_zero(self) -> bool:
        """Whether zero lies in the interval (false where an end is unknown)."""
        return self.low <= 0.0 <= self.high

    def overlaps(self, other: Interval) -> bool:
        """Whether two intervals share a value (false where an end is unknown)."""
        return self.low <= other.high and other.low <= self.high

    def negated(self) -> Interval:
        """The interval of the number with its sign turned."""
        return Interval(-self.value, -self.high, -self.low)


@dataclass(frozen=True)
class Curve:
    """A fitted curve with its prediction band; four arrays of one length."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Fit:
    """One fitted law: a form joining one predictor `x` to the quality `y`."""

    x: str
    y: str
    form: str
    formula: str
    params: Mapping[str, Interval]
    exponent: str | None
    rmse: float
    r2: float
    aicc: float
    loo_rmse: float
    n: int | None
    n_clusters: int | None
    warnings: tuple[str, ...]
    curve: Curve | None

    @property
    def slope(self) -> Interval | None:
        """The exponent (the parameter that says how fast quality moves with x), where the form has one."""
        return self.params.get(self.exponent) if self.exponent else None


@dataclass(frozen=True)
class Route:
    """How well one way from the design to quality predicts configurations left out, and its gain on the direct law."""

    error: float
    gain: Interval


@dataclass(frozen=True)
class TwoStage:
    """The law design -> rank -> quality beside others, by route; without a verdict, the reason why there is none."""

    verdict: str = ""
    design: tuple[str, ...] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Laws:
    """Every fitted law of the study and what was said about them."""

    y: str
    y_meaning: str
    fits: tuple[Fit, ...]
    correlations: Mapping[str, Interval]
    skipped: tuple[tuple[str, str, str], ...]
    best: Mapping[str, str]
    per_task: Mapping[str, Mapping[str, Interval]]
    seed_spread: Mapping[str, float]
    notes: tuple[str, ...]
    level: float = 0.95
    baseline: str = ""
    audit: Mapping[str, Any] = field(default_factory=dict)
    two_stage: Mapping[str, TwoStage] = field(default_factory=dict)

    @property
    def percent(self) -> str:
        """The level of the laws' intervals, as "95%"."""
        return f"{100 * self.level:g}%"

    def of(self, x: str) -> list[Fit]:
        """The fits of the study's quality on `x`, the best first."""
        fits = [fit for fit in self.fits if fit.x == x and fit.y == self.y]
        return sorted(fits, key=lambda fit: fit.form != self.best.get(x))


class Cells(Mapping[str, T]):
    """The numbers, or the words, in one row of a table of columns, without a copy of them.

    Arguments:
        columns: name -> values [n], shared by all rows.
        row: which.
        kind: `float`, for the numbers of the row, or `str`.
    """

    __slots__ = ("_columns", "_kind", "_row")

    def __init__(self, columns: Mapping[str, NDArray[Any]], row: int, kind: Callable[[Any], T]) -> None:
        self._columns, self._row, self._kind = columns, row, kind

    def __getitem__(self, name: str) -> T:
        value = self._columns[name][self._row]
        if isinstance(value, bool | np.bool_) or isinstance(value, str) != (self._kind is str) or value is None:
            raise KeyError(name)
        return self._kind(value)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._columns if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class Point:
    """One measured encoder: a run at the end of one of its budgets, with all its task scores."""

    run: str
    config: str
    label: str
    axis: str
    seed: int
    step: int
    is_final: bool
    values: Mapping[str, float]
    scores: Mapping[str, float]
    quality: float
    words: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> float:
        """A numeric column by name; NaN where the ledger does not have it."""
        return self.quality if name == "quality" else self.values.get(name, NAN)

    def interval(self, name: str) -> Interval:
        """A numeric column with its `_low` and `_high` columns."""
        return Interval(self.get(name), self.get(f"{name}_low"), self.get(f"{name}_high"))


@dataclass(frozen=True)
class LayerPoint:
    """One layer of a configuration at its largest budget: a mean over its seeds.

    Attributes:
        config, label: of the configuration.
        layer: counted from 0, what goes into the first; the last is the output.
        rank: of what is probed.
        score: the plain mean over tasks and protocols.
    """

    config: str
    label: str
    layer: int
    rank: float
    score: float


@dataclass(frozen=True)
class Trajectory:
    """The measured training history of one phase ("trunk" or "branch-<budget>") of one run."""

    phase: str
    columns: Mapping[str, NDArray[np.float64]]

    def of(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Steps and values where `name` was measured."""
        empty = np.zeros(0)
        steps, values = self.columns.get("step", empty), self.columns.get(name, empty)
        if len(values) != len(steps):
            return empty, empty
        measured = np.isfinite(values) & np.isfinite(steps)
        return steps[measured], values[measured]


@dataclass(frozen=True)
class Run:
    """One run's history: its phases, and its spectra by array name (`step_0`, `step_400_centred`, ...)."""

    name: str
    phases: tuple[Trajectory, ...] = ()
    spectra: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def spectrum(self, *, final: bool, centred: bool) -> NDArray[np.float64] | None:
        """The singular values before training or at the end of it, or None where they were not kept."""
        suffix = "_centred" if centred else ""
        steps = []
        for name in self.spectra:
            digits = name.removeprefix("step_").removesuffix("_centred")
            if name == f"step_{digits}{suffix}" and digits.isdigit():
                steps.append(int(digits))
        steps = [step for step in steps if (step > 0) == final]
        return self.spectra[f"step_{max(steps)}{suffix}"] if steps else None


@dataclass(frozen=True)
class Failure:
    """A run that did not finish, and why."""

    label: str
    seed: str
    error: str


@dataclass(frozen=True)
class StudyResults:
    """A finished study: everything that the report shows.

    Attributes:
        folder: The study folder it was read from.
        name: The study's name.
        description: The study's description, or an empty string.
        provenance: Where the numbers came from, key by key.
        points: The measured encoders, in the ledger's order.
        tasks: The tasks in order of first appearance.
        chance: The chance score of each task (NaN where unknown).
        metrics: The metric of each task (an empty string where unknown).
        laws: The fitted laws.
        runs: Training histories and spectra by run.
        failures: The runs that failed.
        missing: Sentences that say which optional pieces were not there.
        about_tasks: By task what is known of its scores, NaN where nothing is: `chance`, `floor_untrained`,
            `floor_logmel`, `ceiling` (a strong public encoder), `reliability` with `reliability_low` and
            `reliability_high`, and its `weight` in quality.
        quality_rule: how quality is made of scores, in sentences.
        protocols, readouts: By which the scores were made.
        settings: The study's configuration, as it was read.
        layers: Of a study that probed the layers before the output too, all of them.
    """

    folder: Path
    name: str
    description: str
    provenance: Mapping[str, Any]
    points: tuple[Point, ...]
    tasks: tuple[str, ...]
    chance: Mapping[str, float]
    metrics: Mapping[str, str]
    laws: Laws
    runs: Mapping[str, Run]
    failures: tuple[Failure, ...] = ()
    missing: tuple[str, ...] = ()
    about_tasks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    quality_rule: str = ""
    protocols: tuple[str, ...] = ()
    readouts: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[LayerPoint, ...] = ()

    @property
    def final_points(self) -> tuple[Point, ...]:
        """The points at the largest budget of their run."""
        return tuple(point for point in self.points if point.is_final)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, ascending."""
        return tuple(sorted({point.seed for point in self.points}))
