"""`fit` of several variables, on the log scale and with Huber's loss: numbers, intervals, shapes and refusals."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pytest
from scipy.optimize import curve_fit

from sonoscale.errors import SonoscaleError
from sonoscale.laws import FORMS, fit_form

N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)))
XY = np.stack([N, D], axis=1)
NAMES = ("params", "tokens")


def surface(n, d):
    return 1.7 + 400.0 * n**-0.34 + 410.0 * d**-0.28


def noisy(sd=0.005, seed=0):
    return surface(N, D) * np.exp(sd * np.random.default_rng(seed).normal(size=len(N)))


@pytest.fixture(scope="module")
def found():
    return fit_form("chinchilla", XY, noisy(), huber=np.inf, bootstrap=200, x_name=NAMES, y_name="loss")


def test_the_fit_is_that_of_curve_fit_on_log_y(found):
    def log_surface(x, A, alpha, B, beta, E):
        return np.log(E + np.exp(A) * x[0] ** -alpha + np.exp(B) * x[1] ** -beta)

    y = noisy()
    params, covariance = curve_fit(
        log_surface, XY.T, np.log(y), p0=(6.0, 0.34, 6.0, 0.28, 1.7), xtol=1e-14, ftol=1e-14, gtol=1e-14, maxfev=10**5
    )
    reported = found.values
    mine = [np.log(reported["A"]), reported["alpha"], np.log(reported["B"]), reported["beta"], reported["E"]]
    assert mine == pytest.approx(params, rel=1e-4)
    residual = np.log(y) - log_surface(XY.T, *params)
    assert found.rmse == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-6)
    assert found.objective == pytest.approx(0.5 * residual @ residual, rel=1e-6)
    assert found.r2 == pytest.approx(1 - residual.var() / np.log(y).var(), rel=1e-4)
    # Intervals of resampled rows are about as wide as those of the covariance (t quantile of 31 degrees: 2.04).
    for name, place in (("alpha", 1), ("beta", 3), ("E", 4)):
        width = found.params[name].high - found.params[name].low
        assert width == pytest.approx(2 * 2.04 * np.sqrt(covariance[place, place]), rel=0.45), name


def test_intervals_cover_the_truth():
    """40 tables: at 95 %, each parameter is held in 88 % or more, and so is a new run 2 times beyond the data."""
    truth = {"A": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28, "E": 1.7}
    inside, new_inside = [], []
    for seed in range(40):
        one = fit_form("chinchilla", XY, noisy(seed=seed), huber=np.inf, bootstrap=100)
        inside.append([value in one.params[name] for name, value in truth.items()])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            new = one.predict([[1e7, 1e9], [2e9, 2e11]])
            low, high = new.low, new.high
        new = surface(np.array([1e7, 2e9]), np.array([1e9, 2e11])) * np.exp(
            0.005 * np.random.default_rng(1000 + seed).normal(size=2)
        )
        new_inside.append((low <= new) & (new <= high))
    assert (np.mean(inside, axis=0) >= 0.88).all(), np.mean(inside, axis=0)
    assert (np.mean(new_inside, axis=0) >= 0.88).all()


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_predictions_keep_the_shape_without_the_last_axis(found, shape):
    x = np.broadcast_to([1e8, 1e10], (*shape, 2))
    new = found.predict(x)
    y, low, high = new.value, new.low, new.high
    assert y.shape == low.shape == high.shape == shape
    assert ((low < y) & (y < high)).all()
    assert found.predict(x).value == pytest.approx(surface(1e8, 1e10), rel=0.01)


def test_predictions_warn_of_the_variable_that_lies_outside(found):
    with pytest.warns(UserWarning, match=r"extrapolating: tokens = 1e\+13 lies outside the data \(1e\+08 to 1e\+11\)"):
        found.predict([1e8, 1e13])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.predict(XY)
    for x, message in (
        ([1e8], r"x must end in an axis of 2 \(params, tokens\)"),
        (1e8, "x must end in an axis of 2"),
        ([[1e8, 0.0]], "tokens, row 0: 0 is not above zero"),
        ([[np.inf, 1e9]], "params, row 0: inf is not a finite number"),
    ):
        with pytest.raises(SonoscaleError, match=message):
            found.predict(x)


def test_as_dict_of_several_variables_is_json(found):
    reported = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert reported["x_names"] == list(NAMES)
    assert reported["x_ranges"] == [pytest.approx([1e6, 1e9]), pytest.approx([1e8, 1e11])]
    assert (reported["scale"], reported["huber"]) == ("log", None)
    assert "curve" not in reported
    assert reported["diagnosis"]["agreed"] >= 1
    assert found.x_name == "params, tokens"


def test_one_wild_run_moves_huber_less_than_least_squares():
    y = noisy(0.003)
    y[7] *= 1.5
    plain, robust = (fit_form("chinchilla", XY, y, huber=huber, bootstrap=100) for huber in (np.inf, None))
    for name, value in (("alpha", 0.34), ("E", 1.7)):
        assert abs(robust.values[name] - value) < 0.5 * abs(plain.values[name] - value)
    assert robust.diagnosis.outliers[0] == 7
    assert any(line.startswith("row") and "7" in line and "off the law" in line for line in robust.warnings)


def test_a_huge_delta_is_least_squares_and_scale_is_what_it_says():
    y = noisy()
    least, huber = (fit_form("chinchilla", XY, y, huber=delta, bootstrap=80) for delta in (np.inf, 1e3))
    assert huber.values == pytest.approx(least.values, rel=1e-4)
    linear = fit_form("chinchilla", XY, y, scale="linear", bootstrap=80)
    assert linear.scale == "linear"
    assert linear.rmse == pytest.approx(np.sqrt(np.mean((y - linear.predict(XY).value) ** 2)))
    assert linear.rmse <= np.sqrt(np.mean((y - least.predict(XY).value) ** 2))
    assert least.rmse <= np.sqrt(np.mean((np.log(y) - np.log(linear.predict(XY).value)) ** 2))


def test_repeated_data_are_found_to_lose_their_worth():
    """400 noiseless rows: the constants of the data-constrained law come back from its own starts."""
    rng = np.random.default_rng(0)
    unique = 10 ** rng.uniform(8, 9.5, 400)
    x = np.stack([10 ** rng.uniform(6.5, 9, 400), unique * 10 ** rng.uniform(0, 1.8, 400), unique], axis=1)
    truth = {"A": 400.0, "B": 2000.0, "E": 1.7, "alpha": 0.34, "beta": 0.37, "rD": 12.0, "rN": 4.0}
    y = FORMS["data_constrained"].function(x, np.array(list(truth.values())))
    found = fit_form("data_constrained", x, y * np.exp(1e-4 * rng.normal(size=400)), bootstrap=80)
    assert found.values == pytest.approx(truth, rel=0.03)
    assert found.rmse < 1.2e-4


@pytest.mark.parametrize(("form", "truth"), [
    ("kaplan", {"Nc": 8.8e9, "Dc": 5.4e11, "alpha": 0.2, "beta": 0.25}),
    ("width_depth", {"A": 4000.0, "alpha": 0.5, "B": 4000.0, "beta": 0.4, "E": 0.7}),
])  # fmt: skip
def test_noiseless_surfaces_come_back(form, truth):
    y = FORMS[form].function(XY, np.array(list(truth.values())))
    found = fit_form(form, XY, y * np.exp(1e-6 * np.random.default_rng(0).normal(size=len(N))), bootstrap=80)
    assert found.values == pytest.approx(truth, rel=1e-3)


def test_a_curve_that_leaves_the_numbers_is_none_in_json():
    """exp of a wide interval overflows: JSON holds None for it, and no Infinity."""
    x = np.geomspace(1.0, 4.0, 6)
    y = np.exp(np.array([0.0, 200, -200, 300, -300, 100]))
    reported = json.loads(json.dumps(fit_form("power", x, y, scale="log", bootstrap=80).as_dict(), allow_nan=False))
    assert None in [*reported["curve"]["low"], *reported["curve"]["high"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": N}, r"x must be \[n, 2\] for N, D, not of shape \(36,\)"),
        ({"x": XY[:, :1]}, r"x must be \[n, 2\]"),
        ({"x": np.column_stack([N, D, N])}, r"x must be \[n, 2\]"),
        ({"x_name": ("params",)}, r"form 'chinchilla' has 2 variables \(N, D\), but x has 1 \(params\)"),
        ({"form": "M2"}, r"x must be a flat sequence of numbers, not an array of shape \(36, 2\)"),
        ({"form": "data_constrained"}, r"x must be \[n, 3\] for N, D, U"),
        ({"x": np.column_stack([N, np.full(36, 2.0)])}, "D is constant"),
        ({"x": np.column_stack([N, -D])}, r"D, row 0: -1e\+08 is not above zero"),
        ({"y": -noisy()}, "y, row 0: .* is not above zero"),
        ({"y": noisy()[:30]}, "N, D has 36 rows but y has 30"),
        ({"scale": "sqrt"}, "scale must be 'linear' or 'log', not 'sqrt'"),
        ({"huber": 0.0}, "huber must be above zero"),
        ({"huber": np.nan}, "huber must be above zero"),
        ({"huber": -np.inf}, "huber must be above zero"),
        ({"clusters": np.arange(36) % 5}, "5 parameters and needs at least 6 clusters, but there are 5"),
        ({"x": XY[np.arange(36) % 4 * 7], "y": noisy()}, "N, D has only 4 different values"),
    ],
)
def test_refuses_and_names(change, message):
    with pytest.raises(SonoscaleError, match=message):
        fit_form(**({"form": "chinchilla", "x": XY, "y": noisy(), "bootstrap": 80} | change))


def test_a_form_of_ones_own():
    """A dozen lines, without derivatives, of two variables: the product of two powers."""
    product = dataclasses.replace(
        FORMS["kaplan"], name="product", formula="y = c * N^(-a) * D^(-b)", latex=r"y = c N^{-a} D^{-b}",
        parameters=("c", "a", "b"), bounds=((0.0, np.inf), (-np.inf, np.inf), (-np.inf, np.inf)), exponent="a",
        function=lambda x, p: p[..., 0, None] * x[:, 0] ** -p[..., 1, None] * x[:, 1] ** -p[..., 2, None],
        gradient=None, curvature=None, starts=lambda x, y: np.array([[y.mean(), 0.0, 0.0], [1.0, 0.1, 0.1]]),
    )  # fmt: skip
    y = 5.0 * N**-0.1 * D**-0.05 * np.exp(0.01 * np.random.default_rng(0).normal(size=36))
    design = np.stack([np.ones(36), -np.log(N), -np.log(D)], axis=1)
    expected = np.linalg.lstsq(design, np.log(y), rcond=None)[0]
    found = fit_form(product, XY, y, bootstrap=80).values
    assert [np.log(found["c"]), found["a"], found["b"]] == pytest.approx(expected, rel=1e-5)
