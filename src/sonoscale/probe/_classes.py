"""What a score consists of: class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sonoscale.probe._interval import Scored
from sonoscale.probe._metrics import average_precisions


def class_scores(folds: Sequence[Scored]) -> tuple[dict[str, dict[str, float]], list[list[float]]]:
    """Scores of each class over all test clips, and which class is taken for which.

    Arguments:
        folds: what was tested.

    Returns:
        name of a class -> `n`, its test clips, and `score`: the share of them that is found (of tasks of several
        labels the average precision, NaN where no test clip has the label); and of tasks of one class each the test
        clips by true class and prediction, the mean where a protocol trains several times. Both are empty for other
        kinds of task.
    """
    kind, names = folds[0].targets.kind, folds[0].targets.classes
    if kind == "multiclass":
        counts = np.zeros((len(names), len(names)))
        for fold in folds:
            for predictions in fold.repeats:
                np.add.at(counts, (fold.targets.values, predictions.argmax(axis=1)), 1 / len(fold.repeats))
        sizes = counts.sum(axis=1)
        shares = np.divide(counts.diagonal(), sizes, out=np.full(len(names), np.nan), where=sizes > 0)
        scores = {
            name: {"n": round(size), "score": float(share)}
            for name, size, share in zip(names, sizes, shares, strict=True)
        }
        return scores, counts.round(6).tolist()
    if kind != "multilabel":
        return {}, []
    sizes, per_fold = np.zeros(len(names)), np.full((len(folds), len(names)), np.nan)
    for row, fold in zip(per_fold, folds, strict=True):
        truth = fold.targets.values.astype(bool)
        sizes += truth.sum(axis=0)
        there = truth.any(axis=0)
        if there.any():
            each = [average_precisions(truth[:, there], predictions[:, there]) for predictions in fold.repeats]
            row[there] = np.mean(each, axis=0)
    known = np.isfinite(per_fold)
    means = np.divide(np.nansum(per_fold, axis=0), known.sum(axis=0), out=np.full(len(names), np.nan), where=sizes > 0)
    return {
        name: {"n": round(size), "score": float(mean)} for name, size, mean in zip(names, sizes, means, strict=True)
    }, []
