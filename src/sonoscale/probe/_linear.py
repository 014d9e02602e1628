"""Linear probe: multinomial logistic regression on frozen embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import threadpoolctl
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sonoscale.errors import SonoscaleError

PROTOCOL = "linear/1"  # raise the number with any change that can change a score
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # inverse L2 strength C of scikit-learn, from strong to weak


@dataclass(frozen=True)
class ProbeResult:
    """Accuracy of a probe, on clips that neither fitted nor chose anything."""

    score: float  # mean over the test folds
    per_fold: dict[str, float]
    strengths: dict[str, float]  # what the validation fold chose, by test fold
    chance: float  # mean accuracy of always answering the class most frequent among the clips that are fitted
    n: int
    classes: int
    metric: str = "accuracy"
    protocol: str = PROTOCOL

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return asdict(self)


def linear_probe(
    embeddings: np.ndarray,
    labels: Sequence[str],
    folds: Sequence[str],
    *,
    scheme: str = "folds",
    strengths: Sequence[float] = STRENGTHS,
) -> ProbeResult:
    """Protocol `linear/1`.

    Each fold is tested once (`scheme = "folds"`), or the split's test part is (`scheme = "split"`). The L2 strength
    is the one that is best on a validation part: the fold after the test fold, in sorted order, or the split's
    `valid`; ties go to the stronger regularisation. Then the probe is fitted again on the training and the
    validation part together. Features are standardised with the mean and deviation of the part that is fitted;
    a feature without spread there is left out.

    Arguments:
        embeddings: `[clips, dim]`.
        labels: class of each clip.
        folds: fold of each clip, or its part of the split (train, valid, test).
        scheme: "folds" or "split".
        strengths: values of C to choose from.

    Raises:
        SonoscaleError: lengths that differ, NaN or infinity, fewer than three folds, or a class that the training
            folds do not hold at all.
    """
    x = np.asarray(embeddings, dtype=np.float64)
    y, parts = np.asarray(labels, dtype=str), np.asarray(folds, dtype=str)
    if x.ndim != 2 or not len(x) == len(y) == len(parts):
        raise SonoscaleError(f"probe: embeddings {list(x.shape)}, {len(y)} labels and {len(parts)} folds do not agree")
    if not np.isfinite(x).all():
        raise SonoscaleError(f"probe: the embedding of clip {int(np.argmin(np.isfinite(x).all(1)))} is not finite")
    classes, codes = np.unique(y, return_inverse=True)
    per_fold, chosen, chances = {}, {}, []
    for test, valid in _rounds(parts, scheme):
        is_test, is_valid = parts == test, parts == valid
        is_train = ~is_test & ~is_valid
        _check_classes(y, is_train | is_valid, is_test, test)
        scores = _fit_scores(x, codes, is_train, is_valid, strengths)
        best = strengths[int(np.argmax(scores))]
        per_fold[test] = _fit_scores(x, codes, is_train | is_valid, is_test, [best])[0]
        chosen[test] = float(best)
        chances.append(float(np.mean(codes[is_test] == np.bincount(codes[is_train | is_valid]).argmax())))
    return ProbeResult(
        score=float(np.mean(list(per_fold.values()))), per_fold=per_fold, strengths=chosen,
        chance=float(np.mean(chances)), n=len(x), classes=len(classes),
    )  # fmt: skip


def _rounds(parts: np.ndarray, scheme: str) -> list[tuple[str, str]]:
    """(test, validation) of each round."""
    names = sorted({str(p) for p in parts}, key=lambda name: (len(name), name))
    if scheme == "split":
        if set(names) != {"train", "valid", "test"}:
            raise SonoscaleError(f"probe: a split needs train, valid and test; found {', '.join(names)}")
        return [("test", "valid")]
    if len(names) < 3:
        raise SonoscaleError(f"probe: at least 3 folds are needed; found {', '.join(names)}")
    return [(name, names[(i + 1) % len(names)]) for i, name in enumerate(names)]


def _check_classes(y: np.ndarray, fitted: np.ndarray, tested: np.ndarray, fold: str) -> None:
    if len(np.unique(y[fitted])) < 2:
        raise SonoscaleError(f"probe: the clips to train on for fold {fold!r} have one class only ({y[fitted][0]!r})")
    unseen = sorted(set(y[tested]) - set(y[fitted]))
    if unseen:
        raise SonoscaleError(f"probe: class {unseen[0]!r} of fold {fold!r} is in no other fold")


def _fit_scores(
    x: np.ndarray, y: np.ndarray, fit: np.ndarray, score: np.ndarray, strengths: Sequence[float]
) -> list[float]:
    """Accuracy on `score` after fitting on `fit`, for each strength."""
    mean, std = x[fit].mean(axis=0), x[fit].std(axis=0)
    alive = std > 1e-12 * max(1.0, float(np.abs(x[fit]).max()))
    features = (x[:, alive] - mean[alive]) / std[alive]
    if not alive.any():
        raise SonoscaleError("probe: the embeddings of all training clips are equal")
    results = []
    for strength in strengths:
        model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
        # One thread: at these sizes BLAS threads mostly wait for one another.
        with warnings.catch_warnings(), threadpoolctl.threadpool_limits(1, user_api="blas"):
            # A weak strength that does not converge within the limit is scored as it stands.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features[fit], y[fit])
        results.append(float(model.score(features[score], y[score])))
    return results
