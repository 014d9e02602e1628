"""How far a score could be off, had other clips been drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sonoscale.probe._metrics import Metric
from sonoscale.probe._targets import Targets


@dataclass(frozen=True)
class Scored:
    """A fold's test clips, and what was predicted of them.

    Attributes:
        targets: of n clips.
        repeats: predictions `[n, outputs]` of each training; the score is the mean of theirs.
        groups: `[n]`; clips of one group (speaker, recording) are drawn together.
    """

    targets: Targets
    repeats: Sequence[np.ndarray]
    groups: np.ndarray

    def score(self, metric: Metric, clips: np.ndarray | slice = slice(None)) -> float:
        """Of all clips, or of some, which may come more than once."""
        targets = self.targets[clips]
        return float(np.mean([metric.of(targets, predictions[clips]) for predictions in self.repeats]))


def clip_draws(folds: Sequence[Scored], metric: Metric, *, draws: int = 1000, seed: int = 0) -> np.ndarray | None:
    """Bootstrap of the mean score over folds: groups of test clips are drawn again within each fold.

    The fitted probes are kept: it is the uncertainty of the test clips alone, not of the training. Where each fold is
    a single group (one speaker left out at a time), folds are drawn again instead. Which clips are drawn follows from
    the folds, their groups and the seed alone, so the draws of two encoders on one task are paired.

    Arguments:
        folds: what was tested.
        metric: of the score.
        draws: samples; of metrics that are no mean over clips, a fifth of them.
        seed: of the draws.

    Returns:
        the score of each sample, float64 `[draws]`; None where a single fold has fewer than two groups.
    """
    rng = np.random.default_rng(seed)
    draws = draws if metric.average else max(1, draws // 5)
    scores = np.zeros(draws)
    if any(len(np.unique(fold.groups)) < 2 for fold in folds):
        if len(folds) < 3:
            return None
        alone = np.array([fold.score(metric) for fold in folds])
        return alone[rng.integers(len(folds), size=(draws, len(folds)))].mean(axis=1)
    for fold in folds:
        names, codes = np.unique(fold.groups, return_inverse=True)
        picks = rng.integers(len(names), size=(draws, len(names)))
        if metric.average:
            each = np.array([fold.score(metric, slice(i, i + 1)) for i in range(len(codes))])
            total, size = (np.bincount(codes, weights=w)[picks].sum(axis=1) for w in (each, np.ones(len(each))))
            scores += total / size / len(folds)
            continue
        members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
        for draw, pick in enumerate(picks):
            scores[draw] += fold.score(metric, np.concatenate([members[group] for group in pick])) / len(folds)
    return scores


def ends(draws: np.ndarray | None, *, level: float = 0.95) -> tuple[float, float]:
    """Ends of the percentile interval of bootstrap draws; NaN where there are none, or no number among them."""
    if draws is None or np.isnan(draws).all():
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)
