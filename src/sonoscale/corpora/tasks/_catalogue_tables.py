"""The catalogue of public tasks on a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from sonoscale.corpora.tasks._catalogue import CatalogueEntry

__all__ = ["details", "overview"]


def overview(entries: list[CatalogueEntry], where: dict[str, list[Path]]) -> Table:
    """One row for each task.

    Arguments:
        entries: of the catalogue.
        where: task -> folders in which it was found.
    """
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


def details(entry: CatalogueEntry, where: list[Path]) -> Table:
    """All that is known of one task.

    Arguments:
        entry: of the catalogue.
        where: folders in which it was found.
    """
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
