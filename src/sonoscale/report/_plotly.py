"""Draws a panel's specification as a plotly figure: interactive, themed by the page's own colours."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

from sonoscale.report._spec import INK, SYMBOLS, Axis, Panel, Series, colour_of, log_ticks

__all__ = ["INK_COLOUR", "panel_json"]

INK_COLOUR = "#1f2933"
"""The light theme's text colour; the page's script replaces it where `meta.ink` is set."""

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def panel_json(panel: Panel, alt: str) -> str:
    """The panel as the JSON that plotly.js draws, safe inside a script element.

    Arguments:
        panel: The panel; every text in it may hold any character.
        alt: Words for those who cannot see it, kept in the layout's `meta`.

    Returns:
        JSON without a single "<".
    """
    layout = {
        "template": "none",
        "margin": {"l": 62, "r": 14, "t": 26, "b": 52},
        "font": {"family": _FONT, "size": 13, "color": INK_COLOUR},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "font": {"family": _FONT, "size": 12}},
        "uirevision": "keep",
        "xaxis": _axis(panel.x, panel.along("x")),
        "yaxis": _axis(panel.y, panel.along("y")),
        "meta": {"alt": alt},
    }
    figure = go.Figure(data=[trace for one in panel.series for trace in _traces(one, panel)], layout=layout)
    text = figure.to_json() or ""
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _axis(axis: Axis, values: list[float]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "title": {"text": _text(axis.label), "standoff": 10},
        "type": "log" if axis.log else "linear",
        "automargin": True,
        "zeroline": False,
        "showline": True,
        "linewidth": 1,
        "ticks": "outside",
        "ticklen": 4,
        "nticks": 7,
        "exponentformat": "SI" if axis.ticks == "si" else "power",
    }
    if axis.log or axis.marks:
        ticks = axis.marks or log_ticks(axis, values)
        made |= {"tickvals": [value for value, _ in ticks], "ticktext": [_text(text) for _, text in ticks]}
    return made


def _traces(series: Series, panel: Panel) -> Iterable[go.Scatter]:
    colour = colour_of(series.colour, INK_COLOUR)
    common: dict[str, Any] = {
        "name": _text(series.label),
        "meta": {"groups": list(series.groups), "ink": series.colour == INK, "alpha": series.opacity},
    }
    if series.kind == "band":
        yield go.Scatter(
            x=_numbers(series.x + series.x[::-1]),
            y=_numbers(series.y_high + series.y_low[::-1]),
            mode="lines",
            fill="toself",
            fillcolor=_rgba(colour, series.opacity),
            line={"width": 0, "color": colour},
            hoverinfo="skip",
            **common,
        )
        return
    if series.hover:
        common |= {"text": [_text(text) for text in series.hover], "hovertemplate": "%{text}<extra></extra>"}
    else:
        x, y = (_text(axis.label).replace("%{", "% {") for axis in (panel.x, panel.y))
        common["hovertemplate"] = f"%{{fullData.name}}<br>{x} %{{x:.4~g}}<br>{y} %{{y:.4~g}}<extra></extra>"
    x, y = _numbers(series.x), _numbers(series.y)
    if series.kind == "line":
        line = {"color": colour, "width": series.width, "dash": series.dash}
        mode = "lines" if len(series.x) > 1 else "markers"
        marker = {"color": colour, "size": 5}
        yield go.Scatter(x=x, y=y, mode=mode, line=line, marker=marker, opacity=series.opacity, **common)
        return
    if series.x_low:
        common["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": _numbers(high - at for high, at in zip(series.x_high, series.x, strict=True)),
            "arrayminus": _numbers(at - low for low, at in zip(series.x_low, series.x, strict=True)),
            "color": _rgba(colour, 0.45),
            "thickness": 1,
            "width": 0,
        }
    symbol = SYMBOLS[series.symbol % len(SYMBOLS)] + ("" if series.filled else "-open")
    marker = {"color": colour, "symbol": symbol, "size": 9 if series.filled else 8, "opacity": series.opacity}
    if not series.filled:
        marker["line"] = {"width": 1.4}
    yield go.Scatter(x=x, y=y, mode="markers", marker=marker, **common)


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def _text(text: str) -> str:
    """Plotly reads a few HTML tags in its texts; data must not be read so."""
    return html.escape(text, quote=False).replace("\n", "<br>")
