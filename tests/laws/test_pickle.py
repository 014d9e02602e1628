"""Laws can be sent to another process and kept in a file."""

import pickle

import numpy as np
import pytest

from sonoscale.laws import FORMS, compare, extrapolate, fit, fit_form
from sonoscale.laws.forms import constrain, find_form


def again(one):
    return pickle.loads(pickle.dumps(one))


def table():
    rng = np.random.default_rng(0)
    n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6)))
    loss = (1.7 + 400 / n**0.34 + 1200 / d**0.36) * np.exp(0.003 * rng.standard_normal(36))
    return {"params": n, "tokens": d, "loss": loss, "rankme": n**0.2 * np.exp(0.02 * rng.standard_normal(36))}


@pytest.mark.parametrize("name", [*FORMS, "BNSL3"])
def test_every_form(name):
    form = find_form(name)
    several = len(form.variables)
    x = np.exp(np.random.default_rng(1).uniform(1, 9, (12, several)))
    params = np.array([min(max(0.4 + 0.1 * i, low), high) for i, (low, high) in enumerate(form.bounds)])
    at = x[:, 0] if several == 1 else x
    for one in (form, constrain(form, {form.parameters[0]: float(params[0])})):
        kept = params if one is form else params[1:]
        np.testing.assert_array_equal(again(one).function(at, kept), one.function(at, kept))
        np.testing.assert_array_equal(again(one).derivatives(at, kept)[1], one.derivatives(at, kept)[1])


@pytest.mark.parametrize(
    ("x", "options"),
    [
        ("params", {}),
        (["params", "tokens"], {}),
        (["params", "tokens"], {"form": "chinchilla", "fix": {"E": 1.7}, "tie": ["alpha=beta"], "bootstrap": 80}),
        (["params", "tokens"], {"through": "rankme", "bootstrap": 80}),
    ],
)
def test_laws(x, options):
    laws = fit(table(), x, y="loss", clusters=(), **options)
    at = {"params": 2e8, "tokens": 3e10}
    asked = {name: at[name] for name in laws.x}
    one, other = laws.predict(asked)[0], again(laws).predict(asked)[0]
    assert (one.value, one.low, one.high) == (other.value, other.low, other.high)
    assert again(laws).to_json() == laws.to_json()


def test_what_is_in_them():
    runs = table()
    assert again(compare(runs, "params", y="loss", bootstrap=80)).headline
    law = extrapolate(runs["params"], runs["loss"], form="M2", y_name="loss")
    assert again(law).predict([1e9])[0] == law.predict([1e9])[0]
    one = fit_form("M2", runs["params"], runs["loss"], bootstrap=80)
    assert again(one).values == one.values
