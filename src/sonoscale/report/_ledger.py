"""From the rows of the ledger to one `Point` per run and budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sonoscale.errors import SonoscaleError
from sonoscale.report._model import Point

__all__ = ["Ledger", "parse_ledger"]

_REQUIRED = ("run", "label", "axis", "seed", "step", "task", "score")
_PER_TASK = frozenset({"task", "protocol", "metric", "score", "chance"})


@dataclass(frozen=True)
class Ledger:
    """The ledger's points and the tasks they were scored on."""

    points: tuple[Point, ...]
    tasks: tuple[str, ...]
    chance: Mapping[str, float]
    metrics: Mapping[str, str]


def parse_ledger(table: pa.Table, path: Path) -> Ledger:
    """Group the ledger by run and step; quality is the mean of the scores of a run at a step.

    Arguments:
        table: The ledger: one row per run, step, task and protocol.
        path: Where it came from, for messages.

    Returns:
        The points, with tasks named "task (protocol)" where a task has several protocols.
    """
    absent = [name for name in _REQUIRED if name not in table.column_names]
    if absent:
        raise SonoscaleError(f"{path} lacks the column(s) {', '.join(absent)}")
    rows: list[dict[str, Any]] = table.to_pylist()
    if not rows:
        raise SonoscaleError(f"{path} holds no rows; no run of the study has finished")
    protocols: dict[str, set[str]] = {}
    for row in rows:
        bare = [name for name in ("run", "seed", "step", "task") if row[name] is None]
        if bare:
            raise SonoscaleError(f"{path} has a row without a value in {', '.join(bare)}")
        protocols.setdefault(str(row["task"]), set()).add(str(row.get("protocol")))

    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    chance: dict[str, float] = {}
    metrics: dict[str, str] = {}
    for row in rows:
        task = str(row["task"])
        if len(protocols[task]) > 1:
            task = f"{task} ({row.get('protocol')})"
        row["task"] = task
        chance.setdefault(task, _number(row.get("chance")))
        metrics.setdefault(task, str(row.get("metric") or ""))
        groups.setdefault((str(row["run"]), int(row["step"])), []).append(row)
    last = {}
    for run, step in groups:
        last[run] = max(step, last.get(run, step))
    points = tuple(_point(run, step, group, last[run]) for (run, step), group in groups.items())
    return Ledger(points, tuple(chance), chance, metrics)


def _point(run: str, step: int, rows: list[dict[str, Any]], last: int) -> Point:
    first = rows[0]
    scores = {row["task"]: _number(row["score"]) for row in rows}
    known = [score for score in (_number(row["score"]) for row in rows) if math.isfinite(score)]
    values = {
        name: _number(value)
        for name, value in first.items()
        if name not in _PER_TASK and isinstance(value, int | float) and not isinstance(value, bool)
    }
    final = first.get("is_final")
    return Point(
        run=run,
        config=str(first.get("config") or first["label"]),
        label=str(first["label"]),
        axis=str(first["axis"] or "base"),
        seed=int(first["seed"]),
        step=step,
        is_final=step == last if final is None else bool(final),
        values=values,
        scores=scores,
        quality=sum(known) / len(known) if known else math.nan,
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
