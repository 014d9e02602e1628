"""Scores of predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from sonoscale.errors import SonoscaleError
from sonoscale.probe._targets import Kind, Targets


@dataclass(frozen=True)
class Metric:
    """A score of predictions.

    Attributes:
        name: as HEAR and X-ARES call it.
        kinds: of targets.
        higher: whether more is better.
        of: targets of n clips and predictions, float `[n, outputs]` (logits or probabilities; numbers for regression)
            -> the score.
        formula: in words.
        average: whether it is the mean of that of each clip alone.
    """

    name: str
    kinds: tuple[Kind, ...]
    higher: bool
    of: Callable[[Targets, np.ndarray], float]
    formula: str
    average: bool = False


def _right(targets: Targets, predictions: np.ndarray) -> np.ndarray:
    guesses = predictions.argmax(axis=1)
    return targets.one_hot()[np.arange(len(targets)), guesses]


def _accuracy(targets: Targets, predictions: np.ndarray) -> float:
    return float(_right(targets, predictions).mean())


def _chroma(targets: Targets, predictions: np.ndarray) -> float:
    """Pitches are the numbers of their names, or their places among the classes where names are no numbers."""
    names = targets.classes
    numbers = np.array([int(name) for name in names]) if all(x.isdigit() for x in names) else np.arange(len(names))
    return float((numbers[predictions.argmax(axis=1)] % 12 == numbers[targets.values] % 12).mean())


def _map(targets: Targets, predictions: np.ndarray) -> float:
    truth = targets.one_hot()
    there = truth.any(axis=0)
    return float(average_precisions(truth[:, there], predictions[:, there]).mean()) if there.any() else float("nan")


def average_precisions(truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Of each column: the mean over positives of the precision among all clips at least as likely; scikit-learn's
    `average_precision_score`, of all columns at once.

    Arguments:
        truth: bool `[n, classes]`, each column with a positive.
        predictions: `[n, classes]`.
    """
    truth, predictions = np.ascontiguousarray(truth.T), np.ascontiguousarray(predictions.T)
    order = np.argsort(-predictions, axis=1)
    truth, predictions = (np.take_along_axis(each, order, axis=1) for each in (truth, predictions))
    n = truth.shape[1]
    last = np.full(truth.shape, n - 1)  # place of the last clip that is as likely
    last[:, :-1] = np.where(predictions[:, 1:] != predictions[:, :-1], np.arange(n - 1), n - 1)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(truth.cumsum(axis=1), last, axis=1) / (last + 1)
    return (precision * truth).sum(axis=1) / truth.sum(axis=1)


def _areas(targets: Targets, predictions: np.ndarray) -> np.ndarray:
    """Under the ROC curve of each class that has clips with and without it: how often a clip with it is more likely
    than one without (Mann and Whitney's statistic)."""
    from scipy.stats import rankdata

    truth = targets.one_hot()
    defined = truth.any(axis=0) & ~truth.all(axis=0)
    if not defined.any():
        return np.array([np.nan])
    truth, ranks = truth[:, defined], rankdata(predictions[:, defined], axis=0)
    positives = truth.sum(axis=0)
    above = (ranks * truth).sum(axis=0) - positives * (positives + 1) / 2
    return above / (positives * (len(truth) - positives))


def _aucroc(targets: Targets, predictions: np.ndarray) -> float:
    return float(_areas(targets, predictions).mean())


def _d_prime(targets: Targets, predictions: np.ndarray) -> float:
    least = 1 / (2 * len(targets))  # perfect separation of n clips is no infinite distance
    return float(np.mean(ndtri(_areas(targets, predictions).clip(least, 1 - least)) * np.sqrt(2)))


def _mae(targets: Targets, predictions: np.ndarray) -> float:
    return float(np.abs(predictions[:, 0] - targets.values).mean())


def _r2(targets: Targets, predictions: np.ndarray) -> float:
    """NaN for a single clip; for equal numbers 1 if all are met, else 0."""
    if len(targets) < 2:
        return float("nan")
    missed = float(np.sum((targets.values - predictions[:, 0].astype(np.float64)) ** 2))
    spread = float(np.sum((targets.values - targets.values.mean()) ** 2))
    return 1 - missed / spread if spread > 0 else float(missed == 0)


def _spearman(targets: Targets, predictions: np.ndarray) -> float:
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return float(np.asarray(stats.spearmanr(targets.values, predictions[:, 0]))[0])


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", ("multiclass",), True, _accuracy, "share of clips whose most likely class is theirs",
               True),
        Metric("top1_acc", ("multilabel", "multiclass"), True, _accuracy, "share whose most likely class is one of "
               "theirs", True),
        Metric("pitch_acc", ("multiclass",), True, _accuracy, "accuracy over pitches", True),
        Metric("chroma_acc", ("multiclass",), True, _chroma, "accuracy over pitches without their octave",
               True),
        Metric("mAP", ("multilabel", "multiclass"), True, _map, "mean over classes with positives of the average "
               "precision"),
        Metric("aucroc", ("multilabel", "multiclass"), True, _aucroc, "mean over classes of the area under the ROC "
               "curve"),
        Metric("d_prime", ("multilabel", "multiclass"), True, _d_prime, "mean over classes of sqrt(2) times the normal "
               "quantile of that area"),
        Metric("mae", ("regression",), False, _mae, "mean absolute error", True),
        Metric("r2", ("regression",), True, _r2, "1 - squared error / variance"),
        Metric("spearman", ("regression",), True, _spearman, "rank correlation"),
    )
}  # fmt: skip
DEFAULT_METRIC: dict[Kind, str] = {"multiclass": "accuracy", "multilabel": "mAP", "regression": "spearman"}


def find_metric(name: str | None, kind: Kind) -> Metric:
    """The metric of this name, or the usual one of the kind.

    Raises:
        SonoscaleError: there is none, or it is not for this kind.

    Example:
        >>> find_metric(None, "multilabel").name
        'mAP'
    """
    if kind not in DEFAULT_METRIC:
        raise SonoscaleError(f"probe: {kind} tasks have metrics of their own, which only their own protocols know")
    if name is None:
        return METRICS[DEFAULT_METRIC[kind]]
    fitting = [each.name for each in METRICS.values() if kind in each.kinds]
    if name not in fitting:
        raise SonoscaleError(f"probe: no metric '{name}' for {kind} tasks; there are {', '.join(fitting)}")
    return METRICS[name]
