"""The optimum against other people's optimisers, over all forms, for plain and weighted data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit, differential_evolution

from sonoscale.laws import FORMS, fit_form
from sonoscale.laws._solve import solve

# Written out by hand, not taken from the package: name -> (curve, truth, search box in terms of x/1000).
CURVES = {
    "power": (lambda x, a, b: a * x**b, (0.1, 0.2), [(1e-6, 2), (-3, 3)]),
    "saturating": (lambda x, a, b, c: c - a / x**b, (4.0, 0.5, 0.8), [(0, 10), (1e-4, 5), (0, 1)]),
    "power_loss": (lambda x, a, b: a / x**b, (20.0, 0.35), [(1e-6, 10), (-3, 3)]),
    "saturating_loss": (lambda x, a, b, e: e + a / x**b, (30.0, 0.5, 0.6), [(0, 10), (1e-4, 5), (0, 5)]),
}
X = np.geomspace(100.0, 8000.0, 14)


def parts(found):
    return found.value, found.low, found.high


def squares(y, prediction):
    return float(np.sum((y - prediction) ** 2))


@pytest.mark.parametrize("name", CURVES)
def test_recovers_the_parameters_of_noiseless_data(name):
    curve, truth, _ = CURVES[name]
    found = fit_form(name, X, curve(X, *truth), bootstrap=100)
    assert list(found.values.values()) == pytest.approx(truth, rel=1e-8)
    assert found.r2 == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", CURVES)
def test_agrees_with_curve_fit_started_at_the_truth(name):
    curve, truth, _ = CURVES[name]
    y = curve(X, *truth) + 0.01 * np.random.default_rng(1).normal(size=len(X))
    expected, _ = curve_fit(curve, X, y, p0=truth, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert list(fit_form(name, X, y, bootstrap=100).values.values()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("seed", range(3))
def test_no_worse_than_a_global_search_on_noisy_data(name, seed):
    """With this much noise the optimum is often on a bound, where local methods stop short."""
    curve, truth, box = CURVES[name]
    rng = np.random.default_rng(seed)
    y = np.clip(curve(X, *truth) + 0.08 * rng.normal(size=len(X)), 0.0, 1.0 if "loss" not in name else 9.0)
    searched = differential_evolution(
        lambda p: squares(y, curve(X / 1000, *p)),
        box,
        seed=seed,  # pyright: ignore[reportCallIssue]  # named rng from SciPy 1.15 on, which takes both
        tol=1e-12,
        maxiter=400,
        popsize=12,
    )
    found = fit_form(name, X, y, bootstrap=100)
    assert found.n * found.rmse**2 <= searched.fun * (1 + 1e-7)
    assert found.n * found.rmse**2 == pytest.approx(squares(y, curve(X, *found.values.values())), rel=1e-9)


@pytest.mark.parametrize("name", CURVES)
def test_weights_act_like_repeated_rows(name):
    curve, truth, _ = CURVES[name]
    rng = np.random.default_rng(2)
    y = curve(X, *truth) + 0.02 * rng.normal(size=len(X))
    weights = rng.integers(0, 4, size=(6, len(X))).astype(float)
    together = solve(FORMS[name], X, y, weights)
    for row, counts in zip(together, weights.astype(int), strict=True):
        alone = solve(FORMS[name], np.repeat(X, counts), np.repeat(y, counts), np.ones((1, counts.sum())))[0]
        np.testing.assert_allclose(row, alone, rtol=1e-7)


@pytest.mark.parametrize("name", CURVES)
def test_the_multistart_solver_finds_the_same(name):
    """A form that does not declare how it is separable takes the other road."""
    curve, truth, _ = CURVES[name]
    y = curve(X, *truth) + 0.01 * np.random.default_rng(3).normal(size=len(X))
    slow = dataclasses.replace(FORMS[name], power_term=None)
    weights = np.ones((3, len(X)))
    weights[1, :3], weights[2, -3:] = 2.0, 0.0
    np.testing.assert_allclose(solve(slow, X, y, weights), solve(FORMS[name], X, y, weights), rtol=2e-4)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(list(CURVES)), k=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
def test_a_change_of_the_unit_of_x_changes_the_coefficient_alone(name, k, seed):
    curve, truth, _ = CURVES[name]
    rng = np.random.default_rng(seed)
    y = np.clip(curve(X, *truth) + 0.03 * rng.normal(size=len(X)), 0.0, 1.0 if "loss" not in name else 9.0)
    one, other = (fit_form(name, scale * X, y, bootstrap=100, seed=seed) for scale in (1.0, k))
    sign = -1 if name == "power" else 1
    assert other.values["a"] == pytest.approx(one.values["a"] * k ** (sign * one.values["b"]), rel=1e-6)
    for same in set(one.values) - {"a"}:
        assert other.values[same] == pytest.approx(one.values[same], rel=1e-6, abs=1e-9)
        assert other.params[same].low == pytest.approx(one.params[same].low, rel=1e-5, abs=1e-7)
        assert other.params[same].high == pytest.approx(one.params[same].high, rel=1e-5, abs=1e-7)
    assert other.loo_rmse == pytest.approx(one.loo_rmse, rel=1e-6)
    np.testing.assert_allclose(other.predict(k * X).value, one.predict(X).value, rtol=1e-7)


def test_a_narrow_range_of_large_x_stays_finite():
    """The unit of FLOPs: x^b would leave float64 at exponents that the shape alone would allow."""
    x = np.linspace(1.00e18, 1.05e18, 8)
    y = np.array([0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.9])
    for name in ("power", "saturating"):
        found = fit_form(name, x, y, bootstrap=100)
        assert all(np.isfinite(list(found.values.values())))
        assert all(np.isfinite(part).all() for part in parts(found.predict(x)))
        assert any("factor of only 1.05" in line for line in found.warnings)
