"""What `measure` returns: records and differences, and an account of how they came about."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale._figure import new_axes
from sonoscale.errors import SonoscaleError
from sonoscale.rank import (
    ClipsNeeded,
    CurvePoint,
    Difference,
    Extrapolation,
    RankRecord,
    SpectralSketch,
    clips_needed,
    extrapolate,
    write_records,
)
from sonoscale.rank._record import number
from sonoscale.results import Result, plain

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Measured:
    """Everything measured of one encoder on a corpus, or of one file of embeddings.

    Attributes:
        name: what tables and pages call it.
        identity: its name in full, as in records: where it comes from, and hashes or versions of its content; of a
            file its path, and its key where it has several arrays.
        sketch: of its embeddings.
        records: one per estimator.
        undefined: the reason for each number that has no value here.
        limit: the first estimator extrapolated to infinitely many clips, None where that is not possible.
        needed: the clips needed for a tolerance, None with the limit.
        no_limit: why there is no limit.
        curve: the first estimator against n (files only).
        corpus: identity of the audio, empty for files; so are the fields below.
        layers: of each layer, by the first estimator.
        groups: of the clips of each value of a column, by the first estimator.
        durations: of the beginnings of clips, by the first estimator; all of the same clips.
        skipped: name and reason of each clip that could not be processed.
        notes: name of and remark on each clip that was processed, but not all of its recording.
        seconds: of audio processed, None for files.
        wall_seconds, forward_seconds: taken in all, and by the encoder; None for files.
        processed: 64 bits of a hash of name and length of each clip processed, ascending.
    """

    name: str
    identity: str
    sketch: SpectralSketch = field(repr=False)
    records: list[RankRecord]
    undefined: dict[str, str] = field(default_factory=dict)
    limit: Extrapolation | None = None
    needed: ClipsNeeded | None = None
    no_limit: str = ""
    curve: list[CurvePoint] = field(default_factory=list)
    corpus: str = ""
    layers: list[RankRecord] = field(default_factory=list)
    groups: dict[str, RankRecord] = field(default_factory=dict)
    durations: list[RankRecord] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    seconds: float | None = None
    wall_seconds: float | None = None
    forward_seconds: float | None = None
    processed: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.uint64), repr=False)

    @property
    def clips(self) -> int:
        """Clips, or rows of a file, that were measured."""
        return self.sketch.n

    def record(self, estimator: str) -> RankRecord | None:
        """The record of an estimator, None where it has no value."""
        return next((record for record in self.records if record.estimator == estimator), None)

    def every_record(self) -> list[tuple[str, RankRecord]]:
        """All records with what each is of: whole, layer, group or duration."""
        return [
            *(("whole", record) for record in self.records),
            *(("layer", record) for record in self.layers),
            *(("group", record) for record in self.groups.values()),
            *(("duration", record) for record in self.durations),
        ]

    def common_warnings(self) -> set[str]:
        """Warnings that all records of the spectrum share."""
        return common_warnings([record for record in self.records if record.method in ("gram", "qr")])

    def remarks(self) -> list[str]:
        """The spectrum in a line, warnings, what more clips would give, what was skipped, and the time taken."""
        spectrum, lines = self.sketch.spectrum(), []
        if spectrum.any():
            ratio = f"{spectrum[0] / spectrum[-1]:.3g}" if spectrum[-1] > 0 else "infinite"
            lines.append(f"spectrum {sparkline(spectrum)} s1/s{len(spectrum)} = {ratio}")
        lines += [f"warning  {warning}" for warning in sorted(self.common_warnings())]
        if self.limit and self.needed:
            limit, needed = self.limit, self.needed
            doubt = "" if limit.trusted else " (roughly: n is under 8 * dim)"
            lines += [
                f"limit    {self.records[0].estimator} of infinitely many such clips: {number(limit.value)} "
                f"[{number(limit.low)}, {number(limit.high)}]{doubt}",
                f"clips    {needed.n:,} are needed for ±{needed.tolerance:.2%} of it: {needed.for_interval:,} for the "
                f"interval, {needed.for_bias:,} for the bias{doubt}",
            ]
        elif self.no_limit:
            lines.append(f"limit    none: {self.no_limit}")
        sizes = [record.n for record in self.groups.values()]
        if sizes and max(sizes) > 1.05 * min(sizes):
            lines.append(
                f"groups   of {min(sizes):,} to {max(sizes):,} clips: a rank grows with n, so compare them at equal n "
                "(equal_n)"
            )
        for what, listed in (("skipped ", self.skipped), ("noted   ", self.notes)):
            if listed:
                lines.append(f"{what} {len(listed)} clips, among them {listed[0][0]}: {listed[0][1]}")
        if self.seconds and self.wall_seconds:
            pace, share = self.wall_seconds / self.seconds * 3600, (self.forward_seconds or 0) / self.wall_seconds
            lines.append(
                f"time     {self.wall_seconds:.1f} s, {pace:.0f} s per hour of audio ({share:.0%} of it in the encoder)"
            )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Everything but the records of the output, the sketch and the hashes, as JSON can hold it."""
        limit = self.limit and {**dataclasses.asdict(self.limit), "trusted": self.limit.trusted}
        common = {
            "name": self.name, "undefined": self.undefined, "limit": limit, "clips_needed": self.needed,
            "no_limit": self.no_limit,
        }  # fmt: skip
        if not self.corpus:
            about = {"n": self.sketch.n, "dim": self.sketch.dim, "dtype": self.sketch.dtype, "curve": self.curve}
        else:
            about = {
                "encoder": self.identity, "corpus": self.corpus, "clips": self.sketch.n, "seconds": self.seconds,
                "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
                "notes": [{"name": name, "note": note} for name, note in self.notes],
                "layers": self.layers, "groups": self.groups, "durations": self.durations,
                "wall_seconds": self.wall_seconds, "forward_seconds": self.forward_seconds,
            }  # fmt: skip
        return plain(common | about)


@dataclass(frozen=True)
class MeasuredDifference:
    """Second minus first of two that were measured, by one estimator; or the reason why there is no difference."""

    estimator: str
    first: str
    second: str
    difference: Difference | None
    reason: str = ""

    @property
    def significant(self) -> bool:
        """Whether there is a difference whose interval excludes zero."""
        return self.difference is not None and self.difference.significant


@dataclass(frozen=True, repr=False)
class Measurement(Result):
    """What `measure` found, of encoders or of files of embeddings.

    Attributes:
        measured: each encoder or file, in the order asked for.
        estimator: the first estimator, that of layers, groups, durations and limits.
        differences: each further one minus the first, by each estimator.
        audio: the audio in the user's words, empty for files.
        grouped_by: the column whose values are the groups.
        options: with which to measure it again, and versions.
    """

    measured: Sequence[Measured]
    estimator: str = "rankme"
    differences: Sequence[MeasuredDifference] = ()
    audio: str = ""
    grouped_by: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def records(self) -> list[RankRecord]:
        """The records of the outputs, those of one encoder or file after the other."""
        return [record for one in self.measured for record in one.records]

    @property
    def several(self) -> bool:
        """Whether it must be said of which one a number is."""
        return len(self.measured) > 1

    @property
    def level(self) -> float:
        """Nominal coverage of the intervals."""
        return next((record.level for record in self.records), 0.95)

    @property
    def percent(self) -> str:
        """The same: "95%"."""
        return f"{100 * self.level:.4g}%"

    @property
    def headline(self) -> str:
        """The first estimator of each, and how many of the others differ from the first."""
        found = [(one.name, one.record(self.estimator)) for one in self.measured]
        parts = [f"{name}: {record.headline if record else f'no {self.estimator}'}" for name, record in found]
        mine = [each for each in self.differences if each.estimator == self.estimator]
        if mine:
            apart = sum(each.significant for each in mine)
            parts.append(
                f"{apart} of {len(mine)} differ{'s' * (apart == 1)} significantly from {self.measured[0].name}"
            )
        return "; ".join(parts)

    def rows(self) -> list[dict[str, Any]]:
        """One row per record, those of layers, groups and durations too."""
        rows = []
        for one in self.measured:
            values = (
                [None] * len(one.records) + [None] * len(one.layers) + list(one.groups) + [None] * len(one.durations)
            )
            for (subset, record), group in zip(one.every_record(), values, strict=True):
                rows.append(
                    {
                        "name": one.name, "subset": subset, "estimator": record.estimator, "value": record.value,
                        "low": record.low, "high": record.high, "n": record.n, "dim": record.dim,
                        "layer": record.layer, "group": group,
                        "seconds": record.mean_seconds, "warnings": "; ".join(record.warnings),
                    }
                )  # fmt: skip
        empty = {key for key in ("layer", "group", "seconds") if all(row[key] is None for row in rows)}
        return [{key: value for key, value in row.items() if key not in empty} for row in rows]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the sketches, as JSON can hold it."""
        return plain({"records": self.records, **self._more()})

    def _more(self) -> dict[str, Any]:
        measured = "encoders" if self.audio else "files"
        return {"options": self.options, measured: list(self.measured), "differences": list(self.differences)}

    def write(self, path: str | PathLike[str]) -> None:
        """Write everything but the sketches atomically to a `.json` or `.parquet` file.

        In JSON `records` are those of the outputs; those of layers, groups and durations are with their encoder. In
        Parquet each record is a row, and its column `subset` is whole, layer, group or duration; the rest is the same
        JSON, in the file's metadata.

        Raises:
            SonoscaleError: another suffix.
        """
        path = Path(path)
        if path.suffix != ".parquet":
            write_records(self.records, path, **self._more())
            return
        found = [each for one in self.measured for each in one.every_record()]
        write_records([record for _, record in found], path, subsets=[subset for subset, _ in found], **self._more())

    def plot(self) -> Any:
        """The spectra, singular values over their sum against their index, on logarithmic axes of matplotlib.

        Raises:
            SonoscaleError: matplotlib is not installed.
        """
        axes = new_axes()
        for one in self.measured:
            values = one.sketch.spectrum()
            values = values[values > 0]
            axes.loglog(np.arange(1, len(values) + 1), values / values.sum(), label=one.name)
        axes.set(xlabel="index", ylabel="share of the sum of singular values")
        axes.legend()
        return axes


def common_warnings(records: Sequence[RankRecord]) -> set[str]:
    """Warnings that several records share, so that they need be given once only."""
    return set.intersection(*(set(record.warnings) for record in records)) if len(records) > 1 else set()


def short_names(names: Sequence[str]) -> list[str]:
    """Names of encoders or files without the folders they lie in, where that leaves them different.

    What is the same twice is numbered: "a", "a (2)".
    """
    last = [re.split(r"[/\\]", name.rstrip("/\\"))[-1] or name for name in names]
    shown = last if len(set(last)) == len(set(names)) else list(names)
    return [f"{name} ({shown[:i].count(name) + 1})" if name in shown[:i] else name for i, name in enumerate(shown)]


def sparkline(spectrum: np.ndarray, width: int = 48) -> str:
    """Singular values as bars, logarithmic, the largest left; a blank is zero."""
    shown = spectrum[np.linspace(0, len(spectrum) - 1, min(width, len(spectrum))).round().astype(int)]
    positive = shown[shown > 0]
    top, bottom = np.log(positive.max()), np.log(positive.min())
    heights = (np.log(np.where(shown > 0, shown, positive.min())) - bottom) / max(top - bottom, 1e-12)
    return "".join(_BARS[round(7 * float(h))] if s > 0 else " " for s, h in zip(shown, heights, strict=True))


def limits(
    sketch: SpectralSketch, estimator: str, *, level: float, tolerance: float
) -> tuple[Extrapolation | None, ClipsNeeded | None, str]:
    """The limit for infinitely many clips and the clips needed for a tolerance, or the reason why there is neither."""
    try:
        limit = extrapolate(sketch, estimator, level=level)
        return limit, clips_needed(sketch, tolerance, estimator, level=level), ""
    except SonoscaleError as error:
        return None, None, str(error)


def differences(
    measured: Sequence[Measured],
    estimators: Sequence[str],
    *,
    difference: Any,
) -> list[MeasuredDifference]:
    """Each further one minus the first, by each estimator.

    Arguments:
        measured: the first, and those after it.
        estimators: names.
        difference: from the first, another and the estimator to their `Difference`.
    """
    found, first = [], measured[0]
    for name in estimators:
        for other in measured[1:]:
            made, reason = None, first.undefined.get(name) or other.undefined.get(name) or ""
            if not reason:
                try:
                    made = difference(first, other, name)
                except SonoscaleError as error:
                    reason = str(error)
            if made and not math.isfinite(made.value):
                made, reason = None, "infinite"
            found.append(MeasuredDifference(name, first.identity, other.identity, made, reason))
    return found
