"""Partial associations against textbook formulas that share no code with them."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sonoscale.laws.audit._bases import bases, leave_one_out, predictable
from sonoscale.laws.audit._partial import adjust
from sonoscale.laws.audit._verdict import configurations_needed, upper_bound

OPTIONS = {"level": 0.95, "permutations": 400, "seed": 0}


def adjusted(rank, quality, covariates, family, names, **options) -> Any:
    return adjust(rank, quality, covariates, family, names, **options)


def draw(seed, count=25, columns=2):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, columns))
    rank = z @ rng.normal(size=columns) + rng.normal(size=count)
    return rank, z @ rng.normal(size=columns) + 0.5 * rank + rng.normal(size=count), z


def log_likelihood(design, y):
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    sd = np.sqrt(np.mean((y - design @ beta) ** 2))
    return stats.norm.logpdf(y, design @ beta, sd).sum()


@pytest.mark.parametrize("seed", range(4))
def test_partial_correlation_is_that_of_the_inverse_covariance(seed):
    rank, quality, z = draw(seed)
    precision = np.linalg.inv(np.cov(np.column_stack([rank, quality, z]).T))
    expected = -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
    linear = adjusted(rank, quality, z, None, ["a", "b"], **OPTIONS).linear
    assert linear.value == pytest.approx(expected, abs=1e-12)
    # The t test of the coefficient of rank, from the normal equations.
    design = np.column_stack([np.ones(25), z, rank])
    beta, rss = np.linalg.lstsq(design, quality, rcond=None)[:2]
    error = np.sqrt(rss[0] / 21 * np.linalg.inv(design.T @ design)[3, 3])
    assert linear.t_p == pytest.approx(2 * stats.t.sf(abs(beta[3] / error), 21), rel=1e-9)
    assert linear.df == 21


@pytest.mark.parametrize("seed", range(3))
def test_likelihood_ratio_and_models(seed):
    rank, quality, z = draw(seed)
    found = adjusted(rank, quality, z, None, ["a", "b"], **OPTIONS)
    one = np.column_stack([np.ones(25), z])
    ratio = 2 * (log_likelihood(np.column_stack([one, rank]), quality) - log_likelihood(one, quality))
    assert found.linear.likelihood_ratio == pytest.approx(ratio, rel=1e-9)
    assert found.linear.lr_p == pytest.approx(stats.chi2.sf(ratio, 1), rel=1e-8)
    models = {model.name: model for model in found.models}
    assert models["constant"].log_likelihood == pytest.approx(log_likelihood(np.ones((25, 1)), quality))
    with_rank = log_likelihood(np.column_stack([np.ones(25), rank]), quality)
    assert models["rank"].log_likelihood == pytest.approx(with_rank)
    assert models["rank"].aicc == pytest.approx(-2 * with_rank + 6 + 2 * 3 * 4 / (25 - 4))


def test_leave_one_out_error_is_that_of_25_refits():
    rank, quality, z = draw(5)
    model = {m.name: m for m in adjusted(rank, quality, z, None, ["a", "b"], **OPTIONS).models}["rank"]
    errors = []
    for i in range(25):
        kept = np.arange(25) != i
        slope, constant = np.polyfit(rank[kept], quality[kept], 1)
        errors.append(quality[i] - slope * rank[i] - constant)
    assert model.loo_rmse == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-9)


def test_ranks_are_partial_spearman():
    rank, quality, z = draw(6, columns=1)
    xy, xz, yz = (
        float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])
        for a, b in ((rank, quality), (rank, z[:, 0]), (quality, z[:, 0]))
    )
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert adjusted(rank, quality, z, None, ["a"], **OPTIONS).ranks == pytest.approx(expected, abs=1e-12)


def test_families_are_constants():
    """Given families, as within-family deviations by hand."""
    rank, quality, _ = draw(7, count=30)
    family = np.arange(30) % 3
    quality = quality + 5.0 * family
    found = adjusted(rank, quality, np.empty((30, 0)), family, [], **OPTIONS).linear
    for number in range(3):
        rank, quality = (np.where(family == number, c - c[family == number].mean(), c) for c in (rank, quality))
    assert found.value == pytest.approx(np.corrcoef(rank, quality)[0, 1], abs=1e-12)
    assert found.df == 30 - 3 - 1


def test_collinear_covariates_count_once():
    """Compute is parameters times data: its logarithm adds nothing, and takes no degree of freedom."""
    rank, quality, z = draw(8)
    both = adjusted(rank, quality, z, None, ["a", "b"], **OPTIONS).linear
    three = adjusted(rank, quality, np.column_stack([z, z.sum(axis=1)]), None, ["a", "b", "c"], **OPTIONS).linear
    assert three.value == pytest.approx(both.value, abs=1e-9)
    assert three.df == both.df


def test_permutations_agree_with_t_on_normal_errors():
    gaps = []
    for seed in range(20):
        rank, quality, z = draw(seed, count=20)
        one = adjusted(rank, quality - 0.4 * rank, z, None, ["a", "b"], **OPTIONS).linear
        gaps.append(abs(one.permutation_p - one.t_p))
        assert one.p == max(one.permutation_p, one.t_p)
    assert np.mean(gaps) < 0.03


def test_bases_hold_one_another():
    _, _, z = draw(9, count=60)
    for family in (None, np.arange(60) % 3):
        ladder = [basis for _, basis in bases(z, family)]
        for one, other in pairwise(ladder):
            np.testing.assert_allclose(other.T @ other, np.eye(other.shape[1]), atol=1e-10)
            np.testing.assert_allclose(other @ (other.T @ one), one, atol=1e-8)


def test_the_only_run_of_a_family_is_not_predictable():
    family = np.array([0] * 6 + [1] * 6 + [2])
    basis = bases(np.random.default_rng(0).normal(size=(13, 1)), family)[0][1]
    assert predictable(basis).tolist() == [True] * 12 + [False]
    column = np.arange(13.0)
    changed = column.copy()
    changed[-1] = 1e6
    one, other = (leave_one_out(basis, c, predictable(basis)) for c in (column, changed))
    assert one == pytest.approx(other, rel=1e-6)


def test_how_many_configurations_show_a_correlation_or_exclude_it():
    """By simulation of the correlation of as many pairs of numbers."""
    needed = configurations_needed(0.5, 1, 0.95)
    assert needed is not None
    rng = np.random.default_rng(0)
    for truth, holds in ((0.5, "shown"), (0.0, "excluded")):
        x, noise = rng.normal(size=(2, 4000, needed))
        y = truth * x + np.sqrt(1 - truth**2) * noise
        r = np.array([np.corrcoef(*one)[0, 1] for one in zip(x, y, strict=True)])
        t = r * np.sqrt((needed - 2) / (1 - r**2))
        found = t > stats.t.ppf(0.95, needed - 2)
        if holds == "excluded":
            found = np.array([upper_bound(one, needed - 2, 0.95) < 0.5 for one in r])
        assert found.mean() == pytest.approx(0.8, abs=0.04)
    assert configurations_needed(0.01, 1, 0.95) is None
    assert configurations_needed(0.0, 1, 0.95) is None
