"""The tables of what was measured, as data."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sonoscale.errors import SonoscaleError
from sonoscale.measure import MeasuredDifference, Measurement
from sonoscale.rank import RankRecord, get_estimator
from sonoscale.report._format import UNKNOWN, name_of, plural, significant
from sonoscale.report._tables import Cell, Column, Table

__all__ = [
    "comparisons_table",
    "durations_table",
    "estimators_table",
    "groups_table",
    "layers_table",
    "overview_table",
    "skipped_table",
]

MOST_SKIPPED = 100
"""Clips that are listed; the rest are counted."""


def overview_table(results: Measurement) -> Table:
    """One row for each one measured: its ranks, its sample, and what it took."""
    named = dict.fromkeys([results.estimator, "rankme", "rankme_centred"])
    shown = [name for name in named if any(one.record(name) for one in results.measured)]
    what = "encoder" if results.audio else "file"
    columns = [Column(what, numeric=False)]
    columns += [Column(f"{name_of(name)} [{results.percent} interval]") for name in shown]
    columns += [Column("n"), Column("dim"), Column("n/dim")]
    if results.audio:
        columns += [Column("seconds of audio"), Column("seconds per hour of audio"), Column("skipped")]
    rows = []
    for one in results.measured:
        row = [_words(one.name)]
        row += [_spanned(one.record(name), strong=name == results.estimator) for name in shown]
        row += [_count(one.sketch.n), _count(one.sketch.dim), _value(one.sketch.n / one.sketch.dim, 3)]
        if results.audio:
            seconds, taken = one.seconds or math.nan, one.wall_seconds
            pace = math.nan if taken is None else 3600 * taken / seconds
            row += [
                Cell(f"{seconds:,.0f}" if seconds == seconds else UNKNOWN, seconds),
                _value(pace, 3),
                _count(len(one.skipped)),
            ]
        rows.append(tuple(row))
    caption = "What was measured. n is the number of embeddings, dim how many numbers each has."
    if results.audio:
        caption += " Seconds per hour of audio are all that measuring took, decoding and intervals included."
    return Table(caption, tuple(columns), tuple(rows))


def estimators_table(results: Measurement) -> Table:
    """Every estimator of each one measured, and the reason where it has no value."""
    names = dict.fromkeys(record.estimator for one in results.measured for record in one.records)
    names |= dict.fromkeys(name for one in results.measured for name in one.undefined if " where " not in name)
    rows = []
    for name in names:
        for one in results.measured:
            record = one.record(name)
            if record is None and name not in one.undefined:
                continue
            note = _notes(record) if record else _words(one.undefined[name])
            rows.append((_words(name), *_whose(results, one.name), *_numbers(record), note, _words(_formula(name))))
    columns = (
        Column("estimator", numeric=False), *_who(results), Column("value"), Column(f"{results.percent} interval"),
        Column("notes and warnings", numeric=False, prose=True), Column("formula", numeric=False, prose=True),
    )  # fmt: skip
    caption = (
        "Every estimator. In a formula s are the singular values of the embeddings: as they are (uncentred), about "
        "their mean (centred), or with every dimension scaled alike besides (standardised)."
    )
    return Table(caption, columns, tuple(rows))


def layers_table(results: Measurement) -> Table:
    """Rank by layer."""
    rows = [
        (Cell(str(record.layer), float(record.layer or 0)), one.name, record)
        for one in results.measured
        for record in one.layers
    ]
    return _parts(results, f"{name_of(results.estimator)} by layer.", Column("layer"), rows)


def durations_table(results: Measurement) -> Table:
    """Rank by the duration embedded."""
    rows = [
        (Cell(f"{record.mean_seconds or 0:g}", record.mean_seconds or 0.0), one.name, record)
        for one in results.measured
        for record in one.durations
    ]
    caption = f"{name_of(results.estimator)} of the beginnings of the same clips."
    return _parts(results, caption, Column("seconds"), rows)


def groups_table(results: Measurement) -> Table:
    """Rank by group of clips, and the groups that have none."""
    rows = [(_words(value), one.name, record) for one in results.measured for value, record in one.groups.items()]
    lost = [f"{name}: {why}" for one in results.measured for name, why in one.undefined.items() if " where " in name]
    caption = f"{name_of(results.estimator)} of the clips of each {results.grouped_by or 'group'}."
    caption += f" None for {plural(len(lost), 'group')}: {'; '.join(lost)}." if lost else ""
    return _parts(results, caption, Column(results.grouped_by or "group", numeric=False), rows)


def comparisons_table(results: Measurement) -> Table:
    """Each further one minus the first, by each estimator."""
    names = {one.identity: one.name for one in results.measured}
    columns = (
        Column("estimator", numeric=False), Column("second", numeric=False), Column("first", numeric=False),
        Column("second − first"), Column(f"{results.percent} interval"), Column("significant", numeric=False),
        Column("how", numeric=False, prose=True),
    )  # fmt: skip
    rows = [
        (_words(each.estimator), *(_words(names.get(n, n)) for n in (each.second, each.first)), *_difference(each))
        for each in results.differences
    ]
    caption = "Differences. Pairing clip by clip takes out what all share, and resolves smaller differences."
    return Table(caption, columns, tuple(rows))


def skipped_table(results: Measurement) -> Table:
    """The first clips that could not be processed, and how many there are."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in results.measured:
        for clip in one.skipped:
            found.setdefault(clip, []).append(one.name)
    clips = len({name for name, _ in found})
    rows = []
    for (name, reason), by in list(found.items())[:MOST_SKIPPED]:
        who = "all" if len(by) == len(results.measured) else ", ".join(by)
        rows.append((_words(name), _words(reason), *_whose(results, who)))
    caption = f"{plural(clips, 'clip')} could not be processed, and {'is' if clips == 1 else 'are'} in no number here."
    caption += f" The first {MOST_SKIPPED} are listed." if len(found) > MOST_SKIPPED else ""
    columns = (Column("clip", numeric=False), Column("reason", numeric=False, prose=True), *_who(results))
    return Table(caption, columns, tuple(rows))


def _parts(results: Measurement, caption: str, first: Column, rows: Iterable[tuple[Cell, str, RankRecord]]) -> Table:
    columns = (
        first, *_who(results), Column("value"), Column(f"{results.percent} interval"), Column("n"),
        Column("notes and warnings", numeric=False, prose=True),
    )  # fmt: skip
    made = [(cell, *_whose(results, n), *_numbers(r), _count(r.n), _notes(r)) for cell, n, r in rows]
    if not any(row[-1].text for row in made):
        columns, made = columns[:-1], [row[:-1] for row in made]
    return Table(caption, columns, tuple(made))


def _who(results: Measurement) -> tuple[Column, ...]:
    return (Column("encoder" if results.audio else "file", numeric=False),) if results.several else ()


def _whose(results: Measurement, name: str) -> tuple[Cell, ...]:
    return (_words(name),) if results.several else ()


def _numbers(record: RankRecord | None) -> tuple[Cell, Cell]:
    if record is None:
        return Cell(UNKNOWN, math.nan), Cell("", math.nan)
    span = "" if math.isnan(record.low) else f"[{significant(record.low)}, {significant(record.high)}]"
    return Cell(significant(record.value), record.value, strong=True), Cell(span, record.high - record.low)


def _spanned(record: RankRecord | None, *, strong: bool) -> Cell:
    if record is None:
        return Cell(UNKNOWN, math.nan)
    value, span = _numbers(record)
    return Cell(f"{value.text} {span.text}".strip(), record.value, strong)


def _difference(compared: MeasuredDifference) -> tuple[Cell, ...]:
    found = compared.difference
    if not found:
        return Cell(UNKNOWN, math.nan), Cell("", math.nan), _words(""), _words(compared.reason)
    known = math.isfinite(found.high)
    span = f"[{_signed(found.low)}, {_signed(found.high)}]" if known else "unknown"
    how = _words("paired" if found.paired else "not paired")
    apart = _words("yes" if found.significant else "no")
    return Cell(_signed(found.value), found.value, strong=True), Cell(span, found.high - found.low), apart, how


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{significant(value)}"


def _notes(record: RankRecord) -> Cell:
    return _words("; ".join([*([record.note] if record.note else []), *record.warnings]))


def _formula(name: str) -> str:
    try:
        estimator = get_estimator(name)
    except SonoscaleError:  # of pairs of embeddings, not of the spectrum
        return ""
    return f"{estimator.formula} ({estimator.about})"


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", float(value))


def _value(value: float, digits: int = 4) -> Cell:
    return Cell(significant(value, digits), value)


def _words(text: str) -> Cell:
    return Cell(text, text)
