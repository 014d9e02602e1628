"""What a log-linear model refuses, and the names that it gives."""

from __future__ import annotations

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws.loglinear import fit_loglinear


@pytest.fixture
def table():
    rng = np.random.default_rng(9)
    params = np.exp(rng.uniform(0, 5, 16))
    return {
        "params": params,
        "hours": np.exp(rng.uniform(0, 5, 16)),
        "depth": rng.integers(1, 9, 16),
        "objective": ["mae", "latent"] * 8,
        "family": list("aaaabbbbccccdddd"),
        "quality": 0.2 * params**0.1 * np.exp(0.01 * rng.normal(size=16)),
    }


def last(values, value):
    return [*list(values)[:-1], value]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"x": ["width"]}, "no column 'width'; there are: params, hours"),
        ({}, {"x": []}, "x names no column"),
        ({}, {"x": ["params", "params"]}, "x names a column twice"),
        ({}, {"x": ["params", "quality"]}, "'quality' is in x and is y"),
        ({}, {"x": ["family"], "family": "family"}, "'family' is in x and is the family"),
        ({}, {"log": ["depth"]}, "log names 'depth', which is not in x: params, hours"),
        ({}, {"x": ["objective"], "log": ["objective"]}, "log names 'objective', which holds text"),
        ({}, {"interactions": [("params", "depth")]}, "interactions name 'depth', which is not in x"),
        ({}, {"x": ["objective"], "interactions": [("objective", "objective")]}, "interactions name 'objective' twice"),
        ({}, {"y_scale": "sqrt"}, "no y_scale is called 'sqrt'; there are: log, logit, linear"),
        ({}, {"effects": "mixed"}, "effects is 'fixed' or 'random', not 'mixed'"),
        ({}, {"level": 95}, "level must lie between 0 and 1"),
        ({"quality": np.linspace(-0.1, 0.5, 16)}, {}, "quality, row 0: -0.1 does not lie between 0 and inf"),
        ({"quality": np.linspace(0.4, 1.0, 16)}, {"y_scale": "logit"}, "row 15: 1 does not lie between 0 and 1"),
        ({"params": np.ones(16)}, {}, "params is constant"),
        ({"objective": ["mae"] * 16}, {"x": ["objective"]}, "objective is constant"),
        ({"params": [*range(1, 15), "3 %", 4]}, {}, "params, row 14: '3 %' is not a number"),
        ({"objective": last(["mae", "latent"] * 8, None)}, {"x": ["objective"]}, "objective, row 15: no value"),
        ({"depth": last(range(16), 0)}, {"x": ["depth"], "log": ["depth"]}, "depth, row 0: 0 is not above zero"),
        ({"objective": [*["mae"] * 15, "latent"]}, {"x": ["objective"]}, "objective is 'latent' in row 15 only"),
        ({"family": ["a"] * 16}, {"family": "family"}, "family is 'a' in all rows: one family has no effect to fit"),
        ({"family": [*"aaaabbbbccccddd", "e"]}, {"family": "family"}, "family 'e' has only row 15, and a fixed effect"),
    ],
)  # fmt: skip
def test_refuses_and_names(table, change, options, message):
    with pytest.raises(SonoscaleError, match=message):
        fit_loglinear(table | change, **({"y": "quality", "x": ["params", "hours"], "bootstrap": 80} | options))


def test_a_level_in_one_row_only_is_refused(table):
    table["objective"] = ["latent"] * 15 + ["mae"]
    with pytest.raises(SonoscaleError, match="objective is 'mae' in row 15 only: a coefficient of its own"):
        fit_loglinear(table, y="quality", x=["params", "objective"])


def test_a_family_in_one_cluster_is_refused_or_told(table):
    run = [*range(12), 12, 12, 12, 12]
    with pytest.raises(SonoscaleError, match="family 'd' has only 4 rows of one cluster"):
        fit_loglinear(table | {"run": run}, y="quality", x=["params"], family="family", clusters="run")
    table["family"][-1] = "e"
    model = fit_loglinear(table, y="quality", x=["params"], family="family", effects="random", bootstrap=80)
    assert "family 'e' has only row 15: its effect cannot be separated from its error" in model.warnings


def test_fewer_clusters_than_coefficients(table):
    few = {name: column[:5] for name, column in table.items()}
    with pytest.raises(
        SonoscaleError, match=r"5 coefficients \(intercept, log params, log hours, log depth, obj.*need at least 6 clu"
    ):
        fit_loglinear(few, y="quality", x=["params", "hours", "depth", "objective"])


def test_columns_that_are_combinations_of_others_are_named(table):
    table["flops"] = 6 * table["params"] * table["hours"]
    with pytest.raises(SonoscaleError, match=r"leave it out: log params, log hours, log flops$"):
        fit_loglinear(table, y="quality", x=["depth", "params", "hours", "flops"])
    table["kind"] = [f"k{one}" for one in table["family"]]
    with pytest.raises(SonoscaleError, match="kind=kb, kind=kc, kind=kd, family=b, family=c, family=d"):
        fit_loglinear(table, y="quality", x=["kind", "params"], family="family")


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"params": 3.0}, "a prediction needs the column 'objective'; given: params"),
        (
            {"params": [3.0, 4.0], "objective": ["mae"] * 3, "family": "a"},
            "objective has 3 rows but another|params has 2",
        ),
        ({"params": 3.0, "objective": "jepa", "family": "a"}, "objective, row 0: 'jepa' was not in the data"),
        (
            {"params": 3.0, "objective": "mae", "family": "z"},
            "family, row 0: 'z' was not in .*effects='random' a family",
        ),
        ({"params": -1.0, "objective": "mae", "family": "a"}, "params, row 0: -1 is not above zero"),
        ({"params": float("nan"), "objective": "mae", "family": "a"}, "params, row 0: nan"),
        ({"params": "3", "objective": "mae", "family": "a"}, "params, row 0: '3' is not a number"),
    ],
)
def test_predictions_refuse_and_name(table, new, message):
    model = fit_loglinear(table, y="quality", x=["params", "objective"], family="family", bootstrap=80)
    with pytest.raises(SonoscaleError, match=message):
        model.predict(new)


def test_a_perfect_law_is_fitted_without_a_complaint(table):
    table["quality"] = 0.2 * table["params"] ** 0.3
    model = fit_loglinear(table, y="quality", x=["params", "hours"], family="family", effects="random", bootstrap=80)
    assert model.coefficients["log params"].value == pytest.approx(0.3)
    assert model.outliers == ()
    assert model.r2 == pytest.approx(1.0)
