"""What one process does for one run: pre-train, then probe every checkpoint on every task."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonoscale.files import write_json
from sonoscale.study._prepare import RunJob, TaskJob

__all__ = ["execute", "is_finished", "read_probe"]

Progress = Callable[[str, int, int, float], None]  # (stage, done, total, loss)


def execute(job: RunJob, progress: Progress) -> None:
    """Bring one run to its end; whatever is already there is kept."""
    from sonoscale.corpora import FeatureStore
    from sonoscale.encoders import load_encoder
    from sonoscale.pretrain import checkpoint_file, read_record, train_run
    from sonoscale.study._quality import UNTRAINED, probe_task, probe_twin, write_ranks

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
    budgets = job.plan.config.budgets
    load = functools.cache(lambda step: load_encoder(checkpoint_file(job.folder, step, budgets[-1])))
    missing = [(task, pairs) for task in job.tasks if (pairs := _missing(job, task))]
    for i, (task, pairs) in enumerate(missing):
        results: dict[tuple[str, str], dict[str, Any]] = {
            pair: read_probe(job.folder, task.keys[pair]) or {} for pair in pairs
        }
        for j, step in enumerate((0, *budgets)):
            wanted = [pair for pair in pairs if str(step) not in results[pair]]
            if wanted:
                found = (
                    probe_task(task, load(step), wanted) if step else probe_twin(job, task, load(budgets[-1]), wanted)
                )
                for pair, result in found.items():
                    results[pair][str(step) if step else UNTRAINED] = result
            progress("probe", i * (len(budgets) + 1) + j + 1, len(missing) * (len(budgets) + 1), float("nan"))
        for pair in pairs:
            key = task.keys[pair]
            write_json(_file(job.folder, key), {"task": task.name, "key": key, "steps": results[pair]})
    write_ranks(job, load)


def is_finished(job: RunJob) -> bool:
    """Whether the run is trained, probed on all tasks by all protocols and readouts, and its readouts' rank known."""
    from sonoscale.pretrain import read_record
    from sonoscale.study._quality import ranks_missing

    return (
        read_record(job.folder) is not None
        and not any(_missing(job, task) for task in job.tasks)
        and not ranks_missing(job)
    )


def read_probe(folder: Path, key: str) -> dict[str, Any] | None:
    """Results of one task by one protocol and readout, by step (0: of the untrained twin), or None without any."""
    try:
        return json.loads(_file(folder, key).read_text())["steps"]
    except (OSError, ValueError, KeyError):
        return None


def _missing(job: RunJob, task: TaskJob) -> list[tuple[str, str]]:
    """Pairs of protocol and readout that a checkpoint, or the untrained twin, was not scored by yet."""
    steps = {str(step) for step in (0, *job.plan.config.budgets)}
    return [pair for pair, key in task.keys.items() if not steps <= set(read_probe(job.folder, key) or {})]


def _file(folder: Path, key: str) -> Path:
    return folder / f"probe-{key}.json"
