"""What one process does for one run: pre-train, then probe every checkpoint on every task."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonoscale.corpora import FeatureStore
from sonoscale.encoders import embed_store, load_encoder
from sonoscale.pretrain import checkpoint_file, read_record, train_run
from sonoscale.probe import probe
from sonoscale.study._prepare import RunJob, TaskJob

Progress = Callable[[str, int, int, float], None]  # (stage, done, total, loss)


def execute(job: RunJob, progress: Progress) -> None:
    """Bring one run to its end; whatever is already there is kept."""
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
    missing = [task for task in job.tasks if read_probe(job.folder, task) is None]
    steps = job.plan.config.budgets
    encoders = [load_encoder(checkpoint_file(job.folder, step, steps[-1])) for step in steps] if missing else []
    for i, task in enumerate(missing):
        store, results = FeatureStore.open(task.store), {}
        for j, (step, encoder) in enumerate(zip(steps, encoders, strict=True)):
            embeddings = embed_store(encoder, store)
            results[str(step)] = probe(embeddings, task.labels, task.folds, **task.how).as_dict()
            progress("probe", i * len(steps) + j + 1, len(missing) * len(steps), float("nan"))
        _write_json(_probe_file(job.folder, task), {"task": task.name, "key": task.key, "steps": results})


def is_finished(job: RunJob) -> bool:
    """Whether the run is trained and probed on all tasks."""
    return read_record(job.folder) is not None and all(read_probe(job.folder, t) is not None for t in job.tasks)


def read_probe(folder: Path, task: TaskJob) -> dict[str, Any] | None:
    """Results of one task by step, or None if they are not there yet."""
    try:
        return json.loads(_probe_file(folder, task).read_text())["steps"]
    except (OSError, ValueError, KeyError):
        return None


def _probe_file(folder: Path, task: TaskJob) -> Path:
    return folder / f"probe-{task.key}.json"


def _write_json(path: Path, content: Any) -> None:
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)
