"""Several variables side by side."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws import compare, fit_form


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    config = np.repeat(np.arange(12), 2)
    rank = np.geomspace(20, 800, 12)[config]
    return {
        "config": [f"run{i}" for i in config],
        "rankme": rank,
        "params": rng.permutation(np.geomspace(1e5, 1e8, 12))[config].astype(int),
        "hours_seen": np.full(24, 10.0),
        "quality": 0.9 - 2.0 / rank**0.5 + 0.01 * rng.normal(size=24),
        "loss": 0.3 + 2.0 / rank**0.5 + 0.01 * rng.normal(size=24),
    }


NAMES = ("rankme", "params", "hours_seen")


def test_finds_the_variable_and_the_law_behind_the_score(table):
    found = compare(table, y="quality", x=NAMES, clusters="config", bootstrap=200)
    assert [(one.x_name, one.form.name) for one in found.fits] == [
        (name, form) for name in NAMES[:2] for form in ("power", "saturating")
    ]
    assert found.best("rankme").form.name == "saturating"
    assert found.best("rankme").loo_rmse < 0.5 * found.best("params").loo_rmse
    assert found.correlations["rankme"].value == pytest.approx(stats.spearmanr(table["rankme"], table["quality"])[0])
    assert set(found.correlations) == {"rankme", "params"}
    assert all(one.n_clusters == 12 for one in found.fits)


def test_gives_the_same_as_fitting_one_by_one(table):
    found = compare(table, y="quality", x=["rankme"], clusters="config", forms=["power"], bootstrap=200, seed=4)
    order = np.lexsort((table["quality"], table["rankme"]))  # rows are taken by their values
    rank, quality, config = (np.asarray(table[name])[order] for name in ("rankme", "quality", "config"))
    alone = fit_form("power", rank, quality, clusters=config, bootstrap=200, seed=4)
    assert found.fits[0].values == alone.values
    assert found.fits[0].params == alone.params


def test_what_was_not_swept_is_skipped_with_its_reason(table):
    found = compare(table, y="quality", x=NAMES, clusters="config", bootstrap=100)
    assert found.skipped == {
        ("hours_seen", form): "hours_seen is constant (10 in all 24 rows)" for form in ("power", "saturating")
    }
    with pytest.raises(SonoscaleError, match="no law of quality in hours_seen: power: hours_seen is constant"):
        found.best("hours_seen")
    with pytest.raises(SonoscaleError, match="'depth' was not compared; there are: rankme, params"):
        found.best("depth")


def test_a_form_with_too_few_values_is_skipped_alone(table):
    table["hours_seen"] = np.where(np.asarray(table["rankme"]) > 100, 20.0, 10.0)
    found = compare(table, y="quality", x=["hours_seen"], clusters="config", bootstrap=100)
    assert [one.form.name for one in found.fits] == ["power"]
    assert "only 2 different values" in found.skipped["hours_seen", "saturating"]


def test_losses_take_the_falling_forms(table):
    found = compare(table, y="loss", x=["rankme"], clusters="config", bootstrap=100, higher_is_better=False)
    assert [one.form.name for one in found.fits] == ["power_loss", "saturating_loss"]
    assert found.best("rankme").values["b"] > 0
    assert found.correlations["rankme"].value < -0.9


def test_as_dict_survives_json(table):
    reported = json.loads(
        json.dumps(compare(table, y="quality", x=NAMES, clusters="config", bootstrap=100).as_dict(), allow_nan=False)
    )
    assert reported["best"]["rankme"] == "saturating"
    assert len(reported["fits"]) == 4
    assert {row["x"] for row in reported["skipped"]} == {"hours_seen"}
    assert reported["correlations"]["rankme"]["low"] <= reported["correlations"]["rankme"]["value"]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"x": ["depth"]}, "no column 'depth'; there are: config, rankme, params, hours_seen"),
        ({}, {"y": "score"}, "no column 'score'"),
        ({}, {"clusters": "seed"}, "no column 'seed'"),
        ({}, {"forms": ["cubic"]}, "'cubic'; there are: power"),
        ({"quality": np.full(24, 0.5)}, {}, "quality is constant"),
        ({"quality": [0.5] * 23 + [float("nan")]}, {}, "quality, row 23: no value"),
        ({"rankme": [0.0] + [1.0] * 23}, {}, "rankme, row 0: 0 is not above zero"),
        ({"rankme": [1.0, 2.0]}, {}, "rankme has 2 rows but config has 24"),
        ({"config": ["a", "b"] * 12}, {}, "needs at least 3 clusters, but there are 2"),
    ],
)
def test_refuses_and_names(table, change, options, message):
    arguments = {"y": "quality", "x": NAMES, "clusters": "config", "bootstrap": 100} | options
    with pytest.raises(SonoscaleError, match=message):
        compare(table | change, **arguments)
