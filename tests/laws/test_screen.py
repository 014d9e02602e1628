"""What is wrong with runs, and what is doubtful, before anything is fitted."""

from __future__ import annotations

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import read_runs
from sonoscale.laws._screen import Screened, screen_runs


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    params = np.geomspace(1e5, 1e8, 20)
    return {
        "config": [f"c{i // 2}" for i in range(20)],
        "family": ["mae", "latent"] * 10,
        "params": params,
        "hours": rng.permutation(params) / 1e4,
        "quality": 0.1 * params**0.1 + 0.002 * rng.normal(size=20),
    }


def screen(columns, x: str | list[str] = "params", y="quality", log=(), least=2, clusters=()) -> Screened:
    runs = read_runs(columns, y=y, clusters=clusters)
    return screen_runs(runs, x=(x,) if isinstance(x, str) else x, log=log, least=least)


def test_good_runs_pass_without_a_word(table):
    found = screen(table, x=["params", "hours"], log=["params"], clusters="config")
    assert found.warnings == ()
    np.testing.assert_array_equal(found.columns["params"], table["params"])


@pytest.mark.parametrize("way", [1, -1])
def test_a_score_that_turns_is_named(table, way):
    u = np.log(table["params"] / 1e6)
    found = screen(table | {"quality": 0.5 - 0.01 * way * u**2}, log=["params"])
    ways = ("rises", "falls") if way == 1 else ("falls", "rises")
    assert len(found.warnings) == 1
    assert f"quality {ways[0]} with params up to about" in found.warnings[0]
    assert f"and {ways[1]} beyond it" in found.warnings[0]


def test_a_score_that_saturates_or_is_noise_is_rarely_said_to_turn():
    rng = np.random.default_rng(1)
    params = np.geomspace(1e3, 1e9, 40)
    turns = 0
    for study in range(300):
        law = 0.9 - 20.0 * params**-0.6 if study % 2 else np.full(40, 0.5)
        turns += bool(screen({"p": params, "q": law + 0.02 * rng.normal(size=40)}, x="p", y="q", log=["p"]).warnings)
    assert turns / 300 < 0.03


def test_the_turn_of_another_variable_is_not_laid_at_this_ones_door(table):
    """hours falls where params rises; quality rises with both."""
    params = np.asarray(table["params"])
    hours = np.where(params < 3e6, 1e12, 1e-2) / params**0.5
    quality = 0.02 * np.log(params) + 0.02 * np.log(hours) + 0.001 * np.random.default_rng(2).normal(size=20)
    changed = table | {"hours": hours, "quality": quality}
    assert screen(changed, x=["params", "hours"], log=["params", "hours"]).warnings == ()


def replaced(column, row, value):
    changed = list(column)
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("params", 2, float("inf"), "params, row 2: inf"),
        ("params", 7, 0.0, "params, row 7: 0 is not above zero"),
        ("params", 7, -3.0, "params, row 7: -3 is not above zero"),
        ("params", 1, "many", "params, row 1: 'many' is not a number"),
        ("quality", 6, 45.0, "quality mixes fractions with percentages: .* in row 19, 45 in row 6; write all as"),
    ],
)
def test_refuses_a_value_and_says_where_it_is(table, name, row, value, message):
    with pytest.raises(SonoscaleError, match=message):
        screen(
            table | {name: replaced(table[name], row, value)},
            log=["params"],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"quality": [0.5] * 20}, {}, "quality is constant"),
        ({"params": [5] * 20}, {}, "params is constant"),
        ({}, {"x": "depth"}, "no column 'depth'; there are: config, family"),
        ({}, {"least": 21}, "20 rows to fit, but this fit needs at least 21"),
    ],
)
def test_refuses_a_table(table, change, options, message):
    with pytest.raises(SonoscaleError, match=message):
        screen(table | change, **options)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("error_rate", [0.8, 1.2, 4.0, 9.0, 33.0]),  # percentages, the smallest below 1
        ("wer", [0.7, 2.0, 3.0, 9.0, 20.0]),
        ("top1", [0.1, 0.5, 0.9, 1.0, 0.2]),
        ("top1", [10.0, 50.0, 90.0, 100.0, 20.0]),
        ("loss", [0.5, 40.0, 60.0, 70.0, 80.0]),  # not a score
    ],
)
def test_scores_in_one_unit_pass(name, values):
    assert screen({"x": [1.0, 2.0, 3.0, 4.0, 5.0], name: values}, x="x", y=name).columns[name].tolist() == values
