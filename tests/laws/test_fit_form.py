"""What a fit reports, and what it refuses."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from scipy.optimize import curve_fit

from sonoscale.errors import SonoscaleError
from sonoscale.laws import FORMS, fit_form
from sonoscale.laws.forms import constrain, find_form

RUNS = np.repeat(np.arange(9), 2)
X = np.geomspace(10.0, 1000.0, 9)[RUNS]
Y = 0.9 - 2.0 / X**0.5 + 0.01 * np.random.default_rng(0).normal(size=18)


def saturating(x, a, b, c):
    return c - a / x**b


def test_quality_of_fit_against_a_fit_by_hand():
    found = fit_form("saturating", X, Y, clusters=RUNS, bootstrap=100)
    params, _ = curve_fit(saturating, X, Y, p0=(2.0, 0.5, 0.9))
    residual = Y - saturating(X, *params)
    assert found.rmse == pytest.approx(np.std(residual - residual.mean()), rel=1e-3)
    assert found.r2 == pytest.approx(1 - residual.var() / Y.var(), rel=1e-6)
    missed = []
    for run in range(9):
        kept = run != RUNS
        params, _ = curve_fit(saturating, X[kept], Y[kept], p0=(2.0, 0.5, 0.9))
        missed.extend(Y[~kept] - saturating(X[~kept], *params))
    assert found.loo_rmse == pytest.approx(np.sqrt(np.mean(np.square(missed))), rel=1e-4)
    assert (found.n, found.n_clusters, found.exponent) == (18, 9, "b")


def test_aicc_prefers_the_law_that_made_the_data():
    rng = np.random.default_rng(4)
    x = np.geomspace(10, 10000, 24)
    bent = 0.9 - 2.0 / x**0.6 + 0.01 * rng.normal(size=24)
    straight = 0.1 * x**0.2 + 0.01 * rng.normal(size=24)
    for y, better, worse in ((bent, "saturating", "power"), (straight, "power", "saturating")):
        assert fit_form(better, x, y, bootstrap=100).aicc < fit_form(worse, x, y, bootstrap=100).aicc - 2
        assert fit_form(better, x, y, bootstrap=100).loo_rmse < fit_form(worse, x, y, bootstrap=100).loo_rmse
    # A perfect fit of nested laws: both have no error to speak of, and few rows leave no AICc at all.
    assert fit_form("saturating", x[:4], bent[:4], bootstrap=100).aicc == np.inf


def test_same_seed_same_fit_and_another_seed_another_interval():
    one, again, other = (fit_form("saturating", X, Y, clusters=RUNS, seed=seed) for seed in (3, 3, 4))
    assert one.as_dict() == again.as_dict()
    assert one.values == other.values
    assert one.params != other.params


def test_prediction_keeps_shape_and_contains_its_centre():
    found = fit_form("saturating", X, Y, clusters=RUNS)
    assert found.predict(50.0).value.shape == ()
    new = found.predict([[20.0, 50.0], [100.0, 900.0]])
    y, low, high = new.value, new.low, new.high
    assert y.shape == low.shape == high.shape == (2, 2)
    assert ((low < y) & (y < high)).all()
    assert (high <= 1.0).all()


def test_prediction_warns_only_beyond_the_data():
    found = fit_form("saturating", X, Y, clusters=RUNS, x_name="rankme")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.predict(X)
        found.as_dict()
    with pytest.warns(UserWarning, match=r"rankme = 20000 lies outside the data \(10 to 1000\)"):
        found.predict([50.0, 20000.0])
    with pytest.raises(SonoscaleError, match="row 1: -3 is not above zero"):
        found.predict([50.0, -3.0])


def test_extrapolation_is_less_sure_than_interpolation():
    found = fit_form("saturating", X, Y, clusters=RUNS)
    with pytest.warns(UserWarning, match="extrapolating"):
        new = found.predict([100.0, 1e5])
    low, high = new.low, new.high
    assert high[1] - low[1] > 1.2 * (high[0] - low[0])


def test_as_dict_survives_json_with_no_special_floats():
    reported = json.loads(json.dumps(fit_form("power", X, Y, clusters=RUNS).as_dict(), allow_nan=False))
    assert reported["formula"] == "y = a * x^b"
    assert reported["params"]["b"]["low"] < reported["params"]["b"]["value"] < reported["params"]["b"]["high"]
    curve = reported["curve"]
    assert {len(curve[key]) for key in ("x", "y", "low", "high")} == {100}
    assert (curve["x"][0], curve["x"][-1]) == pytest.approx((10 / 1.1, 1100))
    assert np.ptp(np.diff(np.log(curve["x"]))) < 1e-9
    few = fit_form("saturating", X[::4], Y[::4], bootstrap=100).as_dict()
    json.dumps(few, allow_nan=False)


def test_every_form_is_documented():
    for name, form in FORMS.items():
        assert form.name == name
        assert form.citation
        assert form.doc
        assert all(parameter in form.formula for parameter in form.parameters)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.linspace(100, 150, 10), np.linspace(0.4, 0.5, 10), "spans a factor of only 1.5"),
        (np.geomspace(1, 1000, 10), 0.5 + 0.05 * np.cos(np.arange(10) * 2.4), "exponent b includes 0"),
        (np.geomspace(1, 1000, 10), np.linspace(0.1, 0.99, 10), "c is at its bound 1"),
        (np.geomspace(1, 1000, 10), np.linspace(0.8, 0.2, 10), "a is at its bound 0"),
        (np.geomspace(1, 1000, 5), np.array([0.1, 0.3, 0.4, 0.44, 0.46]), "only 5 independent clusters"),
    ],
)
def test_warns_of_what_the_data_do_not_settle(x, y, words):
    assert any(words in line for line in fit_form("saturating", x, y, bootstrap=200).warnings)


def test_a_good_table_raises_no_warning():
    x = np.geomspace(1, 1000, 12)
    y = 0.2 * x**0.2 + 0.005 * np.random.default_rng(0).normal(size=12)
    assert fit_form("power", x, y).warnings == ()


def test_no_leave_out_error_where_one_run_alone_holds_an_x():
    x = np.array([10.0, 10, 10, 10, 40, 40])
    y = np.array([0.30, 0.31, 0.32, 0.30, 0.50, 0.52])
    assert np.isfinite(fit_form("power", x, y, bootstrap=100).loo_rmse)
    together = fit_form("power", x, y, clusters=[0, 1, 2, 3, 4, 4], bootstrap=100)
    assert together.loo_rmse == np.inf
    assert together.as_dict()["loo_rmse"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "cubic"}, "'cubic'; there are: power, saturating, saturating_percent, power_loss"),
        ({"x": [1.0, 2.0, 0.0, 4.0]}, "x, row 2: 0 is not above zero"),
        ({"x": [1.0, np.nan, 3.0, 4.0]}, "x, row 1: nan is not a finite number"),
        ({"y": [0.1, 0.2, 0.3, np.inf]}, "y, row 3: inf is not a finite number"),
        ({"y": [0.1, None, 0.3, 0.4]}, "y, row 1: None is not a number"),
        ({"y": ["0.1", "0.2", "0.3", "0.4"]}, "y, row 0: '0.1' is not a number"),
        ({"y": [[0.1, 0.2], [0.3, 0.4]]}, r"y must be a flat sequence.*\(2, 2\)"),
        ({"y": [0.1, 0.2, 0.3]}, "x has 4 rows but y has 3"),
        ({"x": [], "y": []}, "no rows"),
        ({"x": [2.0, 2.0, 2.0, 2.0]}, "x is constant"),
        ({"y": [0.5, 0.5, 0.5, 0.5]}, "y is constant"),
        ({"clusters": ["a", "a", "b", "b"]}, "needs at least 3 clusters, but there are 2"),
        ({"clusters": ["a", None, "b", "c"]}, "clusters, row 1: None"),
        ({"clusters": ["a", "b"]}, "clusters has 2 rows but the data have 4"),
        ({"form": "saturating", "x": [1.0, 1.0, 2.0, 2.0]}, "x has only 2 different values"),
        ({"form": "saturating", "y": [10.0, 20.0, 30.0, 40.0]}, r"y, row 0: 10 is outside 0..1"),
        ({"level": 95}, "level must lie between 0 and 1"),
        ({"bootstrap": 10}, "bootstrap=10 is too few for level=0.95: take at least 80"),
    ],
)
def test_refuses_and_names(change, message):
    good = {"form": "power", "x": [1.0, 2.0, 3.0, 4.0], "y": [0.1, 0.2, 0.3, 0.35], "bootstrap": 100}
    fit_form(**good)
    with pytest.raises(SonoscaleError, match=message):
        fit_form(**(good | change))


def test_a_fixed_floor_lies_below_the_data():
    x, y = np.geomspace(1e6, 1e8, 8), 2.0 + 30 * np.geomspace(1e6, 1e8, 8) ** -0.3
    form = constrain(find_form("M2"), {"e": 2.2})
    with pytest.raises(SonoscaleError, match=r"fix: e = 2\.2, a floor, is not below y, row 7: 2\.1"):
        fit_form(form, x, y, bootstrap=80)
