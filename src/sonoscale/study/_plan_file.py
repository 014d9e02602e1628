"""`runs.json`: what a study is going to train, so that its state can be told from files alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.errors import SonoscaleError
from sonoscale.files import write_json

if TYPE_CHECKING:
    from sonoscale.study._prepare import RunJob

__all__ = ["planned_runs", "read_plan", "write_plan"]

_FILE = "runs.json"


def planned_runs(jobs: Sequence[RunJob]) -> list[dict[str, Any]]:
    """One mapping per run, in the order of the study: its name, what it is called, its steps, work and scores."""
    from sonoscale.pretrain import training_cost

    found = []
    for job in jobs:
        config = job.plan.config
        found.append(
            {
                "run": job.folder.name,
                "config": job.config_id,
                "family": getattr(job.plan, "family", None) or job.study,
                "label": job.plan.label,
                "axis": job.plan.axis,
                "seed": config.seed,
                "budgets": list(config.budgets),
                "flops": float(training_cost(config).flops) * config.train.batch_size * config.budgets[-1],
                "scores": job.keys,
            }
        )
    return found


def write_plan(folder: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Keep it in the folder of the study."""
    write_json(folder / _FILE, {"runs": list(runs)})


def read_plan(folder: Path) -> list[dict[str, Any]]:
    """The runs of a study that was begun.

    Raises:
        SonoscaleError: it was not, or the file cannot be read.
    """
    file = folder / _FILE
    if not file.is_file():
        from sonoscale.study._run import restore

        restore(folder)
    if not file.is_file():
        raise SonoscaleError(f"{file} is missing: this study was not begun; run it first")
    try:
        runs = json.loads(file.read_text())["runs"]
        for run in runs:
            for key in ("run", "label", "seed", "scores", "budgets", "flops"):
                run[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SonoscaleError(f"{file}: cannot be read ({type(error).__name__}); run the study again") from error
    return runs
