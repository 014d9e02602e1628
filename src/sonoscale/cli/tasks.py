"""`sonoscale tasks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonoscale.cli._console import console

if TYPE_CHECKING:
    from rich.table import Table

    from sonoscale.corpora.tasks import CatalogueEntry


def tasks(
    name: Annotated[str | None, typer.Argument(help="A task, such as hear/esc50, to describe in full.")] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder to look for tasks in; repeatable (default: those of SONOSCALE_TASKS)."),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Only those of hear or xares.")] = None,
    found: Annotated[bool, typer.Option("--found", help="Only those found on this machine.")] = False,
) -> None:
    """List the public tasks that can be opened by name, and which are found on this machine.

    Kinds in brackets are not probed here.
    """
    from sonoscale.corpora.tasks import catalogue, entry_of, locate_tasks
    from sonoscale.errors import SonoscaleError

    where = locate_tasks(root or None)
    if name is not None:
        entry = entry_of(name)
        console.print(_details(entry, where.get(entry.name, [])))
        return
    suites = sorted({entry.suite for entry in catalogue()})
    if suite is not None and suite not in suites:
        raise SonoscaleError(f"--suite {suite}: there are {', '.join(suites)}")
    listed = [entry for entry in catalogue() if suite in (None, entry.suite) and (entry.name in where or not found)]
    console.print(_overview(listed, where))
    here = sum(entry.name in where for entry in listed)
    hint = "" if where else "; say with --root or SONOSCALE_TASKS where to look"
    console.print(f"{len(listed)} tasks, {here} found{hint}")


def _overview(entries: list[CatalogueEntry], where: dict[str, list[Path]]) -> Table:
    from rich.table import Table

    table = Table()
    table.add_column("task", no_wrap=True, min_width=max((len(entry.name) for entry in entries), default=0))
    for column in ("kind", "metric", "splits"):
        table.add_column(column, overflow="fold")
    for column in ("classes", "clips", "seconds"):
        table.add_column(column, justify="right")
    table.add_column("licence")
    table.add_column("found in", overflow="fold")
    for entry in entries:
        table.add_row(
            entry.name, entry.kind if entry.probed else f"({entry.kind})", entry.metric, _splits(entry),
            _number(entry.classes), _number(entry.clips), _number(entry.sample_seconds), entry.licence,
            "\n".join(str(folder) for folder in where.get(entry.name, [])),
        )  # fmt: skip
    return table


def _details(entry: CatalogueEntry, where: list[Path]) -> Table:
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for key, value in (
        ("task", f"{entry.name} ({entry.title})"),
        ("kind", entry.kind if entry.probed else f"{entry.kind}: not probed here"),
        ("metric", entry.metric),
        ("splits", _splits(entry)),
        ("classes", _number(entry.classes)),
        ("clips", _number(entry.clips)),
        ("seconds", _number(entry.sample_seconds)),
        ("licence", entry.licence),
        ("source", entry.source),
        ("citation", entry.citation),
        *([("note", entry.note)] if entry.note else []),
        ("folder", ", ".join(entry.folders)),
        ("found in", "\n".join(map(str, where)) or "not found"),
    ):
        table.add_row(key, value)
    return table


def _splits(entry: CatalogueEntry) -> str:
    return f"{len(entry.splits)} folds" if entry.scheme == "folds" else ", ".join(map(str, entry.splits))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,g}" if value != int(value) else f"{int(value):,}"
