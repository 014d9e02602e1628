"""The ledgers of the study as one table: one row per run and checkpoint, with quality by the registered rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

import sonoscale as so
from sonoscale.laws import Quality, QualityRule, RunTable, quality

__all__ = ["DOMAINS", "STRATA", "Table", "load", "weighted_mean"]

STRATA = ("variables", "compute", "compute-mae", "isoflop", "procedural")
"""Ledgers by the name of their study file; the first is the main one, whose scores decide what quality is."""

DOMAINS = {
    "speech": ("wakeword6", "fsdd_digit", "mandarin_initial"),
    "music": ("gm_family", "gm_octave", "drum_hit"),
    "environment": ("esc10",),
}
"""Tasks of each domain."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Table:
    """All runs.

    Attributes:
        columns: name -> one value per run and checkpoint. Besides those of a ledger: `stratum`, `quality` (by the rule
            of the main stratum), `plain` (the plain mean of all scores), `quality:DOMAIN`, and `score:TASK:PROTOCOL`.
        quality: what the rule made of the scores of the main stratum.
    """

    columns: dict[str, Array]
    quality: Quality

    def __len__(self) -> int:
        return len(self.columns["run"])

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def where(self, mask: Array) -> Table:
        """The rows of a mask."""
        return replace(self, columns={name: values[mask] for name, values in self.columns.items()})

    def of(self, *strata: str) -> Table:
        """The rows of some strata."""
        return self.where(np.isin(self["stratum"], strata))

    def final(self) -> Table:
        """The last checkpoint of each run."""
        return self.where(self["is_final"].astype(bool))

    def runs(self, *names: str, y: str = "quality", **reading: Any) -> RunTable:
        """These columns as the verbs read them: rows that have all of them."""
        wanted = dict.fromkeys(("config", "run", *names, y))
        columns = {name: self[name] for name in wanted}
        kept = np.ones(len(self), dtype=bool)
        for values in columns.values():
            if values.dtype.kind == "f":
                kept &= np.isfinite(values)
        better: dict[str, Any] = (
            {"higher_is_better": False} if y == "loss" else {"higher_is_better": True, "unit": "fraction"}
        )
        if y.startswith("rankme"):
            better = {"higher_is_better": True, "unit": "none"}
        return so.read_runs(
            {name: values[kept] for name, values in columns.items()}, y=y, **{"clusters": "config", **better, **reading}
        )


def load(ledgers: Mapping[str, Path], layers: Path | None = None) -> Table:
    """Read ledgers; a run of two strata counts once, in the first.

    Arguments:
        ledgers: stratum -> file, the main one first.
        layers: the ranks of layers, as `layers.py` writes them: of last checkpoints, the columns `rankme_first` (of the
            patches), `rankme_middle` and `rankme_largest` (of any layer).
    """
    main = next(iter(ledgers.values()))
    rule = quality(pq.read_table(main).to_pydict(), rule=QualityRule())
    parts = []
    seen: set[str] = set()
    for stratum, path in ledgers.items():
        columns = dict(so.read_runs(path).columns)
        new = np.array([run not in seen for run in columns["run"]])
        seen |= set(columns["run"])
        columns["stratum"] = np.full(len(new), stratum, dtype=object)
        parts.append({name: values[new] for name, values in columns.items()})
    columns = _joined(parts)
    scores = {name: columns[name] for name in columns if name.startswith("score:")}
    columns["quality"] = weighted_mean(scores, {f"score:{name}": weight for name, weight in rule.weights.items()})
    columns["plain"] = weighted_mean(scores, dict.fromkeys(scores, 1.0))
    for domain, tasks in DOMAINS.items():
        weights = {f"score:{name}": weight for name, weight in rule.weights.items() if name.split(":")[0] in tasks}
        columns[f"quality:{domain}"] = weighted_mean(scores, weights)
    for protocol in ("knn", "few-shot", "linear"):
        named = [name for name in scores if name.split(":")[2].startswith(protocol)]
        columns[f"by:{protocol}"] = weighted_mean(scores, dict.fromkeys(named, 1.0))
    if layers is not None and layers.is_file():
        columns |= _of_layers(layers, columns["run"], columns["is_final"].astype(bool))
    return Table(columns, rule)


def _of_layers(path: Path, runs: Array, final: Array) -> dict[str, Array]:
    ranks: dict[str, list[float]] = {}
    for row in sorted(pq.read_table(path).to_pylist(), key=lambda row: row["layer"]):
        ranks.setdefault(row["run"], []).append(row["rankme"])
    of = {"first": lambda r: r[0], "middle": lambda r: r[len(r) // 2], "largest": max}
    return {
        f"rankme_{name}": np.array(
            [one(ranks[run]) if last and run in ranks else np.nan for run, last in zip(runs, final, strict=True)]
        )
        for name, one in of.items()
    }


def _joined(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    names = dict.fromkeys(name for part in parts for name in part)
    joined = {}
    for name in names:
        numbers = all(part[name].dtype.kind in "fiub" for part in parts if name in part)
        missing: Any = np.nan if numbers else None
        joined[name] = np.concatenate(
            [
                part[name].astype(float if numbers else object)
                if name in part
                else np.full(len(part["run"]), missing, dtype=float if numbers else object)
                for part in parts
            ]
        )
    return joined


def weighted_mean(scores: Mapping[str, Array], weights: Mapping[str, float]) -> Array:
    """Weighted, missing where one of the scores is; all missing where there are no weights."""
    total = sum(weights.values())
    if not total:
        return np.full(len(next(iter(scores.values()))), np.nan)
    return sum((weight / total * scores[name] for name, weight in weights.items()), np.zeros(()))
