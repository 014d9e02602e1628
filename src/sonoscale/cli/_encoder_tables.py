"""What was measured of an encoder, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sonoscale.cli._rank_tables import interval, number, sparkline
from sonoscale.measure import Measurement
from sonoscale.rank import RankRecord

__all__ = ["encoder_lines", "encoders_table"]


def encoder_lines(told: Measurement) -> Iterator[RenderableType]:
    """Tables of an encoder's records, by layer, group and duration where asked for, and how fast it went."""
    sketch = told.sketches.whole
    about = (
        f"{told.encoder}\non {told.corpus}\n"
        f"n = {sketch.n:,} clips of {told.seconds / told.clips:.2f} s on average, dim = {sketch.dim:,} "
        f"(n/dim = {sketch.n / sketch.dim:.3g}), {sketch.mean_energy():.1%} of the energy in the mean"
    )
    table = _table(about, "estimator", told.records[0].level if told.records else 0.95)
    for record in told.records:
        _add(table, record.estimator, record)
    for name, reason in told.undefined.items():
        table.add_row(Text(name), "-", "", Text(reason))
    yield table
    spectrum = sketch.spectrum()
    if spectrum.any():
        yield Text(f"spectrum {sparkline(spectrum)}")
    if told.limit:
        limit, doubt = told.limit, "" if told.limit.trusted else " (roughly: n is under 8 * dim)"
        yield Text(
            f"limit    {told.records[0].estimator} of infinitely many such clips: {number(limit.value)} "
            f"[{number(limit.low)}, {number(limit.high)}]{doubt}"
        )
    level = told.records[0].level if told.records else 0.95
    for title, column, rows in (
        ("by layer", "layer", [(str(record.layer), record) for record in told.layers]),
        ("by group", "group", list(told.by.items())),
        ("by duration", "first", [(f"{record.mean_seconds:g} s", record) for record in told.durations]),
    ):
        if rows:
            part = _table(title, column, level)
            part.add_column("n", justify="right")
            for name, record in rows:
                _add(part, name, record, f"{record.n:,}")
            yield part
    if told.skipped:
        yield Text(f"skipped  {len(told.skipped)} clips, among them {told.skipped[0][0]}: {told.skipped[0][1]}")
    if told.notes:
        yield Text(f"noted    {len(told.notes)} clips, among them {told.notes[0][0]}: {told.notes[0][1]}")
    hours = told.seconds / 3600
    yield Text(
        f"time     {told.wall_seconds:.1f} s, {told.wall_seconds / hours:.0f} s per hour of audio "
        f"({told.forward_seconds / told.wall_seconds:.0%} of it in the encoder)"
    )
    yield Text("")


def encoders_table(found: Sequence[Measurement]) -> Table:
    """A row per encoder: its ranks about zero and about the mean, on how much audio, and at what price."""
    level = found[0].records[0].level if found[0].records else 0.95
    table = Table(title="encoders", title_justify="left", title_style="", show_edge=False, pad_edge=False)
    table.add_column("encoder", overflow="fold")
    for column in ("rankme", f"{level:.0%} interval", "centred", f"{level:.0%} interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("n", "dim", "n/dim", "skipped", "s per h of audio"):
        table.add_column(column, justify="right")
    for told in found:
        sketch, about = told.sketches.whole, {record.estimator: record for record in told.records}
        cells: list[str | Text] = []
        for name in ("rankme", "rankme_centred"):
            record = about.get(name)
            cells += [number(record.value), interval(record)] if record else ["-", ""]
        table.add_row(
            Text(told.encoder), *cells, f"{sketch.n:,}", f"{sketch.dim:,}",
            f"{sketch.n / sketch.dim:.3g}", f"{len(told.skipped):,}", f"{told.wall_seconds / told.seconds * 3600:.3g}",
        )  # fmt: skip
    return table


def _table(title: str, first: str, level: float) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="", show_edge=False, pad_edge=False)
    table.add_column(first)
    table.add_column("value", justify="right")
    table.add_column(f"{level:.0%} interval", justify="right")
    table.add_column("notes and warnings")
    return table


def _add(table: Table, name: str, record: RankRecord, *more: str) -> None:
    notes = [*([record.note] if record.note else []), *record.warnings]
    table.add_row(Text(name), number(record.value), interval(record), Text("; ".join(notes)), *more)
