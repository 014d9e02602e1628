"""How charts look: on the page in both themes, in papers, and in slides. Colours differ in lightness as well as in hue,
and every colour goes with a shape or a dash, so that a chart can be read in greyscale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["DASHES", "MARGIN", "SHAPES", "STYLES", "Style", "config"]

SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "stroke", "triangle-right"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 1], [1, 4], [10, 2, 2, 2, 2, 2]]
MARGIN = 12

_LIGHT = {
    "ink": "#1d2733", "soft": "#586674", "grid": "#e9edf1", "line": "#b9c3cc", "page": "#ffffff", "mark": "#2f5d8a",
    "category": ["#1f4e8c", "#e07b39", "#2a9d8f", "#a8245f", "#d9a400", "#5f6368", "#7fb6dc", "#6b3d12"],
    "ramp": ["#462d7c", "#2f5f95", "#1f8f8d", "#4cb564", "#b9c935"],
}  # fmt: skip
_DARK = {
    "ink": "#e6eaee", "soft": "#9fabb7", "grid": "#272f38", "line": "#4b5763", "page": "#12171c", "mark": "#7db4e8",
    "category": ["#6fa8ff", "#ff9f5a", "#4fd1c5", "#f472b6", "#f5d67b", "#b3bac2", "#b7dcff", "#d0a27a"],
    "ramp": ["#7468d8", "#4f8fd6", "#35b3a8", "#7fd069", "#f2e14c"],
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """A way to draw for print.

    Attributes:
        widths: of figures of one and of two columns of text, in points (1/72 inch).
        font: family of the text.
        size: of the text, in points.
    """

    widths: tuple[int, int]
    font: str
    size: float


STYLES = {
    "page": Style((720, 720), "Helvetica Neue, Arial, Liberation Sans, sans-serif", 12),
    "paper": Style((240, 504), "Times New Roman, Liberation Serif, serif", 8),
    "slides": Style((620, 620), "Helvetica Neue, Arial, Liberation Sans, sans-serif", 17),
}
"""Name -> style. The columns of `paper` are those of ICASSP, ICML and most two-column templates (3.33 and 7 inches)."""


def config(
    *, dark: bool = False, font: str = "", size: float = 12, background: bool = False, marks: float = 1.0
) -> dict[str, Any]:
    """The Vega-Lite configuration of a theme.

    Arguments:
        dark: for a dark page.
        font: family; "": that of the page.
        size: of the text, in pixels.
        background: paint one, as print needs it.
        marks: how many times as wide as on a page lines are.
    """
    paint = _DARK if dark else _LIGHT
    ink, soft = paint["ink"], paint["soft"]
    text = {"font": font or "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"}
    heading = {"titleColor": ink, "titleFontSize": size, "titleFontWeight": 500, "titleFont": text["font"]}
    labels = {"labelColor": soft, "labelFontSize": size * 0.92, "labelFont": text["font"]}
    return {
        "background": paint["page"] if background else None,
        "font": text["font"],
        "view": {"stroke": None, "cornerRadius": 2},
        "padding": 4,
        "axis": heading | labels | {
            "gridColor": paint["grid"], "domainColor": paint["line"], "tickColor": paint["line"], "tickSize": 4,
            "labelPadding": 3, "titlePadding": 7, "labelFlush": True, "labelOverlap": "greedy",
        },
        "axisQuantitative": {"domain": False, "ticks": False, "tickCount": 6, "labelSeparation": 5},
        "legend": heading | labels | {
            "orient": "top", "symbolStrokeWidth": 1.6 * marks, "titleFontWeight": 600, "symbolSize": 70 * marks**2,
            "titleLimit": 260, "labelLimit": 220, "columnPadding": 14, "rowPadding": 2, "offset": 8,
        },
        "header": heading | labels | {"labelColor": ink, "labelFontWeight": 600, "labelAnchor": "start"},
        "title": {
            "color": ink, "anchor": "start", "fontSize": size * 1.08, "fontWeight": 600, "offset": 8,
            "subtitleColor": soft, "subtitleFontSize": size * 0.92,
        },
        "range": {
            "category": paint["category"], "ordinal": paint["ramp"], "ramp": paint["ramp"], "heatmap": paint["ramp"],
            "symbol": SHAPES,
        },
        "point": {"size": 70 * marks**2, "filled": True, "strokeWidth": 1.4 * marks},
        "line": {"strokeWidth": 1.8 * marks},
        "rule": {"color": soft, "strokeWidth": 1.2 * marks},
        "text": {"color": ink, "fontSize": size * 0.92, "font": text["font"]},
        "mark": {"color": paint["mark"]},
        "style": {
            "ink": {"color": ink},
            "law": {"color": ink, "strokeWidth": 2.2 * marks},
            "other-law": {"color": soft, "strokeWidth": 1.2 * marks, "strokeDash": [5, 3]},
            "band": {"color": ink, "fillOpacity": 0.1, "stroke": None},
            "soft": {"color": soft},
            "chance": {"color": soft, "strokeDash": [2, 3], "strokeWidth": 1.4 * marks * marks},
            "hollow": {"fill": paint["page"], "stroke": ink, "strokeWidth": 1.6},
            "plan": {"fill": paint["category"][1], "stroke": paint["page"], "strokeWidth": 1.2},
        },
    }  # fmt: skip
