"""What was measured, in sentences."""

from __future__ import annotations

import math

from sonoscale.measure import Measured, MeasuredDifference, Measurement
from sonoscale.rank import RankRecord
from sonoscale.report._format import duration, join, name_of, plural, significant
from sonoscale.report._html import Answer

__all__ = ["about", "answers", "title"]

_NAMED = 3


def title(results: Measurement) -> str:
    """What was measured: by name, or how many where that is long."""
    names = [one.name for one in results.measured]
    what = "encoder" if results.audio else "file"
    return f"Effective rank of {join(names) if len(names) <= _NAMED else plural(len(names), what)}"


def about(results: Measurement) -> str:
    """On what it was measured."""
    if not results.audio:
        return f"Embeddings in {plural(len(results.measured), 'file')}."
    first = results.measured[0]
    corpora = {one.corpus for one in results.measured}
    which = f" ({first.corpus})" if len(corpora) == 1 and first.corpus else ""
    processed = f", {duration(first.seconds)} processed" if first.seconds is not None else ""
    return f"Audio: {results.audio}{which}{processed}."


def answers(results: Measurement) -> list[Answer]:
    """An answer for each one measured, and one for each difference by the first estimator."""
    found = [_of_one(one, results) for one in results.measured]
    names = {one.identity: one.name for one in results.measured}
    return found + [_difference(c, names) for c in results.differences if c.estimator == results.estimator]


def _of_one(one: Measured, results: Measurement) -> Answer:
    record = one.record(results.estimator)
    if record is None:
        why = one.undefined.get(results.estimator, "it was not measured")
        return Answer(one.name, f"No {name_of(results.estimator)}: {why}.", tone="open")
    clips = "clips" if results.audio else "embeddings"
    lead = f"{name_of(record.estimator)} is {significant(record.value)}{_between(record)}."
    text = (
        f"From {record.n:,} {clips} (dim = {record.dim:,}, n/dim = {record.n_per_dim:.3g}). The mean holds "
        f"{record.mean_energy:.1%} of the energy."
    )
    if one.limit and math.isfinite(one.limit.value):
        doubt = "" if one.limit.trusted else ", roughly, as n is under 8 dim"
        text += (
            f" Of infinitely many such {clips} it would be {significant(one.limit.value)} "
            f"({significant(one.limit.low)} to {significant(one.limit.high)}{doubt})."
        )
    if one.skipped:
        text += f" {plural(len(one.skipped), 'clip')} could not be processed."
    return Answer(one.name, lead, text + (f" Warning: {'; '.join(record.warnings)}." if record.warnings else ""))


def _between(record: RankRecord) -> str:
    if not math.isfinite(record.low):
        return ""
    return f" ({100 * record.level:.4g}% interval {significant(record.low)} to {significant(record.high)})"


def _difference(compared: MeasuredDifference, names: dict[str, str]) -> Answer:
    first, second = (names.get(name, name) for name in (compared.first, compared.second))
    question, found = f"{second} minus {first}", compared.difference
    if not found:
        return Answer(question, f"No difference: {compared.reason}.", tone="open")
    how = "paired clip by clip" if found.paired else "not paired"
    span = f"{100 * found.level:.4g}% interval {significant(found.low)} to {significant(found.high)}, {how}"
    apart = "" if found.significant else "The interval includes zero: the difference is not significant."
    lead = f"{significant(found.value)} in {name_of(compared.estimator)} ({span})."
    return Answer(question, lead, apart, "" if found.significant else "open")
