"""Every form against its published formula written out here, and its derivatives against numeric ones."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import FORMS, Form
from sonoscale.laws.forms import broken_power_law, find_form

ALL = [*FORMS.values(), broken_power_law(3)]
IDS = [form.name for form in ALL]


def broken(x, a, c0, e, *breaks):
    """Caballero et al., equation 1."""
    product = 1.0
    for c, d, f in zip(breaks[::3], breaks[1::3], breaks[2::3], strict=True):
        product *= (1 + (x / d) ** (1 / f)) ** (-c * f)
    return e + a * x**-c0 * product


def data_constrained(x, A, B, E, alpha, beta, r_d, r_n):
    """Muennighoff et al., section 3.1, with the constants of equation 3 in Hoffmann et al. for what is optimal."""
    N, D, U = x
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    flops = 6 * (G * U) ** ((alpha + beta) / alpha)  # D_opt(C) = (C / 6)^b / G, b = alpha / (alpha + beta), is U here
    N_opt = G * (flops / 6) ** (beta / (alpha + beta))
    U_N, U_D = min(N_opt, N), min(U, D)
    R_N, R_D = N / U_N - 1, D / U_D - 1
    N_worth = U_N + U_N * r_n * (1 - math.exp(-R_N / r_n))
    D_worth = U_D + U_D * r_d * (1 - math.exp(-R_D / r_d))
    return E + A / N_worth**alpha + B / D_worth**beta


BY_HAND = {
    "power": lambda x, a, b: a * x**b,
    "saturating": lambda x, a, b, c: c - a / x**b,
    "saturating_percent": lambda x, a, b, c: c - a / x**b,
    "power_loss": lambda x, a, b: a / x**b,
    "saturating_loss": lambda x, a, b, e: e + a / x**b,
    "M1": lambda x, a, b: a / x**b,
    "M2": lambda x, a, b, e: e + a / x**b,
    "M3": lambda x, a, b, e, g: e + a * (1 / x + g) ** b,
    "BNSL1": broken,
    "BNSL2": broken,
    "BNSL3": broken,
    "HILL": lambda x, a, e, c, d, f: broken(x, a, 0.0, e, c, d, f),
    "logistic": lambda x, high, k, low, m: low + (high - low) / (1 + math.exp(-k * math.log(x / m))),
    "sigmoid": lambda x, high, k, low, m: low + (high - low) / (1 + math.exp(k * (x - m))),
    "chinchilla": lambda x, A, alpha, B, beta, E: E + A / x[0] ** alpha + B / x[1] ** beta,
    "kaplan": lambda x, Nc, Dc, alpha, beta: ((Nc / x[0]) ** (alpha / beta) + Dc / x[1]) ** beta,
    "data_constrained": data_constrained,
    "width_depth": lambda x, A, alpha, B, beta, E: E + A / x[0] ** alpha + B / x[1] ** beta,
    "width_depth_data": lambda x, A, alpha, B, beta, C, gamma, E: (
        E + A / x[0] ** alpha + B / x[1] ** beta + C / x[2] ** gamma
    ),
}


def draw(form: Form, rng: np.random.Generator, size: int):
    """Parameters inside the bounds [size, P], not extreme, and x of moderate spread [12] or [12, V]."""
    columns = []
    for low, high in form.bounds:
        if np.isfinite(high):
            columns.append(low + (min(high, low + 2.0) - low) * rng.uniform(0.2, 0.9, size))
        else:
            columns.append(rng.uniform(0.1, 1.5, size) if low == 0 else rng.normal(size=size))
    params = np.stack(columns, axis=-1)
    if form.name == "M4":
        params[:, 4] += params[:, 2] + 0.3  # the level at random lies above the floor
    count = len(form.variables)
    x = np.exp(rng.uniform(-2.0, 3.0, size=12 if count == 1 else (12, count)))
    return params, x


@pytest.mark.parametrize("form", [form for form in ALL if form.name != "M4"], ids=lambda form: form.name)
def test_value_is_that_of_the_formula(form):
    params, x = draw(form, np.random.default_rng(0), 30)
    found = form.function(x, params)
    assert found.shape == (30, 12)
    expected = [[BY_HAND[form.name](point, *row) for point in x] for row in params]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(form.function(x, params[3]), expected[3], rtol=1e-10)


def test_m4_solves_its_equation():
    """(y - e) / (y0 - y)^s = a x^-b, over many orders of magnitude of all parameters, and y between e and y0."""
    rng = np.random.default_rng(1)
    params = np.stack(
        [
            np.exp(rng.normal(0, 3, 5000)),
            rng.uniform(0.01, 2, 5000),
            e := rng.uniform(0, 3, 5000),
            np.exp(rng.uniform(np.log(0.02), np.log(20), 5000)),
            e + np.exp(rng.normal(size=5000)),
        ],
        axis=-1,
    )
    x = np.geomspace(1e-2, 1e6, 20)
    y = FORMS["M4"].function(x, params)
    a, b, e, s, y0 = params.T[..., None]
    clear = (y - e > 1e-6) & (y0 - y > 1e-6)  # nearer to an end, the differences are rounding
    assert clear.mean() > 0.5
    with np.errstate(divide="ignore"):
        left = np.log(y - e) - s * np.log(y0 - y)
    np.testing.assert_allclose(left[clear], (np.log(a) - b * np.log(x))[clear], atol=1e-7)
    assert ((e <= y) & (y <= y0)).all()


def test_hill_is_the_broken_law_without_a_first_slope():
    params, x = draw(FORMS["HILL"], np.random.default_rng(2), 20)
    a, e, c, d, f = params.T
    same = np.stack([a, 0 * a, e, c, d, f], axis=-1)
    np.testing.assert_allclose(FORMS["HILL"].function(x, params), FORMS["BNSL1"].function(x, same), rtol=1e-13)


def test_without_repeats_the_data_constrained_law_is_chinchillas():
    """No unit seen twice, and no more parameters than are best for them; with either, the loss is higher."""
    A, B, E, alpha, beta = 400.0, 2000.0, 1.7, 0.34, 0.37
    D = np.geomspace(1e9, 1e11, 9)
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    best = G * (G * D) ** (beta / alpha)
    law, params = FORMS["data_constrained"].function, np.array([A, B, E, alpha, beta, 15.0, 5.0])
    plain = np.array([A, alpha, B, beta, E])
    for share in (0.01, 0.999):
        x = np.stack([share * best, D, D], axis=1)
        np.testing.assert_allclose(law(x, params), FORMS["chinchilla"].function(x, plain), rtol=1e-12)
    for x in (np.stack([best / 9, D, D / 4], axis=1), np.stack([best * 4, D, D], axis=1)):
        assert (law(x, params) > FORMS["chinchilla"].function(x, plain) * (1 + 1e-6)).all()
    # Repeats lose their worth: 2 epochs are nearly as good as new data, 1000 no better than 16 times the units.
    few, many = (np.array([[1e6, k * 1e9, 1e9], [1e6, w * 1e9, w * 1e9]]) for k, w in ((2, 2), (1000, 16)))
    assert np.diff(law(few, params)) == pytest.approx(0, abs=1e-3 * law(few, params)[0])
    assert law(many, params)[0] == pytest.approx(law(many, params)[1], rel=1e-3)


@pytest.mark.parametrize("form", ALL, ids=IDS)
def test_gradient_is_the_numeric_one(form):
    params, x = draw(form, np.random.default_rng(3), 20)
    y, slope = form.derivatives(x, params)
    np.testing.assert_allclose(y, form.function(x, params), rtol=1e-12)
    assert slope.shape == (20, 12, len(form.parameters))
    for i in range(params.shape[1]):
        step = 1e-4 * np.maximum(np.abs(params[:, i]), 0.1)
        found = np.zeros_like(y)
        for times, weight in ((1, 2 / 3), (2, -1 / 12)):  # five points, error O(step^4)
            move = np.zeros_like(params)
            move[:, i] = times * step
            found += weight * (form.function(x, params + move) - form.function(x, params - move))
        found /= step[:, None]
        scale = np.abs(found).max(axis=1, keepdims=True) + np.abs(y).max(axis=1, keepdims=True)
        # The data-constrained law has a kink where repeats begin; its derivative is a numeric one besides.
        tolerance = 1e-6 if form.gradient is not None else 1e-4
        far = np.abs(slope[..., i] - found) > tolerance * scale
        assert far.mean() <= (0 if form.gradient is not None else 0.02), form.parameters[i]


@pytest.mark.parametrize("form", [form for form in ALL if form.curvature is not None], ids=lambda form: form.name)
def test_curvature_is_the_numeric_one(form):
    rng = np.random.default_rng(4)
    params, x = draw(form, rng, 20)
    c = rng.normal(size=(20, 12))
    bent = form.curvature(x, params, c)
    for i in range(params.shape[1]):
        move = np.zeros_like(params)
        move[:, i] = 1e-5
        rise = form.gradient(x, params + move)[1] - form.gradient(x, params - move)[1]
        found = np.einsum("bn,bnp->bp", c, rise) / 2e-5
        np.testing.assert_allclose(bent[:, i], found, rtol=1e-5, atol=1e-6 * np.abs(found).max())
    np.testing.assert_allclose(bent, np.swapaxes(bent, 1, 2))


@pytest.mark.parametrize("form", [form for form in ALL if form.linear], ids=lambda form: form.name)
def test_linear_parameters_are_linear(form):
    """y is a sum over them without a constant: doubled, they double it."""
    params, x = draw(form, np.random.default_rng(5), 10)
    doubled = params.copy()
    for name in form.linear:
        doubled[:, form.parameters.index(name)] *= 2
    np.testing.assert_allclose(form.function(x, doubled), 2 * form.function(x, params), rtol=1e-12)


@pytest.mark.parametrize("form", ALL, ids=IDS)
@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e12])
def test_starts_are_finite_and_inside_in_any_unit(form, unit):
    rng = np.random.default_rng(6)
    count, top = len(form.variables), form.y_range[1]
    x = unit * np.geomspace(1, 1000, 15)
    if count > 1:
        x = np.stack([rng.permutation(x) for _ in range(count)], axis=1)
    for scale in (1e-6, 1.0, 1e6):
        y = min(scale, top) * np.linspace(0.9, 0.2, 15) * np.exp(0.02 * rng.normal(size=15))
        starts = form.starts(x, y)
        low, high = np.array(form.bounds).T
        assert np.isfinite(starts).all()
        assert ((low <= starts) & (starts <= high)).all()
        assert np.isfinite(form.function(x, starts)).all()


@pytest.mark.parametrize("form", ALL, ids=IDS)
def test_formula_and_latex_name_every_parameter(form):
    greek = {"alpha": r"\alpha", "beta": r"\beta", "gamma": r"\gamma"}
    for name in form.parameters:
        assert name in form.formula
        letters = name.rstrip("0123456789")
        shown = {letters, letters + "_i", letters + "_0", f"{letters[0]}_{letters[1:]}", greek.get(name, name)}
        if form.name in ("logistic", "sigmoid"):
            shown |= {name[0]}  # h, l for high, low
        if name == "rN":
            shown = {"N'"}  # "likewise"
        assert any(one in form.latex for one in shown), (name, form.latex)
    assert form.latex.count("{") == form.latex.count("}")
    for variable in form.variables:
        assert variable in form.formula


def test_forms_are_found_by_name_or_as_they_are():
    assert find_form("BNSL3").parameters[-3:] == ("c3", "d3", "f3")
    assert find_form(FORMS["M3"]) is FORMS["M3"]
    for name in ("BNSL0", "BNSL10", "bnsl1", ""):
        with pytest.raises(SonoscaleError, match=r"no form of a law is called .*there are: power, saturating"):
            find_form(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounds": ((0.0, 1.0),)}, "form 'power' has 2 parameters but 1 bounds"),
        ({"exponent": "slope"}, "form 'power': 'slope' is not one of"),
    ],
)
def test_a_form_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(SonoscaleError, match=message):
        dataclasses.replace(FORMS["power"], **change)
