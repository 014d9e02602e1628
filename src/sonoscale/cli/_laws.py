"""What `fit`, `audit` and `plan` share: the options of a table of runs, and how tables are printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sonoscale.cli._console import console

__all__ = [
    "Clusters",
    "HigherIsBetter",
    "Omit",
    "Runs",
    "Seed",
    "Unit",
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


def names(text: str | None) -> list[str] | None:
    """`"a, b"` as `["a", "b"]`; None stays None."""
    return [name.strip() for name in text.split(",") if name.strip()] if text is not None else None


def print_table(rows: Sequence[dict[str, Any]], title: str = "", **how: Any) -> None:
    """Rows as a table, see `rows_table`."""
    from sonoscale.report._rows_terminal import rows_table

    console.print()
    for part in rows_table(rows, title, **how):
        console.print(part)
