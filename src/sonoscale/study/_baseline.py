"""What a probe scores without any encoder: the bar that pre-training should clear."""

from __future__ import annotations

from typing import Any

import numpy as np

from sonoscale.corpora import FeatureStore
from sonoscale.probe import probe_embeddings
from sonoscale.study._prepare import TaskJob


def logmel_baseline(tasks: tuple[TaskJob, ...]) -> dict[str, dict[str, Any]]:
    """The same probe on the mean and deviation of each log-mel band over a clip, by task."""
    results = {}
    for task in tasks:
        store = FeatureStore.open(task.store)
        clips = [store.clip(i).astype(np.float64) for i in range(len(store))]
        features = np.stack([np.concatenate([clip.mean(axis=0), clip.std(axis=0)]) for clip in clips])
        results[task.name] = probe_embeddings(features, task.labels, task.folds, **task.how).as_dict()
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
