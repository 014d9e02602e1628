"""What was measured, on a terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sonoscale.measure import Measured, Measurement
from sonoscale.rank import RankRecord
from sonoscale.rank._record import number

__all__ = ["difference_table", "encoder_table", "measured_lines"]


def measured_lines(one: Measured, level: float) -> Iterator[RenderableType]:
    """Tables of the records, by layer, group and duration where there are any, and the remarks on them."""
    sketch = one.sketch
    of = f"\non {one.corpus}" if one.corpus else ""
    clips = f" clips of {(one.seconds or 0) / sketch.n:.2f} s on average" if one.corpus and sketch.n else ""
    about = f"n = {sketch.n:,}{clips}, dim = {sketch.dim:,} (n/dim = {sketch.n / sketch.dim:.3g}), {sketch.dtype}"
    named = one.identity if one.name in one.identity else f"{one.name}: {one.identity}"
    table = _table(f"{named}{of}\n{about}, {sketch.mean_energy():.1%} of the energy in the mean", "estimator", level)
    for record in one.records:
        _add(table, record.estimator, record, one.common_warnings())
    for name, reason in one.undefined.items():
        table.add_row(Text(name), "-", "", Text(reason))
    yield table
    for title, column, rows in (
        ("by layer", "layer", [(str(record.layer), record) for record in one.layers]),
        ("by group", "group", list(one.groups.items())),
        ("by duration", "first", [(f"{record.mean_seconds:g} s", record) for record in one.durations]),
    ):
        if rows:
            part = _table(title, column, level)
            part.add_column("n", justify="right")
            common = _alike([record for _, record in rows])
            for name, record in rows:
                _add(part, name, record, {w for w in record.warnings if _kind(w) in common}, f"{record.n:,}")
            yield part
            if said := sorted(set(common.values()) - one.common_warnings()):
                yield Text("\n".join(f"warning  {warning} (all rows)" for warning in said))
    yield Text("\n".join([*one.remarks(), ""]))


def encoder_table(measurement: Measurement) -> Table:
    """A row per encoder: its ranks about zero and about the mean, on how much audio, and at what price."""
    table = _table("encoders", "encoder", measurement.level, "rankme")
    table.columns[0].overflow = "fold"
    for column in ("centred", f"{measurement.level:.0%} interval", "n", "dim", "n/dim", "skipped", "s per h of audio"):
        table.add_column(column, justify="right")
    for one in measurement.measured:
        n, dim = one.sketch.n, one.sketch.dim
        cells: list[str | Text] = []
        for record in (one.record("rankme"), one.record("rankme_centred")):
            cells += [number(record.value), Text(record.span)] if record else ["-", ""]
        pace = (one.wall_seconds or 0) / one.seconds * 3600 if one.seconds else math.nan
        table.add_row(
            Text(one.name), *cells, f"{n:,}", f"{dim:,}", f"{n / dim:.3g}", f"{len(one.skipped):,}", f"{pace:.3g}"
        )
    return table


def difference_table(measurement: Measurement) -> Table:
    """Each further one minus the first."""
    table = Table(title="differences", title_justify="left", title_style="", show_edge=False, pad_edge=False)
    for column in ("estimator", "first", "second", "second - first", "interval", "significant", "how"):
        table.add_column(column, justify="right" if column in ("second - first", "interval") else "left")
    short = {one.identity: one.name for one in measurement.measured}
    for each in measurement.differences:
        found, cells = each.difference, ("-", "", "", each.reason)
        if found:
            span = f"[{found.low:+.4g}, {found.high:+.4g}]" if math.isfinite(found.high) else "unknown"
            how = "paired" if found.paired else "not paired"
            cells = (f"{found.value:+.4g}", span, "yes" if found.significant else "no", how)
        table.add_row(each.estimator, Text(short[each.first]), Text(short[each.second]), *map(Text, cells))
    return table


_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def _kind(warning: str) -> str:
    """A warning without its numbers."""
    return _NUMBER.sub("#", warning)


def _alike(records: Sequence[RankRecord]) -> dict[str, str]:
    """Warnings that several records share but for their numbers, by kind; numbers that differ as the first to the last.

    What one record alone warns of is shared by none.
    """
    if len(records) < 2:
        return {}
    by_kind = [{_kind(warning): warning for warning in record.warnings} for record in records]
    shared = {}
    for kind in set.intersection(*map(set, by_kind)):
        numbers = zip(*(_NUMBER.findall(each[kind]) for each in by_kind), strict=True)
        said = [sorted(set(found), key=lambda text: float(text.replace(",", ""))) for found in numbers]
        spans = iter(found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}" for found in said)
        shared[kind] = _NUMBER.sub(lambda _, spans=spans: next(spans), by_kind[0][kind])
    return shared


def _table(title: str, first: str, level: float, value: str = "value") -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="", show_edge=False, pad_edge=False)
    table.add_column(first)
    table.add_column(value, justify="right", no_wrap=True)
    table.add_column(f"{level:.0%} interval", justify="right", no_wrap=True)
    if value == "value":
        table.add_column("notes and warnings")
    return table


def _add(table: Table, name: str, record: RankRecord, common: set[str], *more: str) -> None:
    notes = [*([record.note] if record.note else []), *(w for w in record.warnings if w not in common)]
    table.add_row(Text(name), number(record.value), Text(record.span), Text("; ".join(notes)), *more)
