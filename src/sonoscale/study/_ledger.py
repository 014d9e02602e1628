"""The ledger: one row per run, checkpoint, task, protocol and readout. All that laws and reports read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.files import replacing
from sonoscale.pretrain import RunConfig, read_record
from sonoscale.study._prepare import RunJob
from sonoscale.study._quality import HeldAgainst, rank_columns, read_ranks, score_columns
from sonoscale.study._worker import read_probe

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["build_ledger", "write_ledger"]


def build_ledger(jobs: list[RunJob], held_against: HeldAgainst | None = None) -> pa.Table:
    """Rows of all finished runs; runs without a record are left out, and so are tasks that were not probed yet.

    Ordered by readout, as the study names them, and within each by run and checkpoint.

    Arguments:
        jobs: of the study.
        held_against: floors and ceiling of the scores.
    """
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    for job in jobs:
        record = read_record(job.folder)
        if record is None:
            continue
        fixed = _fixed(job, record)
        last = record["budgets"][-1]["step"]
        found = [(task, key, read_probe(job.folder, key)) for task in job.tasks for key in task.keys.values()]
        ranks = read_ranks(job.folder)
        for budget in record["budgets"]:
            measured = _measured(budget, job.plan.config) | {"is_final": budget["step"] == last}
            for task, key, steps in found:
                if steps is None:
                    continue
                probe = steps[str(budget["step"])]
                scores = {k: probe[k] for k in ("protocol", "metric", "score", "chance")}
                ends = {"score_low": probe.get("low"), "score_high": probe.get("high")}
                readout = probe.get("readout", "mean")  # probed before there were others
                held = score_columns(job, task, key, steps, held_against)
                scores |= ends | {"readout": readout} | rank_columns(readout, budget, ranks)
                rows.append({**fixed, **measured, "task": task.name, **scores, **held})
    order = list(dict.fromkeys(readout for job in jobs for task in job.tasks for _, readout in task.keys))
    rows.sort(key=lambda row: order.index(row["readout"]))  # first the readout of quality, though a run may lack it
    return pa.Table.from_pylist(rows)


def write_ledger(ledger: pa.Table, path: Path) -> None:
    """Replace the file atomically."""
    import pyarrow.parquet as pq

    with replacing(path) as partial:
        pq.write_table(ledger, partial, compression="zstd")


def _fixed(job: RunJob, record: dict[str, Any]) -> dict[str, Any]:
    config = job.plan.config
    return {
        "run": job.folder.name,
        "config": job.config_id,
        "label": job.plan.label,
        "axis": job.plan.axis,
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
        "params_decoder": record["params_decoder"] + record["params_head"],
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
        return f"latent, {o.mask} masks, teacher {teacher}, sees {o.teacher_sees}, decay {o.teacher_decay:g}"
    part = config.view_time_patches / config.time_patches
    return f"contrastive, views of {part:.4g}, fades of {o.fade_db:g} dB, temperature {o.temperature:g}"


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
