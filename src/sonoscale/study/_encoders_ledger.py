"""The ledger of a study of existing encoders: the schema of all ledgers, and a column for each that the file names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sonoscale.config import config_hash
from sonoscale.errors import SonoscaleError
from sonoscale.study._encoders_config import EncoderStudyConfig
from sonoscale.study._encoders_job import EncoderJob, TaskKeys, read_record, read_score
from sonoscale.study._schema import COLUMNS, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Scored", "column_kind", "encoder_ledger", "holds_encoder", "planned_encoders"]


@dataclass(frozen=True)
class Scored:
    """What the scores of a study are held against.

    Attributes:
        floor: key of task, protocol and readout -> result of log-mel statistics, as plain values.
        rule: that of quality, as `QualityRule.text` has it.
    """

    floor: Mapping[str, dict[str, Any]]
    rule: str


def planned_encoders(jobs: Sequence[EncoderJob]) -> list[dict[str, Any]]:
    """One mapping per encoder, as `runs.json` and `study status` have it."""
    return [
        {
            "run": job.folder.name,
            "config": job.folder.name,
            "family": job.entry.family,
            "label": job.entry.name,
            "axis": job.entry.family,
            "seed": 0,
            "budgets": [0],
            "flops": 0.0,
            "scores": list(job.keys),
        }
        for job in jobs
    ]


def holds_encoder(rows: Sequence[Mapping[str, Any]], job: EncoderJob) -> bool:
    """Whether these rows of an earlier ledger hold all that a study wants to know of an encoder."""
    there = {row["task_id"] for row in rows if row["score"] is not None and row["layer"] is None}
    return there.issuperset(job.keys)


def encoder_ledger(
    jobs: Sequence[EncoderJob],
    config: EncoderStudyConfig,
    tasks: Sequence[TaskKeys],
    against: Scored,
    kept: Mapping[str, list[dict[str, Any]]],
) -> pa.Table:
    """Rows of all encoders that are finished: one per encoder, task, protocol, readout and layer.

    Arguments:
        jobs: of the study.
        config: of the study.
        tasks: with the keys of their scores.
        against: floors and the rule of quality.
        kept: rows from an earlier ledger, which count where an encoder's folder does not have all of them.
    """
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    for job in jobs:
        found = _rows(job, config, tasks, against) if job.done else []
        rows += found or [{**row, **_called(job)} for row in kept.get(job.folder.name, ())]
    order = {readout: place for place, readout in enumerate(config.readouts)}
    rows.sort(key=lambda row: order.get(row["readout"], len(order)))  # first the readout of quality
    schema = arrow_schema([column.name for column in COLUMNS])
    for name in dict.fromkeys([*config.estimators, *(name for one in config.encoders for name in one.columns)]):
        schema = schema.append(pa.field(name, column_kind(name, [row.get(name) for row in rows])))
    return pa.Table.from_pylist(rows, schema=schema)


def column_kind(name: str, values: Sequence[Any]) -> pa.DataType:
    """The type of a column that a study file adds.

    Raises:
        SonoscaleError: it holds both texts and numbers.
    """
    import pyarrow as pa

    there = {type(value) for value in values if value is not None}
    if there <= {bool}:
        return pa.bool_()
    if there <= {int, float}:
        return pa.float64()
    if there <= {str}:
        return pa.string()
    raise SonoscaleError(f"column {name} of the encoders: holds {', '.join(sorted(t.__name__ for t in there))}; of one")


def _called(job: EncoderJob) -> dict[str, Any]:
    """What the study file says of an encoder."""
    entry = job.entry
    said: dict[str, Any] = {
        "label": entry.name,
        "family": entry.family,
        "axis": entry.family,
        "train_hours": entry.hours,
    }
    if entry.params is not None:
        said["params"] = entry.params
    return said | entry.columns


def _rows(
    job: EncoderJob, config: EncoderStudyConfig, tasks: Sequence[TaskKeys], against: Scored
) -> list[dict[str, Any]]:
    record = read_record(job.folder) or {}
    entry = job.entry.model_dump(mode="json") | {"identity": record.get("identity")}
    rank = record["rank"]
    fixed = {
        "run": job.folder.name,
        "config": job.folder.name,
        "seed": 0,
        "width": record["dim"],
        "dim": record["dim"],
        "device": record["device"],
        "precision": "fp32",
        "params": record["params"],
        "configuration": json.dumps(entry, sort_keys=True),
        "step": 0,
        "budget_steps": 0,
        "is_final": True,
        "rank_n": rank["n"],
        **_rank(rank, ""),
        **record["estimators"],
        **_called(job),
        "quality_rule": against.rule,
    }
    rows = []
    for each in tasks:
        for (_, readout), key in each.keys.items():
            of = rank if readout == "mean" else record["ranks"].get(readout, {})
            score = read_score(job.folder, key)
            if score is not None:
                floor = against.floor.get(key, {}).get("score")
                rows.append(fixed | _score(each, key, score) | _rank(of, "_readout") | {"floor_logmel": floor})
            for layer, measured in record["layers"].items() if readout == "mean" else ():
                deep = config_hash([key, int(layer)])
                score = read_score(job.folder, deep)
                if score is not None:
                    rows.append(fixed | _score(each, deep, score) | _rank(measured, "_readout") | {"layer": int(layer)})
    return rows


def _score(each: TaskKeys, key: str, score: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": each.task.name,
        "task_id": key,
        "protocol": score["protocol"],
        "readout": score["readout"],
        "layer": None,
        "metric": score["metric"],
        "score": score["score"],
        "score_low": score["low"],
        "score_high": score["high"],
        "chance": score["chance"],
    }


def _rank(found: Mapping[str, Any], behind: str) -> dict[str, Any]:
    return {
        f"{name}{behind}{end}": found.get(name, {}).get(end[1:] or "value")
        for name in ("rankme", "rankme_centred")
        for end in ("", "_low", "_high")
    }
