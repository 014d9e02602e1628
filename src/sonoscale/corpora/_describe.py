"""What a corpus is like, and what in it looks suspicious."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from sonoscale.corpora._scan import SILENT_DB, Scan, decibels
from sonoscale.errors import SonoscaleError

__all__ = [
    "MIN_SECONDS",
    "Description",
    "Duplicates",
    "Found",
    "broken_lines",
    "describe_scan",
    "summary_rows",
    "warning_rows",
]

MIN_SECONDS = 0.2
"""Clips shorter than this have less than one patch of the default encoder (16 frames, 0.182 s)."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
MAX_VALUES = 50
"""A column of metadata with more values than this, or than half of the clips, is not counted by value."""
MAX_NAMES = 1000
"""At most so many names are listed of each kind of finding; the count is of all."""


@dataclass(frozen=True)
class Found:
    """Clips that something was found in."""

    count: int
    names: list[str]  # the first MAX_NAMES


@dataclass(frozen=True)
class Duplicates:
    """Clips that occur more than once."""

    clips: int  # that could be left out: all but the first of each group
    groups: list[list[str]]  # the first MAX_NAMES groups, each with its first MAX_NAMES names


@dataclass(frozen=True)
class Description:
    """What `describe_scan` finds. Quantiles are keyed by share, "0" the least and "1" the largest; levels in dBFS,
    0 = an RMS, or a peak, of full scale."""

    clips: int  # that can be read
    broken: list[dict[str, str]]  # name and reason
    hours: float
    sample_rate: int  # Hz, that the clips were decoded to
    source_rates: dict[str, int]  # clips by rate of their file, Hz; "unknown" where a clip is no file
    channels: dict[str, int]
    seconds: dict[str, float]  # quantiles, and "mean"
    level_db: dict[str, float]
    peak_db: dict[str, float]
    leading_silence: dict[str, float]  # seconds below -60 dBFS
    trailing_silence: dict[str, float]
    silent: Found
    clipped: Found
    clipped_share: float  # of all samples
    short: Found
    min_seconds: float  # below which a clip is in `short`
    same_audio: Duplicates
    same_name: Duplicates
    groups: int | None  # distinct ones, where the corpus has any
    columns: dict[str, dict[str, int]]  # clips by value, of the columns with few values

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def describe_scan(scan: Scan, *, min_seconds: float = MIN_SECONDS) -> Description:
    """Sum up a scan.

    Arguments:
        scan: from `scan_corpus`.
        min_seconds: clips below count as short.
    """
    facts, name = scan.facts, scan.corpus.name
    good = np.flatnonzero(facts["ok"])
    kept = facts[good]
    rms = decibels(kept["rms"])
    names = np.array([_key(PurePath(name(int(i))).name) for i in good], dtype=np.uint64)
    groups, columns = _metadata(scan)

    def found(which: np.ndarray) -> Found:
        indices = good[which]
        return Found(len(indices), [name(int(i)) for i in indices[:MAX_NAMES]])

    return Description(
        clips=len(good),
        broken=[{"name": which, "reason": reason} for which, reason in scan.broken],
        hours=float(kept["seconds"].sum(dtype=np.float64) / 3600),
        sample_rate=scan.corpus.sample_rate,
        source_rates=_counts(kept["source_rate"]),
        channels=_counts(kept["channels"]),
        seconds=_quantiles(kept["seconds"]),
        level_db=_quantiles(rms),
        peak_db=_quantiles(decibels(kept["peak"])),
        leading_silence=_quantiles(kept["leading"]),
        trailing_silence=_quantiles(kept["trailing"]),
        silent=found(rms < SILENT_DB),
        clipped=found(kept["clipped_runs"] > 0),
        clipped_share=float(kept["clipped_samples"].sum() / max(1, kept["searched_samples"].sum())),
        short=found(kept["seconds"] < min_seconds),
        min_seconds=min_seconds,
        same_audio=_duplicates(kept["content"], good, name),
        same_name=_duplicates(names, good, name),
        groups=groups,
        columns=columns,
    )


def summary_rows(d: Description) -> list[tuple[str, str]]:
    """The description in a few words: what, and how much of it."""
    return [
        ("clips", f"{d.clips:,}"),
        ("hours", f"{d.hours:.2f}"),
        ("cannot be read", f"{len(d.broken):,}"),
        ("rates of the files, Hz", _counted(d.source_rates)),
        ("channels", _counted(d.channels)),
        ("length, s", _spread(d.seconds)),
        ("level (RMS), dBFS", _spread(d.level_db)),
        ("peak, dBFS", _spread(d.peak_db)),
        ("silence before, s", _spread(d.leading_silence)),
        ("silence after, s", _spread(d.trailing_silence)),
        *warning_rows(d),
        *([("recordings", f"{d.groups:,}")] if d.groups else []),
    ]


def warning_rows(d: Description) -> list[tuple[str, str]]:
    """What looks suspicious, and in how many clips."""

    def share(count: int) -> str:
        return f"{count:,} ({count / d.clips:.1%})" if d.clips else "0"

    return [
        (f"silent (RMS below {SILENT_DB:.0f} dBFS)", share(d.silent.count)),
        ("clipped", f"{share(d.clipped.count)}; {d.clipped_share:.2%} of all samples"),
        (f"shorter than {d.min_seconds:g} s", share(d.short.count)),
        ("the same audio as an earlier clip", share(d.same_audio.clips)),
        ("the same file name as an earlier clip", share(d.same_name.clips)),
    ]


def broken_lines(broken: list[dict[str, str]]) -> list[str]:
    """A line for each clip that cannot be read: its name, and why."""
    return [b["reason"] if b["name"] in b["reason"] else f"{b['name']}: {b['reason']}" for b in broken]


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{value}: {count:,}" for value, count in counts.items())


def _spread(quantiles: dict[str, float]) -> str:
    if not quantiles:
        return "-"
    return f"{quantiles['0']:.2f} to {quantiles['1']:.2f}, median {quantiles['0.5']:.2f}"


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    found = np.quantile(values.astype(np.float64), QUANTILES)
    return {
        **{f"{share:g}": float(value) for share, value in zip(QUANTILES, found, strict=True)},
        "mean": float(values.mean(dtype=np.float64)),
    }


def _counts(values: np.ndarray) -> dict[str, int]:
    found, counts = np.unique(values, return_counts=True)
    return {str(v) if v else "unknown": int(c) for v, c in zip(found, counts, strict=True)}


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def _duplicates(keys: np.ndarray, good: np.ndarray, name: Callable[[int], str]) -> Duplicates:
    """Groups of equal keys, in the order of their first clips."""
    order = np.argsort(keys, kind="stable")  # within a group in the order of the corpus
    starts = np.concatenate([[0], np.flatnonzero(np.diff(keys[order])) + 1]).astype(np.int64)
    lengths = np.diff(np.append(starts, len(order)))
    several = lengths > 1
    groups = sorted((int(order[s]), int(s), int(n)) for s, n in zip(starts[several], lengths[several], strict=True))
    listed = [[name(int(good[i])) for i in order[s : s + min(n, MAX_NAMES)]] for _, s, n in groups[:MAX_NAMES]]
    return Duplicates(sum(n - 1 for _, _, n in groups), listed)


def _metadata(scan: Scan) -> tuple[int | None, dict[str, dict[str, int]]]:
    """Distinct groups, and clips by value of the columns with few values."""
    corpus: Any = scan.corpus
    groups: set[int] = set()
    counters: dict[str, Counter[str] | None] = {}
    for index in np.flatnonzero(scan.facts["ok"]).tolist():
        group = corpus.group(index) if hasattr(corpus, "group") else None
        if group is not None:
            groups.add(_key(str(group)))
        try:
            row = corpus.row(index) if hasattr(corpus, "row") else {}
        except SonoscaleError:  # metadata that cannot be read does not make the audio worse
            row = {}
        for column, value in row.items():
            counter = counters.setdefault(str(column), Counter())
            if counter is None:
                continue
            counter["" if value is None else str(value)] += 1
            if len(counter) > MAX_VALUES:
                counters[str(column)] = None
    most = max(2, scan.facts["ok"].sum() // 2)  # with more values than this, a column is a name of each clip
    columns = {c: dict(counter.most_common()) for c, counter in counters.items() if counter and len(counter) <= most}
    return len(groups) or None, columns
