"""The next runs against brute force, and against runs at random on a simulated truth."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sonoscale.laws import read_runs
from sonoscale.laws._newton import Objective
from sonoscale.laws.plan._next import choose_runs, covariance_of, next_runs, slopes_of
from sonoscale.laws.plan._surface import LAW, Surface, _best, fit_surface, loss

TRUE = np.array([400.0, 0.34, 1200.0, 0.36, 1.7])
NOISE = 0.01


def observed(n, d, rng):
    return loss(TRUE, n, d) * np.exp(NOISE * rng.standard_normal(len(n)))


def fitted(n, d, y) -> Surface:
    runs = read_runs({"N": n, "D": d, "loss": y}, y="loss")
    return fit_surface(
        runs, ("N", "D", "loss"), runs.target(), 6 * n * d, huber=1.0, bootstrap=80, seed=0, level=0.95
    )  # fmt: skip


def start(rng):
    n = np.exp(rng.uniform(np.log(3e7), np.log(5e8), 14))
    d = np.exp(rng.uniform(np.log(5e8), np.log(1e10), 14))
    return n, d, observed(n, d, rng)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_brute_force_is_hardly_better(count):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        slopes, rows, aim = rng.normal(size=(12, 4)), rng.normal(size=(9, 4)), rng.normal(size=4)
        V = covariance_of(rows, np.ones(9), 0.3)
        order, variances = choose_runs(V, slopes, aim, 0.3, count)
        information = rows.T @ rows / 0.3**2
        np.testing.assert_allclose(V, np.linalg.inv(information), rtol=1e-6)

        def variance(chosen, information=information, slopes=slopes, aim=aim):
            added = slopes[list(chosen)]
            return aim @ np.linalg.inv(information + added.T @ added / 0.3**2) @ aim

        best = min(variance(chosen) for chosen in itertools.combinations(range(12), count))
        assert variance(order) == pytest.approx(variances[-1])
        assert len(set(order)) == count
        assert variances[-1] <= 1.03 * best
        assert (np.diff([float(aim @ V @ aim), *variances]) <= 0).all()


def test_a_pair_on_a_grid_of_a_law():
    surface = fitted(*start(np.random.default_rng(0)))
    grid = np.array(list(itertools.product(np.geomspace(3e7, 2e9, 6), np.geomspace(5e8, 4e10, 6))))
    found = next_runs(surface, grid, 6 * grid[:, 0] * grid[:, 1], 3e9, 5e10, 1e21, 2)
    slopes, aim = slopes_of(surface, grid), slopes_of(surface, np.array([[3e9, 5e10]]))[0]
    rows = slopes_of(surface, np.stack([surface.n, surface.d], axis=1))
    information = rows.T @ rows

    def error(chosen):
        return np.sqrt(aim @ np.linalg.inv(information + slopes[chosen].T @ slopes[chosen]) @ aim)

    best = min(error(list(pair)) for pair in itertools.combinations(range(len(grid)), 2))
    assert found.after[-1] / found.before <= 1.03 * best / error([])
    assert found.before > found.after[0] > found.after[1]


def test_only_what_can_be_afforded():
    surface = fitted(*start(np.random.default_rng(0)))
    grid = np.array(list(itertools.product(np.geomspace(3e7, 2e9, 6), np.geomspace(5e8, 4e10, 6))))
    found = next_runs(surface, grid, 6 * grid[:, 0] * grid[:, 1], 3e9, 5e10, 1e19, 3)
    assert all(flops <= 1e19 for flops in found.flops if flops is not None)
    assert all(
        6 * run["N"] * run["D"] == pytest.approx(flops) for run, flops in zip(found.runs, found.flops, strict=True)
    )


def test_the_runs_suggested_shrink_the_error_more_than_runs_at_random():
    target = 3e9, 5e10
    truth = float(np.log(loss(TRUE, *target)))
    grid = np.array(list(itertools.product(np.geomspace(3e7, 2e9, 7), np.geomspace(5e8, 4e10, 7))))
    flops = 6 * grid[:, 0] * grid[:, 1]
    grid, flops = grid[flops <= 1e20], flops[flops <= 1e20]
    base = fitted(*start(np.random.default_rng(0)))
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n, d, y = start(rng)
        suggested = next_runs(replace(base, n=n, d=d), grid, flops, *target, 1e20, 3)
        planned = np.array([[run["N"], run["D"]] for run in suggested.runs])
        off = []
        for added in (planned, grid[rng.choice(len(grid), 3)]):
            points = np.concatenate([np.stack([n, d], axis=1), added])
            more = np.concatenate([y, observed(added[:, 0], added[:, 1], rng)])
            params = _best(Objective(form=LAW, x=points, y=more, scale="log"))
            off.append(float(np.log(loss(params, *target))) - truth)
        errors.append(off)
    planned, random = np.median(np.abs(errors), axis=0)
    assert planned < 0.8 * random


def test_no_run_is_suggested_twice_nor_two_of_one_kind():
    rng = np.random.default_rng(0)
    slopes, aim, V = rng.normal(size=(12, 4)), rng.normal(size=4), np.eye(4)
    slopes[3] = 30 * aim  # by far the best, again and again
    order, _ = choose_runs(V, slopes, aim, 5.0, 4)
    assert 3 in order
    assert len(set(order)) == 4
    kinds = np.arange(12) // 3
    order, _ = choose_runs(V, slopes, aim, 5.0, 4, kinds)
    assert sorted(kinds[order]) == [0, 1, 2, 3]
    assert len(choose_runs(V, slopes[:2], aim, 5.0, 4)[0]) == 2
