"""What a probe scores without any encoder: the bar that pre-training should clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sonoscale.study._prepare import RunJob

__all__ = ["baseline_note", "logmel_baseline"]


def logmel_baseline(
    jobs: Sequence[RunJob], floor: Mapping[tuple[str, str], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What the study's protocols score on the mean and deviation of each log-mel band over a clip.

    Of readout `frequency` it is the mean alone, as of the encoders.

    Arguments:
        jobs: of the study; the bands are those of the first.
        floor: see `sonoscale.study._quality.floors`.

    Returns:
        Name of the score, as `score_names` forms it of task, protocol and readout -> the result as plain values.
    """
    from sonoscale.laws._ledger import score_names

    found = [
        (task.name, floor[task.store.name, task.keys[name, readout]])
        for task in jobs[0].tasks
        for readout in dict.fromkeys(readout for _, readout in task.keys)
        for name in dict.fromkeys(name for name, of in task.keys if of == readout)
    ]
    names = score_names([(task, result["protocol"], result["readout"]) for task, result in found])
    return {name: result for name, (_, result) in zip(names, found, strict=True)}


def baseline_note(baseline: dict[str, dict[str, Any]], quality: list[float], weights: Mapping[str, float]) -> str:
    """One sentence that holds the finished models against the baseline.

    Arguments:
        baseline: see `logmel_baseline`.
        quality: of the models.
        weights: name of a score -> its weight in quality.
    """
    baseline = {name: result for name, result in baseline.items() if name in weights}
    if not baseline:
        return ""
    what = "mean" if next(iter(baseline.values()))["readout"] == "frequency" else "mean and deviation"
    score = float(np.average([r["score"] for r in baseline.values()], weights=[weights[name] for name in baseline]))
    above = sum(q > score for q in quality)
    tasks = ", ".join(f"{name} {result['score']:.3f}" for name, result in baseline.items())
    return (
        f"Without any encoder, the same probe on the {what} of each log-mel band scores {score:.3f} "
        f"({tasks}); {above} of {len(quality)} models at their largest budget score more."
    )
