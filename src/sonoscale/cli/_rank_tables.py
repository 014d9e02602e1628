"""Rank records on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sonoscale.rank import FileComparison, FileMeasurement, RankRecord

__all__ = ["comparison_table", "interval", "number", "record_lines", "sparkline"]

_BARS = " ▁▂▃▄▅▆▇█"


def record_lines(told: FileMeasurement, spectrum: np.ndarray) -> Iterator[RenderableType]:
    """A file's table of records, its spectrum in one line, and what a larger sample would give."""
    first = told.records[0] if told.records else None
    about = f"{told.name}\nn = {told.n:,}, dim = {told.dim:,} (n/dim = {told.n / told.dim:.3g}), {told.dtype}"
    if first:
        about += f", {first.mean_energy:.1%} of the energy in the mean"
    table = Table(title=Text(about), title_justify="left", title_style="", show_edge=False, pad_edge=False)
    table.add_column("estimator")
    table.add_column("value", justify="right")
    table.add_column(f"{first.level:.0%} interval" if first else "interval", justify="right")
    table.add_column("notes and warnings")
    spectral = [set(record.warnings) for record in told.records if record.method in ("gram", "qr")]
    common = set.intersection(*spectral) if len(spectral) > 1 else set()
    for record in told.records:
        own = [*([record.note] if record.note else []), *(w for w in record.warnings if w not in common)]
        table.add_row(record.estimator, number(record.value), interval(record), Text("; ".join(own)))
    for name, reason in told.undefined.items():
        table.add_row(name, "-", "", Text(reason))
    yield table
    if spectrum.any():
        yield Text(f"spectrum {sparkline(spectrum)} s1/s{len(spectrum)} = {_ratio(spectrum)}")
    for warning in sorted(common):
        yield Text(f"warning  {warning}")
    if told.limit and told.needed:
        limit, needed = told.limit, told.needed
        doubt = "" if limit.trusted else " (roughly: n is under 8 * dim)"
        yield Text(
            f"limit    {told.records[0].estimator} of infinitely many such clips: {number(limit.value)} "
            f"[{number(limit.low)}, {number(limit.high)}]{doubt}"
        )
        yield Text(
            f"clips    {needed.n:,} are needed for ±{needed.tolerance:.2%} of it: {needed.for_interval:,} for the "
            f"interval, {needed.for_bias:,} for the bias{doubt}"
        )
    elif told.no_limit:
        yield Text(f"limit    not told: {told.no_limit}")
    yield Text("")


def comparison_table(comparisons: Sequence[FileComparison]) -> Table:
    """Differences between files."""
    table = Table(title="differences", title_justify="left", title_style="", show_edge=False, pad_edge=False)
    for column in ("estimator", "first", "second"):
        table.add_column(column)
    table.add_column("second - first", justify="right")
    table.add_column("interval", justify="right")
    table.add_column("told apart")
    table.add_column("how")
    names = {name for each in comparisons for name in (each.first, each.second)}
    short = {name: Path(name).name for name in names}
    if len(set(short.values())) < len(names):
        short = {name: name for name in names}
    for each in comparisons:
        found, cells = each.difference, ("-", "", "", each.reason)
        if found:
            span = f"[{found.low:+.4g}, {found.high:+.4g}]" if math.isfinite(found.high) else "not told"
            how = "paired" if found.paired else "not paired"
            cells = (f"{found.value:+.4g}", span, "yes" if found.told_apart else "no", how)
        table.add_row(each.estimator, Text(short[each.first]), Text(short[each.second]), *map(Text, cells))
    return table


def sparkline(spectrum: np.ndarray, width: int = 48) -> str:
    """Singular values as bars, logarithmic, the largest left; a blank is zero."""
    shown = spectrum[np.linspace(0, len(spectrum) - 1, min(width, len(spectrum))).round().astype(int)]
    positive = shown[shown > 0]
    top, bottom = np.log(positive.max()), np.log(positive.min())
    heights = (np.log(np.where(shown > 0, shown, positive.min())) - bottom) / max(top - bottom, 1e-12)
    return "".join(_BARS[1 + round(7 * float(h))] if s > 0 else " " for s, h in zip(shown, heights, strict=True))


def _ratio(spectrum: np.ndarray) -> str:
    return f"{spectrum[0] / spectrum[-1]:.3g}" if spectrum[-1] > 0 else "infinite"


def interval(record: RankRecord) -> Text:
    """The interval of a record, empty if it has none."""
    return Text("" if math.isnan(record.low) else f"[{number(record.low)}, {number(record.high)}]")


def number(value: float) -> str:
    """A value to four digits."""
    return "infinite" if math.isinf(value) else f"{value:.4g}" if abs(value) < 1000 else f"{value:.6g}"
