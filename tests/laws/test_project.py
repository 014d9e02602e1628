"""Variable projection and its non-negative least squares against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares, nnls

from sonoscale.laws import FORMS
from sonoscale.laws._linear import best_coefficients
from sonoscale.laws._newton import Objective, minimise
from sonoscale.laws._project import project

X = np.geomspace(10.0, 1e5, 24)
TRUTHS = {
    "saturating_loss": (3.0, 0.3, 0.4),
    "M3": (3.0, 0.4, 0.3, 1e-4),
    "HILL": (2.0, 0.4, 0.4, 300.0, 0.6),
    "BNSL1": (3.0, 0.05, 0.2, 0.3, 1e3, 0.4),
    "logistic": (0.9, 0.8, 0.1, 1e3),
    "sigmoid": (0.9, 3e-3, 0.1, 1e3),
}


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_coefficients_are_those_of_nnls(columns):
    """Over 200 random problems, in many of which some columns are best left out, of unlike sizes."""
    rng = np.random.default_rng(columns)
    basis = rng.normal(size=(200, 12, columns)) + 0.5
    basis *= np.exp(5 * rng.normal(size=(200, 1, columns)))
    target = rng.normal(size=(200, 12)) + 0.3
    found = best_coefficients(basis, target)
    assert (found >= 0).all()
    assert columns == 1 or (found == 0).any(axis=1).mean() > 0.2
    for a, matrix, aim in zip(found, basis, target, strict=True):
        expected, norm = nnls(matrix, aim)
        assert np.linalg.norm(matrix @ a - aim) == pytest.approx(norm, rel=1e-8)
        np.testing.assert_allclose(
            a * np.linalg.norm(matrix, axis=0), expected * np.linalg.norm(matrix, axis=0), atol=1e-7
        )


@pytest.mark.parametrize("nothing", [0, 1])
def test_columns_that_are_zero_or_equal_do_no_harm(nothing):
    rng = np.random.default_rng(0)
    one, aim = rng.uniform(size=(2, 10))
    basis = np.stack([one, one, *[np.zeros(10)] * nothing], axis=1)[None]
    found = best_coefficients(basis, aim[None])[0]
    assert found[:2].sum() == pytest.approx(one @ aim / (one @ one), rel=1e-6)
    assert np.isfinite(found).all()


def relative(form, x, y, params, scale):
    miss = form.function(x, params) - y
    return miss / y if scale == "log" else miss


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("name", TRUTHS)
def test_the_reduced_problem_has_the_minimum_of_the_full_one(name, scale):
    """Against a search over all parameters at once, from the same start; on the log scale, of relative errors."""
    form, truth = FORMS[name], np.array(TRUTHS[name])
    y = form.function(X, truth) * np.exp(0.01 * np.random.default_rng(1).normal(size=len(X)))
    objective = Objective(form=form, x=X, y=y, scale=scale)
    start = truth * 1.02
    params, value = project(objective, np.ones((1, len(X))), start[None], tolerance=1e-13, iterations=400)
    low, high = np.array(form.bounds).T
    positive = (low == 0) & (high == np.inf)

    def residual(u):
        with np.errstate(all="ignore"):
            return np.nan_to_num(relative(form, X, y, np.where(positive, np.exp(u), u), scale), nan=1e3, posinf=1e3)

    found = least_squares(
        residual, np.where(positive, np.log(start), start),
        bounds=(np.where(positive, -200, low), np.where(positive, 200, high)), x_scale="jac",
        xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=500,
    )  # fmt: skip
    assert value[0] <= 2 * found.cost * (1 + 1e-4)
    # A linear term that is best at zero keeps a trace of 1e-4 of y: the stated sum is that without it.
    kept = (relative(form, X, y, params[0], scale) ** 2).sum()
    assert kept == pytest.approx(value[0], rel=0.02)
    if scale == "linear":
        newton = minimise(objective, np.ones((1, len(X))), params, iterations=500)[1][0]
        assert value[0] <= 2 * newton * (1 + 1e-3)


@pytest.mark.parametrize("k", [1e-9, 1e9])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_unit_of_y_scales_linear_parameters_alone(k, scale):
    """With a floor that is best at zero, whose trace is to be in the unit of y."""
    form = FORMS["saturating_loss"]
    y = 3.0 * X**-0.4 * np.exp(0.01 * np.random.default_rng(2).normal(size=len(X)))
    found = []
    for unit in (1.0, k):
        objective = Objective(form=form, x=X, y=unit * y, scale=scale)
        start = np.array([[3.0 * unit, 0.3, 0.01 * unit]])
        found.append(project(objective, np.ones((1, len(X))), start, tolerance=1e-13, iterations=200)[0][0])
    np.testing.assert_allclose(found[1] / [k, 1.0, k], found[0], rtol=1e-6)


@pytest.mark.parametrize("name", TRUTHS)
def test_weights_are_repeated_rows(name):
    form, truth = FORMS[name], np.array(TRUTHS[name])
    rng = np.random.default_rng(3)
    y = form.function(X, truth) * np.exp(0.01 * rng.normal(size=len(X)))
    counts = rng.integers(0, 3, size=len(X))
    weighted = project(
        Objective(form=form, x=X, y=y), counts[None].astype(float), truth[None], tolerance=1e-12, iterations=300
    )
    repeated = Objective(form=form, x=np.repeat(X, counts), y=np.repeat(y, counts))
    plain = project(repeated, np.ones((1, counts.sum())), truth[None], tolerance=1e-12, iterations=300)
    assert weighted[1] == pytest.approx(plain[1], rel=1e-6)
