"""Logistic regression over a path: scikit-learn as reference."""

import warnings
from typing import cast

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from sonoscale.errors import SonoscaleError
from sonoscale.probe._logistic import fit_logistic
from sonoscale.probe._targets import Targets, make_targets

STRENGTHS = [1e-4, 1e-2, 1.0, 10.0]


def blobs(n=240, dim=12, classes=3, distance=0.7, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = distance * rng.standard_normal((classes, dim))[y] + rng.standard_normal((n, dim))
    return (x * np.linspace(0.1, 9, dim) + 30).astype(np.float32), y


def labels(y, classes=None):
    return Targets("multiclass", y, tuple(str(c) for c in range(classes or y.max() + 1)))


def standard(x):
    x = x.astype(np.float64)
    spread = x.std(axis=0)
    return (x - x.mean(axis=0))[:, spread > 0] / spread[spread > 0]


def weights(model, x):
    """Those of standardised features, `[features, columns]`, and the intercepts."""
    spread = x.astype(np.float64).std(axis=0)
    return (model.map.weight * spread[:, None])[spread > 0], model.map(x.mean(axis=0, dtype=np.float64)[None])[0]


def objective(features, y, coefficients, intercepts, strength):
    """scikit-learn's, of softmax or of one column for two classes."""
    logits = features @ coefficients + intercepts
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    losses = -log_softmax(logits, axis=1)[np.arange(len(y)), y]
    return losses.sum() + np.sum(coefficients**2) / (2 * strength)


def reference(features, y, strength, tol=1e-9):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops where rounding stops it
        return LogisticRegression(C=strength, max_iter=20_000, tol=tol).fit(features, y)


def unbalanced():
    x, y = blobs(classes=4)
    keep = (y < 2) | (np.arange(len(y)) < 24)
    return x[keep], y[keep]


CASES = {
    "binary": lambda: blobs(classes=2, distance=0.4),
    "3 classes": blobs,
    "10 classes": lambda: blobs(n=300, dim=20, classes=10),
    "separable": lambda: blobs(distance=8),
    "binary and separable": lambda: blobs(classes=2, distance=8),
    "more features than clips": lambda: blobs(n=60, dim=150),
    "unbalanced": unbalanced,
    "constant columns": lambda: (np.hstack([blobs()[0], np.full((240, 2), 123.456, np.float32)]), blobs()[1]),
    "duplicated columns": lambda: (np.hstack([blobs()[0], blobs()[0]]), blobs()[1]),
    "nearly equal columns": lambda: (np.hstack([blobs()[0], blobs()[0] + 1e-3 * blobs(seed=1)[0]]), blobs()[1]),
    "no signal": lambda: (blobs()[0], np.random.default_rng(3).permutation(blobs()[1])),
}


@pytest.mark.parametrize("case", CASES)
def test_objective_and_predictions_are_scikit_learns(case):
    x, y = CASES[case]()
    features = standard(x)
    ((*path,),) = fit_logistic([(x, labels(y))], [STRENGTHS])
    for strength, model in zip(STRENGTHS, path, strict=True):
        expected = reference(features, y, strength)
        least = objective(features, y, expected.coef_.T, expected.intercept_, strength)
        assert objective(features, y, *weights(model, x), strength) == pytest.approx(least, rel=1e-4)
        close = np.isclose(*np.sort(expected.predict_proba(features), axis=1)[:, -2:].T, atol=1e-3)  # a toss-up
        assert (close | (model.predict(x).argmax(axis=1) == expected.predict(features))).mean() >= 0.995


@pytest.mark.parametrize("case", ["binary", "3 classes", "10 classes", "unbalanced", "more features than clips"])
def test_coefficients_are_scikit_learns_when_solved_to_the_end(case):
    x, y = CASES[case]()
    ((model,),) = fit_logistic([(x, labels(y))], [[0.1]], tolerance=1e-13, dtype=torch.float64)
    expected = reference(standard(x), y, 0.1)
    coefficients, intercepts = weights(model, x)
    assert pytest.approx(expected.coef_, abs=1e-4) == coefficients.T
    assert intercepts - intercepts.mean() == pytest.approx(expected.intercept_ - expected.intercept_.mean(), abs=1e-4)
    assert np.exp(model.predict(x)) == pytest.approx(expected.predict_proba(standard(x)), abs=1e-4)


@pytest.mark.parametrize(("n", "dim"), [(400, 15), (80, 200)])
def test_every_label_is_a_problem_of_its_own(n, dim):
    x, _ = blobs(n=n, dim=dim, classes=1)
    rng = np.random.default_rng(1)
    scores = standard(x) @ rng.standard_normal((dim, 6)) / np.sqrt(dim) + 0.5 * rng.standard_normal((n, 6))
    truth = scores > np.array([0, 0.5, 1, 1.5, -1, 0.2])
    strengths = [1e-3, 0.1, 10.0]
    ((*path,),) = fit_logistic([(x, Targets("multilabel", truth, tuple("abcdef")))], [strengths])
    features = standard(x)
    for strength, model in zip(strengths, path, strict=True):
        every = OneVsRestClassifier(LogisticRegression(C=strength, max_iter=20_000, tol=1e-9)).fit(features, truth)
        coefficients, intercepts = weights(model, x)
        for label, single in enumerate(cast(list[LogisticRegression], every.estimators_)):
            least = objective(features, truth[:, label].astype(int), single.coef_.T, single.intercept_, strength)
            one = coefficients[:, [label]], intercepts[[label]]
            assert objective(features, truth[:, label].astype(int), *one, strength) == pytest.approx(least, rel=1e-4)
        assert ((model.predict(x) > 0) == every.predict(features)).mean() >= 0.995


def test_embeddings_as_they_are():
    x, y = blobs()
    ((model,),) = fit_logistic([(x, labels(y))], [[0.01]], standardise=False)
    expected = reference(x.astype(np.float64), y, 0.01)
    assert np.exp(model.predict(x)) == pytest.approx(expected.predict_proba(x), abs=2e-3)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_parts_solved_together_are_what_they_are_alone(kind):
    parts = []
    for n, dim, seed in ((240, 12, 0), (101, 12, 1), (9, 12, 2)):
        x, y = blobs(n=n, dim=dim, seed=seed)
        parts.append((x, labels(y) if kind == "multiclass" else Targets(kind, labels(y).one_hot(), tuple("abc"))))
    strengths = [[1e-3, 0.1, 1.0], [1e-2, 1.0, 10.0], [1e-3, 1e-2, 0.1]]
    together = fit_logistic(parts, strengths, tolerance=1e-10, dtype=torch.float64)
    for part, path, models in zip(parts, strengths, together, strict=True):
        (alone,) = fit_logistic([part], [path], tolerance=1e-10, dtype=torch.float64)
        for a, b in zip(models, alone, strict=True):
            assert a.predict(part[0]) == pytest.approx(b.predict(part[0]), abs=1e-3)


def test_a_near_start_changes_nothing_but_the_way():
    x, y = blobs()
    ((first,),) = fit_logistic([(x[:150], labels(y[:150]))], [[0.1]])
    ((cold,),) = fit_logistic([(x, labels(y))], [[0.1]], tolerance=1e-10, dtype=torch.float64)
    ((warm,),) = fit_logistic([(x, labels(y))], [[0.1]], near=[first], tolerance=1e-10, dtype=torch.float64)
    assert warm.predict(x) == pytest.approx(cold.predict(x), abs=1e-3)


def test_classes_that_no_clip_has_are_never_guessed():
    x, y = blobs(classes=3)
    y = np.where(y == 1, 0, y)
    ((model,),) = fit_logistic([(x, labels(y, 5))], [[1.0]])
    predictions = model.predict(x)
    assert np.isfinite(predictions).all()
    assert predictions[:, [1, 3, 4]].max() < predictions[:, [0, 2]].min()
    ((only,),) = fit_logistic([(x, labels(np.full(240, 2), 5))], [[1.0]])
    assert set(only.predict(x).argmax(axis=1)) == {2}


def test_labels_that_all_clips_or_none_have():
    x, y = blobs(classes=2)
    truth = np.stack([y == 1, np.ones(240, bool), np.zeros(240, bool)], axis=1)
    ((model,),) = fit_logistic([(x, Targets("multilabel", truth, ("some", "all", "none")))], [[1.0]])
    some, every, none = model.predict(x).T
    assert every.min() > some.max() > some.min() > none.max()


def test_huge_and_tiny_features():
    x, y = blobs()
    ((plain,),) = fit_logistic([(x, labels(y))], [[0.1]])
    for factor in (1e-12, 1e12):
        ((scaled,),) = fit_logistic([(x * np.float32(factor), labels(y))], [[0.1]])
        assert scaled.predict(x * np.float32(factor)) == pytest.approx(plain.predict(x), abs=1e-2)


def test_nothing_to_tell_clips_apart():
    with pytest.raises(SonoscaleError, match="equal"):
        fit_logistic([(np.full((20, 3), 0.1, np.float32), make_targets([str(i % 2) for i in range(20)]))], [[1.0]])
