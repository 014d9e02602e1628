"""Minima from many starts: which are one, which are alternatives, and what there is to say where none is found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import FORMS, Form, fit_form
from sonoscale.laws._newton import Objective, minimise
from sonoscale.laws._search import search

X = np.geomspace(1.0, 100.0, 30)


def wave_starts(x, y):
    return np.array([[1.0, f] for f in (1.0, 2.0, 2.1, 3.9, 4.0, 6.0)])


WAVE = Form(
    name="wave",
    formula="y = 2 + a * cos(f * log x)",
    latex=r"y = 2 + a \\cos(f \\log x)",
    parameters=("a", "f"),
    bounds=((0.0, np.inf), (0.0, np.inf)),
    exponent="f",
    function=lambda x, params: 2.0 + params[..., 0, None] * np.cos(params[..., 1, None] * np.log(x)),
    starts=wave_starts,
    citation="none: a least-squares problem with two minima",
    doc="A sum of two waves has two fits of one wave that are nearly as good.",
)


def two_waves(first, second):
    return 2.0 + first * np.cos(2.0 * np.log(X)) + second * np.cos(4.0 * np.log(X))


@pytest.mark.parametrize(("first", "second"), [(0.5, 0.3), (0.3, 0.5)])
def test_both_minima_are_found_best_first(first, second):
    found = search(Objective(form=WAVE, x=X, y=two_waves(first, second)))
    near = [row for row in found.params if abs(row[1] - 2) < 0.3 or abs(row[1] - 4) < 0.3]
    assert [round(float(row[1])) for row in near[:2]] == ([2, 4] if first > second else [4, 2])
    assert (np.diff(found.value) > 0).all()
    assert found.starts == 6
    assert 2 <= found.agreed <= 4
    # A grid over both parameters has no better point.
    a, f = (grid.ravel() for grid in np.meshgrid(np.linspace(0.01, 1, 60), np.linspace(0.2, 8, 400)))
    y = WAVE.function(X, np.stack([a, f], axis=-1))
    assert found.value[0] <= 0.5 * ((y - two_waves(first, second)) ** 2).sum(axis=1).min()


def test_a_rival_minimum_is_told_of():
    even = 2.0 + 0.5 * np.cos(2.0 * np.log(X))
    alone = fit_form(WAVE, X, even + 0.01 * np.random.default_rng(0).normal(size=30), bootstrap=100)
    assert alone.diagnosis.ambiguity is None
    low, high = 0.3, 0.7
    for _ in range(40):  # the second amplitude at which both are as good
        middle = 0.5 * (low + high)
        found = search(Objective(form=WAVE, x=X, y=two_waves(0.5, middle)))
        low, high = (middle, high) if abs(found.params[0, 1] - 2) < 0.5 else (low, middle)
    torn = fit_form(WAVE, X, two_waves(0.5, 0.5002 * (low + high)), bootstrap=100)
    assert torn.diagnosis.ambiguity == pytest.approx(2.0, rel=0.1)
    assert any("another minimum fits as well within 1 %" in line for line in torn.warnings)


def test_one_start_alone_is_told_of():
    """All starts but one are far from the wave's frequency, among side lobes of their own."""
    lonely = dataclasses.replace(
        WAVE, starts=lambda x, y: np.array([[0.5, 2.0], [0.3, 15.0], [0.3, 22.0], [0.3, 30.0]])
    )
    found = fit_form(lonely, X, two_waves(0.5, 0.0) + 0.01 * np.random.default_rng(0).normal(size=30), bootstrap=100)
    assert (found.diagnosis.starts, found.diagnosis.agreed) == (4, 1)
    assert any("only one start found this minimum" in line for line in found.warnings)


def test_all_starts_agree_on_a_convex_problem():
    x = np.geomspace(10, 1e4, 20)
    y = 3 * x**-0.3 * np.exp(0.01 * np.random.default_rng(0).normal(size=20))
    found = search(Objective(form=FORMS["M1"], x=x, y=y, scale="log"))
    assert found.agreed == found.starts == 8
    slope, level = np.polyfit(np.log(x), np.log(y), 1)
    np.testing.assert_allclose(found.params, [[np.exp(level), -slope]], rtol=1e-7)


def test_each_minimum_is_one():
    objective = Objective(form=WAVE, x=X, y=two_waves(0.5, 0.3))
    found = search(objective)
    again, value = minimise(objective, np.ones((len(found.value), 30)), found.params)
    np.testing.assert_allclose(value, found.value, rtol=1e-8)
    np.testing.assert_allclose(again, found.params, rtol=1e-3)


def test_no_finite_start_is_an_error_and_not_a_number():
    nowhere = dataclasses.replace(WAVE, function=lambda x, params: np.full((*params.shape[:-1], len(x)), np.nan))
    with pytest.raises(SonoscaleError, match="form 'wave': no start of the search gives a finite curve"):
        fit_form(nowhere, X, two_waves(0.5, 0.3), bootstrap=100)
