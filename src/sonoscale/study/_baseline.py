"""What a probe scores without any encoder: the bar that pre-training should clear."""

from __future__ import annotations

from typing import Any

import numpy as np

from sonoscale.results import plain
from sonoscale.study._prepare import TaskJob

__all__ = ["baseline_note", "logmel_baseline"]


def logmel_baseline(tasks: tuple[TaskJob, ...]) -> dict[str, dict[str, Any]]:
    """What the study's protocols score on the mean and deviation of each log-mel band over a clip.

    Returns:
        Task (`task:protocol` where there are several protocols) -> the result as plain values.
    """
    from sonoscale.corpora import FeatureStore
    from sonoscale.probe import probe_store

    results = {}
    for task in tasks:
        store = FeatureStore.open(task.store)
        found = probe_store("logmel:", store, task.labels, task.folds, protocols=list(task.keys), **task.how)
        several = len(found) > 1
        results |= {f"{task.name}:{one.protocol}" if several else task.name: plain(one) for one in found.values()}
    return results


def baseline_note(baseline: dict[str, dict[str, Any]], quality: list[float]) -> str:
    """One sentence that holds the finished models against the baseline."""
    score = float(np.mean([result["score"] for result in baseline.values()]))
    above = sum(q > score for q in quality)
    tasks = ", ".join(f"{name} {result['score']:.3f}" for name, result in baseline.items())
    return (
        f"Without any encoder, the same probe on the mean and deviation of each log-mel band scores {score:.3f} "
        f"({tasks}); {above} of {len(quality)} models at their largest budget score more."
    )
