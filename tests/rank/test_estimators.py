"""Each estimator against SciPy, another library or a closed form."""

import dataclasses
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.rank import ESTIMATORS, get_estimator, measure_all, measure_rank
from sonoscale.rank._formulas import (
    alpha_req,
    condition_number,
    nesum,
    numerical_rank,
    participation_ratio,
    rankme_eigenvalues,
    renyi,
    spectrum_rankme,
    stable_rank,
)

SPECTRA = arrays(np.float64, st.integers(1, 40), elements=st.floats(1e-6, 1e6))
RANKS = [spectrum_rankme, rankme_eigenvalues, participation_ratio, stable_rank, nesum]


@settings(deadline=None, max_examples=50)
@given(SPECTRA)
def test_entropies_are_scipys(values):
    assert spectrum_rankme(values) == pytest.approx(np.exp(stats.entropy(values)), rel=1e-10)
    assert rankme_eigenvalues(values) == pytest.approx(np.exp(stats.entropy(values**2)), rel=1e-10)


@pytest.mark.parametrize("rank", [*RANKS, lambda s: renyi(s, 0.5), lambda s: renyi(s, 3), lambda s: renyi(s, np.inf)])
@pytest.mark.parametrize("k", [1, 3, 17])
def test_k_equal_singular_values_have_rank_k_whatever_zeros_follow(rank, k):
    assert rank(np.concatenate([np.full(k, 2.5), np.zeros(9)])) == pytest.approx(k)


@settings(deadline=None, max_examples=50)
@given(SPECTRA)
def test_renyi_falls_with_the_order_from_the_count_to_the_largest_share(values):
    orders = [0, 0.3, 0.999999, 1, 1.000001, 2, 5, 50, np.inf]
    found = [renyi(values, order) for order in orders]
    assert found[0] == pytest.approx(len(values))
    assert found[3] == pytest.approx(spectrum_rankme(values))
    assert found[2] == pytest.approx(found[3], rel=1e-4)
    assert found[4] == pytest.approx(found[3], rel=1e-4)
    assert found[-1] == pytest.approx(values.sum() / values.max())
    assert all(a >= b * (1 - 1e-9) for a, b in itertools.pairwise(found))
    assert renyi(values**2, 2) == pytest.approx(participation_ratio(values), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e307])
def test_magnitudes_near_the_ends_of_float64(scale):
    s = scale * np.full(5, 1.5)
    for rank in (*RANKS, lambda s: renyi(s, 0.3), lambda s: renyi(s, 4)):
        assert rank(s) == pytest.approx(5.0)


@pytest.mark.parametrize("gap", [1e-15, 1e-12, 1e-9, 1e-7])
def test_orders_as_near_to_one_as_can_be(gap):
    s = np.arange(1, 21.0) ** -0.5
    assert renyi(s, 1 + gap) == pytest.approx(spectrum_rankme(s), rel=1e-6)


def test_published_eps_raises_the_rank_with_the_number_of_zeros():
    few, many = np.r_[1.0, np.zeros(100)], np.r_[1.0, np.zeros(4000)]
    assert spectrum_rankme(few, eps=1e-7) < spectrum_rankme(many, eps=1e-7)
    assert spectrum_rankme(few) == spectrum_rankme(many) == 1.0


@pytest.mark.parametrize("shape", [(60, 20), (20, 60)])
def test_norms_and_ranks_are_numpys(shape):
    matrix = np.random.default_rng(0).standard_normal(shape)
    matrix[:, 3] = matrix[:, 4]
    s = np.linalg.svd(matrix, compute_uv=False)
    assert stable_rank(s) == pytest.approx(np.linalg.norm(matrix) ** 2 / np.linalg.norm(matrix, 2) ** 2)
    rtol = max(shape) * np.finfo(float).eps
    assert numerical_rank(s, rtol=rtol) == np.linalg.matrix_rank(matrix)
    assert condition_number(s[:-1]) == pytest.approx(s[0] / s[-2])
    assert condition_number(np.r_[1.0, 0.0]) == np.inf


@pytest.mark.parametrize("alpha", [0.4, 1.0, 2.3])
def test_alpha_of_an_exact_power_law(alpha):
    found = alpha_req(np.arange(1, 201.0) ** (-alpha / 2))
    assert (found.alpha, found.r2) == (pytest.approx(alpha), pytest.approx(1.0))
    assert (found.first, found.last) == (11, 100)
    assert found.scale == pytest.approx(1.0)


def test_alpha_shows_what_it_does_not_fit():
    index = np.arange(1, 201.0)
    assert alpha_req(np.exp(-index / 10)).r2 < 0.95  # exponential decay
    short = alpha_req(index[:30] ** -0.5)
    assert (short.last, short.alpha) == (30, pytest.approx(1.0))
    with pytest.raises(SonoscaleError, match="and 2 are there"):
        alpha_req(index[:12])
    with pytest.raises(SonoscaleError, match="fit_range"):
        alpha_req(index, fit_range=(5, 5))


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, -1.0], [np.nan], [[1.0]]])
@pytest.mark.parametrize("rank", [*RANKS, condition_number, alpha_req, lambda s: renyi(s, 2)])
def test_refused_singular_values(rank, bad):
    with pytest.raises(SonoscaleError):
        rank(np.array(bad, dtype=float))


def test_all_estimators_stay_within_their_bounds(population, sketch_of):
    for n, dim in ((30, 8), (300, 8), (600, 130), (40, 60)):
        for decay in (0.0, 1.0, 3.0):
            records, undefined = measure_all(sketch_of(population(n, dim, decay=decay, mean=0.1)))
            assert set(undefined) <= {"alpha_req"}
            for record in records:
                least, most = ESTIMATORS[record.estimator].bounds(n, dim)
                assert least * (1 - 1e-9) <= record.value <= most * (1 + 1e-9), (record, n, dim, decay)
                assert record.low <= record.value <= record.high


def test_the_table_names_what_it_computes():
    assert len(ESTIMATORS) > 15
    for name, estimator in ESTIMATORS.items():
        assert estimator.name == name
        assert estimator.formula
        assert estimator.source


def test_the_estimators_of_the_table_reach_other_processes():
    for estimator in ESTIMATORS.values():
        assert pickle.loads(pickle.dumps(estimator)) is estimator


def test_other_orders_and_other_settings(population, sketch_of):
    sketch = sketch_of(population(300, 12, mean=1.0))
    s = np.linalg.svd(population(300, 12, mean=1.0), compute_uv=False)
    assert measure_rank(sketch, "renyi_3.5").value == pytest.approx(renyi(s, 3.5))
    assert measure_rank(sketch, "renyi_2_centred").value > measure_rank(sketch, "renyi_2").value
    own = dataclasses.replace(get_estimator("rankme"), name="mine", compute=lambda s, n, dim: float(len(s)))
    assert measure_rank(sketch, own).value == 12
    with pytest.raises(SonoscaleError, match=r"no estimator 'rankyou': there are rankme, .* renyi_<order>"):
        measure_rank(sketch, "rankyou")
