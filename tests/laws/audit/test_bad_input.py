"""What an audit refuses, and what it decides and says."""

import re
from typing import Any

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws.audit import audit

OPTIONS = {"rank": "rank", "y": "quality", "bootstrap": 80, "permutations": 80}


def table(**changes):
    rng = np.random.default_rng(0)
    columns = {
        "params": np.exp(rng.normal(15, 1, 12)),
        "tokens": np.exp(rng.normal(20, 1, 12)),
        "rank": np.exp(rng.normal(3, 0.3, 12)),
        "quality": rng.uniform(0.3, 0.8, 12),
        "name": [f"r{i}" for i in range(12)],
    }
    return columns | changes


def audited(columns, **options) -> Any:
    return audit(columns, **options)


def put(column, row, value):
    values = list(table()[column])
    values[row] = value
    return {column: values}


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"rank": "nothing"}, "no column 'nothing'; there are: params, tokens"),
        ({}, {"rank": "quality"}, "named both as rank and as quality"),
        ({}, {"covariates": ["quality"]}, "'quality' cannot be a covariate"),
        ({}, {"baselines": ["rank"]}, "'rank' cannot be a baseline"),
        ({}, {"step": "params"}, "'params' needs configurations of several rows, but each row is its own: .*clusters"),
        ({}, {"layer": "params"}, "'params' needs configurations of several rows, but each row is its own: .*clusters"),
        ({}, {"group": "name"}, "group .name.: an audit has one verdict"),
        ({}, {"warmup": 5.0}, "warmup=5 needs the column of steps"),
        ({}, {"rank": "name"}, "name, row 0: 'r0' is not a number"),
        ({"rank": [4.0] * 12}, {}, "rank is constant"),
        ({"quality": [0.4] * 12}, {}, "quality is constant"),
        (put("quality", 3, np.nan), {}, "quality, row 3: no value; .*omit"),
        (put("rank", 3, np.nan), {}, "rank, row 3: no value; .*omit"),
        (put("tokens", 5, np.inf), {}, "tokens, row 5: inf"),
        (put("params", 2, 0), {}, "params, row 2: 0 is not above zero"),
        (put("quality", 7, 63.0), {}, "quality mixes fractions with percentages: .* 63 in row 7"),
        (
            {"accuracy": put("quality", 7, 1.2)["quality"]},
            {"y": "accuracy"},
            "accuracy, row 7: 1.2 is above 1 in a column of fractions",
        ),
        ({"rank": [1.0, 2.0]}, {}, "rank has 2 rows but params has 12"),
        (put("name", 4, None), {"family": "name"}, "name, row 4: no value"),
        (
            {"config": list("aabbccddeeff"), "kind": list("xxxxyzyyyyyy")},
            {"clusters": "config", "family": "kind"},
            "kind, row 5: 'z', but row 4 of the same configuration has 'y': a configuration is in one family",
        ),
        ({}, {"level": 1.5}, "level must lie between 0.5 and 0.999"),
        ({}, {"level": 0.9999999}, "level must lie between 0.5 and 0.999"),
        ({}, {"permutations": 10}, "too few"),
        (put("rank", 6, 0.0), {}, "rank, row 6: 0 is not above zero, as every rank is"),
        (put("rank", 6, -3.0), {}, "rank, row 6: -3 is not above zero, as every rank is"),
        ({"lr": [0.1] * 5 + [-1.0] + [0.2] * 6}, {"covariates": ["lr"]}, "lr, row 5: -1 is below zero, though 92%"),
        ({"quality": 1e-160 * table()["quality"]}, {}, "quality, row .*e-161 is the largest in size, whose square"),
        ({"quality": 1e300 * table()["quality"]}, {}, r"quality, row .*e\+299 is the largest in size, whose square"),
    ],
)
def test_refuses_and_names(changes, options, message):
    with pytest.raises(SonoscaleError, match=message):
        audit(table(**changes), **(OPTIONS | options))


def test_scores_above_one_that_are_no_percentages_pass():
    assert audit(table(quality=np.linspace(0.3, 2.9, 12)), **OPTIONS).n_clusters == 12


def test_a_loss_a_little_above_one_passes():
    columns = table(val_loss=[*table()["quality"][:-1], 1.2])
    assert audited(columns, **(OPTIONS | {"y": "val_loss", "covariates": ["params"]})).n_clusters == 12


def notes(columns, **options):
    return " | ".join(audit(columns, **(OPTIONS | options)).notes)


def test_says_what_it_decided():
    assert "covariates, by their names: params, tokens" in notes(table())
    assert "logarithms are taken of: rank, params, tokens" in notes(table())
    signed = table(lr=np.linspace(-1, 1, 12))
    assert "lr enters as it is" in notes(signed, covariates=["params", "lr"])
    assert "params is the same in all rows" in notes(table(params=[5.0] * 12))
    masked = table(mask_ratio=[0.0, *np.linspace(0.1, 0.9, 11)])
    assert "mask_ratio enters as it is, not as a logarithm: it is 0 in row 0" in notes(
        masked, covariates=["mask_ratio"]
    )
    assert "audited: quality (more is better, by its name), 12 runs" in notes(table())


def test_losses_of_several_kinds_are_left_out():
    columns = table(loss=np.linspace(1, 2, 12), loss_of=["mae", "contrastive"] * 6)
    found = audit(columns, **OPTIONS)
    assert found.covariates == ("log params", "log tokens")
    assert any("losses of several kinds" in note for note in found.notes)
    assert "log loss" in audit(table(loss=np.linspace(1, 2, 12)), **OPTIONS).covariates


@pytest.mark.parametrize("size", [1e-99, 1e-6, 1e6, 1e99])
def test_the_unit_of_quality_does_not_count(size):
    rng = np.random.default_rng(1)
    columns = table(rank=np.exp(3 + table()["quality"] + 0.02 * rng.normal(size=12)))
    one = audited(columns, **OPTIONS)
    other = audited(columns | {"quality": size * columns["quality"]}, **OPTIONS)
    assert other.verdict == one.verdict
    assert other.adjusted.partial.p == pytest.approx(one.adjusted.partial.p, rel=1e-6)


def test_more_draws_where_the_level_needs_them():
    options = {name: value for name, value in OPTIONS.items() if name in ("rank", "quality")}
    assert audit(table(), **options, level=0.999).level == 0.999


@pytest.mark.parametrize(("name", "lower"), [("test_loss", True), ("wer", True), ("accuracy", False)])
def test_the_name_of_the_quality_says_which_way_is_better(name, lower):
    columns = table()
    values = (columns["rank"] - columns["rank"].min() + 1) / 100
    columns[name] = 1 - values if lower else values
    options = OPTIONS | {"y": name, "covariates": ["params"]}
    found = audited(columns, **options)
    assert found.target.higher_is_better is not lower
    assert found.spearman.value == pytest.approx(1)
    assert f"audited: {name} ({'less' if lower else 'more'} is better, by its name), 12 runs" in found.notes
    turned = audited(columns, **options, higher_is_better=lower)
    assert turned.spearman.value == pytest.approx(-1)
    assert turned.target.because == "as asked"
    baseline = audited(columns | {"eer": 9 - values}, **options, baselines="eer").baselines[0]
    assert baseline.spearman.value == pytest.approx(1)


def test_where_no_number_of_runs_would_settle_it_what_is_missing_is_named():
    columns = table()
    columns["quality"] = np.log(columns["rank"]) / 5
    without = audit(columns, **OPTIONS, covariates=[])
    assert without.verdict == "insufficient_data"
    assert without.needed.startswith("no number of these; missing is a column of capacity")
    columns = {"params": np.exp(np.linspace(10, 15, 40)), "rank": np.exp(np.linspace(2, 4, 40))}
    columns["quality"] = 0.3 + 0.01 * np.arange(40) + 0.01 * np.random.default_rng(0).normal(size=40)
    known = audit(columns, **OPTIONS)
    assert "the covariates determine rank" in known.reason
    assert known.needed.startswith("no number of such runs; missing are runs of equal capacity")
    for found in (without, known):
        assert found.needed_assumed is None
        assert found.needed_observed is None


def test_a_single_run():
    one = {name: values[:1] for name, values in table().items()}
    with pytest.raises(SonoscaleError, match=r"rank has one value only \(.*\): there is a single row"):
        audited(one, **OPTIONS)


def test_the_number_of_runs_is_that_of_the_correlation_which_the_reason_names():
    seen = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        size = rng.uniform(9, 15, 14)
        rest = rng.normal(size=14)
        quality = 0.1 + 0.04 * size + 0.01 * rest + 0.02 * rng.normal(size=14)
        found = audit({"params": np.exp(size), "rank": np.exp(0.4 * size + 0.15 * rest), "quality": quality}, **OPTIONS)
        if found.verdict != "insufficient_data" or "partial correlation is" not in found.reason:
            continue
        named = re.findall(r"one like that observed \((-?[\d.]+)\)", found.needed)
        said = re.findall(r"correlation is (-?[\d.]+) \(", found.reason)
        assert named in ([said[0]], [said[-1]]) or (not named and float(said[-1]) <= 0), found.headline
        seen += bool(named)
    assert seen >= 3
