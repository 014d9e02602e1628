"""Runs held against their baselines, clip by clip: log-mel statistics and their untrained twins, read out alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sonoscale.config import config_hash, validate
from sonoscale.corpora import build_features
from sonoscale.corpora.tasks import Task
from sonoscale.encoders import load_encoder
from sonoscale.files import default_cache, make_folder, replacing
from sonoscale.pretrain import RunConfig
from sonoscale.probe import probe_store
from sonoscale.study._quality import untrained_twin

PROTOCOLS = ("knn", "few-shot", "linear")
LEVEL = 0.95
Found = dict[tuple[str, str], np.ndarray]
"""Task and protocol -> of the run, log-mel statistics and the twin, the score and its bootstrap draws: `[3, 1 + R]`."""


def hold_against(runs: Sequence[Path], tasks: Sequence[Task], readout: str) -> Found:
    """The mean over runs, which is that of their seeds, at their last budgets; what was probed before is kept."""
    found = [_of_run(run, tasks, readout) for run in runs]
    return {key: np.mean([each[key] for each in found], axis=0) for key in found[0]}


def _of_run(run: Path, tasks: Sequence[Task], readout: str) -> Found:
    trained = load_encoder(run)
    raw = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    twin = untrained_twin(validate(RunConfig, raw, source=str(run)), trained)
    found: Found = {}
    for task in tasks:
        store = build_features(task.corpus, trained.config.front_end, default_cache(), dtype="float32")
        about = [trained.identity, twin.identity, store.corpus, readout, list(task.labels), list(task.folds), PROTOCOLS]
        file = default_cache() / "paired" / f"{config_hash(about, 16)}.npz"
        if not file.is_file():
            how: dict[str, Any] = {"scheme": task.scheme, "kind": task.kind, "metric": task.metric}
            results = [
                probe_store(
                    encoder, store, task.labels, task.folds, protocols=PROTOCOLS, readouts=[readout],
                    groups=task.groups, **how,
                )
                for encoder in (trained, "logmel", twin)
            ]  # fmt: skip
            rows = {
                protocol: np.stack([_row(each[protocol, readout]) for each in results]) for protocol in PROTOCOLS
            }  # [3, 1 + R]
            make_folder(file.parent)
            with replacing(file) as path, path.open("wb") as out:
                np.savez(out, **rows)  # pyright: ignore[reportArgumentType]
        with np.load(file) as kept:
            found |= {(task.name, protocol): kept[protocol] for protocol in PROTOCOLS}
    return found


def _row(result: Any) -> np.ndarray:
    return np.concatenate([[result.score], [] if result.draws is None else result.draws])


def cells(found: Found, tasks: Sequence[str], protocols: Sequence[str]) -> list[str]:
    """The mean score over tasks and protocols, and what it is above log-mel statistics and the untrained twin."""
    score, *less = differences(found, tasks, protocols)
    return [_cell(score), *(_cell(each, "+") for each in less)]


def differences(found: Found, tasks: Sequence[str], protocols: Sequence[str]) -> list[tuple[float, float, float]]:
    """The mean score, and its differences from log-mel statistics and from the twin: value, low, high.

    The ends are those of the percentile interval over test clips, paired by clip; NaN where a task has no draws.
    """
    picked = [found[task, protocol] for task in tasks for protocol in protocols]
    least = min(each.shape[1] for each in picked)
    rows = np.mean([each[:, :least] for each in picked], axis=0)  # [3, 1 + R]
    rows = np.stack([rows[0], rows[0] - rows[1], rows[0] - rows[2]])
    tail = (1 - LEVEL) / 2
    ends = np.quantile(rows[:, 1:], [tail, 1 - tail], axis=1) if least > 1 else np.full((2, 3), np.nan)
    return [(float(rows[k, 0]), float(ends[0, k]), float(ends[1, k])) for k in range(3)]


def _cell(triple: tuple[float, float, float], sign: str = "") -> str:
    value, low, high = triple
    if np.isnan(low):
        return f"{value:{sign}.3f}"
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def table(found: Found, sets: Mapping[str, Sequence[str]]) -> str:
    """A row for each task and protocol, and for the mean over each set of tasks."""
    lines = [["task", "protocol", "score", "less log-mel statistics", "less untrained"], ["---", "---", *["---:"] * 3]]
    lines += [[task, protocol, *cells(found, [task], [protocol])] for task, protocol in found]
    for name, tasks in sets.items():
        lines += [[f"**{name}**", protocol, *cells(found, tasks, [protocol])] for protocol in PROTOCOLS]
        lines.append([f"**{name}**", "all three", *cells(found, tasks, PROTOCOLS)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
