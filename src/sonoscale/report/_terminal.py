"""The study's results for a terminal: the tables of the page, as wide as there is room for."""

from __future__ import annotations

import shutil

from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from sonoscale.report._answers import audit_sentence, law_sentence, two_stage_sentences
from sonoscale.report._model import StudyResults
from sonoscale.report._tables import Table, laws_table, runs_table

__all__ = ["terminal_summary"]


def terminal_summary(results: StudyResults, *, width: int | None = None) -> list[RenderableType]:
    """The runs, the laws, the law of rank in one sentence, and its audit.

    Arguments:
        results: The study's results.
        width: Columns of the terminal; by default what the terminal says.

    Returns:
        Two rich tables (a `Text` where a table has no rows), a sentence, and the notes of the laws. Columns that
        do not fit are left out, the least important first: time, swept variable, RankMe / dim, task scores.
    """
    room = shutil.get_terminal_size().columns if width is None else width
    return [
        _render(runs_table(results, final_only=True, tasks=True), "Runs at their largest budget", room),
        _render(laws_table(results), "Laws", room),
        Text(law_sentence(results)),
        *map(Text, two_stage_sentences(results)[:1]),
        *(Text(note) for note in (audit_sentence(results), results.laws.baseline, *results.laws.notes) if note),
    ]


def _render(table: Table, title: str, room: int) -> RenderableType:
    if not table.rows:
        return Text(table.empty)
    columns = list(range(len(table.columns)))
    while sum(_widths(table, columns)) + 3 * len(columns) + 1 > room:
        worst = max(columns, key=lambda index: (table.columns[index].spare, index))
        if table.columns[worst].spare == 0:
            break
        columns.remove(worst)
    rendered = RichTable(title=title, title_justify="left")
    for index, width in zip(columns, _widths(table, columns), strict=True):
        column = table.columns[index]
        justify = "right" if column.numeric else "left"
        rendered.add_column(Text(column.head), justify=justify, width=width if column.numeric else None)
    for row in table.rows:
        rendered.add_row(*(Text(row[i].text, style="bold" if row[i].strong else "") for i in columns))
    return rendered


def _widths(table: Table, columns: list[int]) -> list[int]:
    """The width of each column; heads and words may wrap between words, numbers may not."""
    widths = []
    for index in columns:
        column = table.columns[index]
        cells = [row[index].text for row in table.rows]
        parts = cells if column.numeric else [word for cell in cells for word in cell.split()]
        widths.append(max(Text(part).cell_len for part in [*column.head.split(), *parts, ""]))
    return widths
