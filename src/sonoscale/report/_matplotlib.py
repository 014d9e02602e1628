"""Draws a figure's specification as a PNG for print, with matplotlib's Agg renderer and no global state."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from sonoscale.report._format import count
from sonoscale.report._spec import SYMBOLS, Axis, FigureSpec, Key, Panel, Series, colour_of, log_ticks

__all__ = ["figure_png"]

_INK = "#1f2933"
_DPI = 150
_MARKERS = dict(zip(SYMBOLS, ("o", "s", "D", "^", "v", "P", "X", "*"), strict=True))
_DASHES = {"solid": "-", "dash": (0, (4, 2)), "dot": (0, (1, 1.6))}
_STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e7eb",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#52606d",
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": "#3e4c59",
    "ytick.color": "#3e4c59",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def figure_png(figure: FigureSpec) -> bytes:
    """The figure as a PNG file's bytes, at 150 dots per inch."""
    columns = max(1, min(figure.columns, len(figure.panels)))
    rows = max(1, math.ceil(len(figure.panels) / columns))
    width, height = (7.0, 4.6) if columns == 1 else (3.6 * columns, 3.1)
    height = 0.16 * figure.height or height
    own = max((math.ceil(len(panel.legend) / _across(panel.legend, 2)) for panel in figure.panels), default=0)
    with rc_context(_STYLE):
        page = Figure(figsize=(width, rows * (height + 0.2 * own) + 0.6), layout="constrained", dpi=_DPI)
        FigureCanvasAgg(page)
        for index, panel in enumerate(figure.panels):
            _draw_panel(page.add_subplot(rows, columns, index + 1), panel)
        if figure.legend:
            across = _across(figure.legend, {1: 4, 2: 4}.get(columns, 5))
            page.legend(handles=_handles(figure.legend), loc="outside lower center", ncols=across)
        buffer = io.BytesIO()
        page.savefig(buffer, format="png", dpi=_DPI, facecolor="white", metadata={"Title": figure.title})
    return buffer.getvalue()


def _draw_panel(axes: Axes, panel: Panel) -> None:
    if panel.title:
        heading = "\n".join(_short(line, 46) for line in (panel.title, panel.subtitle) if line)
        axes.set_title(_text(heading), loc="left", linespacing=1.4)
    if not panel.series:
        axes.set_axis_off()
        axes.text(0.5, 0.5, _text(panel.note), ha="center", va="center", transform=axes.transAxes, wrap=True)
        return
    axes.set_xlabel(_text(panel.x.label))
    axes.set_ylabel(_text(panel.y.label))
    if panel.x.log:
        axes.set_xscale("log")
    if panel.y.log:
        axes.set_yscale("log")
    for order, series in enumerate(panel.series):
        _draw(axes, series, 2 + 0.01 * order)
    _ticks(axes.xaxis, panel.x, panel.along("x"))
    _ticks(axes.yaxis, panel.y, panel.along("y"))
    if panel.legend:
        axes.legend(
            handles=_handles(panel.legend),
            loc="upper center",
            bbox_to_anchor=(0.5, -0.22),
            ncols=_across(panel.legend, 2),
            handlelength=1.6,
            columnspacing=1.2,
        )


def _draw(axes: Axes, series: Series, order: float) -> None:
    colour = colour_of(series.colour, _INK)
    if series.kind == "band":
        axes.fill_between(
            series.x, series.y_low, series.y_high, color=colour, alpha=series.opacity, linewidth=0, zorder=order
        )
        return
    shared: dict[str, Any] = {"color": colour, "alpha": series.opacity, "zorder": order}
    if series.kind == "line":
        marker = "" if len(series.x) > 1 else "."
        axes.plot(
            series.x,
            series.y,
            linestyle=_DASHES[series.dash],
            linewidth=series.width,
            marker=marker,
            **shared,
        )
        return
    if series.x_low:
        x = np.asarray(series.x)
        bars = np.vstack([x - np.asarray(series.x_low), np.asarray(series.x_high) - x])
        bars = np.clip(np.nan_to_num(bars), 0.0, None)  # [2, points]
        axes.errorbar(x, series.y, xerr=bars, fmt="none", ecolor=colour, alpha=0.4, elinewidth=0.8, zorder=order)
    marker = _MARKERS[SYMBOLS[series.symbol % len(SYMBOLS)]]
    face = colour if series.filled else "none"
    axes.plot(
        series.x, series.y, linestyle="", marker=marker, markersize=5.5, markerfacecolor=face,
        markeredgewidth=0.6 if series.filled else 1.0, **shared,
    )  # fmt: skip


def _across(keys: Sequence[Key], most: int) -> int:
    """How many columns a legend has: as many as `most`, fewer where its labels are long."""
    longest = max((len(_short(key.label)) for key in keys), default=0)
    return max(1, min(len(keys), most * 20 // max(longest, 20)))


def _handles(keys: Iterable[Key]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    for key in keys:
        colour, label = colour_of(key.colour, _INK), _text(_short(key.label))
        if key.kind in ("band", "colour"):
            alpha = 0.15 if key.kind == "band" else 0.9
            handles.append(Patch(color=colour, alpha=alpha, linewidth=0, label=label))
        elif key.kind == "line":
            handles.append(Line2D([], [], color=colour, linestyle=_DASHES[key.dash], label=label))
        else:
            marker = _MARKERS[SYMBOLS[key.symbol % len(SYMBOLS)]]
            face = colour if key.filled else "none"
            handles.append(Line2D([], [], color=colour, linestyle="", marker=marker, markerfacecolor=face, label=label))
    return handles


def _ticks(axis: Any, spec: Axis, values: list[float]) -> None:
    if spec.log or spec.marks:
        ticks = spec.marks or log_ticks(spec, values)
        axis.set_major_locator(FixedLocator([value for value, _ in ticks]))
        axis.set_major_formatter(FixedFormatter([_text(text) for _, text in ticks]))
        axis.set_minor_locator(NullLocator())
        return
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if spec.ticks == "si":
        axis.set_major_formatter(FuncFormatter(lambda value, _: count(value).replace(".0", "")))


def _short(text: str, most: int = 34) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(text: str) -> str:
    """Matplotlib reads dollars as mathematics and drops legend labels that start with an underscore."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
