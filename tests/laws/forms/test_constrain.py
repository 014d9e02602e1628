"""Forms with fixed and tied parameters."""

from __future__ import annotations

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import fit_form
from sonoscale.laws.forms import constrain, find_form

CHINCHILLA = find_form("chinchilla")
N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e8, 1e11, 5)))
XY = np.stack([N, D], axis=1)


def test_the_value_and_its_derivatives_are_those_of_the_whole_form():
    """The gradient and the curvature against central differences of the whole form."""
    form = constrain(CHINCHILLA, {"E": 1.8}, ["alpha=beta"])
    assert form.parameters == ("A", "alpha", "B")
    params = np.array([400.0, 0.35, 900.0])
    whole = np.array([400.0, 0.35, 900.0, 0.35, 1.8])
    y, slope = form.derivatives(XY, params)
    assert y == pytest.approx(CHINCHILLA.function(XY, whole))
    assert form.curvature is not None
    c = np.cos(np.arange(25))
    bent = form.curvature(XY, params, c)
    for i in range(3):
        step = np.zeros(3)
        step[i] = 1e-5 * params[i]
        (up, up_slope), (down, down_slope) = (form.derivatives(XY, params + sign * step) for sign in (1, -1))
        np.testing.assert_allclose(slope[:, i], (up - down) / (2 * step[i]), rtol=1e-6)
        np.testing.assert_allclose(bent[i], c @ (up_slope - down_slope) / (2 * step[i]), rtol=1e-4, atol=1e-9)


def test_a_fixed_truth_narrows_the_others():
    y = (1.7 + 400.0 * N**-0.34 + 410.0 * D**-0.34) * np.exp(0.003 * np.random.default_rng(1).normal(size=25))
    free = fit_form("chinchilla", XY, y, bootstrap=100)
    held = fit_form(constrain(CHINCHILLA, {"E": 1.7}, ["alpha=beta"]), XY, y, bootstrap=100)
    assert held.values["alpha"] == pytest.approx(0.34, abs=0.005)
    assert held.form.fixed == (("beta", "alpha"), ("E", 1.7))
    for name in ("A", "alpha"):
        one, other = held.params[name], free.params[name]
        assert one.high - one.low < 0.7 * (other.high - other.low)


def test_a_tie_of_a_tie_is_one_parameter():
    form = constrain(find_form("width_depth_data"), None, ["alpha=beta", "beta=gamma"])
    assert form.parameters == ("A", "alpha", "B", "C", "E")
    assert form.exponent == "alpha"


@pytest.mark.parametrize(
    ("fix", "tie", "message"),
    [
        ({"Q": 1.0}, (), "form 'chinchilla' has no parameter 'Q'; it has A, alpha, B, beta, E"),
        ({"E": -1.0}, (), "fix: E must be a number, 0 or more, not -1.0"),
        ({"E": np.nan}, (), "fix: E must be a number"),
        ({"E": "low"}, (), "fix: E must be a number"),
        (None, ["alpha"], "tie: 'alpha': give two parameters, such as alpha=beta"),
        (None, ["alpha=gamma"], "has no parameter 'gamma'"),
        ({"alpha": 0.3}, ["alpha=beta"], "alpha is both fixed and tied"),
        (["E=1.8"], (), "fix must map parameters to values"),
        ({"E": True}, (), "fix: E must be a number"),
        (None, 3, "tie must be a sequence of pairs"),
        (dict.fromkeys(CHINCHILLA.parameters, 1.0), (), "nothing is left to fit"),
    ],
)
def test_refuses_and_names(fix, tie, message):
    with pytest.raises(SonoscaleError, match=message):
        constrain(CHINCHILLA, fix, tie)
