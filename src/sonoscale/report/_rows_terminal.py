"""Rows of a result as a table on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["rows_table"]

_MOST = 16  # rows shown
_NUMERIC = tuple("+-.[0123456789")


def rows_table(
    rows: Sequence[dict[str, Any]], title: str = "", *, hidden: Sequence[str] = (), whole: bool = False,
    once: bool = False,
) -> Iterator[RenderableType]:  # fmt: skip
    """The title, the table, and what is the same in all its rows.

    Arguments:
        rows: column -> value; `low` and `high`, alone or behind a name, make one column, the interval.
        title: above the table; none if empty.
        hidden: columns that are left out.
        whole: show all rows, and not of many the first and the last.
        once: words that are the same in three rows or more are said below, where wide columns would be broken up.
    """
    table = Table(show_edge=False, pad_edge=False)
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in hidden]
    same = [n for n in columns if once and len(rows) > 2 and isinstance(rows[0].get(n), str)]
    same = [name for name in same if all(row.get(name) == rows[0][name] for row in rows)]
    columns = [name for name in columns if name not in same]
    for name in columns:
        if not name.endswith("high"):
            words = any(isinstance(row.get(name), str) and not row[name].startswith(_NUMERIC) for row in rows)
            heading = name.removesuffix("low").replace("_", " ") + "interval" if name.endswith("low") else name
            table.add_column(Text(heading), justify="left" if words else "right", overflow="fold")
    for i, row in enumerate(rows):
        if not whole and len(rows) > _MOST and _MOST // 2 <= i < len(rows) - _MOST // 2:
            if i == _MOST // 2:
                table.add_row("...")
            continue
        cells = []
        for name in columns:
            if name.endswith("low"):
                low, high = row.get(name), row.get(name.removesuffix("low") + "high")
                cells.append("" if low is None else f"[{_cell(low)}, {_cell(high)}]")
            elif not name.endswith("high"):
                cells.append(_cell(row.get(name)))
        table.add_row(*map(Text, cells))
    if title:
        yield Text(title, style="italic")
    yield table
    if same:
        yield Text(f"in all: {'; '.join(f'{name} {rows[0][name]}' for name in same)}")


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) or (isinstance(value, int) and value >= 1e6) else str(value)
