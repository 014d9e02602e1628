"""Files of embeddings: records of each, and differences between them. Needs neither torch nor audio."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from sonoscale.errors import SonoscaleError
from sonoscale.measure._measured import Measured, MeasuredDifference, differences, limits
from sonoscale.rank import Difference, compare, compare_sketches, measure_all, open_embeddings, rank_curve
from sonoscale.rank._files import EmbeddingFile
from sonoscale.rank._measure import sample_records
from sonoscale.rank._rows import NanPolicy
from sonoscale.rank._sketch import Method
from sonoscale.rank._sources import FileSketch, sketch_file

SAMPLE = 4096
"""Rows on which what needs pairs of embeddings is measured."""


def open_files(paths: Sequence[Path], *, key: str | None, force: bool) -> list[EmbeddingFile]:
    """Open files of embeddings that are to be compared.

    Raises:
        SonoscaleError: one cannot be read, or they hold different numbers of rows, unless forced.
    """
    files = [open_embeddings(path, key=None if path.suffix.lower() == ".npy" else key) for path in paths]
    if len({file.n for file in files}) > 1 and not force:
        counts = ", ".join(f"{file.path} {file.n}" for file in files)
        raise SonoscaleError(
            f"the files hold different numbers of embeddings ({counts}), on which a rank depends: "
            "measure the same clips, or compare all the same with force"
        )
    return files


def measure_file(
    file: EmbeddingFile,
    estimators: Sequence[str],
    *,
    baselines: bool = False,
    level: float = 0.95,
    tolerance: float = 0.01,
    blocks: int = 16,
    method: Method = "gram",
    nan_policy: NanPolicy = "raise",
    progress: Callable[[int], None] | None = None,
) -> Measured:
    """Measure one file.

    Arguments:
        file: from `open_embeddings`.
        estimators: names, the first of which is extrapolated.
        baselines: measure also what needs pairs of embeddings, on a sample of rows.
        level, tolerance: as for `rankme` and `clips_needed`.
        blocks, method, nan_policy: as for `SpectralSketch`.
        progress: called with the number of rows of each chunk read.

    Raises:
        SonoscaleError: no row of the file can be used.
    """
    found: FileSketch = sketch_file(
        file, blocks=blocks, method=method, nan_policy=nan_policy, sample=SAMPLE if baselines else 0, progress=progress
    )
    sketch, name = found.sketch, found.name
    try:
        records, undefined = measure_all(sketch, estimators, level=level, encoder=name)
    except SonoscaleError as error:
        raise SonoscaleError(f"{file.path}: {error}") from None
    if baselines:
        more, without = sample_records(found.sample, dtype=file.dtype, level=level, encoder=name)
        records += [dataclasses.replace(record, omitted=sketch.omitted) for record in more]
        undefined |= without
    limit, needed, no_limit = limits(sketch, estimators[0], level=level, tolerance=tolerance)
    return Measured(
        name, name, sketch, records, undefined, limit, needed, no_limit, rank_curve(sketch, estimators[0])
    )  # fmt: skip


def compare_files(
    measured: Sequence[Measured], estimators: Sequence[str], *, level: float = 0.95, force: bool = False
) -> list[MeasuredDifference]:
    """Each further file against the first: paired by row where the rows are the same clips, else by the records.

    Raises:
        SonoscaleError: different numbers of rows were measured, unless forced.
    """
    if not force and len({each.sketch.n for each in measured}) > 1:
        counts = ", ".join(f"{each.identity} {each.sketch.n}" for each in measured)
        raise SonoscaleError(
            f"different numbers of embeddings were measured ({counts}), on which a rank depends: measure the same "
            "clips, or compare all the same with force"
        )

    def difference(first: Measured, other: Measured, name: str) -> Difference:
        a, b = first.sketch, other.sketch
        counts = [[part.count for part in sketch.parts()] for sketch in (a, b)]
        if counts[0] == counts[1] and a.omitted_rows == b.omitted_rows:
            return compare_sketches(a, b, name, level=level)
        one, another = first.record(name), other.record(name)
        assert one is not None  # else it was undefined
        assert another is not None
        return compare(one, another, force=True)

    return differences(measured, estimators, difference=difference)
