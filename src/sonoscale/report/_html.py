"""Pages as HTML: tables, figures, legends, and templates filled. Everything taken from data is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from importlib import resources
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from sonoscale.report._plotly import panel_json
from sonoscale.report._spec import SYMBOLS, FigureSpec, Key, colour_of
from sonoscale.report._tables import Column, Table

__all__ = ["definitions", "figure_html", "fill", "items", "paragraphs", "table_html"]

_SHAPES = {
    "circle": '<circle cx="8" cy="8" r="4.5"/>',
    "square": '<rect x="4" y="4" width="8" height="8"/>',
    "diamond": '<path d="M8 2.5 13.5 8 8 13.5 2.5 8Z"/>',
    "triangle-up": '<path d="M8 3 13.5 12.5h-11Z"/>',
    "triangle-down": '<path d="M8 13 13.5 3.5h-11Z"/>',
    "cross": '<path d="M6.2 3h3.6v3.2H13v3.6H9.8V13H6.2V9.8H3V6.2h3.2Z"/>',
    "x": '<path d="M5 3 8 6l3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3-3-3Z"/>',
    "star": '<path d="m8 2 1.8 4h4.2l-3.4 2.7 1.3 4.3L8 10.5 4.1 13l1.3-4.3L2 6h4.2Z"/>',
}
_DASHES = {"solid": "", "dash": ' stroke-dasharray="5 3"', "dot": ' stroke-dasharray="2 2.5"'}


def figure_html(figure: FigureSpec) -> str:
    """A figure: heading, one plot per panel with its text alternative, legends that are buttons, caption."""
    name, title, alt = html.escape(figure.name), html.escape(figure.title), html.escape(figure.alt)
    if figure.empty:
        notes = dict.fromkeys(panel.note for panel in figure.panels if panel.note)
        missing = html.escape("; ".join(notes) or "nothing to show")
        return f'<figure id="{name}"><h3>{title}</h3><p class="missing">Not drawn: {missing}.</p></figure>'
    height = f' style="height: {figure.height:g}rem"' if figure.height else ""
    panels = []
    for index, panel in enumerate(figure.panels):
        heading = f"<h4>{html.escape(panel.title)}</h4>" if panel.title else ""
        heading += f'<p class="sub">{html.escape(panel.subtitle)}</p>' if panel.subtitle else ""
        if not panel.series:
            panels.append(f'<div class="panel">{heading}<p class="missing">{html.escape(panel.note)}</p></div>')
            continue
        words = html.escape(f"{panel.title}: {figure.alt}" if panel.title else figure.alt)
        panels.append(
            f'<div class="panel">{heading}'
            f'<div class="plot" id="{name}-{index}" role="img" aria-label="{words}"{height}></div>'
            f'<script type="application/json">{panel_json(panel, figure.alt)}</script>'
            f"{_legend(panel.legend)}</div>"
        )
    columns = min(figure.columns, len(figure.panels))
    return (
        f'<figure id="{name}" aria-label="{title}"><h3>{title}</h3>'
        f'<div class="panels columns-{columns}">{"".join(panels)}</div>{_legend(figure.legend)}'
        f'<figcaption>{html.escape(figure.caption)}<span class="alt"> {alt}</span></figcaption></figure>'
    )


def _legend(keys: Iterable[Key]) -> str:
    buttons = "".join(
        f'<li><button type="button" aria-pressed="true" data-group="{html.escape(key.group)}">{_swatch(key)}'
        f"{html.escape(key.label)}</button></li>"
        for key in keys
    )
    return f'<ul class="legend" aria-label="Legend; press to hide or show">{buttons}</ul>' if buttons else ""


def _swatch(key: Key) -> str:
    colour = colour_of(key.colour, "currentColor")
    if key.kind == "points":
        paint = f'fill="{colour}"' if key.filled else f'fill="none" stroke="{colour}" stroke-width="1.6"'
        shape = f"<g {paint}>{_SHAPES[SYMBOLS[key.symbol % len(SYMBOLS)]]}</g>"
        width = 16
    elif key.kind == "band":
        shape, width = f'<rect y="3" width="24" height="10" fill="{colour}" opacity="0.2"/>', 24
    elif key.kind == "colour":
        shape, width = f'<rect x="1" y="2" width="12" height="12" rx="2" fill="{colour}"/>', 14
    else:
        shape = f'<path d="M0 8h24" stroke="{colour}" stroke-width="2.2"{_DASHES[key.dash]}/>'
        width = 24
    return f'<svg width="{width}" height="16" viewBox="0 0 {width} 16" aria-hidden="true">{shape}</svg>'


def table_html(table: Table) -> str:
    """A table whose columns sort by a click on their heads."""
    caption = html.escape(table.caption)
    if not table.rows:
        return f'<p class="missing">{html.escape(table.empty)}</p>'
    heads = "".join(
        f'<th scope="col"{_class(column)}><button type="button">{html.escape(column.head)}</button></th>'
        for column in table.columns
    )
    rows = []
    for row in table.rows:
        cells = []
        for index, (column, cell) in enumerate(zip(table.columns, row, strict=True)):
            text = html.escape(cell.text)
            text = f"<strong>{text}</strong>" if cell.strong else text
            tag = 'th scope="row"' if index == 0 else "td"
            value = f' data-sort="{_sort_value(cell.sort)}"'
            cells.append(f"<{tag}{_class(column)}{value}>{text}</{tag.split()[0]}>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table class="sortable">'
        f"<caption><span>{caption}</span></caption><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _class(column: Column) -> str:
    return ' class="number"' if column.numeric else ' class="prose"' if column.prose else ""


def _sort_value(value: float | str) -> str:
    if isinstance(value, str):
        return html.escape(value)
    return repr(float(value)) if math.isfinite(value) else ""


def paragraphs(sentences: Iterable[str]) -> str:
    """Sentences as paragraphs."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def items(lines: Iterable[str], empty: str) -> str:
    """Lines as a list, or a word on why there is none."""
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul>{listed}</ul>" if listed else f"<p>{html.escape(empty)}</p>"


def definitions(pairs: Mapping[str, Any]) -> str:
    """Keys and values as a definition list."""
    listed = "".join(
        f"<div><dt>{html.escape(str(key).replace('_', ' '))}</dt><dd>{html.escape(str(value))}</dd></div>"
        for key, value in pairs.items()
    )
    return f"<dl>{listed}</dl>" if listed else ""


def fill(template: str, **blanks: str) -> str:
    """A packaged template with its blanks filled, and the style, the script and plotly.js inside it.

    Arguments:
        template: its file name.
        blanks: HTML for each of its other blanks.
    """
    return Template(_packaged(template)).substitute(
        style=_packaged("_page.css"),
        script=_packaged("_page.js"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        **blanks,
    )


def _packaged(name: str) -> str:
    return resources.files("sonoscale.report").joinpath(name).read_text(encoding="utf-8")
