"""The few-shot probe: draws and scores as MTEB has them."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sonoscale.errors import SonoscaleError
from sonoscale.probe import probe_embeddings
from sonoscale.probe._fewshot import FEW_SHOT, draws_of
from sonoscale.probe._metrics import METRICS
from sonoscale.probe._rounds import make_rounds
from sonoscale.probe._targets import make_targets


def blobs(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = 0.6 * rng.standard_normal((3, 10))[y] + rng.standard_normal((n, 10))
    return x.astype(np.float32), y, [str(i // 3 % 5) for i in range(n)]


def mteb_draws(labels, seed, experiments, per_label):
    """mteb/abstasks/classification.py, `_undersample_data`, version 2.26, in its own words."""
    idxs, draws = list(range(len(labels))), []
    for _ in range(experiments):
        np.random.RandomState(seed).shuffle(idxs)
        counter, sampled = {}, []
        for i in idxs:
            if counter.setdefault(labels[i], 0) < per_label:
                sampled.append(i)
                counter[labels[i]] += 1
        draws.append(sampled)
    return draws


def test_draws_are_those_of_mteb():
    _, y, _ = blobs(100)
    ours = list(draws_of(y, 42))
    assert [sorted(each) for each in ours] == [sorted(each) for each in mteb_draws(y, 42, 10, 8)]
    assert all(np.bincount(y[each]).tolist() == [8, 8, 8] for each in ours)
    assert len({tuple(sorted(each)) for each in ours}) == 10


def test_a_rare_class_gives_what_it_has():
    y = np.array([0] * 20 + [1] * 3)
    assert all(np.bincount(y[each]).tolist() == [8, 3] for each in draws_of(y, 0))


def test_the_score_is_the_mean_over_draws_of_scikit_learns():
    x, y, folds = blobs()
    result = probe_embeddings(x, y, folds, protocol="few-shot", seed=7)
    for each in make_rounds(folds):
        scores = []
        for pick in draws_of(y[each.fitted], 7):
            rows = each.fitted[pick]
            model = LogisticRegression(C=1.0, max_iter=5000, tol=1e-7).fit(x[rows], y[rows])
            scores.append(model.score(x[each.test], y[each.test]))
        assert result.per_fold[each.name] == pytest.approx(np.mean(scores), abs=0.003)
    assert result.low < result.score < result.high


def test_seeds_draw_differently_and_are_repeatable():
    x, y, folds = blobs()
    first, again, other = (probe_embeddings(x, y, folds, protocol="few-shot", seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.per_fold != other.per_fold


def test_every_draw_is_kept():
    x, y, folds = blobs()
    targets, rounds = make_targets(y), make_rounds(folds)
    outcomes = FEW_SHOT.run(x, targets, rounds, METRICS["accuracy"], 0, "cpu", lambda done, total: None)
    assert [len(outcome.repeats) for outcome in outcomes] == [10] * 5
    assert outcomes[0].predictions == pytest.approx(np.mean(outcomes[0].repeats, axis=0))


def test_it_is_for_classes_only():
    x, y, folds = blobs()
    with pytest.raises(SonoscaleError, match="few-shot is for multiclass tasks, not for regression"):
        probe_embeddings(x, y * 1.0, folds, protocol="few-shot", kind="regression")
