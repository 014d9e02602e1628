"""What is told of files of embeddings: records, the limit for infinitely many clips, and differences between files."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.rank._compare import Difference, compare, compare_sketches
from sonoscale.rank._from_file import FileSketch
from sonoscale.rank._measure import measure_all
from sonoscale.rank._record import RankRecord, write_records
from sonoscale.rank._sample_records import sample_records
from sonoscale.rank._sample_size import ClipsNeeded, CurvePoint, Extrapolation, clips_needed, extrapolate, rank_curve


@dataclass(frozen=True)
class FileMeasurement:
    """Everything told of one file.

    Attributes:
        name: path, and key if the file has several arrays.
        records: one per estimator.
        undefined: the reason for each estimator that has no value here.
        curve: the first estimator against n.
        limit, needed: its extrapolation, and the clips needed for `tolerance`; None where the file holds too few.
    """

    name: str
    n: int
    dim: int
    dtype: str
    records: list[RankRecord]
    undefined: dict[str, str]
    curve: list[CurvePoint] = field(default_factory=list)
    limit: Extrapolation | None = None
    needed: ClipsNeeded | None = None


@dataclass(frozen=True)
class FileComparison:
    """Second file minus first, by one estimator; or the reason why there is no saying."""

    estimator: str
    first: str
    second: str
    difference: Difference | None
    reason: str = ""


def measure_file(
    measured: FileSketch, estimators: Sequence[str] | None, *, level: float = 0.95, tolerance: float = 0.01
) -> FileMeasurement:
    """Measure one file.

    Arguments:
        measured: from `sketch_file`.
        estimators: names, or None for every one there is, those on the sample of rows too.
        level, tolerance: as for `measure_rank` and `clips_needed`.

    Raises:
        SonoscaleError: no row of the file can be used.
    """
    file, sketch = measured.file, measured.sketch
    name = file_name(measured)
    try:
        records, undefined = measure_all(sketch, estimators, level=level, encoder=name)
    except SonoscaleError as error:
        raise SonoscaleError(f"{file.path}: {error}") from None
    if estimators is None:
        more, without = sample_records(measured.sample, dtype=file.dtype, level=level, encoder=name)
        records, undefined = records + more, undefined | without
    first = (estimators or ["rankme"])[0]
    curve, limit, needed = rank_curve(sketch, first), None, None
    if first not in undefined and sketch.n >= 2 * sketch.blocks:
        limit = extrapolate(sketch, first, level=level)
        needed = clips_needed(sketch, tolerance, first, level=level)
    return FileMeasurement(name, sketch.n, file.dim, file.dtype, records, undefined, curve, limit, needed)


def compare_files(
    sketches: Sequence[FileSketch], told: Sequence[FileMeasurement], estimators: Sequence[str], *, level: float = 0.95
) -> list[FileComparison]:
    """Each further file against the first: paired by row where the rows are the same clips, else by the records."""
    found = []
    for name in estimators:
        for other, theirs in zip(sketches[1:], told[1:], strict=True):
            difference, reason = None, theirs.undefined.get(name) or told[0].undefined.get(name) or ""
            if not reason and _same_rows(sketches[0], other):
                difference = compare_sketches(sketches[0].sketch, other.sketch, name, level=level)
            elif not reason:
                mine = next(record for record in told[0].records if record.estimator == name)
                yours = next(record for record in theirs.records if record.estimator == name)
                difference = compare(mine, yours, force=True)
            found.append(FileComparison(name, told[0].name, theirs.name, difference, reason))
    return found


def write_measurements(path: Path, told: Sequence[FileMeasurement], comparisons: Sequence[FileComparison]) -> None:
    """Write the records to `.json`, with everything else told of the files, or alone to `.parquet`."""
    files = [
        {
            "name": each.name, "n": each.n, "dim": each.dim, "dtype": each.dtype, "undefined": each.undefined,
            "curve": [dataclasses.asdict(point) for point in each.curve],
            "limit": dataclasses.asdict(each.limit) | {"trusted": each.limit.trusted} if each.limit else None,
            "clips_needed": dataclasses.asdict(each.needed) if each.needed else None,
        }
        for each in told
    ]  # fmt: skip
    write_records(
        [record for each in told for record in each.records], path, files=files,
        comparisons=[_plain(dataclasses.asdict(each)) for each in comparisons],
    )  # fmt: skip


def file_name(measured: FileSketch) -> str:
    """Path, and key where there is one."""
    file = measured.file
    return f"{file.path}:{file.key}" if file.key else str(file.path)


def _same_rows(first: FileSketch, second: FileSketch) -> bool:
    counts = [[part.count for part in each.sketch.parts()] for each in (first, second)]
    return counts[0] == counts[1] and first.sketch.n >= 2 * first.sketch.blocks


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    difference = told["difference"]
    if difference:
        told["difference"] = {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in difference.items()
        }
    return told
