"""Several encoders on the same audio: differences clip by clip, and one file of everything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
            alone = np.setxor1d(first.heard, other.heard, assume_unique=True)
            if not reason and len(alone):
                reason = (
                    f"they did not hear the same clips: {len(alone)} were heard by one of them only; remove what "
                    "either has skipped, and measure both again"
                )
            if not reason:
                try:
                    difference = compare_sketches(first.sketches.whole, other.sketches.whole, name, level=level)
                except SonoscaleError as error:
                    reason = str(error)
            if difference and not math.isfinite(difference.value):
                difference, reason = None, "infinite"
            comparisons.append(FileComparison(name, first.encoder, other.encoder, difference, reason))
    return comparisons


def write_encoders(
    path: Path,
    found: Sequence[Measurement],
    comparisons: Sequence[FileComparison],
    options: Mapping[str, Any] | None = None,
) -> None:
    """Write all that was found to a `.json` or `.parquet` file.

    In JSON the `records` are those of the output; those of layers, groups and durations are with their encoder. In
    Parquet each record is a row, and its column `part` is whole, layer, by or duration; the rest is the same JSON, in
    the file's metadata.

    Arguments:
        path: of the file.
        found: what was measured of each encoder.
        comparisons: of those after the first with it.
        options: with which to do it again; JSON-able.
    """
    records = [(record, "whole") for each in found for record in each.records]
    if path.suffix == ".parquet":
        for each in found:
            records += [(record, "layer") for record in each.layers]
            records += [(record, "by") for record in each.by.values()]
            records += [(record, "duration") for record in each.durations]
    write_records(
        [record for record, _ in records], path, parts=[part for _, part in records], options=dict(options or {}),
        encoders=[each.as_dict() for each in found], comparisons=[each.as_dict() for each in comparisons],
    )  # fmt: skip
