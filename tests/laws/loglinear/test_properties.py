"""What must hold of any log-linear model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sonoscale.laws.loglinear import fit_loglinear


def parts(found):
    return found.value, found.low, found.high


@pytest.fixture
def table():
    rng = np.random.default_rng(3)
    config = np.repeat(np.arange(24), 2)
    params = np.exp(rng.uniform(10, 18, 24))[config]
    depth = rng.integers(1, 9, 24)[config]
    objective = np.array(["mae", "latent", "contrastive"])[np.arange(24) % 3][config]
    noise = 0.05 * rng.normal(size=24)[config] + 0.02 * rng.normal(size=48)
    add = np.select([objective == "mae", objective == "latent"], [0.3, 0.1], 0.0)
    return {
        "config": config,
        "params": params,
        "depth": depth,
        "done": rng.random(48) < 0.5,
        "objective": objective.tolist(),
        "quality": np.exp(-3.0 + 0.12 * np.log(params) + 0.03 * depth + add + noise),
    }


OPTIONS = {"y": "quality", "x": ["params", "depth", "objective"], "log": ["params"], "clusters": "config"}
NEW = {"params": [1e5, 3e6], "depth": 4, "objective": ["mae", "contrastive"]}


def fitted(table, **options):
    given: dict[str, Any] = {"bootstrap": 200} | OPTIONS | options
    return fit_loglinear(table, **given)


def test_finds_the_law_and_says_it(table):
    model = fitted(table)
    names = ["intercept", "log params", "depth", "objective=latent", "objective=mae"]
    assert list(model.coefficients) == names
    truth = [-3.0, 0.12, 0.03, 0.1, 0.3]
    for one, true in zip(model.coefficients.values(), truth, strict=True):
        assert abs(one.value - true) < 3 * one.se
        assert one.low < one.value < one.high
    assert model.formula.startswith("log quality = -")
    assert " log params + 0.0" in model.formula
    assert "[objective=mae]" in model.formula
    assert r"\, \log \mathrm{params}" in model.latex
    assert model.warnings == ()
    assert model.n_clusters == 24


def test_the_default_takes_the_log_of_what_is_above_zero_and_not_of_truth(table):
    model = fitted(
        table | {"shift": np.linspace(-1, 1, 48)[::-1] ** 3}, x=["params", "depth", "done", "shift"], log=None
    )
    assert list(model.coefficients) == ["intercept", "log params", "log depth", "done", "shift"]


@pytest.mark.parametrize("options", [{}, {"family": "objective", "x": ["params"], "effects": "random"}])
def test_the_unit_of_x_changes_the_intercept_alone(table, options):
    once = fitted(table, **options)
    often = fitted(table | {"params": table["params"] * 1e6}, **options)
    for name in list(once.coefficients)[1:]:
        for key in ("value", "low", "high", "se", "df"):
            assert getattr(often.coefficients[name], key) == pytest.approx(
                getattr(once.coefficients[name], key), rel=1e-6
            )
    shift = 6 * np.log(10) * once.coefficients["log params"].value
    assert often.coefficients["intercept"].value == pytest.approx(once.coefficients["intercept"].value - shift)
    assert often.loo_rmse == pytest.approx(once.loo_rmse)
    assert often.condition == pytest.approx(once.condition)


@pytest.mark.parametrize("options", [{}, {"family": "objective", "x": ["params", "depth"], "effects": "random"}])
def test_the_order_of_rows_changes_nothing(table, options):
    order = np.random.default_rng(4).permutation(48)
    mixed = {name: np.asarray(column)[order] for name, column in table.items()}
    once, other = fitted(table, **options), fitted(mixed, **options)
    np.testing.assert_allclose(other.missed, once.missed[order], rtol=1e-7)
    for one, two in zip(parts(once.predict(NEW)), parts(other.predict(NEW)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9)
    for one, two in zip(once.coefficients.values(), other.coefficients.values(), strict=True):
        assert vars(one) == pytest.approx(vars(two), rel=1e-7)


def test_copies_within_a_cluster_add_no_certainty(table):
    rows = np.repeat(np.arange(48), 4)
    once = fitted(table)
    often = fitted({name: np.asarray(column)[rows] for name, column in table.items()} | {"seed": np.arange(192)})
    assert (often.n, often.n_clusters) == (192, 24)
    for one, two in zip(once.coefficients.values(), often.coefficients.values(), strict=True):
        assert vars(one) == pytest.approx(vars(two), rel=1e-6)
    for one, two in zip(parts(once.predict(NEW)), parts(often.predict(NEW)), strict=True):
        np.testing.assert_allclose(one, two, rtol=0.03)  # the errors that are drawn are other rows


def test_copied_rows_count_once(table):
    rows = np.repeat(np.arange(48), 3)
    once = fitted(table, clusters=())
    often = fitted({name: np.asarray(column)[rows] for name, column in table.items()}, clusters=())
    assert often.n == 48
    for one, two in zip(once.coefficients.values(), often.coefficients.values(), strict=True):
        assert vars(one) == pytest.approx(vars(two), rel=1e-6)


def test_interactions_are_products(table):
    model = fitted(table, interactions=[("params", "depth"), ("params", "objective")])
    assert list(model.coefficients)[5:] == [
        "log params * depth",
        "log params * objective=latent",
        "log params * objective=mae",
    ]
    logs, depth = np.log(table["params"]), table["depth"]
    latent, mae = (np.array(table["objective"]) == name for name in ("latent", "mae"))
    X = np.stack([np.ones(48), logs, depth, latent, mae, logs * depth, logs * latent, logs * mae], axis=1)
    beta = np.linalg.lstsq(X, np.log(table["quality"]), rcond=None)[0]
    assert [one.value for one in model.coefficients.values()] == pytest.approx(beta.tolist(), rel=1e-6)
    np.testing.assert_allclose(model.predict(table).value, np.exp(X @ beta), rtol=1e-8)
    assert set(model.inflation) == {"log params", "depth", "objective=latent", "objective=mae"}


@pytest.mark.parametrize("scale", ["log", "logit", "linear"])
def test_predictions_come_back_in_the_unit_of_y(table, scale):
    quality = table["quality"] / 2
    model = fitted(table | {"quality": quality}, y_scale=scale)
    new = model.predict(NEW)
    y, low, high = new.value, new.low, new.high
    assert y == pytest.approx(model.predict(NEW).value.tolist())
    assert ((low < y) & (y < high)).all()
    truth = 0.5 * np.exp(-3.0 + 0.12 * np.log(NEW["params"]) + 0.12 + np.array([0.3, 0.0]))
    assert y == pytest.approx(truth.tolist(), rel=0.2)
    if scale == "logit":
        assert ((low > 0) & (high < 1)).all()


def test_a_new_family_is_less_certain_than_a_known_one(table):
    model = fitted(table, x=["params", "depth"], family="objective", effects="random")
    known = model.predict(NEW)
    new = model.predict(NEW | {"objective": "other"})
    unsaid = model.predict({"params": [1e5, 3e6], "depth": 4})
    assert np.log(new.high / new.low).min() > 1.3 * np.log(known.high / known.low).max()
    for one, two in zip(parts(new), parts(unsaid), strict=True):
        np.testing.assert_array_equal(one, two)
    assert sum(model.family_effects.values()) == pytest.approx(0.0, abs=1e-9)
    assert "+ u[objective], sd(u) = " in model.formula


def test_nearly_collinear_columns_are_named(table):
    wide = table["params"] * np.exp(0.05 * np.random.default_rng(5).normal(size=48))
    model = fitted(table | {"flops": wide}, x=["params", "flops", "depth"], log=["params", "flops"])
    assert model.collinear == ("log params", "log flops")
    assert any("hard to separate: log params (" in note for note in model.warnings)
    assert model.condition > 10


def test_far_from_the_data_it_warns(table):
    model = fitted(table)
    with pytest.warns(UserWarning, match=r"extrapolating: params = 1e\+12 lies outside the data"):
        model.predict(NEW | {"params": 1e12})


def test_as_dict_survives_json(table):
    for options in ({}, {"x": ["params"], "family": "objective", "effects": "random"}):
        model = fitted(table, **options)
        reported = json.loads(json.dumps(model.as_dict(), allow_nan=False))
        assert reported["coefficients"]["log params"]["value"] == model.coefficients["log params"].value
        assert reported["family_effects"].keys() == {str(name) for name in model.family_effects}
        assert reported["loo_rmse"] == model.loo_rmse


def test_the_same_seed_gives_the_same(table):
    first, second, third = (fitted(table, seed=seed).predict(NEW).low for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
