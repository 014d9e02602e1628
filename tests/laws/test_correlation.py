"""Spearman's rho against SciPy, and its interval against populations of known rho."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws import spearman
from sonoscale.laws._correlation import _weighted_spearman

VALUES = st.lists(st.integers(-5, 5), min_size=6, max_size=30)


@settings(max_examples=40, deadline=None)
@given(x=VALUES, seed=st.integers(0, 1000))
def test_agrees_with_scipy_with_ties_and_counts(x, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(-4, 4, size=len(x))
    counts = rng.integers(0, 3, size=len(x))
    seen_x, seen_y = np.repeat(x, counts), np.repeat(y, counts)
    if len(np.unique(seen_x)) < 2 or len(np.unique(seen_y)) < 2:
        return
    mine = _weighted_spearman(np.array(x, float), y.astype(float), counts[None].astype(float))[0]
    assert mine == pytest.approx(stats.spearmanr(seen_x, seen_y)[0], abs=1e-12)
    whole = spearman(x, y, bootstrap=100)
    assert whole.value == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_coverage_with_ten_clusters_of_two(rho):
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's rho of a bivariate normal population
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(200):
        x, y = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=10).T
        x, y = np.repeat(x, 2), np.repeat(y, 2)
        hits += truth in spearman(x, y, clusters=np.repeat(np.arange(10), 2), bootstrap=200, seed=seed)
    assert hits / 200 >= 0.90


def test_a_perfect_order_of_few_runs_is_not_certain():
    few, many = (spearman(np.arange(n), np.arange(n) ** 2) for n in (6, 60))
    assert few.value == many.value == 1.0
    assert few.high == 1.0
    assert few.low < 0.9 < many.low < 1.0
    assert spearman(np.arange(6), -np.arange(6)).value == -1.0


def test_copies_within_a_cluster_add_no_certainty():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 12))
    once = spearman(x, y)
    often = spearman(np.repeat(x, 4), np.repeat(y, 4), clusters=np.repeat(np.arange(12), 4))
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high), abs=1e-12)
    assert (often.n, often.n_clusters) == (48, 12)
    free = spearman(np.repeat(x, 4), np.repeat(y, 4))
    assert free.high - free.low < 0.8 * (once.high - once.low)


@pytest.mark.parametrize(
    ("x", "y", "clusters", "message"),
    [
        ([1, 1, 1, 1], [1, 2, 3, 4], None, "x is constant"),
        ([1, 2, 3, 4], [1, 1, 1, 1], None, "y is constant"),
        ([1, 2, 3], [1, 2, 3], None, "needs 4 clusters or more, but there are 3"),
        ([1, 2, 3, 4], [1, 2, 3, 4], "aabb", "needs 4 clusters or more, but there are 2"),
        ([1, 2, np.nan, 4], [1, 2, 3, 4], None, "x, row 2: nan"),
    ],
)
def test_refuses_and_names(x, y, clusters, message):
    with pytest.raises(SonoscaleError, match=message):
        spearman(x, y, clusters=clusters)


def test_a_large_table_is_resampled_by_some_of_its_rows():
    """The interval is as wide as that of Bonett and Wright, which many independent points have."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=50_000)
    y = 0.5 * x + rng.normal(size=50_000)
    tracemalloc.start()
    found = spearman(x, y, bootstrap=400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e8  # 400 resamples of all rows alone are 1.6e8, and their ranks several times that
    assert found.value == pytest.approx(stats.spearmanr(x, y)[0])
    half = 1.96 * np.sqrt((1 + found.value**2 / 2) / (50_000 - 3))
    assert np.arctanh(found.high) - np.arctanh(found.low) == pytest.approx(2 * half, rel=0.25)
    assert found.n == found.n_clusters == 50_000
