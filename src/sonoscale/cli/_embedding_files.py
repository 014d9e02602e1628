"""`sonoscale measure --embeddings`."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.text import Text

from sonoscale.cli._console import console, progress_bars
from sonoscale.cli._measure_options import MeasureOptions
from sonoscale.cli._outputs import check_outputs
from sonoscale.cli._rank_tables import comparison_table, record_lines
from sonoscale.errors import SonoscaleError
from sonoscale.rank import (
    ESTIMATORS,
    FileMeasurement,
    FileSketch,
    compare_files,
    measure_file,
    open_embeddings,
    sketch_file,
    write_measurements,
)

__all__ = ["measure_embedding_files"]

SAMPLE = 4096
"""Rows on which what needs pairs of embeddings is measured."""


def measure_embedding_files(paths: list[Path], key: str | None, options: MeasureOptions) -> None:
    """Measure each file, and compare those after the first with it."""
    json, plot, names, all_, level = options.json, options.plot, options.estimators, options.everything, options.level
    check_outputs([json, plot, options.out], paths)
    files = [open_embeddings(path, key=None if path.suffix.lower() == ".npy" else key) for path in paths]
    if len({file.n for file in files}) > 1 and not options.force:
        told = ", ".join(f"{file.path} {file.n}" for file in files)
        raise SonoscaleError(
            f"the files hold different numbers of embeddings ({told}), on which a rank depends: "
            "measure the same clips, or compare all the same with --force"
        )
    sketches: list[FileSketch] = []
    measured: list[FileMeasurement] = []
    with progress_bars() as bars:
        for file in files:
            task = bars.add_task(escape(str(file.path)), total=file.n)
            found = sketch_file(
                file, blocks=options.blocks, method=options.method, nan_policy=options.nan_policy,
                sample=SAMPLE if all_ else 0, progress=lambda rows, task=task: bars.advance(task, rows),
            )  # fmt: skip
            sketches.append(found)
            measured.append(measure_file(found, names, everything=all_, level=level, tolerance=options.tolerance))
            for part in record_lines(measured[-1], found.sketch.spectrum()):
                console.print(part)
            if json:
                write_measurements(json, measured, [])
    comparisons = []
    if len(files) > 1:
        compared = [*ESTIMATORS, *(name for name in names if name not in ESTIMATORS)] if all_ else names
        comparisons = compare_files(sketches, measured, compared, level=level, force=options.force)
        console.print(comparison_table(comparisons))
        if json:
            write_measurements(json, measured, comparisons)
    if plot:
        from sonoscale.report import spectrum_figure, write_figure

        write_figure(spectrum_figure({each.name: s.sketch for each, s in zip(measured, sketches, strict=True)}), plot)
        console.print(Text(f"figure   {plot}"), soft_wrap=True)
    if options.out:
        from sonoscale.cli._measure_page import write_files_page

        write_files_page(options.out, measured, sketches, comparisons, options)
        console.print(Text(f"page     {options.out}"), soft_wrap=True)
    if json:
        what = "records" if json.suffix == ".json" else "records alone, without limits and differences"
        console.print(Text(f"{what}  {json}"), soft_wrap=True)
