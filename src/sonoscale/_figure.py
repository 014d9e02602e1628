"""Figures of results: the Axes that they are drawn on, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.files import replacing

__all__ = ["FIGURES", "check_axes", "new_axes", "write_plot"]

FIGURES = (".png", ".pdf", ".svg")
"""Endings of files that `write_plot` writes."""


def check_axes(ax: Any) -> None:
    """Whether these are Axes of matplotlib, or None for new ones.

    Raises:
        SonoscaleError: they are something else, such as the name of a file; or matplotlib is not installed.
    """
    axes = need("matplotlib.axes", extra="report", what="a figure")
    if ax is not None and not isinstance(ax, axes.Axes):
        raise SonoscaleError(
            f"ax = {str(ax)[:80]!r}: plot draws on Axes of matplotlib; to_figure('result.png') writes a file"
        )


def new_axes(ax: Any = None, **how: Any) -> Any:
    """The Axes to draw on.

    Arguments:
        ax: Axes of matplotlib, or None for new ones.
        how: new ones are made, see `matplotlib.pyplot.subplots`.

    Raises:
        SonoscaleError: see `check_axes`.
    """
    check_axes(ax)
    return need("matplotlib.pyplot", extra="report", what="a figure").subplots(**how)[1] if ax is None else ax


def write_plot(found: Any, path: Path) -> None:
    """Draw what has a `plot` method into a file, atomically.

    Raises:
        SonoscaleError: it has none; another ending than those of `FIGURES`; matplotlib is not installed.
    """
    import numpy as np

    if path.suffix not in FIGURES:
        raise SonoscaleError(f"{path}: must end in {', '.join(FIGURES[:-1])} or {FIGURES[-1]}")
    if not hasattr(found, "plot"):
        raise SonoscaleError(f"{path}: {type(found).__name__} has no figure")
    pyplot = need("matplotlib.pyplot", extra="report", what="a figure")
    figure = np.ravel(found.plot())[0].figure
    try:
        figure.set_layout_engine("tight")
        with replacing(path) as part:
            figure.savefig(part, format=path.suffix[1:], dpi=150)
    finally:
        pyplot.close(figure)
