"""Scores of rankings: scikit-learn's and every order of what is tied as references."""

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, ndcg_score

from sonoscale.probe import _ranking
from sonoscale.probe._ranking import RETRIEVAL_METRICS, score_chance, score_rankings

NAMES = list(RETRIEVAL_METRICS)


def plain(relevant):
    """Recall at 1, 5 and 10, and reciprocal rank, of relevant clips in order."""
    first = int(np.argmax(relevant))
    return [float(first < k) for k in (1, 5, 10)] + [1 / (first + 1)]


def sklearn_scores(similar, relevant):
    """All scores of one query without ties."""
    ordered = relevant[np.argsort(-similar)]
    precision = float(average_precision_score(relevant, similar))
    return [precision, *plain(ordered), ndcg_score(relevant[None].astype(float), similar[None], k=10)]


def everything(relevant):
    return np.ones(relevant.shape, dtype=bool)


@pytest.mark.parametrize("clips", [2, 7, 40, 300])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_they_are_those_of_scikit_learn(clips, share):
    rng = np.random.default_rng(clips)
    similar = rng.uniform(-1, 1, (20, clips))
    relevant = rng.random((20, clips)) < share
    relevant[:, 0] = True
    expected = [sklearn_scores(s, r) for s, r in zip(similar, relevant, strict=True)]
    np.testing.assert_allclose(score_rankings(similar, relevant, everything(relevant))[0], expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_ties_are_the_mean_over_all_orders(seed):
    rng = np.random.default_rng(seed)
    similar = rng.integers(0, 3, 7) / 10  # seven clips of at most three similarities
    relevant = rng.random(7) < 0.4
    relevant[rng.integers(7)] = True
    orders = Counter(  # of what is relevant at each place; the same for many orders
        tuple(relevant[list(order)])
        for order in itertools.permutations(range(7))
        if all(similar[a] >= similar[b] for a, b in itertools.pairwise(order))
    )
    each = [sklearn_scores(-np.arange(7.0), np.array(hits)) for hits in orders]
    expected = np.average(each, axis=0, weights=list(orders.values()))
    found = score_rankings(similar[None], relevant[None], everything(relevant[None]))[0][0]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    tied = ndcg_score(relevant[None].astype(float), similar[None], k=10)  # scikit-learn does the same for this one
    assert found[NAMES.index("ndcg@10")] == pytest.approx(tied)


def test_what_is_not_searched_does_not_count():
    rng = np.random.default_rng(0)
    similar, relevant, there = rng.uniform(-1, 1, (9, 30)), rng.random((9, 30)) < 0.3, rng.random((9, 30)) < 0.6
    similar[:, :3] = 1  # as the query itself would be
    there[:, :3], there[:, 3], relevant[:, 3] = False, True, True
    expected = [sklearn_scores(s[t], r[t]) for s, r, t in zip(similar, relevant, there, strict=True)]
    np.testing.assert_allclose(score_rankings(similar, relevant, there)[0], expected, atol=1e-12)


def test_the_best_and_the_worst():
    relevant = np.arange(20)[None] < 2
    best = score_rankings(-np.arange(20.0)[None] / 20, relevant, everything(relevant))[0][0]
    assert best.tolist() == pytest.approx([1] * 6)
    worst = score_rankings(np.arange(20.0)[None] / 20, relevant, everything(relevant))[0][0]
    assert worst.tolist() == pytest.approx([(1 / 19 + 2 / 20) / 2, 0, 0, 0, 1 / 19, 0])


@pytest.mark.parametrize(("relevant", "clips"), [(1, 1), (1, 9), (3, 5), (7, 200), (200, 200), (40, 1000)])
def test_chance_is_exact(relevant, clips):
    found = dict(zip(NAMES, score_chance(np.array([[clips, relevant]]))[0], strict=True))
    harmonic = (1 / np.arange(1, clips + 1)).sum()
    others = (relevant - 1) / max(clips - 1, 1)
    assert found["mAP"] == pytest.approx((harmonic + others * (clips - harmonic)) / clips)
    for k in (1, 5, 10):
        none = stats.hypergeom.pmf(0, clips, relevant, min(k, clips))
        assert found[f"recall@{k}"] == pytest.approx(1 - none)
    none = stats.hypergeom.pmf(0, clips, relevant, np.arange(clips + 1))
    assert found["mrr"] == pytest.approx((-np.diff(none) / np.arange(1, clips + 1)).sum())


def test_chance_is_the_mean_of_random_rankings():
    rng = np.random.default_rng(0)
    relevant = np.tile(np.arange(50) < 6, (20_000, 1))
    drawn = score_rankings(rng.uniform(-1, 1, relevant.shape), relevant, everything(relevant))[0]
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - score_chance(np.array([[50, 6]]))[0]) < 4 * error).all()


def test_chance_of_many_sizes_is_that_of_each(monkeypatch):
    sizes = np.array([[9, 2], [30, 5], [9, 2], [4, 4], [30, 1]])
    each = np.concatenate([score_chance(size[None]) for size in sizes])
    np.testing.assert_allclose(score_chance(sizes), each, atol=1e-12)
    monkeypatch.setattr(_ranking, "BLOCK", 31)
    np.testing.assert_allclose(score_chance(sizes), each, atol=1e-12)


def test_what_a_clip_does_to_the_rankings_of_others_is_the_derivative_by_its_weight():
    rng = np.random.default_rng(0)
    similar, relevant, there = rng.uniform(-1, 1, (6, 25)), rng.random((6, 25)) < 0.3, rng.random((6, 25)) < 0.8
    relevant[:, 0] = there[:, 0] = True
    _, pull = score_rankings(similar, relevant, there)

    def weighted(clip, step):
        weights = np.where(np.arange(25) == clip, 1 + step, 1.0)
        return sum(
            average_precision_score(r[t], s[t], sample_weight=weights[t])
            for s, r, t in zip(similar, relevant, there, strict=True)
        )

    expected = [(weighted(clip, 1e-5) - weighted(clip, -1e-5)) / 2e-5 for clip in range(25)]
    np.testing.assert_allclose(pull, expected, atol=1e-6)
    assert pull.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_what_a_clip_does_is_the_mean_of_all_orders_of_what_is_tied(seed):
    rng = np.random.default_rng(seed)
    similar, relevant = rng.integers(0, 1 + seed % 4, 6) / 10, rng.random(6) < 0.5
    relevant[rng.integers(6)] = True
    there = np.arange(6) < 6 - seed % 2
    relevant[0] = True
    _, pull = score_rankings(similar[None], relevant[None], there[None])
    orders = np.array([
        order for order in itertools.permutations(range(6))
        if all(similar[a] >= similar[b] for a, b in itertools.pairwise(order))
    ])  # fmt: skip

    def weighted(clip, step, orders=orders):
        """Average precision of weighted clips, as scikit-learn has it, mean over the orders."""
        weights = (np.where(np.arange(6) == clip, 1 + step, 1.0) * there)[orders]  # [orders, places]
        hits = weights * relevant[orders]
        precision = hits.cumsum(axis=1) / np.maximum(weights.cumsum(axis=1), 1e-12)
        return ((hits * precision).sum(axis=1) / hits.sum(axis=1)).mean()

    places, weights = np.empty(6), np.where(np.arange(6) == 0, 1.5, 1.0)
    places[orders[0]] = -np.arange(6.0)
    one = average_precision_score(relevant[there], places[there], sample_weight=weights[there])
    assert weighted(0, 0.5, orders[:1]) == pytest.approx(one)
    expected = [(weighted(clip, 1e-5) - weighted(clip, -1e-5)) / 2e-5 for clip in range(6)]
    np.testing.assert_allclose(pull, expected, atol=1e-6)
    assert pull.sum() == pytest.approx(0, abs=1e-12)
