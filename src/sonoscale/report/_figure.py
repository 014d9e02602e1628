"""A figure: charts that are described once, in Vega-Lite, and drawn alike on a page, as PNG, as SVG and as PDF."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.files import write_bytes
from sonoscale.report._theme import STYLES, Style, config

__all__ = ["Figure", "Panel", "Rows", "bundle", "draw", "picked", "spec_of", "unchecked", "write_figure"]

Rows = Sequence[Mapping[str, Any]]
VERSION = "6.4"
"""Of Vega-Lite, in which specifications are written."""


@dataclass(frozen=True)
class Panel:
    """One chart of a figure.

    Attributes:
        chart: an Altair chart whose data are named, or None where there is nothing to draw.
        title, subtitle: above it.
        note: why there is nothing to draw.
        height: in pixels on a page.
        names: that stand down its axis, a line each: in print its height goes by their number.
    """

    chart: Any
    title: str = ""
    subtitle: str = ""
    note: str = ""
    height: int = 260
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """Charts with a title, a caption and the words for those who cannot see them.

    Attributes:
        name: of its element on the page and of its files.
        title, caption: of the figure.
        alt: what it shows, in words.
        panels: the charts.
        data: rows by the name that the charts give them.
        columns: charts side by side.
        controls: which of `x`, `y`, `colour` and `facet` a reader of the page can choose in this figure.
    """

    name: str
    title: str
    caption: str
    alt: str
    panels: tuple[Panel, ...]
    data: Mapping[str, Rows] = field(default_factory=dict)
    columns: int = 1
    controls: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return all(panel.chart is None for panel in self.panels)


def picked(field_name: str = "config", *, dimmed: float = 0.1, full: float = 1.0) -> Any:
    """The opacity of a mark: full while nothing is selected or what it stands for is, else dimmed."""
    import altair as alt

    return alt.condition(
        f"picked == null || picked[datum.{field_name}]", alt.value(full), alt.value(dimmed)
    )  # fmt: skip


@contextmanager
def unchecked() -> Iterator[None]:
    """Charts are made in the block without being held against the schema at every step, which takes seconds."""
    from altair.utils import schemapi

    with schemapi.debug_mode(False):
        yield


def spec_of(panel: Panel, *, check: bool = False) -> dict[str, Any]:
    """A panel as Vega-Lite, with the parameter in which the page keeps what is selected.

    Arguments:
        panel: with a chart.
        check: hold it against the schema of Vega-Lite.
    """
    spec = panel.chart.to_dict(validate=check)
    spec.pop("config", None)
    spec.pop("$schema", None)
    spec["params"] = [{"name": "picked", "value": None}, *spec.get("params", [])]
    return spec


def draw(figure: Figure, suffix: Literal[".png", ".svg", ".pdf"], *, style: str = "page", scale: float = 2.0) -> bytes:
    """A figure as a picture.

    Arguments:
        figure: not empty.
        suffix: of the kind of file.
        style: one of `STYLES`.
        scale: pixels of a PNG for each of the drawing's.

    Raises:
        SonoscaleError: vl-convert is not installed, or the kind of file is unknown.
    """
    convert = need("vl_convert", what="a figure")
    text = json.dumps(_whole(figure, STYLES[style], titled=style != "paper"), allow_nan=False)
    if suffix == ".svg":
        return convert.vegalite_to_svg(text, vl_version=VERSION).encode("utf-8")
    if suffix == ".pdf":
        return convert.vegalite_to_pdf(text, vl_version=VERSION)
    if suffix == ".png":
        return convert.vegalite_to_png(text, vl_version=VERSION, scale=scale)
    raise SonoscaleError(f"a figure can be written as .png, .svg or .pdf, not {suffix!r}")


def write_figure(figure: Figure, path: Path, *, style: str = "page") -> None:
    """Draw a figure into a .png, .svg or .pdf file, atomically."""
    write_bytes(path, draw(figure, path.suffix, style=style))  # type: ignore[arg-type]


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which sets `vegaEmbed`."""
    convert = need("vl_convert", what="a page")
    return convert.javascript_bundle("window.vegaEmbed = vegaEmbed; window.vega = vega;", vl_version=VERSION)


def _whole(figure: Figure, style: Style, *, titled: bool) -> dict[str, Any]:
    """All panels of a figure in one specification that holds its data."""
    shown = [panel for panel in figure.panels if panel.chart is not None]
    columns = min(figure.columns, len(shown))
    width = style.widths[0] if columns == 1 else style.widths[1]
    factor = style.size / 12.0  # of what a page has
    each = (width - columns * 58 * factor - (columns - 1) * MARGINS * factor) / columns
    made = []
    for panel in shown:
        spec = _scaled(_settled(spec_of(panel), (width - 20) / factor), factor)
        inner = spec["spec"] if "facet" in spec else spec
        inner["width"] = round(each - 5.4 * factor * max(map(len, panel.names), default=0))
        inner["height"] = (
            round((len(panel.names) + 1) * 22 * factor) if panel.names else round(each * (0.72 if columns < 3 else 0.8))
        )
        if panel.title:
            spec["title"] = {"text": panel.title} | ({"subtitle": panel.subtitle} if panel.subtitle else {})
        made.append(spec)
    params = {one["name"]: one for spec in made for one in spec.pop("params", []) if "select" not in one}
    rows = [{"hconcat": made[at : at + columns], "spacing": MARGINS} for at in range(0, len(made), columns)]
    body = made[0] if len(made) == 1 else {"vconcat": rows, "spacing": MARGINS}
    body |= {
        "$schema": f"https://vega.github.io/schema/vega-lite/v{VERSION}.json",
        "params": list(params.values()),
        "datasets": {name: [dict(row) for row in rows] for name, rows in figure.data.items()},
        "config": config(font=style.font, size=style.size, background=True, marks=factor),
    }
    if titled and len(made) > 1:
        body["title"] = {"text": figure.title, "fontSize": style.size * 1.3, "offset": 14}
    elif titled and "title" not in body:
        body["title"] = figure.title
    return body


MARGINS = 24


def _scaled(value: Any, factor: float, within: str = "") -> Any:
    """A specification whose marks are so many times as large, and whose lines as wide, as on a page."""
    if isinstance(value, list):
        return [_scaled(one, factor, within) for one in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, one in value.items():
        number = isinstance(one, int | float) and not isinstance(one, bool)
        if number and ((within == "mark" and key == "size") or (within == "size" and key == "value")):
            found[key] = one * factor**2 if value.get("type") not in ("bar", "tick") else one * factor
        elif number and within == "mark" and key in ("strokeWidth", "thickness"):
            found[key] = one * factor
        else:
            inside = key if key in ("mark", "size") else within if within == "size" else ""
            found[key] = _scaled(one, factor, inside)
    return found


def _settled(value: Any, width: float) -> Any:
    """A specification whose legends have so many columns as go into the width."""
    if isinstance(value, dict):
        if set(value) == {"expr"} and str(value["expr"]).startswith("max(1, floor(width / "):
            return max(1, int(width / float(value["expr"].split("/ ")[1].rstrip(")"))))
        return {key: _settled(one, width) for key, one in value.items()}
    return [_settled(one, width) for one in value] if isinstance(value, list) else value
