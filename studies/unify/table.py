"""The ledgers of the study as one table: one row per run and checkpoint, with the scores that were registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import sonoscale as so
from sonoscale.laws import RunTable

HERE = Path(__file__).parent
DOMAINS = {
    "speech": ("wakeword6", "fsdd_digit", "mandarin_initial"),
    "music": ("gm_family", "gm_octave", "drum_hit"),
    "environment": ("esc10",),
}
"""Tasks of each domain."""
TASKS = tuple(task for tasks in DOMAINS.values() for task in tasks)
RELIABILITY = 0.5
"""A task whose reliability between configurations is below this, by its point estimate over replicates, is left out."""

Array = np.ndarray


@dataclass(frozen=True)
class Study:
    """All runs.

    Attributes:
        columns: one value per run and checkpoint: what was varied, what it cost, ranks, loss, `quality`.
        scores: (task, protocol, readout) -> score of each row, NaN where it was not probed.
        tasks: those that the rule keeps, each with its reliability; left_out: those it does not.
    """

    columns: dict[str, Array]
    scores: dict[tuple[str, str, str], Array]
    tasks: dict[str, float]
    left_out: dict[str, float]
    primary: tuple[str, ...]
    readout: str

    def __len__(self) -> int:
        return len(self.columns["run"])

    def quality(self, tasks: Sequence[str] | None = None, protocols: Sequence[str] | None = None) -> Array:
        """The plain mean over tasks and protocols, NaN where a score is missing."""
        chosen = [
            self.scores[task, protocol, self.readout]
            for task in (tasks or self.tasks)
            for protocol in (protocols or self.primary)
        ]
        return np.mean(chosen, axis=0)

    def where(self, mask: Array) -> Study:
        """The rows of a mask."""
        return Study(
            {name: values[mask] for name, values in self.columns.items()},
            {key: values[mask] for key, values in self.scores.items()},
            self.tasks, self.left_out, self.primary, self.readout,
        )  # fmt: skip

    def final(self) -> Study:
        """The last checkpoint of each run."""
        return self.where(self.columns["is_final"].astype(bool))

    def runs(self, *names: str, y: str = "quality", **extra: Any) -> RunTable:
        """As the verbs read it: rows that have all of these columns."""
        columns = {
            name: self.columns[name]
            for name in dict.fromkeys(("config", "run", *names, *([y] if y in self.columns else [])))
        }
        columns |= extra
        kept = np.ones(len(self), dtype=bool)
        for values in columns.values():
            if values.dtype.kind == "f":
                kept &= np.isfinite(values)
        return so.read_runs(
            {name: values[kept] for name, values in columns.items()}, y=y, clusters="config",
            higher_is_better=y not in ("loss",), unit="none" if y != "quality" else "fraction",
        )  # fmt: skip


def load(ledgers: Sequence[Path], primary: Sequence[str], readout: str) -> Study:
    """Read ledgers; the stratum is the name of the file, and a run of two strata counts once, in the first."""
    tables = []
    for path in ledgers:
        table = pq.read_table(path)
        tables.append(table.append_column("stratum", pa.array([path.stem] * len(table))))
    ledger = pa.concat_tables(tables, promote_options="permissive").to_pydict()
    rows: dict[tuple[str, int], int] = {}
    for i, key in enumerate(zip(ledger["run"], ledger["step"], strict=True)):
        rows.setdefault(key, i)
    places = {key: place for place, key in enumerate(rows)}
    dropped = {"task", "protocol", "readout", "metric", "score", "score_low", "score_high", "chance"}
    columns = {
        name: _column([values[i] for i in rows.values()]) for name, values in ledger.items() if name not in dropped
    }
    scores: dict[tuple[str, str, str], Array] = {}
    for run, step, task, protocol, read, score in zip(
        *(ledger[name] for name in ("run", "step", "task", "protocol", "readout", "score")), strict=True
    ):
        key = (task, protocol.partition("/")[0], read)
        scores.setdefault(key, np.full(len(rows), np.nan))[places[run, step]] = score
    study = Study(columns, scores, dict.fromkeys(TASKS, np.nan), {}, tuple(primary), readout)
    found = {task: reliability(study.final(), study.final().quality([task])) for task in TASKS}
    kept = {task: value for task, value in found.items() if not value < RELIABILITY}
    study = Study(columns, scores, kept, {t: v for t, v in found.items() if t not in kept}, tuple(primary), readout)
    columns["quality"] = study.quality()
    return study


def _column(values: list[Any]) -> Array:
    if all(isinstance(value, (int, float, type(None))) for value in values):
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    return np.array([str(value) for value in values])


def reliability(study: Study, values: Array) -> float:
    """Intraclass correlation of single runs over the configurations that have replicates, one-way random effects.

    NaN where fewer than 3 configurations have replicates.
    """
    groups: dict[str, list[float]] = {}
    for config, value in zip(study.columns["config"], values, strict=True):
        if np.isfinite(value):
            groups.setdefault(config, []).append(float(value))
    repeated = [np.array(g) for g in groups.values() if len(g) > 1]
    if len(repeated) < 3:
        return float("nan")
    sizes = np.array([len(g) for g in repeated])
    n, k = sizes.sum(), len(repeated)
    grand = np.concatenate(repeated).mean()
    between = sum(len(g) * (g.mean() - grand) ** 2 for g in repeated) / (k - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in repeated) / (n - k)
    size = (n - (sizes**2).sum() / n) / (k - 1)
    return float((between - within) / (between + (size - 1) * within)) if between > 0 else 0.0


def values_of(columns: Mapping[str, Array], name: str) -> list[Any]:
    """The different values of a column, in order."""
    return sorted(set(columns[name].tolist()))
