"""What one process does for one run: pre-train, then probe every checkpoint on every task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonoscale.files import write_json
from sonoscale.study._prepare import RunJob

__all__ = ["execute", "is_finished", "read_probe"]

Progress = Callable[[str, int, int, float], None]  # (stage, done, total, loss)


def execute(job: RunJob, progress: Progress) -> None:
    """Bring one run to its end; whatever is already there is kept."""
    from sonoscale.corpora import FeatureStore
    from sonoscale.encoders import load_encoder
    from sonoscale.pretrain import checkpoint_file, read_record, train_run
    from sonoscale.probe import probe_store

    if read_record(job.folder) is None:
        train_run(
            job.plan.config,
            FeatureStore.open(job.train_store) if isinstance(job.train_store, Path) else job.train_store,
            FeatureStore.open(job.heldout_store),
            job.folder,
            identity=job.identity,
            clips=job.identity["clips"],
            progress=lambda done, total, loss: progress("train", done, total, loss),
        )
    missing = [(task, pairs) for task in job.tasks if (pairs := _missing(job.folder, task.keys))]
    steps = job.plan.config.budgets
    encoders = [load_encoder(checkpoint_file(job.folder, step, steps[-1])) for step in steps] if missing else []
    for i, (task, pairs) in enumerate(missing):
        store = FeatureStore.open(task.store)
        results: dict[tuple[str, str], dict[str, Any]] = {pair: {} for pair in pairs}
        for j, (step, encoder) in enumerate(zip(steps, encoders, strict=True)):
            for readout in dict.fromkeys(readout for _, readout in pairs):
                protocols = [name for name, of in pairs if of == readout]
                found = probe_store(
                    encoder, store, task.labels, task.folds, protocols=protocols, readout=readout, **task.how
                )
                for name, result in found.items():
                    results[name, readout][str(step)] = result.as_dict()
            progress("probe", i * len(steps) + j + 1, len(missing) * len(steps), float("nan"))
        for pair in pairs:
            key = task.keys[pair]
            write_json(_file(job.folder, key), {"task": task.name, "key": key, "steps": results[pair]})


def is_finished(job: RunJob) -> bool:
    """Whether the run is trained and probed on all tasks by all protocols and readouts."""
    from sonoscale.pretrain import read_record

    return read_record(job.folder) is not None and not any(_missing(job.folder, task.keys) for task in job.tasks)


def read_probe(folder: Path, key: str) -> dict[str, Any] | None:
    """Results of one task by one protocol and readout, by step, or None if they are not there yet."""
    try:
        return json.loads(_file(folder, key).read_text())["steps"]
    except (OSError, ValueError, KeyError):
        return None


def _missing(folder: Path, keys: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
    return [pair for pair, key in keys.items() if read_probe(folder, key) is None]


def _file(folder: Path, key: str) -> Path:
    return folder / f"probe-{key}.json"
