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
from sonoscale.rank._estimators import ESTIMATORS
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
        limit, needed: its extrapolation, and the clips needed for `tolerance`; None where that cannot be told.
        no_limit: why it cannot.
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
    no_limit: str = ""


@dataclass(frozen=True)
class FileComparison:
    """Second file minus first, by one estimator; or the reason why there is no saying."""

    estimator: str
    first: str
    second: str
    difference: Difference | None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what is not finite is None."""
        return _plain(dataclasses.asdict(self))


def measure_file(
    measured: FileSketch,
    estimators: Sequence[str],
    *,
    everything: bool = False,
    level: float = 0.95,
    tolerance: float = 0.01,
) -> FileMeasurement:
    """Measure one file.

    Arguments:
        measured: from `sketch_file`.
        estimators: names, the first of which is extrapolated.
        everything: measure also all others there are, those on the sample of rows too.
        level, tolerance: as for `measure_rank` and `clips_needed`.

    Raises:
        SonoscaleError: no row of the file can be used.
    """
    file, sketch = measured.file, measured.sketch
    name = file_name(measured)
    chosen = [*ESTIMATORS, *(e for e in estimators if e not in ESTIMATORS)] if everything else estimators
    try:
        records, undefined = measure_all(sketch, chosen, level=level, encoder=name)
    except SonoscaleError as error:
        raise SonoscaleError(f"{file.path}: {error}") from None
    if everything:
        more, without = sample_records(measured.sample, dtype=file.dtype, level=level, encoder=name)
        more = [dataclasses.replace(record, omitted=sketch.omitted) for record in more]
        records, undefined = records + more, undefined | without
    first, limit, needed, no_limit = estimators[0], None, None, ""
    try:
        limit = extrapolate(sketch, first, level=level)
        needed = clips_needed(sketch, tolerance, first, level=level)
    except SonoscaleError as error:
        no_limit = str(error)
    curve = rank_curve(sketch, first)
    return FileMeasurement(name, sketch.n, file.dim, file.dtype, records, undefined, curve, limit, needed, no_limit)


def compare_files(
    sketches: Sequence[FileSketch],
    told: Sequence[FileMeasurement],
    estimators: Sequence[str],
    *,
    level: float = 0.95,
    force: bool = False,
) -> list[FileComparison]:
    """Each further file against the first: paired by row where the rows are the same clips, else by the records.

    Raises:
        SonoscaleError: different numbers of rows were measured, unless forced.
    """
    if not force and len({each.n for each in told}) > 1:
        counts = ", ".join(f"{each.name} {each.n}" for each in told)
        raise SonoscaleError(
            f"different numbers of embeddings were measured ({counts}), on which a rank depends: measure the same "
            "clips, or compare all the same with --force"
        )
    found = []
    for name in estimators:
        for other, theirs in zip(sketches[1:], told[1:], strict=True):
            difference, reason = None, theirs.undefined.get(name) or told[0].undefined.get(name) or ""
            if not reason:
                difference = _difference(name, (sketches[0], told[0]), (other, theirs), level)
                if not math.isfinite(difference.value):
                    difference, reason = None, "infinite"
            found.append(FileComparison(name, told[0].name, theirs.name, difference, reason))
    return found


def write_measurements(path: Path, told: Sequence[FileMeasurement], comparisons: Sequence[FileComparison]) -> None:
    """Write the records to `.json`, with everything else told of the files, or alone to `.parquet`."""
    files = [
        {
            "name": each.name, "n": each.n, "dim": each.dim, "dtype": each.dtype, "undefined": each.undefined,
            "curve": [dataclasses.asdict(point) for point in each.curve],
            "limit": dataclasses.asdict(each.limit) | {"trusted": each.limit.trusted} if each.limit else None,
            "clips_needed": dataclasses.asdict(each.needed) if each.needed else None, "no_limit": each.no_limit,
        }
        for each in told
    ]  # fmt: skip
    write_records(
        [record for each in told for record in each.records], path, files=_plain(files),
        comparisons=_plain([dataclasses.asdict(each) for each in comparisons]),
    )  # fmt: skip


def file_name(measured: FileSketch) -> str:
    """Path, and key where there is one."""
    file = measured.file
    return f"{file.path}:{file.key}" if file.key else str(file.path)


def _difference(
    name: str, first: tuple[FileSketch, FileMeasurement], second: tuple[FileSketch, FileMeasurement], level: float
) -> Difference:
    a, b = first[0].sketch, second[0].sketch
    counts = [[part.count for part in sketch.parts()] for sketch in (a, b)]
    if counts[0] == counts[1] and a.omitted_rows == b.omitted_rows:
        return compare_sketches(a, b, name, level=level)
    records = [next(r for r in each[1].records if r.estimator == name) for each in (first, second)]
    return compare(*records, force=True)


def _plain(told: Any) -> Any:
    """What is not finite becomes None, at any depth."""
    if isinstance(told, dict):
        return {key: _plain(value) for key, value in told.items()}
    if isinstance(told, list):
        return [_plain(value) for value in told]
    return None if isinstance(told, float) and not math.isfinite(told) else told
