"""What a probe scores without any encoder: the bar that pre-training should clear."""

from __future__ import annotations

from typing import Any

import numpy as np

from sonoscale.results import plain
from sonoscale.study._prepare import TaskJob

__all__ = ["baseline_note", "logmel_baseline"]


def logmel_baseline(tasks: tuple[TaskJob, ...]) -> dict[str, dict[str, Any]]:
    """What the study's protocols score on the mean and deviation of each log-mel band over a clip.

    Of readout `frequency` it is the mean alone, as of the encoders.

    Returns:
        Name of the score, as `score_names` forms it of task, protocol and readout -> the result as plain values.
    """
    from sonoscale.corpora import FeatureStore
    from sonoscale.laws._ledger import score_names
    from sonoscale.probe import probe_store

    found = []
    for task in tasks:
        store, pairs = FeatureStore.open(task.store), list(task.keys)
        for readout in dict.fromkeys(readout for _, readout in pairs):
            protocols = [name for name, of in pairs if of == readout]
            scored = probe_store(
                "logmel:", store, task.labels, task.folds, protocols=protocols, readout=readout, **task.how
            )
            found += [(task.name, result) for result in scored.values()]
    names = score_names([(task, result.protocol, result.readout) for task, result in found])
    return {name: plain(result) for name, (_, result) in zip(names, found, strict=True)}


def baseline_note(baseline: dict[str, dict[str, Any]], quality: list[float]) -> str:
    """One sentence that holds the finished models against the baseline, read out as the quality is: by the first."""
    first = next(iter(baseline.values()))["readout"]
    baseline = {name: result for name, result in baseline.items() if result["readout"] == first}
    what = "mean" if first == "frequency" else "mean and deviation"
    score = float(np.mean([result["score"] for result in baseline.values()]))
    above = sum(q > score for q in quality)
    tasks = ", ".join(f"{name} {result['score']:.3f}" for name, result in baseline.items())
    return (
        f"Without any encoder, the same probe on the {what} of each log-mel band scores {score:.3f} "
        f"({tasks}); {above} of {len(quality)} models at their largest budget score more."
    )
