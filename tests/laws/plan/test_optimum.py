"""Optima against the closed form as published, against brute force, and under changes that must not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from sonoscale.errors import SonoscaleError
from sonoscale.laws.plan import PowerCost
from sonoscale.laws.plan._cost import FunctionCost, as_cost, fit_cost
from sonoscale.laws.plan._optimum import basin, exponents, find_optimum

HOFFMANN = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}  # arXiv 2203.15556, equation 10
SIX = PowerCost(6.0)


def rows(**changes):
    """Parameters [1, 5] in the order of the form."""
    p = HOFFMANN | changes
    return np.array([[p["A"], p["alpha"], p["B"], p["beta"], p["E"]]])


def y_of(n, d, **changes):
    p = HOFFMANN | changes
    return p["E"] + p["A"] / n ** p["alpha"] + p["B"] / d ** p["beta"]


@pytest.mark.parametrize("flops", [1e18, 5.76e23])
def test_the_published_closed_form(flops):
    n, d = find_optimum(rows(), flops, SIX, around=1e9)
    g = (0.34 * 406.4 / (0.28 * 410.7)) ** (1 / 0.62)
    np.testing.assert_allclose(n, g * (flops / 6) ** (0.28 / 0.62), rtol=1e-10)
    np.testing.assert_allclose(d, (flops / 6) ** (0.34 / 0.62) / g, rtol=1e-10)
    a, b = exponents(rows(), flops, SIX, around=1e9)
    np.testing.assert_allclose([a[0], b[0]], [0.28 / 0.62, 0.34 / 0.62])


@pytest.mark.parametrize(
    "cost",
    [
        SIX,
        PowerCost(11.0, 0.8, 1.1),
        FunctionCost(lambda n, d: 6 * n * d + 4e3 * d * n**0.6),
        FunctionCost(lambda n, d: 6 * n * d),
    ],
)
def test_no_other_split_of_the_budget_is_better(cost):
    law = np.concatenate([rows(), rows(alpha=0.5, A=2e3), rows(beta=0.4)])
    n, d = find_optimum(law, 1e20, cost, around=1e9)
    np.testing.assert_allclose(cost.flops(n, d), 1e20, rtol=1e-6)
    for i, change in enumerate(({}, {"alpha": 0.5, "A": 2e3}, {"beta": 0.4})):

        def at(log_n, change=change):
            here = np.exp(np.array([log_n]))
            return y_of(here, cost.data(1e20, here), **change)[0]

        best: Any = minimize_scalar(at, bounds=(5, 40), method="bounded", options={"xatol": 1e-10})
        assert y_of(n[i], d[i], **change) <= best.fun * (1 + 1e-12)
        np.testing.assert_allclose(np.log(n[i]), best.x, atol=2e-4)


def test_searched_and_closed_agree():
    law = rows()
    closed = find_optimum(law, 1e21, SIX, around=1e9)
    searched = find_optimum(law, 1e21, FunctionCost(lambda n, d: 6 * n * d), around=1e7)
    np.testing.assert_allclose(searched, closed, rtol=1e-5)
    one = exponents(law, 1e21, SIX, around=1e9)
    other = exponents(law, 1e21, FunctionCost(lambda n, d: 6 * n * d), around=1e9)
    np.testing.assert_allclose(other, one, rtol=1e-4)


def test_units_of_n_change_nothing_but_n():
    thousand = rows(A=406.4 * 1000**-0.34)  # N in thousands
    n, d = find_optimum(rows(), 1e20, SIX, around=1e9)
    n1, d1 = find_optimum(thousand, 1e20, PowerCost(6000.0), around=1e6)
    np.testing.assert_allclose([n1 * 1000, d1], [n, d], rtol=1e-10)


def test_a_larger_budget_is_never_worse():
    last = np.inf
    for flops in np.geomspace(1e15, 1e25, 30):
        n, d = find_optimum(rows(), float(flops), SIX, around=1e9, most_d=1e11)
        assert y_of(n[0], d[0]) <= last
        last = y_of(n[0], d[0])


def test_caps_cut_the_curve_and_what_they_save_goes_to_the_other():
    n, d = find_optimum(rows(), 1e22, SIX, around=1e9, most_n=1e9)
    np.testing.assert_allclose([n[0], d[0]], [1e9, 1e22 / 6e9])
    n, d = find_optimum(rows(), 1e22, SIX, around=1e9, most_d=1e10)
    np.testing.assert_allclose([n[0], d[0]], [1e22 / 6e10, 1e10])
    assert [one[0] for one in find_optimum(rows(), 1e22, SIX, around=1e9, most_d=1e10, most_n=1e9)] == [1e9, 1e10]
    assert [one[0] for one in find_optimum(rows(), None, SIX, around=1e9, most_d=1e10, most_n=1e9)] == [1e9, 1e10]
    searched = find_optimum(rows(), 1e22, FunctionCost(lambda n, d: 6 * n * d), around=1e9, most_n=1e9)
    np.testing.assert_allclose([one[0] for one in searched], [1e9, 1e22 / 6e9], rtol=1e-6)


def test_the_basin_ends_where_y_is_so_much_worse():
    n, d = find_optimum(rows(), 1e20, SIX, around=1e9)
    low, high = basin(rows()[0], 1e20, SIX, n[0], 0.01, most_n=None, most_d=None)
    assert low < n[0] < high
    for end in (low, high):
        np.testing.assert_allclose(y_of(end, 1e20 / 6 / end) / y_of(n[0], d[0]), 1.01, rtol=1e-6)
    assert basin(rows()[0], 1e20, SIX, n[0], 0.01, most_n=1.1 * n[0], most_d=None)[1] == 1.1 * n[0]
    endless = basin(rows(A=1e-9, E=10.0, B=1e-9)[0], 1e20, SIX, n[0], 0.5, most_n=None, most_d=None)
    assert endless == (0.0, np.inf)


def test_a_cost_out_of_a_column():
    rng = np.random.default_rng(0)
    n, d = np.exp(rng.uniform(10, 20, 30)), np.exp(rng.uniform(10, 20, 30))
    cost, note = fit_cost(n, d, 7.3 * n * d * (1 + 0.01 * rng.uniform(-1, 1, 30)))
    assert cost.by_n == cost.by_d == 1.0
    assert cost.factor == pytest.approx(7.3, rel=0.01)
    assert note is None
    cost, note = fit_cost(n, d, 7.3 * n**0.7 * d)
    np.testing.assert_allclose([cost.factor, cost.by_n, cost.by_d], [7.3, 0.7, 1.0], rtol=1e-8)
    assert note is None
    assert "off by" in str(fit_cost(n, d, 7.3 * n**0.7 * d * np.exp(rng.normal(0, 0.3, 30)))[1])
    with pytest.raises(SonoscaleError, match="does not rise"):
        fit_cost(n, d, n / d)
    np.testing.assert_allclose(cost.size(1e12, cost.data(1e12, n)), n, rtol=1e-9)
    searched = FunctionCost(lambda n, d: 3 * n * d + n)
    np.testing.assert_allclose(searched.size(1e30, searched.data(1e30, n)), n, rtol=1e-9)


@pytest.mark.parametrize("cost", [lambda n, d: n, lambda n, d: 0 * n * d, lambda n, d: np.array([1.0])])
def test_a_cost_that_bounds_nothing_is_refused(cost):
    with pytest.raises(SonoscaleError, match="the cost must"):
        as_cost(cost, np.array([1.0, 2.0]), np.array([1.0, 2.0]))
