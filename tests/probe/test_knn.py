"""Nearest neighbours: scikit-learn's and a plain loop as references."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.neighbors import NearestNeighbors

from sonoscale.probe import _knn, probe_embeddings
from sonoscale.probe._knn import CHOICES, vote
from sonoscale.probe._targets import Targets


def data(n=90, m=40, dim=6, outputs=3, seed=0):
    rng = np.random.default_rng(seed)
    known, asked = (rng.standard_normal((size, dim)).astype(np.float32) + 0.5 for size in (n, m))
    return known, rng.standard_normal((n, outputs)), asked


@pytest.mark.parametrize("k", [1, 3, 10, 200])
def test_votes_are_those_of_scikit_learns_neighbours(k):
    known, values, asked = data()
    taken = min(k, len(known))
    distances, which = NearestNeighbors(n_neighbors=taken, metric="cosine").fit(known).kneighbors(asked)
    expected = []
    for far, rows in zip(distances, which, strict=True):
        expected.append(sum(w * values[row] for w, row in zip(softmax((1 - far) / 0.07), rows, strict=True)))
    (votes,) = vote(known, values, asked, (k,))
    assert votes == pytest.approx(np.array(expected), abs=1e-4)


def test_one_search_serves_every_k():
    known, values, asked = data()
    for k, votes in zip(CHOICES, vote(known, values, asked, CHOICES), strict=True):
        assert votes == pytest.approx(vote(known, values, asked, (k,))[0], abs=1e-6)


def test_blocks_change_nothing(monkeypatch):
    known, values, asked = data()
    (whole,) = vote(known, values, asked)
    monkeypatch.setattr(_knn, "BLOCK", 3 * len(known))
    assert vote(known, values, asked)[0] == pytest.approx(whole, abs=1e-6)


def test_the_length_of_an_embedding_does_not_count():
    known, values, asked = data()
    longer = known * np.arange(1, 91, dtype=np.float32)[:, None]
    assert vote(longer, values, 9 * asked)[0] == pytest.approx(vote(known, values, asked)[0], abs=1e-4)
    assert np.isfinite(vote(known * 0, values, asked)[0]).all()


def clusters(n=200, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    x = 4 * rng.standard_normal((4, 8))[y] + rng.standard_normal((n, 8))
    return x.astype(np.float32), y, [str(i // 4 % 5) for i in range(n)]


@pytest.mark.parametrize("protocol", ["knn", "knn-tuned"])
def test_kinds_of_tasks(protocol):
    x, y, folds = clusters()
    assert probe_embeddings(x, y, folds, protocol=protocol).score > 0.97
    truth = np.stack([y < 2, y % 2 == 0], axis=1)
    assert probe_embeddings(x, Targets("multilabel", truth, ("a", "b")), folds, protocol=protocol).score > 0.97
    assert probe_embeddings(x, y * 10.0, folds, protocol=protocol, kind="regression", metric="mae").score < 1


def test_validation_clips_choose():
    angles, i = np.linspace(0, 0.3, 400), np.arange(400)  # so close that all weights are about equal
    x, y = np.stack([np.cos(angles), np.sin(angles)], axis=1), i // 16 % 2  # stripes: far neighbours mislead
    parts = ["train" if k % 2 else "valid" if k % 4 else "test" for k in i]
    result = probe_embeddings(x.astype(np.float32), y, parts, protocol="knn-tuned", scheme="split")
    assert result.chosen["test"]["k"] <= 10
    assert result.score > 0.8


def test_ties_go_to_more_neighbours():
    x, y, folds = clusters()
    assert {each["k"] for each in probe_embeddings(x, y, folds, protocol="knn-tuned").chosen.values()} == {50}


def test_test_clips_do_not_choose():
    x, y, folds = clusters()
    parts = ["test" if f == "0" else "valid" if f == "1" else "train" for f in folds]
    test = np.array(parts) == "test"
    spoilt, swapped = x.copy(), y.copy()
    spoilt[test], swapped[test] = 99, (y[test] + 1) % 4
    chosen = [
        probe_embeddings(a, b, parts, protocol="knn-tuned", scheme="split").chosen
        for a, b in ((x, y), (spoilt, swapped))
    ]
    assert chosen[0] == chosen[1]
