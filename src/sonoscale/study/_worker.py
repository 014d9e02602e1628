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
    missing = [(task, names) for task in job.tasks if (names := _missing(job.folder, task.keys))]
    steps = job.plan.config.budgets
    encoders = [load_encoder(checkpoint_file(job.folder, step, steps[-1])) for step in steps] if missing else []
    for i, (task, protocols) in enumerate(missing):
        store = FeatureStore.open(task.store)
        results: dict[str, dict[str, Any]] = {name: {} for name in protocols}
        for j, (step, encoder) in enumerate(zip(steps, encoders, strict=True)):
            found = probe_store(encoder, store, task.labels, task.folds, protocols=protocols, **task.how)
            for name, result in found.items():
                results[name][str(step)] = result.as_dict()
            progress("probe", i * len(steps) + j + 1, len(missing) * len(steps), float("nan"))
        for name in protocols:
            key = task.keys[name]
            write_json(_file(job.folder, key), {"task": task.name, "key": key, "steps": results[name]})


def is_finished(job: RunJob) -> bool:
    """Whether the run is trained and probed on all tasks by all protocols."""
    from sonoscale.pretrain import read_record

    return read_record(job.folder) is not None and not any(_missing(job.folder, task.keys) for task in job.tasks)


def read_probe(folder: Path, key: str) -> dict[str, Any] | None:
    """Results of one task by one protocol, by step, or None if they are not there yet."""
    try:
        return json.loads(_file(folder, key).read_text())["steps"]
    except (OSError, ValueError, KeyError):
        return None


def _missing(folder: Path, keys: dict[str, str]) -> list[str]:
    return [name for name, key in keys.items() if read_probe(folder, key) is None]


def _file(folder: Path, key: str) -> Path:
    return folder / f"probe-{key}.json"
