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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from sonoscale.cli._rank_tables import comparison_table, record_lines
    from sonoscale.rank import (
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
    files = [open_embeddings(path, key=key) for path in [*embeddings, *(more or [])]]
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
            task = bars.add_task(str(file.path), total=file.n)
            found = sketch_file(
                file, blocks=blocks, method=method.value, nan_policy=nan_policy.value, sample=SAMPLE if all_ else 0,
                progress=lambda rows, task=task: bars.advance(task, rows),
            )  # fmt: skip
            sketches.append(found)
            measured.append(measure_file(found, None if all_ else names, level=level, tolerance=tolerance))
            if json:
                write_measurements(json, measured, [])
            for part in record_lines(measured[-1], found.sketch.spectrum()):
                console.print(part)
    if len(files) > 1:
        comparisons = compare_files(sketches, measured, names, level=level)
        if json:
            write_measurements(json, measured, comparisons)
        console.print(comparison_table(comparisons))
    if plot:
        from sonoscale.report import spectrum_figure, write_figure

        write_figure(spectrum_figure({each.name: s.sketch for each, s in zip(measured, sketches, strict=True)}), plot)
        console.print(f"figure   {plot}", highlight=False, soft_wrap=True)
    if json:
        console.print(f"records  {json}", highlight=False, soft_wrap=True)
