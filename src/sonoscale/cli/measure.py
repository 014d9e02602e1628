"""`sonoscale measure`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonoscale.cli._console import console
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.rank import FileMeasurement, FileSketch

SAMPLE = 4096
"""Rows on which what needs pairs of embeddings is measured."""


class Method(StrEnum):
    """How the spectrum is accumulated."""

    GRAM = "gram"
    QR = "qr"


class NanPolicy(StrEnum):
    """What becomes of rows with NaN or infinity."""

    RAISE = "raise"
    OMIT = "omit"


def measure(
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Further files to compare.")] = None,
    embeddings: Annotated[
        list[Path] | None,
        typer.Option(help="File of embeddings: .npy, .npz, .parquet, .safetensors, .pt, .h5."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Which array of the file.")] = None,
    estimator: Annotated[list[str] | None, typer.Option(help="Estimator; can be given again.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every estimator there is.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the records to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the spectra into this PNG.")] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    tolerance: Annotated[float, typer.Option(min=1e-5, max=1.0, help="Share to tell the clips needed for.")] = 0.01,
    blocks: Annotated[int, typer.Option(min=2, max=256, help="Groups of rows for the jackknife.")] = 16,
    method: Annotated[Method, typer.Option(help="qr resolves smaller singular values, more slowly.")] = Method.GRAM,
    nan_policy: Annotated[NanPolicy, typer.Option(help="Rows with NaN or infinity.")] = NanPolicy.RAISE,
    force: Annotated[bool, typer.Option("--force", help="Compare also what was measured differently.")] = False,
) -> None:
    """Effective rank of embeddings, with interval and provenance. Several files are compared, row by row."""
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    from sonoscale.cli._outputs import check_writable
    from sonoscale.cli._rank_tables import comparison_table, record_lines
    from sonoscale.rank import (
        ESTIMATORS,
        compare_files,
        get_estimator,
        measure_file,
        open_embeddings,
        sketch_file,
        write_measurements,
    )

    if not embeddings:
        raise SonoscaleError("measure needs --embeddings FILE")
    names = estimator or ["rankme", "rankme_centred", "rankme_standardised"]
    for name in names:
        get_estimator(name)
    for out, suffixes in ((json, (".json", ".parquet")), (plot, (".png",))):
        if out and (out.suffix not in suffixes or not out.parent.is_dir()):
            raise SonoscaleError(f"{out}: must end in {' or '.join(suffixes)}, in a folder that exists")
    paths = [*embeddings, *(more or [])]
    for out in filter(None, (json, plot)):
        if out.resolve() in [path.resolve() for path in paths]:
            raise SonoscaleError(f"{out}: is one of the files to measure, and would be overwritten")
        check_writable(out)
    files = [open_embeddings(path, key=None if path.suffix.lower() == ".npy" else key) for path in paths]
    if len({file.n for file in files}) > 1 and not force:
        told = ", ".join(f"{file.path} {file.n}" for file in files)
        raise SonoscaleError(
            f"the files hold different numbers of embeddings ({told}), on which a rank depends: "
            "measure the same clips, or compare all the same with --force"
        )
    sketches: list[FileSketch] = []
    measured: list[FileMeasurement] = []
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with bars:
        for file in files:
            task = bars.add_task(escape(str(file.path)), total=file.n)
            found = sketch_file(
                file, blocks=blocks, method=method.value, nan_policy=nan_policy.value, sample=SAMPLE if all_ else 0,
                progress=lambda rows, task=task: bars.advance(task, rows),
            )  # fmt: skip
            sketches.append(found)
            measured.append(measure_file(found, names, everything=all_, level=level, tolerance=tolerance))
            for part in record_lines(measured[-1], found.sketch.spectrum()):
                console.print(part)
            if json:
                write_measurements(json, measured, [])
    if len(files) > 1:
        compared = [*ESTIMATORS, *(name for name in names if name not in ESTIMATORS)] if all_ else names
        comparisons = compare_files(sketches, measured, compared, level=level, force=force)
        console.print(comparison_table(comparisons))
        if json:
            write_measurements(json, measured, comparisons)
    if plot:
        from sonoscale.report import spectrum_figure, write_figure

        write_figure(spectrum_figure({each.name: s.sketch for each, s in zip(measured, sketches, strict=True)}), plot)
        console.print(Text(f"figure   {plot}"), soft_wrap=True)
    if json:
        what = "records" if json.suffix == ".json" else "records alone, without limits and differences"
        console.print(Text(f"{what}  {json}"), soft_wrap=True)
