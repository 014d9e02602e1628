"""The linear probe: scikit-learn's pipeline as reference, and no peeking."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sonoscale.errors import SonoscaleError
from sonoscale.probe import linear_probe


def blobs(n=300, dim=12, classes=4, distance=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = distance * rng.standard_normal((classes, dim))[y] + rng.standard_normal((n, dim))
    folds = rng.integers(1, 6, n)
    return x * 7 + 100, [f"class {c}" for c in y], [str(f) for f in folds]


def test_one_strength_is_scikit_learns_cross_validation():
    x, y, folds = blobs()
    result = linear_probe(x, y, folds, strengths=[0.1])
    expected = {}
    for fold in "12345":
        test = np.array(folds) == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        model.fit(x[~test], np.array(y)[~test])
        expected[fold] = model.score(x[test], np.array(y)[test])
    assert result.per_fold == pytest.approx(expected, abs=0.02)
    assert result.score == pytest.approx(np.mean(list(expected.values())), abs=0.01)


def test_separable_classes_score_one_and_random_labels_chance():
    x, y, folds = blobs(distance=10)
    assert linear_probe(x, y, folds).score == 1.0
    shuffled = list(np.random.default_rng(1).permutation(y))
    result = linear_probe(x, shuffled, folds)
    assert abs(result.score - 0.25) < 0.1


@pytest.mark.parametrize(("rare", "expected"), [(0.5, 0.5), (0.2, 0.8)])
def test_chance_is_the_most_frequent_class_of_the_fitted_clips(rare, expected):
    x, _, _ = blobs()
    y = ["rare" if i % 10 < 10 * rare else "common" for i in range(300)]
    folds = [str(i // 10 % 5) for i in range(300)]  # every fold has the classes in the same shares
    assert linear_probe(x, y, folds).chance == pytest.approx(expected)


def test_a_split_is_tested_once_and_its_valid_part_chooses():
    x, y, _ = blobs(n=400)
    parts = ["train"] * 200 + ["valid"] * 100 + ["test"] * 100
    result = linear_probe(x, y, parts, scheme="split")
    assert list(result.per_fold) == ["test"]
    by_hand = {}
    for strength in (1e-4, 1e2):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        by_hand[strength] = model.fit(x[:200], y[:200]).score(x[200:300], y[200:300])
    chosen = linear_probe(x, y, parts, scheme="split", strengths=[1e-4, 1e2]).strengths["test"]
    assert chosen == max(by_hand, key=lambda s: by_hand[s])


def test_test_clips_neither_fit_nor_choose():
    x, y, folds = blobs()
    before = linear_probe(x, y, folds)
    test = np.array(folds) == "2"
    spoilt = x.copy()
    spoilt[test] = np.random.default_rng(5).standard_normal(spoilt[test].shape) * 1e3
    parts = ["test" if t else "valid" if f == "3" else "train" for t, f in zip(test, folds, strict=True)]
    clean = linear_probe(x, y, parts, scheme="split")
    dirty = linear_probe(spoilt, y, parts, scheme="split")
    assert clean.strengths == dirty.strengths
    assert clean.score == before.per_fold["2"]
    assert dirty.score < clean.score


def test_constant_features_do_not_matter():
    x, y, folds = blobs()
    padded = np.hstack([x, np.full((len(x), 3), 123.456)])
    assert linear_probe(padded, y, folds).per_fold == linear_probe(x, y, folds).per_fold


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x, y, f: (x, y, ["1"] * 150 + ["2"] * 150), "at least 3 folds"),
        (lambda x, y, f: (x[:-1], y, f), "do not agree"),
        (lambda x, y, f: (np.where(np.arange(300)[:, None] == 7, np.nan, x), y, f), "clip 7 is not finite"),
        (lambda x, y, f: (x * 0, y, f), "equal"),
        (lambda x, y, f: (x, ["rare" if k == 0 else c for k, c in enumerate(y)], f), "'rare'"),
        (lambda x, y, f: (x, y, ["train", "test"] * 150), "split"),
    ],
)
def test_bad_input_is_named(change, expected):
    x, y, folds = change(*blobs())
    scheme = "split" if "train" in folds else "folds"
    with pytest.raises(SonoscaleError, match=expected):
        linear_probe(x, y, folds, scheme=scheme)
