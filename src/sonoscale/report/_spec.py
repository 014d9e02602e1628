"""A figure as data. It is described once here and drawn by two renderers, which decide nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sonoscale.report._format import count

__all__ = ["INK", "PALETTE", "SYMBOLS", "Axis", "FigureSpec", "Key", "Panel", "Series", "colour_of", "log_ticks"]

INK = -1
"""The colour index of the text colour, which follows the page's light or dark theme."""

PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8C6BB1",
    "#A0793D",
)
"""Okabe and Ito's colour-blind-safe palette, its yellow (faint on white) replaced by a violet and a brown."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")

Dash = Literal["solid", "dash", "dot"]


@dataclass(frozen=True)
class Axis:
    """An axis: its label, whether it is logarithmic, and how its ticks are written.

    Where there are `marks` (value and text), they are the ticks, and no others.
    """

    label: str
    log: bool = False
    ticks: Literal["plain", "si", "power"] = "plain"
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Series:
    """One set of points, one line, or one band.

    Attributes:
        kind: "points" at (x, y); a "line" through (x, y); a "band" over x between y_low and y_high.
        label: What it is, in words.
        x: Abscissae.
        y: Ordinates (unused by a band).
        y_low, y_high: The edges of a band.
        x_low, x_high: The ends of horizontal error bars, or empty.
        hover: Text per point (lines separated by newlines), or empty.
        colour: An index into `PALETTE`, cycled, or `INK`.
        symbol: An index into `SYMBOLS`, cycled.
        filled: Whether the symbols are solid.
        dash: The line's dash pattern.
        width: The line's width in points.
        opacity: From 0 to 1.
        groups: The legend keys that it answers to.
    """

    kind: Literal["points", "line", "band"]
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...] = ()
    y_low: tuple[float, ...] = ()
    y_high: tuple[float, ...] = ()
    x_low: tuple[float, ...] = ()
    x_high: tuple[float, ...] = ()
    hover: tuple[str, ...] = ()
    colour: int = INK
    symbol: int = 0
    filled: bool = True
    dash: Dash = "solid"
    width: float = 1.8
    opacity: float = 1.0
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Key:
    """An entry of a legend, which names every series of its group; a "colour" is a plain patch of it."""

    group: str
    label: str
    kind: Literal["points", "line", "band", "colour"]
    colour: int = INK
    symbol: int = 0
    filled: bool = True
    dash: Dash = "solid"


@dataclass(frozen=True)
class Panel:
    """One pair of axes; a panel without series shows its note instead.

    Attributes:
        title: Its heading, or an empty string.
        x, y: Its axes.
        series: What is drawn, the lowest first.
        legend: The keys that belong to this panel alone.
        note: What to say where there is nothing to draw.
        subtitle: A second line under the heading.
    """

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    legend: tuple[Key, ...] = ()
    note: str = ""
    subtitle: str = ""

    def along(self, which: Literal["x", "y"]) -> list[float]:
        """Every number that is drawn along one of the axes."""
        parts = ("x", "x_low", "x_high") if which == "x" else ("y", "y_low", "y_high")
        return [value for series in self.series for part in parts for value in getattr(series, part)]


@dataclass(frozen=True)
class FigureSpec:
    """A figure: one or more panels under one title, with a caption and a text alternative.

    Attributes:
        name: The stem of its file name and its anchor on the page.
        title: Its heading.
        caption: How to read it.
        alt: What it shows, in words, for those who cannot see it.
        panels: Its panels, row by row.
        legend: The legend that all panels share (a panel can have its own besides).
        columns: The most panels side by side.
        height: Of each panel in lines of text, 0 where the renderer knows best.
    """

    name: str
    title: str
    caption: str
    alt: str
    panels: tuple[Panel, ...]
    legend: tuple[Key, ...] = ()
    columns: int = 1
    height: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(panel.series for panel in self.panels)


def colour_of(index: int, ink: str) -> str:
    """The colour of an index, as a hexadecimal string."""
    return ink if index == INK else PALETTE[index % len(PALETTE)]


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def log_ticks(axis: Axis, values: Iterable[float]) -> list[tuple[float, str]]:
    """The ticks of a logarithmic axis over the positive ones among `values`.

    Arguments:
        axis: The axis; its `ticks` says how numbers are written.
        values: Everything that is drawn along the axis.

    Returns:
        Values and labels: at 1, 2 and 5 (or 1 and 3) over a narrow range, at whole decades over a wide one.
    """
    drawn = [value for value in values if math.isfinite(value) and value > 0]
    if not drawn:
        return []
    low, high = math.log10(min(drawn)) - 0.08, math.log10(max(drawn)) + 0.08
    steps = (1, 2, 5) if high - low < (1.0 if axis.ticks == "power" else 2.5) else (1,)
    if axis.ticks == "power" and 1.0 <= high - low < 2.5:
        steps = (1, 3)  # powers are wide labels
    every = max(1, math.ceil((high - low) / 7))
    ticks = []
    for decade in range(math.floor(low), math.ceil(high) + 1):
        for step in steps:
            if low <= decade + math.log10(step) <= high and decade % every == 0:
                ticks.append((step * 10.0**decade, _label(step, decade, axis)))
    return ticks


def _label(step: int, decade: int, axis: Axis) -> str:
    if axis.ticks == "si":
        return count(step * 10.0**decade).replace(".0", "")
    if axis.ticks == "plain" and -4 < decade < 5:
        return f"{step * 10.0**decade:g}"
    power = f"10{str(decade).translate(_SUPERSCRIPTS)}"
    return power if step == 1 else f"{step}×{power}"
