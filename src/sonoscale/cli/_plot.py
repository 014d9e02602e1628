"""The files of a result: JSON, a figure, a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonoscale.errors import SonoscaleError

__all__ = ["Json", "Out", "Plot", "check_files", "draw_files"]

Json = Annotated[Path | None, typer.Option(help="Write everything to this .json file.")]
Out = Annotated[Path | None, typer.Option(help="Write a page with charts and tables to this .html file.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the result into this .png, .pdf or .svg file.")]


def check_files(table: Path, json: Path | None, plot: Path | None, out: Path | None) -> None:
    """Refuse files that could not be written, before the work begins.

    Raises:
        SonoscaleError: A name has another ending, its folder does not exist, it is another of the files or the table,
            or what draws it is not installed.
    """
    from sonoscale._figure import FIGURES
    from sonoscale.extras import need
    from sonoscale.files import check_outputs

    for file, endings in ((json, (".json",)), (plot, FIGURES), (out, (".html",))):
        if file and (file.suffix not in endings or not file.parent.is_dir()):
            raise SonoscaleError(f"{file}: must end in {' or '.join(endings)}, in a folder that exists")
    check_outputs([json, plot, out], [table])
    if plot:
        need("matplotlib", what="a figure").use("agg")
    for package in ("altair", "vl_convert") if out else ():
        need(package, what="a page")


def draw_files(found: Any, json: Path | None, plot: Path | None, out: Path | None) -> None:
    """Draw the figure and the page of a result that is written as JSON already, and print where all is."""
    from sonoscale.cli._console import say

    if plot:
        found.to_figure(plot)
        say(f"figure  {plot}")
    if out:
        from sonoscale.report import write_page

        say(f"page    {write_page(found, out)}")
    if json:
        say(f"everything  {json}")
