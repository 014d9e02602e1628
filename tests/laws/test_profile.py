"""Profile likelihood against exact intervals, by how often it holds the truth, and where it has no end."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws import fit_form, profile_interval

X = np.geomspace(10.0, 1e4, 12)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize(("name", "sign"), [("power", 1), ("M1", -1)])
def test_of_a_line_in_logs_it_is_students_interval(name, sign, level):
    for seed in range(3):
        y = 2.0 * X ** (sign * 0.3) * np.exp(0.05 * np.random.default_rng(seed).normal(size=12))
        line: Any = stats.linregress(np.log(X), np.log(y))
        t = stats.t.ppf(0.5 * (1 + level), 10)
        found = fit_form(name, X, y, scale="log", bootstrap=100)
        slope = profile_interval(found, X, y, "b", level=level)
        ends = sorted(sign * (line.slope + side * t * line.stderr) for side in (-1, 1))
        assert (slope.low, slope.high) == pytest.approx(ends, rel=1e-4)
        level_of_a = profile_interval(found, X, y, "a", level=level)
        expected = np.exp(line.intercept + np.array([-1, 1]) * t * line.intercept_stderr)
        assert (level_of_a.low, level_of_a.high) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_it_covers_the_truth_as_often_as_stated():
    """40 small tables with a floor: 95 % intervals of the exponent hold 88 % or more (95 % less 2 binomial s.d.)."""
    inside, widths = [], []
    for seed in range(40):
        y = (0.4 + 3.0 * X**-0.5) * np.exp(0.02 * np.random.default_rng(seed).normal(size=12))
        span = profile_interval(fit_form("M2", X, y, bootstrap=80), X, y, "b")
        inside.append(0.5 in span)
        widths.append(span.high - span.low)
    assert np.mean(inside) >= 0.88
    assert np.median(widths) < 0.15


def test_an_end_that_nothing_rules_out_is_the_bound():
    """A straight line in logs: the floor may be zero. A flat one: so may the coefficient, with any exponent."""
    y = 3.0 * X**-0.3 * np.exp(0.01 * np.random.default_rng(0).normal(size=12))
    found = fit_form("M2", X, y, bootstrap=100)
    floor = profile_interval(found, X, y, "e")
    assert floor.low == 0.0
    assert 0.0 < floor.high < y.min()
    flat = np.full(12, 0.5) * np.exp(0.05 * np.random.default_rng(1).normal(size=12))
    found = fit_form("M2", X, flat, bootstrap=100)
    coefficient = profile_interval(found, X, flat, "a")
    assert coefficient.low == 0.0
    exponent = profile_interval(found, X, flat, "b")
    assert (exponent.low, exponent.high) == (0.0, np.inf)


def test_it_does_not_depend_on_the_unit_or_on_the_bootstrap():
    y = (0.4 + 3.0 * X**-0.5) * np.exp(0.02 * np.random.default_rng(2).normal(size=12))
    one = profile_interval(fit_form("M2", X, y, bootstrap=100), X, y, "b")
    other = profile_interval(fit_form("M2", 1e9 * X, 1e-3 * y, bootstrap=100, seed=5), 1e9 * X, 1e-3 * y, "b")
    assert (other.low, other.high) == pytest.approx((one.low, one.high), rel=2e-3)
    wide = profile_interval(fit_form("M2", X, y, bootstrap=100), X, y, "b", level=0.99)
    assert wide.low < one.low < one.high < wide.high


def test_the_linear_scale_and_several_variables():
    """At both ends of the interval, the best fit with the parameter held there is as bad as the F quantile allows."""
    n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e8, 1e11, 5)))
    x = np.stack([n, d], axis=1)
    y = (1.7 + 400 * n**-0.34 + 410 * d**-0.28) * np.exp(0.003 * np.random.default_rng(0).normal(size=25))
    found = fit_form("chinchilla", x, y, huber=np.inf, bootstrap=80)
    span = profile_interval(found, x, y, "alpha")
    assert span.low < 0.34 < span.high
    bound = 1 + stats.f.ppf(0.95, 1, 20) / 20
    for end in (span.low, span.high):

        def cost(u, alpha=end):
            basis = np.stack([n**-alpha, d ** -np.exp(u), np.ones(25)], axis=1)
            a = np.linalg.lstsq(basis / y[:, None], np.ones(25), rcond=None)[0]
            for _ in range(30):  # Gauss and Newton for log residuals
                fitted = basis @ a
                a = a + np.linalg.lstsq(basis / fitted[:, None], np.log(y / fitted), rcond=None)[0]
            return float((np.log(y / (basis @ a)) ** 2).sum())

        least = min(cost(u) for u in np.linspace(np.log(0.2), np.log(0.4), 400))
        assert least == pytest.approx(2 * found.objective * bound, rel=2e-3)


@pytest.mark.parametrize(
    ("options", "parameter", "rows", "message"),
    [
        ({}, "slope", slice(None), "form 'M2' has no parameter 'slope'; it has a, b, e"),
        ({"huber": 0.01}, "b", slice(None), "needs a fit by least squares"),
        ({}, "b", slice(6), "the fit was made to 12 rows, not 6"),
    ],
)
def test_refuses_and_names(options, parameter, rows, message):
    y = (0.4 + 3.0 * X**-0.5) * np.exp(0.02 * np.random.default_rng(0).normal(size=12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit_form("M2", X, y, bootstrap=80, **options)
        with pytest.raises(SonoscaleError, match=message):
            profile_interval(found, X[rows], y[rows], parameter)
