"""What is wrong with a table, before anything is fitted."""

from __future__ import annotations

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws._screen import screen


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


def test_a_good_table_passes_without_a_word(table):
    found = screen(table, x=["params", "hours"], y="quality", log=["params"], clusters="config", family="family")
    assert found.warnings == ()
    assert found.clusters.tolist() == [i // 2 for i in range(20)]
    assert found.families == table["family"]
    np.testing.assert_array_equal(found.columns["params"], table["params"])


def test_several_columns_make_a_cluster_together(table):
    found = screen(table, x="params", y="quality", clusters=["config", "family"])
    assert len(set(found.clusters.tolist())) == 20


def test_repeated_rows_are_named_and_bring_their_clusters_together(table):
    doubled = {name: [*column, column[3], column[3], column[8]] for name, column in table.items()}
    found = screen(doubled, x="params", y="quality")
    assert len(found.warnings) == 1
    assert "rows 3, 20, 21; 8, 22)" in found.warnings[0]
    assert found.clusters[3] == found.clusters[20] == found.clusters[21]
    assert len(set(found.clusters.tolist())) == 20
    for name, labels in {"config": [f"d{i}" for i in range(23)]}.items():
        assert screen(doubled | {name: labels}, x="params", y="quality").warnings == ()

    apart = {name: [*column, column[3]] for name, column in table.items() if name != "config"}
    apart = apart | {"run": np.full(21, np.nan)}  # no value equals no value
    chained = screen(apart, x="params", y="quality")
    assert chained.clusters[20] == chained.clusters[3]


def test_merging_carries_whole_clusters_along(table):
    doubled = {name: [*column, column[0]] for name, column in table.items()}
    found = screen(doubled, x="params", y="quality", clusters="config")
    assert found.clusters[20] == found.clusters[0] == found.clusters[1]


@pytest.mark.parametrize("way", [1, -1])
def test_a_score_that_turns_is_told(table, way):
    u = np.log(table["params"] / 1e6)
    found = screen(table | {"quality": 0.5 - 0.01 * way * u**2}, x="params", y="quality", log="params")
    ways = ("rises", "falls") if way == 1 else ("falls", "rises")
    assert len(found.warnings) == 1
    assert f"quality {ways[0]} with params up to about" in found.warnings[0]
    assert f"and {ways[1]} beyond it" in found.warnings[0]


def test_a_score_that_saturates_or_is_noise_is_rarely_said_to_turn():
    rng = np.random.default_rng(1)
    params = np.geomspace(1e3, 1e9, 40)
    told = 0
    for study in range(300):
        law = 0.9 - 20.0 * params**-0.6 if study % 2 else np.full(40, 0.5)
        told += bool(screen({"p": params, "q": law + 0.02 * rng.normal(size=40)}, x="p", y="q", log="p").warnings)
    assert told / 300 < 0.03


def test_the_turn_of_another_variable_is_not_laid_at_this_ones_door(table):
    """hours falls where params rises; quality rises with both."""
    params = np.asarray(table["params"])
    hours = np.where(params < 3e6, 1e12, 1e-2) / params**0.5
    quality = 0.02 * np.log(params) + 0.02 * np.log(hours) + 0.001 * np.random.default_rng(2).normal(size=20)
    changed = table | {"hours": hours, "quality": quality}
    assert screen(changed, x=["params", "hours"], y="quality", log=["params", "hours"]).warnings == ()


def test_one_family_is_told(table):
    found = screen(table | {"family": ["mae"] * 20}, x="params", y="quality", family="family")
    assert found.warnings == ("family is 'mae' in all rows: nothing is learnt about other families",)


def replaced(column, row, value):
    changed = list(column)
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("quality", 4, float("nan"), "quality, row 4: nan is not a finite number"),
        ("params", 2, float("inf"), "params, row 2: inf"),
        ("params", 7, 0.0, "params, row 7: 0 is not above zero"),
        ("params", 7, -3.0, "params, row 7: -3 is not above zero"),
        ("params", 1, "many", "params, row 1: 'many' is not a number"),
        ("params", 1, None, "params, row 1: None is not a number"),
        ("config", 5, None, "config, row 5: no value"),
        ("family", 5, float("nan"), "family, row 5: no value"),
        ("quality", 6, 45.0, "quality mixes fractions with percentages: .* in row 19, 45 in row 6; write all as"),
    ],
)
def test_refuses_a_value_and_says_where_it_is(table, name, row, value, message):
    with pytest.raises(SonoscaleError, match=message):
        screen(
            table | {name: replaced(table[name], row, value)},
            x="params", y="quality", log="params", clusters="config", family="family",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"quality": [0.5] * 20}, {}, "quality is constant"),
        ({"params": [5] * 20}, {}, "params is constant"),
        ({}, {"x": "depth"}, "no column 'depth'; there are: config, family"),
        ({"note": ["a"]}, {}, "note has 1 rows but quality has 20"),
        ({}, {"least": 21}, "the table has 20 rows, but this fit needs at least 21"),
    ],
)
def test_refuses_a_table(table, change, options, message):
    with pytest.raises(SonoscaleError, match=message):
        screen(table | change, **({"x": "params", "y": "quality"} | options))


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
