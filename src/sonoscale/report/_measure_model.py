"""What was measured of encoders or of files of embeddings, as the page shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sonoscale.rank import Extrapolation, FileComparison, FileMeasurement, RankRecord, SpectralSketch

if TYPE_CHECKING:  # a page of files needs no torch
    from sonoscale.measure import Measurement

__all__ = ["Measured", "Measurements", "short_names"]


@dataclass(frozen=True)
class Measured:
    """One encoder, or one file of embeddings.

    Attributes:
        name: What the page calls it; no two on a page alike.
        identity: Its name in full, as in records and comparisons.
        sketch: Of its embeddings.
        records: One per estimator.
        undefined: The reason for each number that has no value here.
        layers, by, durations: Of layers, of groups of clips, of beginnings of clips; by the first estimator.
        skipped: Name and reason of each clip that could not be heard.
        limit: The first estimator extrapolated to infinitely many clips, None if that cannot be told.
        corpus: Identity of the audio, empty for files.
        seconds, wall_seconds: Of audio heard, and taken for it; None for files.
    """

    name: str
    identity: str
    sketch: SpectralSketch
    records: Sequence[RankRecord]
    undefined: Mapping[str, str] = field(default_factory=dict)
    layers: Sequence[RankRecord] = ()
    by: Mapping[str, RankRecord] = field(default_factory=dict)
    durations: Sequence[RankRecord] = ()
    skipped: Sequence[tuple[str, str]] = ()
    limit: Extrapolation | None = None
    corpus: str = ""
    seconds: float | None = None
    wall_seconds: float | None = None

    @classmethod
    def of_encoder(cls, told: Measurement, name: str) -> Measured:
        """What was measured of an encoder on audio."""
        return cls(
            name, told.encoder, told.sketches.whole, told.records, told.undefined, told.layers, told.by, told.durations,
            told.skipped, told.limit, told.corpus, told.seconds, told.wall_seconds,
        )  # fmt: skip

    @classmethod
    def of_file(cls, told: FileMeasurement, sketch: SpectralSketch, name: str) -> Measured:
        """What was measured of a file of embeddings."""
        return cls(name, told.name, sketch, told.records, told.undefined, limit=told.limit)

    def record(self, estimator: str) -> RankRecord | None:
        """The record of an estimator, None where it has no value."""
        return next((record for record in self.records if record.estimator == estimator), None)


@dataclass(frozen=True)
class Measurements:
    """Everything on one page.

    Attributes:
        measured: What was measured, in the order of the page; at least one.
        estimator: The first estimator asked for, of which layers, groups, durations and limits are.
        comparisons: Each further one minus the first.
        audio: What was heard, in the user's words; empty for files.
        grouped_by: The column whose values are the groups.
        options: What else decided the numbers, shown as it is.
    """

    measured: Sequence[Measured]
    estimator: str = "rankme"
    comparisons: Sequence[FileComparison] = ()
    audio: str = ""
    grouped_by: str = ""
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether it must be said of which one a number is."""
        return len(self.measured) > 1

    @property
    def percent(self) -> str:
        """The nominal coverage of the intervals: "95%"."""
        level = next((record.level for one in self.measured for record in one.records), 0.95)
        return f"{100 * level:.4g}%"


def short_names(names: Sequence[str]) -> list[str]:
    """Names of encoders or files without the folders they lie in, where that leaves them different.

    What is the same twice is numbered: "a", "a (2)".
    """
    last = [re.split(r"[/\\]", name.rstrip("/\\"))[-1] or name for name in names]
    shown = last if len(set(last)) == len(set(names)) else list(names)
    return [f"{name} ({shown[:i].count(name) + 1})" if name in shown[:i] else name for i, name in enumerate(shown)]
