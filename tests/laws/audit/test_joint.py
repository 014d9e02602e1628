"""The joint model of rank and quality: against dense likelihoods, and on tables whose truth is known."""

from typing import Any

import numpy as np
import pytest
from scipy import optimize

from sonoscale.laws.audit import _joint
from sonoscale.laws.audit._audit import _ruled
from sonoscale.laws.audit._joint import joint_test
from sonoscale.laws.audit._kernels import spectra

OPTIONS: dict[str, Any] = {
    "level": 0.95, "bootstrap": 80, "permutations": 80, "seed": 0, "margin": 0.5, "reliability": 0.97,
}  # fmt: skip
SHAPES = {
    "step": lambda a, b: (a > 0.5) * 1.0,
    "hinge": lambda a, b: 6 * np.maximum(0, a - 0.5),
    "bottleneck": lambda a, b: 4 * np.minimum(a, b),
    "plane": lambda a, b: 0.6 * a + 0.4 * b,
}


def world(shape, count, seed, rho=0.0):
    rng = np.random.default_rng(seed)
    sizes = rng.uniform(size=(count, 2))
    noise = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=count)
    both = SHAPES[shape](*sizes.T)[:, None] + 0.1 * noise
    return both[:, 0], both[:, 1], sizes


def joint_of(rank, quality, sizes, family=None, **options) -> Any:
    return joint_test(rank, quality, sizes, family, [[0, 1]], level=0.95, **options)


def as_table(rank, quality, sizes):
    return {
        "params": np.exp(14 + 5 * sizes[:, 0]), "clips": np.exp(12 + 4 * sizes[:, 1]), "rank": np.exp(3 + rank),
        "quality": 0.5 + 0.1 * quality, "config": [f"c{i}" for i in range(len(rank))],
    }  # fmt: skip


def test_likelihood_against_a_dense_one():
    """At one kernel, with the restricted likelihood of both columns stacked, maximised by Nelder and Mead."""
    rank, quality, sizes = world("bottleneck", 14, 0, rho=0.5)
    found = spectra(sizes, None, [[0, 1]])
    y = np.column_stack([rank, quality])
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    free = _joint._climb(found.values, np.matmul(found.vectors, y), None, 400, None)
    z = (sizes - sizes.mean(axis=0)) / sizes.std(axis=0)
    distance = np.linalg.norm(z[:, None] - z, axis=2) / 1.5
    kernel = np.exp(-distance)
    design = np.column_stack([np.ones(14), z])
    complement = np.linalg.svd(design)[0][:, 3:]
    data = (complement.T @ y).T.ravel()
    smooth = complement.T @ kernel @ complement

    def negative(theta):
        lower = np.array([[theta[0], 0], [theta[1], theta[2]]])
        other = np.array([[theta[3], 0], [theta[4], theta[5]]])
        covariance = np.kron(lower @ lower.T, smooth) + np.kron(other @ other.T, np.eye(11))
        sign, det = np.linalg.slogdet(covariance + 1e-9 * np.eye(22))
        return 0.5 * (det + data @ np.linalg.solve(covariance + 1e-9 * np.eye(22), data)) if sign > 0 else 1e9

    options = {"maxiter": 6000, "maxfev": 6000, "fatol": 1e-8, "xatol": 1e-6}
    best = optimize.minimize(negative, [0.7, 0.5, 0.3, 0.5, 0.2, 0.5], method="Nelder-Mead", options=options)
    assert free.likelihood[0] == pytest.approx(-best.fun, abs=0.02)
    other = np.array([[best.x[3], 0], [best.x[4], best.x[5]]])
    expected = (other @ other.T)[0, 1] / np.sqrt(np.prod(np.diag(other @ other.T)))
    noise = free.noise[0]
    assert noise[1] / np.sqrt(noise[0] * noise[2]) == pytest.approx(expected, abs=0.05)


def test_every_cut_is_a_kernel():
    sizes = np.array([[1.0, 5.0], [2.0, 3.0], [3.0, 9.0], [4.0, 1.0], [5.0, 7.0], [6.0, 2.0], [7.0, 6.0], [8.0, 4.0]])
    found = spectra(sizes, None, [])
    smooth = 8  # two kinds, two lengths along each of two axes
    assert len(found.values) == smooth + 2 * 5  # eight values have five cuts with two on each side
    assert np.exp(found.weights).sum() == pytest.approx(1.0)
    projected = found.vectors[0] @ np.column_stack([np.ones(8), sizes])
    assert np.abs(projected).max() < 1e-9


@pytest.mark.parametrize("shape", ["step", "bottleneck"])
def test_order_names_and_units_change_nothing(shape):
    rank, quality, sizes = world(shape, 18, 3, rho=0.6)
    family = np.arange(18) % 2
    found = joint_of(rank, quality, sizes, family)
    order = np.random.default_rng(0).permutation(18)
    moved = joint_of(rank[order], quality[order], sizes[order], 1 - family[order])
    scaled = joint_of(3 + 7 * rank, 2 - 0.01 * (1 - quality), 2.5 * sizes + [1.0, -4.0], family)
    for other in (moved, scaled):
        for name in ("value", "low", "high", "bound", "z", "made", "undone_by"):
            assert getattr(other, name) == pytest.approx(getattr(found, name), abs=2e-5), name


@pytest.mark.parametrize("shape", ["step", "hinge", "bottleneck"])
def test_what_size_does_to_both_in_a_kink_is_not_support(shape, verdict):
    """Parametric bases alone take these for support."""
    for seed in range(4):
        assert verdict(as_table(*world(shape, 40, seed))) != "supported"


def test_what_is_shared_beyond_size_is_found(verdict):
    for seed in range(3):
        assert verdict(as_table(*world("plane", 40, seed, rho=0.9))) == "supported"
    found = joint_of(*world("step", 40, 0, rho=0.9), reliability=0.97)
    assert found.p < 1e-4 < found.made_p  # but sizes with a little error would make as much of so high a step
    found = joint_of(*world("plane", 60, 1, rho=0.9))
    assert 0.75 < found.low < 0.9 < found.high < 0.97
    assert found.p < 1e-4


def test_interval_and_bound_of_a_plane_are_those_of_the_partial_correlation():
    """Where the sizes' effect is a plane, little is lost to what else was allowed for."""
    for seed in range(3):
        rank, quality, sizes = world("plane", 60, seed, rho=0.4)
        found = joint_of(rank, quality, sizes)
        design = np.column_stack([np.ones(60), sizes])
        left = [c - design @ np.linalg.lstsq(design, c, rcond=None)[0] for c in (rank, quality)]
        z, se = np.arctanh(np.corrcoef(*left)[0, 1]), 1 / np.sqrt(60 - 2 - 3)
        assert np.arctanh(found.value) == pytest.approx(z, abs=1.2 * se)
        assert np.arctanh(found.bound) == pytest.approx(z + 1.645 * se, abs=1.2 * se)
        assert found.low < found.value < found.bound < found.high


def test_errors_in_sizes_and_luck_of_seeds_are_held_against_it():
    rank, quality, sizes = world("plane", 40, 0, rho=0.6)
    exact = joint_of(rank, quality, sizes)
    assert (exact.made, exact.made_p) == (0.0, pytest.approx(exact.p))
    poor = joint_of(rank, quality, sizes, reliability=0.9)
    assert poor.made > 0.2
    assert poor.made_p > exact.made_p
    assert poor.p == exact.p
    assert 0.5 < poor.undone_by < 0.97
    # At the reliability that undoes it, errors make as much as the lower end.
    assert joint_of(rank, quality, sizes, reliability=exact.undone_by).made == pytest.approx(exact.low, abs=1e-6)
    assert joint_of(rank, quality, sizes, seeds=0.004).p > exact.p
    known = joint_of(rank, quality, sizes, rank_error=0.002)
    assert known.rank_reliability == pytest.approx(0.8, abs=0.1)
    assert known.attenuated == pytest.approx(known.value / np.sqrt(known.rank_reliability))


def test_of_many_configurations_some_are_taken():
    found = joint_of(*world("plane", 400, 0, rho=0.6), profile=False)
    assert found.configurations == _joint.MOST_JOINT
    assert found.p < 1e-4
    assert isinstance(joint_of(*world("plane", 7, 0)), str)


def test_two_runs_that_diverged_are_not_support(verdict, gathered):
    """What lost both rank and quality says nothing of the others."""
    misled = 0
    for seed in range(4):
        rank, quality, sizes = world("plane", 40, seed)
        lost = np.random.default_rng(seed).choice(40, 2, replace=False)
        rank[lost] -= 1.2
        quality[lost] -= 1.2
        table = as_table(rank, quality, sizes)
        assert verdict(table) != "supported"
        if _ruled(gathered(table), **OPTIONS)[-1].verdict == "supported":
            misled += 1
            assert set(joint_of(rank, quality, sizes).apart) == set(lost.tolist())
    assert misled >= 2  # were it not for who stands apart


def test_who_stands_apart_does_not_hide_what_the_others_share(verdict):
    rank, quality, sizes = world("plane", 40, 1, rho=0.9)
    assert joint_of(rank, quality, sizes).apart == ()
    rank[3] -= 1.2
    quality[3] -= 1.2
    assert joint_of(rank, quality, sizes).apart == (3,)
    assert verdict(as_table(rank, quality, sizes)) == "supported"
