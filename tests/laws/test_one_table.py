"""One table of runs, read alike by every verb: the same runs, clusters and direction, and the same refusals."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import compare, fit, read_runs
from sonoscale.laws.audit import audit
from sonoscale.laws.plan import plan

X = ("params", "hours")

VERBS: dict[str, Callable[..., Any]] = {
    "fit": lambda source, **reading: fit(source, X, **reading),
    "compare": lambda source, **reading: compare(source, X, bootstrap=80, **reading),
    "audit": lambda source, **reading: audit(source, rank="rankme", bootstrap=80, permutations=80, **reading),
    "plan": lambda source, **reading: plan(source, n=X[0], d=X[1], flops=1e10, bootstrap=80, next_runs=0, **reading),
}


def runs(**change):
    """24 configurations of unlike sizes, whose accuracy rises with both."""
    rng = np.random.default_rng(0)
    n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 6), np.geomspace(10.0, 1000.0, 4)))
    accuracy = 0.95 - (12 * n**-0.25 + 1.2 * d**-0.4) * 0.7 * np.exp(0.02 * rng.normal(size=24))
    rank = 40 * (n / 1e6) ** 0.2 * d**0.1 * np.exp(0.05 * rng.normal(size=24))
    columns = {"params": n, "hours": d, "rankme": rank, "accuracy": accuracy}
    return {name: np.asarray(values) for name, values in {**columns, **change}.items()}


def rows_of(columns, rows):
    return {name: np.asarray(values)[rows] for name, values in columns.items()}


def with_seeds():
    """Two seeds of each configuration, which its column names."""
    seeds = rows_of(runs(), np.repeat(np.arange(24), 2))
    noise = 0.004 * np.random.default_rng(1).normal(size=48)
    return seeds | {
        "accuracy": seeds["accuracy"] + noise,
        "config": np.repeat([f"c{i}" for i in range(24)], 2),
        "seed": np.tile([0, 1], 24),
    }


def with_a_hole():
    accuracy = runs()["accuracy"].copy()
    accuracy[7] = np.nan
    return runs(accuracy=accuracy)


def ledger():
    """One row per run, checkpoint and task: 24 configurations of two seeds, one checkpoint each, two tasks."""
    table = with_seeds()
    rows = []
    for i in range(48):
        one = {name: table[name][i] for name in ("params", "hours", "rankme", "config", "seed")}
        for task, more in (("word", 0.02), ("esc10", -0.02)):
            score = float(table["accuracy"][i]) + more
            rows.append(one | {"run": f"r{i}", "step": 100, "task": task, "protocol": "linear/1", "score": score})
    return {name: [row[name] for row in rows] for name in rows[0]}


def written(folder, columns, name):
    if name.endswith(".parquet"):
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table({key: list(values) for key, values in columns.items()}), folder / name)
    else:
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([list(columns), *zip(*(np.asarray(c).tolist() for c in columns.values()), strict=True)])
    return folder / name


def in_a_data_frame(_, columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def read_already(_, columns):
    return read_runs(columns)


SOURCES = {
    "mapping": (runs, lambda _, columns: columns, 24, 24),
    "copies": (lambda: rows_of(runs(), [*range(24), *range(6)]), lambda _, columns: columns, 24, 24),
    "seeds": (with_seeds, lambda _, columns: columns, 48, 24),
    "CSV": (with_seeds, lambda folder, columns: written(folder, columns, "runs.csv"), 48, 24),
    "Parquet": (with_seeds, lambda folder, columns: written(folder, columns, "runs.parquet"), 48, 24),
    "data frame": (with_seeds, in_a_data_frame, 48, 24),
    "RunTable": (with_seeds, read_already, 48, 24),
    "ledger": (ledger, lambda folder, columns: written(folder, columns, "ledger.parquet"), 48, 24),
    "study": (ledger, lambda folder, columns: written(folder, columns, "ledger.parquet").parent, 48, 24),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("verb", VERBS)
def test_the_same_runs_clusters_and_direction(verb, source, tmp_path):
    made, given, n, clusters = SOURCES[source]
    found = VERBS[verb](given(tmp_path, made()))
    fitted = found.runs.fitted
    assert (len(fitted), fitted.n_clusters) == (n, clusters)
    assert (found.target.higher_is_better, found.target.ceiling) == (True, 1.0)
    assert found.target.because == ("as asked" if source in ("ledger", "study") else "by its name")


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_rows_are_held_out(verb):
    found = VERBS[verb](with_seeds(), held_out="params>9e7")
    assert (len(found.runs.fitted), found.runs.fitted.n_clusters) == (40, 20)


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_rows_are_left_out_on_request(verb):
    found = VERBS[verb](with_a_hole(), omit=True)
    assert len(found.runs.fitted) == 23
    assert 7 not in found.runs.rows


FALLING = {"accuracy": 1.0 - runs()["accuracy"]}
MIXED = {"accuracy": np.where(np.arange(24) < 20, 1.0, 100.0) * runs()["accuracy"]}
UNKNOWN = {"esc50": 100.0 * runs()["accuracy"]}


@pytest.mark.parametrize(
    ("columns", "reading", "message"),
    [
        (runs(**FALLING), {}, r"accuracy falls with params \* hours .*by its name it is a score: .*higher_is_better"),
        (with_a_hole(), {}, r"accuracy, row 7: no value.*\(omit\)"),
        (runs(**MIXED), {}, "mixes fractions with percentages"),
        (runs(**UNKNOWN), {"y": "esc50"}, r"say whether it is a percentage.*\(unit: percent or none\)"),
        (runs(), {"y": "error"}, "no column 'error'; there are: params, hours, rankme, accuracy"),
        (runs(), {"clusters": "config"}, "no column 'config'"),
        (runs(), {"held_out": "params>1e10"}, r"held_out \(params>1e10\): no row is held out"),
        (runs(), {"unit": "decibels"}, "unit must be one of fraction, percent, none, not 'decibels'"),
        (runs(hours=[1.0, 2.0]), {}, "hours has 2 rows but params has 24"),
        (read_runs(runs()), {"omit": True}, "omit: the table was read already; say this to read_runs"),
        ("nowhere.csv", {}, "nowhere.csv: no such table"),
    ],
    ids=["falls", "blank", "mixed", "percent", "y", "clusters", "held_out", "unit", "lengths", "read", "file"],
)
@pytest.mark.parametrize("verb", VERBS)
def test_the_same_refusals(verb, columns, reading, message):
    with pytest.raises(SonoscaleError, match=message):
        VERBS[verb](columns, **reading)


def test_runs_that_differ_in_x_are_not_taken_for_seeds():
    """Sizes alone would make three configurations of these: widths are no known size."""
    rng = np.random.default_rng(0)
    table = {"width": np.tile([32, 64, 128, 256], 6), "hours": np.repeat([1.0, 4.0, 16.0], 8)}
    z = 0.5 * np.log(table["width"]) + 0.2 * np.log(table["hours"])
    table |= {"accuracy": 0.1 + 0.1 * z + 0.01 * rng.normal(size=24), "rank": np.exp(z + 0.1 * rng.normal(size=24))}
    table["seed"] = np.repeat([[0, 1]], 4, axis=1).repeat(3, axis=0).reshape(-1)
    assert read_runs(table, y="accuracy").n_clusters == 3
    x = ["width", "hours"]
    law = fit(table, x, y="accuracy")
    assert law.runs.n_clusters == 12
    assert any("rows with the same hours, width are taken as one configuration" in note for note in law.notes)
    planned: Any = plan(table, design=x, limits={"hours": 16}, y="accuracy", bootstrap=80)
    assert planned.law.n_clusters == 12
    assert compare(table, x, y="accuracy", bootstrap=80).runs.n_clusters == 12
    assert audit(table, rank="rank", covariates=x, y="accuracy", bootstrap=80).n_clusters == 12
    asked = audit(table, rank="rank", covariates=x, y="accuracy", clusters="hours", bootstrap=80)
    assert asked.n_clusters == 3


def test_an_option_that_there_is_not():
    with pytest.raises(SonoscaleError, match="no option 'clusterss'; did you mean 'clusters'"):
        fit({"x": [1, 2, 3], "loss": [3, 2, 1]}, "x", clusterss="a")  # pyright: ignore[reportCallIssue]


def test_a_table_has_columns_as_a_data_frame_has_them():
    table = read_runs(runs())
    assert "hours" in table
    assert "days" not in table
    assert 0 not in table
    assert list(table) == ["params", "hours", "rankme", "accuracy"]
    assert len(table) == 24
