"""Scores: scikit-learn and torchmetrics as references, and values known by hand."""

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from scipy import stats
from sklearn import metrics as sk

from sonoscale.errors import SonoscaleError
from sonoscale.probe import METRICS
from sonoscale.probe._metrics import find_metric
from sonoscale.probe._targets import Targets, make_targets


def labelled(n=200, classes=7, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    predictions = rng.standard_normal((n, classes)) + np.eye(classes)[y]
    if ties:
        predictions = np.round(predictions)
    return Targets("multiclass", y, tuple(str(c) for c in range(classes))), predictions


def many(n=200, classes=7, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random((n, classes)) < np.linspace(0.02, 0.9, classes)
    truth[0] = True
    predictions = rng.standard_normal((n, classes)) + truth
    return Targets("multilabel", truth, tuple(map(str, range(classes)))), np.round(predictions, 0 if ties else 9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("make", [labelled, many])
@pytest.mark.parametrize("n", [5, 60, 500])
def test_ranking_metrics_are_scikit_learns(make, n, ties):
    targets, predictions = make(n=n, ties=ties)
    truth = targets.one_hot()
    there = truth.any(axis=0)
    expected = sk.average_precision_score(truth[:, there], predictions[:, there], average="macro")
    assert METRICS["mAP"].of(targets, predictions) == pytest.approx(expected)
    reported = there & ~truth.all(axis=0)
    areas = [sk.roc_auc_score(*pair) for pair in zip(truth[:, reported].T, predictions[:, reported].T, strict=True)]
    assert METRICS["aucroc"].of(targets, predictions) == pytest.approx(np.mean(areas))


def test_metrics_are_torchmetrics():
    targets, predictions = labelled()
    scores, y = torch.from_numpy(predictions).softmax(dim=1), torch.from_numpy(targets.values)
    found = {name: METRICS[name].of(targets, scores.numpy()) for name in ("accuracy", "mAP", "aucroc")}
    assert found["accuracy"] == pytest.approx(float(tm.multiclass_accuracy(scores, y, 7, average="micro")))
    assert found["mAP"] == pytest.approx(float(tm.multiclass_average_precision(scores, y, 7)), abs=1e-5)
    assert found["aucroc"] == pytest.approx(float(tm.multiclass_auroc(scores, y, 7)), abs=1e-5)


@pytest.mark.parametrize(("area", "expected"), [(0.5, 0.0), (0.75, 0.9539), (0.25, -0.9539)])
def test_d_prime_of_an_area(area, expected):
    """Of d' = sqrt(2) * quantile(area); 0.75 is a pair of unit normals 0.9539 apart."""
    truth = np.array([[True]] * 4 + [[False]] * 4)
    right = {0.75: [1, 1, 1, 0], 0.25: [-1, -1, -1, 0], 0.5: [0, 0, 0, 0]}[area]
    predictions = np.array([*right, 0, 0, 0, 0], dtype=float)[:, None]
    if area != 0.5:  # the fourth positive is above no negative, for half of the pairs each
        predictions[3] = -1 if area == 0.75 else 1
    targets = Targets("multilabel", np.hstack([truth, ~truth]), ("a", "b"))
    found = METRICS["d_prime"].of(targets, np.hstack([predictions, -predictions]))
    assert found == pytest.approx(expected, abs=1e-4)
    assert stats.norm.cdf(found / np.sqrt(2)) == pytest.approx(METRICS["aucroc"].of(targets, np.hstack(
        [predictions, -predictions])))  # fmt: skip


@pytest.mark.parametrize("name", ["accuracy", "top1_acc", "mAP", "aucroc", "pitch_acc", "chroma_acc"])
def test_perfect_predictions_score_one_and_none_chance(name):
    targets, _ = labelled(n=700)
    assert METRICS[name].of(targets, targets.one_hot().astype(float)) == 1.0
    blind = METRICS[name].of(targets, np.tile(np.linspace(0, 1, 7), (700, 1)))
    assert blind == pytest.approx(0.5 if name == "aucroc" else 1 / 7, abs=0.05)


def test_perfect_numbers():
    y = np.random.default_rng(0).standard_normal(50)
    targets = Targets("regression", y, ())
    assert METRICS["r2"].of(targets, y[:, None]) == 1.0
    assert METRICS["spearman"].of(targets, np.exp(y)[:, None]) == pytest.approx(1.0)
    assert METRICS["mae"].of(targets, y[:, None] + 2) == pytest.approx(2.0)
    assert METRICS["r2"].of(targets, np.full((50, 1), y.mean())) == pytest.approx(0.0)
    assert np.isnan(METRICS["spearman"].of(targets, np.zeros((50, 1))))


@pytest.mark.parametrize(
    ("y", "guesses"),
    [
        (np.linspace(-3, 5, 40), np.linspace(2, -7, 40)),  # worse than the mean
        (1e6 + np.arange(30.0), 1e6 + np.arange(30.0) ** 1.1),
        (np.full(5, 2.0), np.full(5, 2.0)),
        (np.full(5, 2.0), np.arange(5.0)),
        (np.arange(4.0), np.array([0.5, 1, 2, 2.5], dtype=np.float32)),
    ],
)
def test_r2_is_scikit_learns(y, guesses):
    found = METRICS["r2"].of(Targets("regression", y, ()), guesses[:, None])
    assert found == pytest.approx(sk.r2_score(y, guesses), rel=1e-12)


def test_r2_of_one_clip_is_undefined():
    assert np.isnan(METRICS["r2"].of(Targets("regression", np.ones(1), ()), np.ones((1, 1))))


def test_chroma_is_the_pitch_without_its_octave():
    targets = make_targets(["48", "60", "61"])
    guesses = np.eye(3)[[1, 0, 1]]  # an octave off, an octave off, a semitone off
    assert METRICS["chroma_acc"].of(targets, guesses) == pytest.approx(2 / 3)
    assert METRICS["pitch_acc"].of(targets, guesses) == 0.0
    names = make_targets([f"note {chr(97 + i)}" for i in range(13)])
    assert METRICS["chroma_acc"].of(names, np.eye(13)[[12, *range(1, 12), 0]]) == 1.0


def test_one_of_several_labels_is_enough_for_the_top():
    targets = Targets("multilabel", np.array([[True, True, False], [False, False, True]]), tuple("abc"))
    assert METRICS["top1_acc"].of(targets, np.array([[0, 1, 0.5], [0, 1, 0.5]])) == 0.5


def test_nothing_to_rank_is_nan():
    targets = Targets("multilabel", np.zeros((4, 2), dtype=bool), ("a", "b"))
    for name in ("mAP", "aucroc", "d_prime"):
        assert np.isnan(METRICS[name].of(targets, np.zeros((4, 2))))


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.average])
def test_averages_are_means_over_clips(name):
    targets, predictions = labelled(n=40)
    if name == "mae":
        targets, predictions = Targets("regression", predictions[:, 0], ()), predictions[:, 1:2]
    each = [METRICS[name].of(targets[i : i + 1], predictions[i : i + 1]) for i in range(40)]
    assert METRICS[name].of(targets, predictions) == pytest.approx(np.mean(each))


def test_usual_and_unknown_metrics():
    assert find_metric(None, "multilabel").name == "mAP"
    with pytest.raises(SonoscaleError, match="no metric 'accuracy' for regression tasks; there are mae, r2, spearman"):
        find_metric("accuracy", "regression")
