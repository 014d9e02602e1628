"""The spectra of embeddings, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sonoscale.files import write_bytes
from sonoscale.rank import SpectralSketch
from sonoscale.report._spec import Axis, FigureSpec, Key, Panel, Series

__all__ = ["spectrum_figure", "write_figure"]


def spectrum_figure(sketches: Mapping[str, SpectralSketch]) -> FigureSpec:
    """Singular values over their sum against their index, about zero and about the mean.

    Arguments:
        sketches: by name, each of which has seen rows.
    """
    panels = []
    for title, centred in (("as they are", False), ("about the mean", True)):
        series = tuple(
            _line(name, index, sketch.spectrum(centred=centred))
            for index, (name, sketch) in enumerate(sketches.items())
        )
        panels.append(
            Panel(
                title, Axis("index", log=True, ticks="si"), Axis("share of the sum", log=True, ticks="power"),
                tuple(line for line in series if line.x), note="all singular values are zero",
            )
        )  # fmt: skip
    legend = tuple(Key(name, name, "line", colour=index) for index, name in enumerate(sketches))
    return FigureSpec(
        "spectrum", "Spectrum of the embeddings",
        "Singular values over their sum, from the largest on. A RankMe of k is that of k equal values.",
        "Singular values against their index, on logarithmic axes, one line per set of embeddings.",
        tuple(panels), legend=legend, columns=2,
    )  # fmt: skip


def write_figure(figure: FigureSpec, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    from sonoscale.report._matplotlib import figure_png

    write_bytes(path, figure_png(figure))


def _line(name: str, index: int, spectrum: np.ndarray) -> Series:
    shown = spectrum[spectrum > 0]
    shares = shown / shown.sum() if len(shown) else shown
    where = tuple(float(i) for i in range(1, len(shown) + 1))
    return Series("line", name, where, tuple(float(s) for s in shares), colour=index, groups=(name,))
