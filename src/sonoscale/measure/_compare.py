"""Several encoders on the same audio: differences clip by clip, and one file of everything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from sonoscale.errors import SonoscaleError
from sonoscale.measure._measure import Measurement
from sonoscale.rank import ESTIMATORS, FileComparison, compare_sketches, write_records


def every_estimator(more: Sequence[str]) -> list[str]:
    """All that depend on the spectrum alone, the first of `more` first."""
    return list(dict.fromkeys([*more[:1], *ESTIMATORS, *more]))


def compare_encoders(
    found: Sequence[Measurement], estimators: Sequence[str], *, level: float = 0.95
) -> list[FileComparison]:
    """Each further encoder minus the first, paired by clip; or why there is no saying."""
    comparisons = []
    first = found[0]
    for name in estimators:
        for other in found[1:]:
            difference, reason = None, first.undefined.get(name) or other.undefined.get(name) or ""
            if not reason and {n for n, _ in first.skipped} != {n for n, _ in other.skipped}:
                reason = "they did not hear the same clips"
            if not reason:
                try:
                    difference = compare_sketches(first.sketches.whole, other.sketches.whole, name, level=level)
                except SonoscaleError as error:
                    reason = str(error)
            if difference and not math.isfinite(difference.value):
                difference, reason = None, "infinite"
            comparisons.append(FileComparison(name, first.encoder, other.encoder, difference, reason))
    return comparisons


def write_encoders(path: Path, found: Sequence[Measurement], comparisons: Sequence[FileComparison]) -> None:
    """Write the records to `.json`, with everything else told, or alone to `.parquet`."""
    write_records(
        [record for each in found for record in each.records], path,
        encoders=[each.as_dict() for each in found], comparisons=[each.as_dict() for each in comparisons],
    )  # fmt: skip
