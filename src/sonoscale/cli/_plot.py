"""The figure and the page of a result, as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sonoscale.errors import SonoscaleError

__all__ = ["Out", "Plot", "check_out", "check_plot", "save_page", "save_plot"]

Out = Annotated[Path | None, typer.Option(help="Write a page with charts and tables to this .html file.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the result into this .png, .pdf or .svg file.")]


def check_plot(file: Path | None, json: Path | None, table: Path) -> None:
    """Refuse a figure that could not be written, before the work begins.

    Raises:
        SonoscaleError: Its name has another ending, its folder does not exist, it is the JSON file or the table, or
            matplotlib is not installed.
    """
    if file is None:
        return
    from sonoscale.extras import need
    from sonoscale.files import check_outputs

    if file.suffix not in (".png", ".pdf", ".svg") or not file.parent.is_dir():
        raise SonoscaleError(f"{file}: must end in .png, .pdf or .svg, in a folder that exists")
    check_outputs([json, file], [table])
    need("matplotlib", what="a figure").use("agg")


def save_plot(found: Any, file: Path | None) -> None:
    """Draw what has a `plot` method into the file, and print where it is; nothing without a file."""
    if file is None:
        return
    import matplotlib.pyplot as plt
    import numpy as np

    from sonoscale.cli._console import console
    from sonoscale.files import replacing

    figure = np.ravel(found.plot())[0].figure
    figure.set_layout_engine("tight")
    with replacing(file) as part:
        figure.savefig(part, format=file.suffix[1:], dpi=150)
    plt.close(figure)
    console.print(f"figure  {file}", soft_wrap=True, markup=False)


def check_out(file: Path | None, others: Sequence[Path | None], table: Path) -> None:
    """Refuse a page that could not be written, before the work begins."""
    if file is None:
        return
    from sonoscale.extras import need
    from sonoscale.files import check_outputs

    if file.suffix != ".html" or not file.parent.is_dir():
        raise SonoscaleError(f"{file}: must end in .html, in a folder that exists")
    check_outputs([*others, file], [table])
    need("altair", what="a page")
    need("vl_convert", what="a page")


def save_page(found: Any, file: Path | None) -> None:
    """Write the page of a result, and print where it is; nothing without a file."""
    if file is None:
        return
    from sonoscale.cli._console import console
    from sonoscale.report import write_page

    console.print(f"page    {write_page(found, file)}", soft_wrap=True, markup=False)
