"""What `fit`, `audit` and `plan` share: the options of a table of runs, and how tables are printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sonoscale.cli._console import console
from sonoscale.errors import SonoscaleError

__all__ = [
    "Clusters",
    "HigherIsBetter",
    "Json",
    "Omit",
    "Runs",
    "Seed",
    "Unit",
    "check_json",
    "names",
    "print_table",
]

Runs = Annotated[Path, typer.Argument(help="Runs: a CSV or Parquet file, or the folder of a study.")]
Clusters = Annotated[
    str | None, typer.Option(help="Columns that name the configuration; its rows (seeds, steps) are dependent.")
]
Omit = Annotated[bool, typer.Option("--omit", help="Leave out rows with a missing cell.")]
HigherIsBetter = Annotated[
    bool | None, typer.Option("--higher-is-better/--lower-is-better", help="Which is better (default: by name).")
]
Unit = Annotated[str | None, typer.Option(help="Of a score: fraction, percent or none (no ceiling).")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of resampling.")]
Json = Annotated[Path | None, typer.Option(help="Write everything to this .json file.")]

_MOST = 16  # rows shown
_NUMERIC = tuple("+-.[0123456789")


def names(text: str | None) -> list[str] | None:
    """`"a, b"` as `["a", "b"]`; None stays None."""
    return [name.strip() for name in text.split(",") if name.strip()] if text is not None else None


def check_json(json: Path | None, table: Path) -> None:
    """Whether a command may write this file, before it works for long."""
    from sonoscale.files import check_outputs

    if json and (json.suffix != ".json" or not json.parent.is_dir()):
        raise SonoscaleError(f"{json}: must end in .json, in a folder that exists")
    check_outputs([json], [table])


def print_table(
    rows: Sequence[dict[str, Any]], title: str = "", *, hidden: Sequence[str] = (), whole: bool = False,
    once: bool = False,
) -> None:  # fmt: skip
    """Rows as a table, of many the first and the last, or `whole`; `low` and `high` make one column, the interval.

    `once`: words that are the same in three rows or more are said below them, where wide columns would be broken up.
    """
    from rich.table import Table
    from rich.text import Text

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
    console.print()
    if title:
        console.print(Text(title, style="italic"))
    console.print(table)
    if same:
        console.print(Text(f"in all: {'; '.join(f'{name} {rows[0][name]}' for name in same)}"))


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) or (isinstance(value, int) and value >= 1e6) else str(value)
