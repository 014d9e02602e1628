"""The ledger: one row per run, checkpoint, task, protocol, readout and layer. All that laws and reports read.

It is the truth of a study: with it alone, a study continues elsewhere, and runs in it are not trained again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.errors import SonoscaleError
from sonoscale.files import replacing
from sonoscale.laws._checksum import CONTENT, check_content, content_digest
from sonoscale.results import plain
from sonoscale.study._schema import ADDED, COLUMNS, LEDGER_VERSION, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from sonoscale.pretrain import RunConfig
    from sonoscale.study._prepare import RunJob
    from sonoscale.study._quality import HeldAgainst

__all__ = ["Ledger", "build_ledger", "read_ledger", "write_ledger"]

_KEY, _DIGEST = b"sonoscale", b"sonoscale.sha256"


@dataclass(frozen=True)
class Ledger:
    """A ledger as it is in its file.

    Attributes:
        table: its rows.
        about: what its metadata say: `version`, `study`, `runs`, `baseline`, `provenance`, `failed`.
    """

    table: pa.Table
    about: dict[str, Any]

    def by_run(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of each run."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.table.to_pylist():
            found.setdefault(row["run"], []).append(row)
        return found


def holds(rows: Sequence[Mapping[str, Any]], job: RunJob) -> bool:
    """Whether these rows of one run hold all that a study wants to know of it."""
    there = {
        (row["step"], row["task_id"])
        for row in rows
        if row["score"] is not None
        and (row["rankme_readout"] is not None or (row["readout"] == "mean" and row["layer"] is None))
    }
    if any(row.get(name) is None for row in rows for name in job.estimators):
        return False
    return all((step, key) in there for step in job.plan.config.budgets for key in job.keys)


def build_ledger(
    jobs: Sequence[RunJob],
    held_against: HeldAgainst | None = None,
    kept: Mapping[str, list[dict[str, Any]]] | None = None,
) -> pa.Table:
    """Rows of all finished runs; runs without a record are left out, and so are tasks that were not probed yet.

    Ordered by readout, as the study names them, and within each by run and checkpoint.

    Arguments:
        jobs: of the study.
        held_against: floors and ceiling of the scores.
        kept: rows of runs from an earlier ledger, which count where a run's folder does not have all of them.
    """
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    for job in jobs:
        known = (kept or {}).get(job.folder.name, [])
        found = [] if holds(known, job) else _rows_of(job, held_against)
        rows += found or _renewed(known, job, held_against)
    order = list(dict.fromkeys(readout for job in jobs for task in job.tasks for _, readout in task.keys))
    rows.sort(key=lambda row: order.index(row["readout"]))  # first the readout of quality, though a run may lack it
    schema = arrow_schema([column.name for column in COLUMNS])
    for name in dict.fromkeys(name for job in jobs for name in job.estimators):
        schema = schema.append(pa.field(name, pa.float64()))
    return pa.Table.from_pylist(rows, schema=schema)


def _rows_of(job: RunJob, held_against: HeldAgainst | None) -> list[dict[str, Any]]:
    """From its folder."""
    from sonoscale.pretrain import read_record
    from sonoscale.study._prepare import layer_key
    from sonoscale.study._quality import estimator_columns, rank_columns, read_ranks, score_columns
    from sonoscale.study._worker import read_probe

    record = read_record(job.folder)
    if record is None:
        return []
    rows = []
    fixed = _fixed(job, record)
    last = record["budgets"][-1]["step"]
    found = [
        (task, key, name, layer, read_probe(job.folder, name))
        for task in job.tasks
        for key in task.keys.values()
        for layer, name in [(None, key), *((layer, layer_key(key, layer)) for layer in job.layers)]
    ]
    ranks = read_ranks(job.folder)
    for budget in record["budgets"]:
        measured = _measured(budget, job.plan.config) | {"is_final": budget["step"] == last}
        measured |= estimator_columns(job, budget["step"], ranks)
        for task, key, name, layer, steps in found:
            if steps is None or str(budget["step"]) not in steps:
                continue
            probe = steps[str(budget["step"])]
            scores = {k: probe[k] for k in ("protocol", "metric", "score", "chance")}
            ends = {"score_low": probe.get("low"), "score_high": probe.get("high")}
            readout = probe.get("readout", "mean")  # probed before there were others
            held = score_columns(job, task, key, steps, held_against)
            scores |= ends | {"readout": readout, "layer": layer} | rank_columns(readout, budget, ranks, layer)
            rows.append({**fixed, **measured, "task": task.name, "task_id": name, **scores, **held})
    return rows


def _renewed(rows: Sequence[dict[str, Any]], job: RunJob, held_against: HeldAgainst | None) -> list[dict[str, Any]]:
    """Rows of an earlier ledger as they are called in this study, without tasks that it no longer has."""
    from sonoscale.study._prepare import layer_key
    from sonoscale.study._quality import score_columns

    tasks = {key: (task, key) for task in job.tasks for key in task.keys.values()}
    tasks |= {layer_key(key, layer): (task, key) for task, key in tasks.values() for layer in job.layers}
    found = []
    for row in rows:
        task, key = tasks.get(row["task_id"], (None, ""))
        if task is None or row["step"] not in job.plan.config.budgets:
            continue
        twin = {"0": {"score": row["floor_untrained"]}}
        held = score_columns(job, task, key, twin, held_against)
        held = {name: row[name] if value is None else value for name, value in held.items()}
        found.append({**row, **_called(job), "task": task.name, **held})
    return found


def write_ledger(ledger: pa.Table, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Replace the file atomically; its pages get checksums.

    Arguments:
        ledger: the rows.
        path: the file.
        about: see `Ledger`.
    """
    import pyarrow.parquet as pq

    text = json.dumps(plain({"version": LEDGER_VERSION, **(about or {})}), allow_nan=False).encode()
    digest = hashlib.sha256(text).hexdigest().encode()
    seals = {_KEY: text, _DIGEST: digest, CONTENT: content_digest(ledger).encode()}
    marked = ledger.replace_schema_metadata({**(ledger.schema.metadata or {}), **seals})
    with replacing(path) as partial:
        pq.write_table(marked, partial, compression="zstd", write_page_checksum=True)


def read_ledger(path: Path) -> Ledger:
    """The ledger of a study, with every checksum verified.

    Raises:
        SonoscaleError: there is none, it is damaged, of another version, or no ledger of a study.

    Example:
        >>> read_ledger(Path("none.parquet"))
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: none.parquet: no such ledger
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise SonoscaleError(f"{path}: no such ledger")
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read()
        check_content(table, path)
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise SonoscaleError(
            f"{path}: truncated or damaged, or no Parquet file ({reason}); restore it, or delete it if it has its runs"
        ) from error
    about = ledger_metadata(table.schema.metadata, path)
    if about is None:
        raise SonoscaleError(f"{path}: not the ledger of a study; name another folder, or move it away")
    there = set(table.column_names)
    lacking = sorted({column.name for column in COLUMNS} - there - {*ADDED})
    if lacking:
        raise SonoscaleError(f"{path}: lacks the column(s) {', '.join(lacking)}")
    if later := [name for name in ADDED if name not in there]:
        ours = [column.name for column in COLUMNS]
        for field in arrow_schema(later):
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        table = table.select([*ours, *(name for name in table.column_names if name not in ours)])
    return Ledger(table, about)


def ledger_metadata(metadata: Mapping[bytes, bytes] | None, path: Path) -> dict[str, Any] | None:
    """What the metadata of a ledger say, None where they are of no ledger.

    Raises:
        SonoscaleError: they are damaged, or of another version of the schema.
    """
    text = (metadata or {}).get(_KEY)
    if text is None:
        return None
    if hashlib.sha256(text).hexdigest().encode() != (metadata or {}).get(_DIGEST):
        raise SonoscaleError(f"{path}: damaged: the digest of its metadata does not hold")
    about = json.loads(text)
    if about.get("version") != LEDGER_VERSION:
        raise SonoscaleError(
            f"{path}: of schema {about.get('version')}, and this version of Sonoscale reads schema {LEDGER_VERSION}"
        )
    return about


def _called(job: RunJob) -> dict[str, Any]:
    """Names that depend on the study, and not on the run."""
    family = getattr(job.plan, "family", None) or job.study
    return {"label": job.plan.label, "axis": job.plan.axis, "family": family}


def _fixed(job: RunJob, record: dict[str, Any]) -> dict[str, Any]:
    config = job.plan.config
    return {
        "run": job.folder.name,
        "config": job.config_id,
        **_called(job),
        "seed": config.seed,
        "width": config.encoder.width,
        "dim": config.encoder.width,
        "depth": config.encoder.depth,
        "heads": config.encoder.n_heads,
        "n_mels": config.encoder.n_mels,
        "patch_mels": config.encoder.patch_mels,
        "patch_frames": config.encoder.patch_frames,
        "backbone": config.encoder.backbone,
        "objective": config.objective.kind,
        "loss_of": _loss_of(config),
        "mask_ratio": None if config.objective.kind == "contrastive" else 1 - config.kept / config.patches,
        "clip_seconds": config.train.clip_seconds,
        "batch_size": config.train.batch_size,
        "lr": config.train.lr,
        "train_clips": record["clips"],
        "train_hours": record["hours"],
        "params": record["params_encoder"],
        **{name: record.get(name, 0) for name in ("params_decoder", "params_teacher", "params_head")},
        "device": record.get("device"),
        "init": job.identity.get("init"),
        "frozen_layers": config.train.frozen_layers,
        "precision": record.get("precision"),
        "configuration": json.dumps(config.model_dump(mode="json"), sort_keys=True),
        "rankme_start": record["rank_start"]["rankme"],
        "rankme_centred_start": record["rank_start"]["rankme_centred"],
    }


def _loss_of(config: RunConfig) -> str:
    """What a loss depends on besides the encoder, its input and how much is masked: losses of others say nothing."""
    o, e = config.objective, config.encoder
    if o.kind == "mae":
        return f"mae, {o.mask} masks"
    if o.kind == "latent":
        teacher = f"{e.backbone} of width {e.width} and depth {e.depth}, layers {config.teacher_layers}"
        average = f"memory {o.teacher_memory:g}, decay {o.teacher_decay:g}"
        return f"latent, {o.mask} masks, teacher {teacher}, sees {o.teacher_sees}, {average}"
    part = config.view_time_patches / config.time_patches
    views = f"views of {part:.4g}, mixup {o.mixup:g}, resized from {o.resize_time:g} x {o.resize_mels:g}"
    return f"contrastive, {views}, fades of {o.fade_db:g} dB, temperature {o.temperature:g}"


def _measured(budget: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    rank, centred = budget["rank"], budget["rank_centred"]
    return {
        "step": budget["step"],
        "budget_steps": budget["step"],
        "examples_seen": budget["step"] * config.train.batch_size,  # of several clips each, where these are short
        "clips_seen": budget["clips_seen"],
        "hours_seen": budget["hours_seen"],
        "flops_encoder": budget["flops_encoder"],
        "flops": budget["flops"],
        "seconds": budget["seconds"],
        "loss": budget["loss"],
        "rankme": rank["value"],
        "rankme_low": rank["low"],
        "rankme_high": rank["high"],
        "rankme_centred": centred["value"],
        "rankme_centred_low": centred["low"],
        "rankme_centred_high": centred["high"],
        "rank_n": rank["n"],
    }
