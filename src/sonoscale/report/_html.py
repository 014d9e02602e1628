"""A page as one HTML file: answers, figures, tables, and the data they share. Everything taken from data is escaped."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from string import Template
from typing import Any, Literal

from sonoscale.report._encoders import Encoders
from sonoscale.report._figure import Figure, bundle, spec_of, unchecked
from sonoscale.report._tables import Column, Table
from sonoscale.report._theme import config
from sonoscale.results import plain

__all__ = ["Answer", "Grid", "Page", "Section", "items", "page_html", "paragraphs"]

SCRIPTS = ("core.js", "charts.js", "tables.js", "planner.js", "start.js")
MOST_ROWS = 250
"""Rows of a table that are written as HTML; the script draws larger ones."""


@dataclass(frozen=True)
class Answer:
    """An answer on the first screen: the question, the answer with its number, and what else is to be known of it."""

    question: str
    lead: str
    rest: str = ""
    tone: Literal["", "good", "bad", "open"] = ""


@dataclass(frozen=True)
class Grid:
    """A table whose rows are runs or configurations.

    Attributes:
        table: the cells. keys: of each row the run and the configuration, either of which may be None.
    """

    table: Table
    keys: Sequence[tuple[str | None, str | None]]


@dataclass(frozen=True)
class Section:
    """A part of a page: figures, tables and HTML (made by `paragraphs` and its like) under a heading."""

    name: str
    heading: str
    blocks: tuple[Figure | Table | Grid | str, ...]


@dataclass(frozen=True)
class Page:
    """All of a page.

    Attributes:
        kicker, title, about: its head.
        answers: what it says first.
        opening: the figure beside the answers.
        sections: the evidence.
        provenance: key by key.
        encoders: rows that figures and tables share and a reader can select.
        chosen: the keys of the variables that figures are written with: `x`, `y`, `colour`.
        command, folder: that made the encoders, and where their runs lie.
        planner: what the planner computes from (see `planner_data`), or None.
    """

    kicker: str
    title: str
    about: Sequence[str]
    answers: Sequence[Answer]
    sections: Sequence[Section]
    provenance: Mapping[str, Any]
    opening: Figure | None = None
    encoders: Encoders | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    folder: str = ""
    planner: Mapping[str, Any] | None = None
    without: str = ""


def page_html(page: Page) -> str:
    """The whole page as one text that needs nothing else to be read."""
    sections = [one for one in page.sections if one.blocks]
    held = _Held(page)
    opening = held.block(page.opening) if page.opening is not None and not page.opening.empty else ""
    answers = _answers(page.answers, wide=not opening)
    parts = [(one, "".join(held.block(block) for block in one.blocks)) for one in sections]
    return Template(_packaged("page.html")).substitute(
        kicker=html.escape(page.kicker),
        title=html.escape(page.title),
        about=paragraphs(page.about),
        without=html.escape(page.without),
        opening=f'<section class="opening{"" if opening else " single"}" id="summary" aria-label="Answers">'
        f"{answers}{opening}</section>",
        contents="".join(f'<a href="#{one.name}">{html.escape(one.heading)}</a>' for one in sections)
        + '<a href="#provenance">Provenance</a>',
        sections="\n".join(
            f'<section id="{one.name}"><h2>{html.escape(one.heading)}</h2>{content}</section>' for one, content in parts
        ),
        provenance=definitions(page.provenance),
        data=_json(held.content()),
        style=_packaged("page.css"),
        script="\n".join(_packaged(name) for name in SCRIPTS),
        bundle=bundle().replace("</script", "<\\/script").replace("<!--", "<\\!--"),
    )


class _Held:
    """What the blocks of a page share: specifications, tables of rows, grids."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.charts: dict[str, Any] = {}
        self.tables: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.grids: dict[str, Any] = {}
        if page.encoders is not None:
            self.tables["encoders"] = page.encoders.rows

    def block(self, block: Figure | Table | Grid | str) -> str:
        if isinstance(block, str):
            return block
        if isinstance(block, Figure):
            return self._figure(block)
        return self._table(block if isinstance(block, Grid) else Grid(block, ()))

    def _figure(self, figure: Figure) -> str:
        name, title, alt = html.escape(figure.name), html.escape(figure.title), html.escape(figure.alt)
        if figure.empty:
            notes = dict.fromkeys(panel.note for panel in figure.panels if panel.note)
            missing = html.escape("; ".join(notes) or "nothing to show").rstrip(".")
            return f'<figure id="{name}"><h3>{title}</h3><p class="missing">Not drawn: {missing}.</p></figure>'
        self.tables |= figure.data
        label = f' aria-label="{title}"' if title else ""
        heading_of = f"<h3>{title}</h3>" if title else ""
        panels = []
        for index, panel in enumerate(figure.panels):
            heading = f"<h4>{html.escape(panel.title)}</h4>" if panel.title else ""
            heading += f'<p class="sub">{html.escape(panel.subtitle)}</p>' if panel.subtitle else ""
            if panel.chart is None:
                panels.append(f'<div class="panel">{heading}<p class="missing">{html.escape(panel.note)}</p></div>')
                continue
            spec = spec_of(panel)
            self.charts[f"{figure.name}-{index}"] = spec
            words = html.escape(f"{panel.title}: {figure.alt}" if panel.title else figure.alt)
            brush = _brushed(spec)
            panels.append(
                f'<div class="panel">{heading}<div class="chart" id="{name}-{index}" role="group" '
                f'aria-roledescription="chart" aria-describedby="how" tabindex="0" '
                f'aria-label="{words}" data-height="{panel.height}" data-controls="{" ".join(figure.controls)}"'
                f'{f" data-brush={brush}" if brush else ""} style="min-height:{panel.height}px"></div></div>'
            )
        return (
            f'<figure id="{name}"{label}>{heading_of}{self._controls(figure)}'
            f'<div class="panels columns-{min(figure.columns, len(panels))}">{"".join(panels)}</div>'
            f'<figcaption>{html.escape(figure.caption)}<span class="offscreen"> {alt}</span></figcaption></figure>'
        )

    def _controls(self, figure: Figure) -> str:
        encoders = self.page.encoders
        if encoders is None or not figure.controls:
            return ""
        every = list(encoders.variables.values())
        scores = [one for one in every if one.role == "score"]
        options = {"x": every, "y": scores, "colour": every, "facet": [one for one in every if one.few]}
        made = []
        for name in figure.controls:
            if len(options[name]) < 2:
                continue
            now = self.page.chosen.get(name, "")
            listed = ['<option value="">none</option>'] if name == "facet" else []
            listed += [
                f'<option value="{html.escape(one.key)}"{" selected" if one.key == now else ""}>'
                f"{html.escape(one.title)}</option>"
                for one in options[name]
            ]
            word = {"x": "x", "y": "y", "colour": "colour", "facet": "panels by"}[name]
            made.append(f'<label>{word} <select data-choose="{name}">{"".join(listed)}</select></label>')
        return f'<div class="controls">{"".join(made)}</div>' if made else ""

    def _table(self, grid: Grid) -> str:
        table = grid.table
        if not table.rows:
            return f'<p class="missing">{html.escape(table.empty)}</p>'
        if len(table.rows) > MOST_ROWS:
            name = f"grid{len(self.grids)}"
            self.grids[name] = {
                "heads": [{"head": one.head, "kind": _kind(one)} for one in table.columns],
                "rows": [[_cell(cell.text, cell.sort) for cell in row] for row in table.rows],
                "keys": self._keys(grid),
            }
            return table_html(table, rows=name)
        return table_html(table, keys=grid.keys)

    def _keys(self, grid: Grid) -> Any:
        """What the rows of a grid are: the runs of the encoders in their order, or each by name."""
        encoders = self.page.encoders
        runs = [] if encoders is None else [(row["run"], row["config"]) for row in encoders.rows if row["of"] == "run"]
        return "runs" if runs and list(grid.keys) == runs else list(grid.keys) or None

    def content(self) -> dict[str, Any]:
        encoders, page = self.page.encoders, self.page
        found: dict[str, Any] = {
            "charts": self.charts,
            "tables": {name: _columns(rows, encoders, name) for name, rows in self.tables.items()},
            "grids": self.grids,
            "themes": {"light": config(), "dark": config(dark=True)},
            "command": page.command,
            "folder": page.folder,
        }
        if encoders is not None:
            with unchecked():
                shown = _variables(encoders)
            found |= {"variables": shown, "chosen": dict(page.chosen)}
        if page.planner is not None:
            found["planner"] = page.planner
        return found


def _variables(encoders: Encoders) -> list[dict[str, Any]]:
    """The variables with the channels that a reader's choice puts into a figure."""
    import altair as alt

    from sonoscale.report._chart_quality import colour_of, extent_of, order_of, x_of
    from sonoscale.report._chart_training import dash_of

    found = []
    for one in encoders.variables.values():
        chart = (
            alt.Chart(alt.NamedData("encoders"))
            .mark_line()
            .encode(
                x=x_of(one),
                y=alt.Y(
                    f"{one.key}:Q",
                    title=one.title,
                    scale=alt.Scale(domain=extent_of(encoders, one.key), nice=True, zero=False)
                    if one.kind == "number"
                    else alt.Scale(zero=False),
                ),
                color=colour_of(encoders, one),
                **(
                    {
                        "shape": alt.Shape(
                            f"{one.key}:N", title=one.title, scale=alt.Scale(domain=order_of(encoders, one))
                        ),
                        "strokeDash": dash_of(encoders, one),
                    }
                    if one.few
                    else {}
                ),
            )
        )
        channels = chart.to_dict(validate=False)["encoding"]
        shape, dash = channels.get("shape"), channels.get("strokeDash")
        if shape and channels["color"].get("legend"):
            shape["legend"] = channels["color"]["legend"]
        ends = any(f"{one.key}_low" in row for row in encoders.rows)
        found.append(
            one.as_dict()
            | {
                "column": one.column,
                "ends": ends,
                "x": channels["x"],
                "y": channels["y"],
                "colour": channels["color"],
                "shape": shape,
                "dash": dash,
            }
        )
    return found


def _columns(rows: Sequence[Mapping[str, Any]], encoders: Encoders | None, name: str) -> dict[str, Any]:
    """Rows as columns; what a row has in common with the encoder that it is about is left to the encoder's own."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    join: dict[str, Any] | None = None
    by = "run" if "run" in keys else "config" if "config" in keys else None
    if encoders is not None and name != "encoders" and by is not None:
        about = {row[by]: row for row in encoders.rows if row.get(by) is not None and row.get("run") is not None}
        pairs = [(row, about.get(row.get(by), {})) for row in rows]
        shared = [
            key for key in keys if key != by and all(key in one and one[key] == row.get(key) for row, one in pairs)
        ]
        if shared:
            join, keys = {"by": by, "keys": shared}, [key for key in keys if key not in shared]
    found: dict[str, Any] = {"n": len(rows), "columns": {key: _packed([row.get(key) for row in rows]) for key in keys}}
    return found | ({"join": join} if join else {})


def _packed(values: list[Any]) -> Any:
    """A column; of few different values, these and which of them."""
    distinct = dict.fromkeys(one for one in values if one is not None)
    words = any(isinstance(one, str) for one in distinct)
    if (words or len(distinct) < len(values) / 4) and len(values) > 8:
        places = {one: i for i, one in enumerate(distinct)}
        return {"d": list(distinct), "i": [-1 if one is None else places[one] for one in values]}
    return values


def _cell(text: str, sort: float | str) -> Any:
    if isinstance(sort, str):
        return text
    return [text, float(f"{sort:.6g}") if math.isfinite(sort) else None]


def _brushed(spec: Mapping[str, Any]) -> str:
    """The data of the layer with a brush."""
    for unit in spec.get("layer", [spec]):
        if any(one.get("name") == "brush" for one in unit.get("params", [])):
            return str((unit.get("data") or spec.get("data") or {}).get("name", ""))
    return str((spec.get("data") or {}).get("name", ""))


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _answers(answers: Sequence[Answer], *, wide: bool) -> str:
    listed = "".join(
        f'<div class="answer {one.tone}"><dt>{html.escape(one.question)}</dt><dd><span class="lead">'
        f"{html.escape(one.lead)}</span>"
        + (f'<span class="rest">{html.escape(one.rest)}</span>' if one.rest else "")
        + "</dd></div>"
        for one in answers
    )
    return f'<dl class="answers{" wide" if wide else ""}">{listed}</dl>'


def table_html(table: Table, *, keys: Sequence[tuple[str | None, str | None]] = (), rows: str = "") -> str:
    """A table whose columns sort by a click on their heads; with the name of a grid, its head alone."""
    caption = html.escape(table.caption)
    heads = "".join(
        f'<th scope="col"{_class(column)}><button type="button">{html.escape(column.head)}</button></th>'
        for column in table.columns
    )
    made = []
    for place, row in enumerate(table.rows if not rows else ()):
        cells = []
        for index, (column, cell) in enumerate(zip(table.columns, row, strict=True)):
            text = html.escape(cell.text)
            text = f"<strong>{text}</strong>" if cell.strong else text
            tag = 'th scope="row"' if index == 0 else "td"
            value = f' data-sort="{_sort_value(cell.sort)}"' if column.numeric else ""
            cells.append(f"<{tag}{_class(column)}{value}>{text}</{tag.split()[0]}>")
        about = ""
        if keys:
            about = "".join(
                f' data-{what}="{html.escape(key)}"'
                for what, key in zip(("run", "config"), keys[place], strict=True)
                if key
            )
            about += ' tabindex="0" aria-selected="false"'
        made.append(f"<tr{about}>{''.join(cells)}</tr>")
    grid = f' data-rows="{rows}"' if rows else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table class="sortable"{grid}>'
        f"<caption><span>{caption}</span></caption><thead><tr>{heads}</tr></thead><tbody>{''.join(made)}</tbody>"
        "</table></div>"
    )


def _kind(column: Column) -> str:
    return "number" if column.numeric else "prose" if column.prose else ""


def _class(column: Column) -> str:
    return f' class="{_kind(column)}"' if _kind(column) else ""


def _sort_value(value: float | str) -> str:
    if isinstance(value, str):
        return html.escape(value)
    return repr(float(value)) if math.isfinite(value) else ""


def paragraphs(sentences: Iterable[str]) -> str:
    """Sentences as paragraphs."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences if sentence)


def items(lines: Iterable[str], empty: str = "") -> str:
    """Lines as a list, or a word on why there is none."""
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul>{listed}</ul>" if listed else f"<p>{html.escape(empty)}</p>" if empty else ""


def definitions(pairs: Mapping[str, Any]) -> str:
    """Keys and values as a definition list."""
    listed = "".join(
        f"<div><dt>{html.escape(str(key).replace('_', ' '))}</dt><dd>{html.escape(str(value))}</dd></div>"
        for key, value in pairs.items()
    )
    return f'<dl class="about">{listed}</dl>' if listed else ""


def _packaged(name: str) -> str:
    return resources.files("sonoscale.report").joinpath("page", name).read_text(encoding="utf-8")
