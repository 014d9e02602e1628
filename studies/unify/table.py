"""The ledgers of the study as one table: one row per run and checkpoint, with quality by the registered rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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

RANKS = ("rankme", "rankme_centred", "rankme_readout", "rankme_centred_readout")

Array = NDArray[Any]


@dataclass(frozen=True)
class Table:
    """All runs.

    Attributes:
        columns: name -> one value per run and checkpoint. Besides those of a ledger: `stratum`, `quality` (by the rule
            of the main stratum), `plain` (the plain mean of all scores), `quality:DOMAIN`, and `score:TASK:PROTOCOL`.
        quality: what the rule made of the scores of the main stratum.
        trained: stratum -> finished runs, before what two of them have in common was counted once.
        failed: runs that did not finish, with their reasons.
        spent: `flops` and `seconds` on the paths to the last checkpoints of all finished runs.
        repeats: checkpoints that two strata trained, from the same configuration and seed: how the second differs.
    """

    columns: dict[str, Array]
    quality: Quality
    trained: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    repeats: list[dict[str, Any]] = field(default_factory=list)

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


def load(ledgers: Mapping[str, Path], layers: Path | None = None, pool: Path | None = None) -> Table:
    """Read ledgers as one table.

    A configuration is all that a run was made of but its seed and its budgets, so that two strata may have one in
    common; a checkpoint that both have (the same configuration, seed and step) counts once, in the first.

    Arguments:
        ledgers: stratum -> file, the main one first.
        layers: the ranks of layers, as `layers.py` writes them: of last checkpoints, the columns `rankme_first` (of the
            patches), `rankme_middle` and `rankme_largest` (of any layer).
        pool: the ranks of the procedural stratum on the clips of the others, as `ranks_on_pool.py` writes them; without
            it that stratum has no ranks.
    """
    main = next(iter(ledgers.values()))
    rule = quality(pq.read_table(main).to_pydict(), rule=QualityRule())
    parts, trained, failed = [], {}, []
    for stratum, path in ledgers.items():
        columns = dict(so.read_runs(path).columns)
        columns["stratum"] = np.full(len(columns["run"]), stratum, dtype=object)
        columns["config"] = np.array([_design(text) for text in columns["configuration"]], dtype=object)
        parts.append(columns)
        trained[stratum] = len(set(columns["run"]))
        about = json.loads((pq.read_schema(path).metadata or {}).get(b"sonoscale", b"{}"))
        for one in about.get("failed") or ():
            failed.append({"stratum": stratum, "run": one.get("label"), "seed": one.get("seed"), "why": one["error"]})
    columns = _joined(parts)
    scores = {name: columns[name] for name in columns if name.startswith("score:")}
    columns["quality"] = weighted_mean(scores, {f"score:{name}": weight for name, weight in rule.weights.items()})
    columns["plain"] = weighted_mean(scores, dict.fromkeys(scores, 1.0))
    for domain, tasks in DOMAINS.items():
        weights = {f"score:{name}": weight for name, weight in rule.weights.items() if name.split(":")[0] in tasks}
        columns[f"quality:{domain}"] = weighted_mean(scores, weights)
        for task in tasks:
            named = [name for name in scores if name.split(":")[1] == task]
            columns[f"task:{task}"] = weighted_mean(scores, dict.fromkeys(named, 1.0))
    for protocol in ("knn", "few-shot", "linear"):
        named = [name for name in scores if name.split(":")[2].startswith(protocol)]
        columns[f"by:{protocol}"] = weighted_mean(scores, dict.fromkeys(named, 1.0))
    columns["loss_scale"] = _scales(columns)
    synthesised = columns["stratum"] == "procedural"
    if pool is not None and pool.is_file():
        _on_pool(columns, pool)
    else:
        for name in RANKS:
            columns[name] = np.where(synthesised, np.nan, columns[name].astype(float))
    if layers is not None and layers.is_file():
        columns |= _of_layers(layers, columns["run"], columns["is_final"].astype(bool))
    last = columns["is_final"].astype(bool)
    spent = {name: float(columns[name][last].astype(float).sum()) for name in ("flops", "seconds")}
    first, repeats = _once(columns)
    return Table({name: values[first] for name, values in columns.items()}, rule, trained, failed, spent, repeats)


def _design(configuration: str) -> str:
    """A configuration's own name: of its settings without seed and budgets."""
    settings = json.loads(configuration)
    del settings["seed"]
    settings.pop("name", None)
    for name in ("budgets", "flops", "rank_points"):
        settings["train"].pop(name, None)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


SCALE = ("loss_of", "mask_ratio", "patch_mels", "patch_frames", "n_mels", "clip_seconds")
"""Settings that a held-out loss is on the scale of; of a contrast the batch too, which is what it chooses among."""


def _scales(columns: Mapping[str, Array]) -> Array:
    """The scale of each row's loss, in words: rows of one scale compare."""
    parts = [columns[name] for name in SCALE if name in columns]
    return np.array([
        f"{' '.join(map(str, of))}{f' batch {batch:g}' if objective == 'contrastive' else ''} "
        f"{'synthesised' if stratum == 'procedural' else 'pool'}"
        for *of, objective, batch, stratum in
        zip(*parts, columns["objective"], columns["batch_size"], columns["stratum"], strict=True)
    ], dtype=object)  # fmt: skip


def _on_pool(columns: dict[str, Array], pool: Path) -> None:
    """Put ranks on the clips of the pool in the place of those on synthesised clips."""
    ranks = {(row["run"], row["step"]): row for row in pq.read_table(pool).to_pylist()}
    for row in np.flatnonzero(columns["stratum"] == "procedural"):
        found = ranks.get((columns["run"][row], columns["step"][row]), {})
        for name in RANKS:
            columns[name][row] = found.get(name, np.nan)


def _once(columns: Mapping[str, Array]) -> tuple[Array, list[dict[str, Any]]]:
    """The rows that repeat no earlier one, and by how much those that do differ."""
    first: dict[tuple[Any, ...], int] = {}
    repeats = []
    for row, key in enumerate(zip(columns["config"], columns["seed"], columns["step"], strict=True)):
        at = first.setdefault(key, row)
        if at != row:
            repeats.append({
                "family": columns["family"][row], "width": columns["width"][row], "step": key[2],
                "strata": f"{columns['stratum'][at]}, {columns['stratum'][row]}",
                **{name: float(abs(columns[name][row] - columns[name][at])) for name in ("rankme", "loss", "quality")},
            })  # fmt: skip
    return np.array(sorted(first.values())), repeats


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
