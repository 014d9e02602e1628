"""The linear probe: scikit-learn's pipeline as reference, and no peeking."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sonoscale.errors import SonoscaleError
from sonoscale.probe import probe_embeddings
from sonoscale.probe._linear import STRENGTHS, best_first, fit_ridge
from sonoscale.probe._logistic import fit_logistic
from sonoscale.probe._targets import Targets


def blobs(n=300, dim=12, classes=4, distance=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = distance * rng.standard_normal((classes, dim))[y] + rng.standard_normal((n, dim))
    folds = rng.integers(1, 6, n)
    return (x * 7 + 100).astype(np.float32), [f"class {c}" for c in y], [str(f) for f in folds]


def test_it_is_a_grid_search_of_scikit_learn():
    x, y, folds = blobs(distance=0.5)
    y, parts = np.array(y), np.array(folds)
    result = probe_embeddings(x, y, folds)
    for i in range(5):
        test, valid = parts == str(i + 1), parts == str((i + 1) % 5 + 1)
        models = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=5000, tol=1e-7)) for c in STRENGTHS]
        scores = [m.fit(x[~test & ~valid], y[~test & ~valid]).score(x[valid], y[valid]) for m in models]
        best = int(np.argmax(scores))
        assert STRENGTHS.index(result.chosen[str(i + 1)]["C"]) == pytest.approx(best, abs=1)
        again = models[STRENGTHS.index(result.chosen[str(i + 1)]["C"])].fit(x[~test], y[~test])
        assert result.per_fold[str(i + 1)] == pytest.approx(again.score(x[test], y[test]), abs=1.5 / test.sum())


def test_several_labels_are_a_grid_search_of_one_versus_rest():
    x, _, folds = blobs(n=400, classes=1)
    rng = np.random.default_rng(2)
    truth = (x - 100) / 7 @ rng.standard_normal((12, 5)) + 3 * rng.standard_normal((400, 5)) > 2
    result = probe_embeddings(x, Targets("multilabel", truth, tuple("abcde")), folds)
    for fold in "12345":
        test = np.array(folds) == fold
        single = LogisticRegression(C=result.chosen[fold]["C"], max_iter=5000)
        model = make_pipeline(StandardScaler(), OneVsRestClassifier(single)).fit(x[~test], truth[~test])
        expected = average_precision_score(truth[test], model.decision_function(x[test]))
        assert result.per_fold[fold] == pytest.approx(expected, abs=2e-3)
    assert result.metric == "mAP"
    assert result.score > result.chance + 0.2


def test_ridge_is_scikit_learns():
    x, _, _ = blobs()
    y = x[:, 0] + np.random.default_rng(0).standard_normal(300)
    strengths = [1e-5, 1e-2, 10.0]
    for rows in (slice(None), slice(8)):  # fewer clips than features, too
        (path,) = fit_ridge([(x[rows], Targets("regression", y[rows], ()))], [strengths])
        for strength, model in zip(strengths, path, strict=True):
            expected = make_pipeline(StandardScaler(), Ridge(alpha=1 / strength)).fit(x[rows].astype(float), y[rows])
            assert model.predict(x)[:, 0] == pytest.approx(expected.predict(x.astype(float)), rel=1e-5)


def test_numbers_are_predicted_and_the_metric_may_be_an_error():
    x, _, folds = blobs()
    y = (x[:, 0] - 100) / 7
    assert probe_embeddings(x, y, folds, kind="regression").score > 0.99
    result = probe_embeddings(x, y, folds, kind="regression", metric="mae")
    assert result.score < 0.05 < result.chance
    assert {c["C"] for c in result.chosen.values()} == {STRENGTHS[-1]}


def test_separable_classes_score_one_and_random_labels_chance():
    x, y, folds = blobs(distance=10)
    assert probe_embeddings(x, y, folds).score == 1.0
    shuffled = list(np.random.default_rng(1).permutation(y))
    assert abs(probe_embeddings(x, shuffled, folds).score - 0.25) < 0.1


@pytest.mark.parametrize(("scores", "higher", "best"), [
    ([0.1, 0.5, 0.5], True, 1), ([0.1, 0.5, 0.1], False, 0), ([np.nan, 0.5], True, 1),
])  # fmt: skip
def test_ties_go_to_the_stronger_regularisation(scores, higher, best):
    assert best_first(scores, higher=higher) == best


def split(x, y, folds, test="2", valid="3"):
    return ["test" if f == test else "valid" if f == valid else "train" for f in folds]


def test_test_clips_neither_fit_nor_choose():
    x, y, folds = blobs()
    test = np.array(folds) == "2"
    spoilt = x.copy()
    spoilt[test] = np.random.default_rng(5).standard_normal(spoilt[test].shape) * 1e3
    parts = split(x, y, folds)
    clean, dirty = probe_embeddings(x, y, parts, scheme="split"), probe_embeddings(spoilt, y, parts, scheme="split")
    assert clean.chosen == dirty.chosen
    assert clean.score == pytest.approx(probe_embeddings(x, y, folds).per_fold["2"], abs=0.02)
    assert dirty.score < clean.score
    swapped = [y[i - 1] if t else label for i, (label, t) in enumerate(zip(y, test, strict=True))]
    assert probe_embeddings(x, swapped, parts, scheme="split").chosen == clean.chosen


def test_training_clips_alone_fit_what_the_validation_clips_choose_from(monkeypatch):
    x, y, folds = blobs()
    parts, fitted = split(x, y, folds), []

    def recorded(clips, strengths, **options):
        fitted.append([set(map(tuple, features)) for features, _ in clips])
        return fit_logistic(clips, strengths, **options)

    monkeypatch.setattr("sonoscale.probe._linear.fit_logistic", recorded)
    probe_embeddings(x, y, parts, scheme="split")
    train, valid = ({tuple(row) for row, part in zip(x, parts, strict=True) if part == p} for p in ("train", "valid"))
    assert fitted == [[train], [train | valid]]


def test_constant_features_do_not_matter():
    x, y, folds = blobs()
    padded = np.hstack([x, np.full((len(x), 3), 123.456, np.float32)])
    assert probe_embeddings(padded, y, folds).per_fold == probe_embeddings(x, y, folds).per_fold


def test_a_class_that_the_validation_fold_alone_has_is_no_error():
    x, y, _ = blobs(distance=3)
    parts = ["train" if i < 150 else "valid" if i < 230 else "test" for i in range(300)]
    keep = [i for i in range(300) if parts[i] != "train" or y[i] in ("class 0", "class 1")]
    result = probe_embeddings(x[keep], [y[i] for i in keep], [parts[i] for i in keep], scheme="split")
    assert result.score >= 0.45  # two of four classes are learned


def test_validation_clips_without_a_score_choose_nothing():
    with pytest.raises(SonoscaleError, match="validation clips have no score"):
        best_first([float("nan")] * 2, higher=True)


@pytest.mark.parametrize("protocol", ["linear", "knn", "few-shot", "xares"])
def test_a_collapsed_encoder_scores_as_chance_and_it_is_said(protocol):
    x, y, folds = blobs()
    result = probe_embeddings(np.full_like(x, 7.0), y, folds, protocol=protocol)
    assert result.score == result.chance
    assert any("embeddings of all training clips are equal" in warning for warning in result.warnings)
