"""`fit_groups`: one law for each group of a table, what it foretells, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import extrapolate, fit_form, fit_groups

SEEN = np.geomspace(1e3, 1e6, 14)
LOSS = (0.5 + 8.0 * SEEN**-0.35) * np.exp(0.01 * np.random.default_rng(0).normal(size=14))


def table(**change):
    """Two tasks of 14 runs, of which the 4 largest are held out, their losses in the ratio of 2."""
    columns = {
        "task": np.array(["a"] * 14 + ["b"] * 14, dtype=object),
        "seen": np.tile(SEEN, 2),
        "loss": np.concatenate([LOSS, 2 * LOSS]),
        "train": np.tile(np.arange(14) < 10, 2).astype(int),
    }
    return columns | {name: np.asarray(value) for name, value in change.items()}


def laws_of(columns, **options) -> list[Any]:
    """The laws of the groups, whose optional fields are looked at without asking."""
    return fit_groups(columns, **options)


def changed(name, row, value, dtype=None):
    column = table()[name].astype(dtype or float)
    column[row] = value
    return {name: column}


def told(**options) -> list[Any]:
    return laws_of(table(), x=["seen"], y="loss", group=["task"], train="train", **options)


def test_each_group_is_extrapolated_from_its_own_training_rows():
    laws = told()
    assert [law.group for law in laws] == [{"task": "a"}, {"task": "b"}]
    assert laws[1].rows.tolist() == [24, 25, 26, 27]
    for law, k in zip(laws, (1, 2), strict=True):
        alone = extrapolate(SEEN[:10], k * LOSS[:10], x_names=("seen",), y_name="loss").predict(SEEN[10:])
        np.testing.assert_allclose(law.forecast.value, alone.value, rtol=1e-9)
        np.testing.assert_allclose(law.forecast.low, alone.low, rtol=1e-9)
        seen = k * LOSS[10:]
        assert law.rmse_log == pytest.approx(np.std(np.append(np.log(alone.value / seen), -np.log(alone.value / seen))))
        assert law.coverage == np.mean(
            [low <= s <= high for low, s, high in zip(alone.low, seen, alone.high, strict=True)]
        )
        assert law.seconds > 0


def test_held_out_rows_do_not_touch_the_fit():
    """Other losses in rows to foretell, or none, change the score alone."""
    before = told()[0]
    other = laws_of(table(**changed("loss", slice(10, 14), 99.0)), x=["seen"], y="loss", group=["task"], train="train")[
        0
    ]
    missing = laws_of(
        table(**changed("loss", slice(10, 14), np.nan)), x=["seen"], y="loss", group=["task"], train="train"
    )[0]
    for after in (other, missing):
        np.testing.assert_array_equal(after.forecast.value, before.forecast.value)
        np.testing.assert_array_equal(after.forecast.high, before.forecast.high)
    assert other.rmse_log > 4
    assert (missing.rmse_log, missing.coverage, missing.naive_coverage) == (None, None, None)
    assert [row["y"] for row in missing.as_dict()["held_out"]] == [None] * 4


def test_one_failing_group_does_not_stop_the_others():
    good, bad = laws_of(table(**changed("loss", 16, np.nan)), x=["seen"], y="loss", group=["task"], train="train")
    assert good.error is None
    assert bad.error == "loss, row 16: nan is not a finite number"
    assert bad.as_dict() == {"group": {"task": "b"}, "error": bad.error}


def test_a_named_form_is_fitted_with_bootstrap_intervals_too():
    law = told(form="M2", bootstrap=100, seed=5)[0]
    alone = fit_form("M2", SEEN[:10], LOSS[:10], bootstrap=100, seed=5, x_name="seen", y_name="loss")
    assert law.fit.values == pytest.approx(alone.values)
    assert law.fit.params["b"].high == pytest.approx(alone.params["b"].high)
    assert law.as_dict()["form"] == "M2"
    robust = told(form="M2", bootstrap=100, huber=1e-4)[0]
    assert robust.fit.huber == 1e-4
    assert robust.fit.values["b"] != pytest.approx(law.fit.values["b"], rel=1e-4)


def test_seeds_of_a_configuration_are_one_cluster():
    rows = np.repeat(np.arange(28), 3)
    seeds = {name: column[rows] for name, column in table().items()} | {"run": rows, "seed": np.tile([0, 1, 2], 28)}
    law = laws_of(seeds, x=["seen"], y="loss", group=["task"], train="train", clusters="run")[0]
    once = told()[0]
    assert (law.law.n, law.law.n_clusters) == (30, 10)
    np.testing.assert_allclose(law.forecast.high[::3], once.forecast.high, rtol=0.01)
    np.testing.assert_allclose(law.forecast.low[::3], once.forecast.low, rtol=0.01)


def test_equal_rows_add_no_certainty_and_are_named():
    rows = np.repeat(np.arange(28), 2)
    law = laws_of(
        {name: column[rows] for name, column in table().items()}, x=["seen"], y="loss", group=["task"], train="train"
    )[0]
    assert law.law.n_clusters == 10
    np.testing.assert_allclose(law.forecast.high[::2], told()[0].forecast.high, rtol=0.01)
    assert any("the same in all columns" in line for line in law.warnings)


def test_several_variables_with_a_size():
    n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 6), np.geomspace(1e8, 1e10, 6)))
    loss = 1.7 + 400 * n**-0.34 + 410 * d**-0.28
    train = (n * d < 1e17).astype(int)
    law = laws_of(
        {"N": n, "D": d, "C": 6 * n * d, "loss": loss, "train": train}, x=["N", "D"], y="loss", train="train", size="C"
    )[0]
    assert law.law.largest == (6 * n * d)[train == 1].max()
    np.testing.assert_allclose(law.forecast.value, loss[train == 0], rtol=1e-3)
    np.testing.assert_allclose(law.forecast.reach, (6 * n * d)[train == 0] / law.law.largest)


def test_everything_is_plain_json():
    """Also where a bound is infinite, a truth missing, or a group's name a date."""
    days = np.array([np.datetime64("2024-01-01")] * 14 + [np.datetime64("2024-02-01")] * 14)
    for form in ("auto", "BNSL1", "saturating_loss"):
        laws = laws_of(
            table(day=days, **changed("loss", slice(10, 14), np.nan)),
            x=["seen"], y="loss", group=["day"], train="train", form=form, bootstrap=100,
        )  # fmt: skip
        content = json.loads(json.dumps([law.as_dict() for law in laws], allow_nan=False))
        assert content[0]["group"] == {"day": "2024-01-01"}
        assert {"panel", "fitted", "origins", "noise", "drift", "held_out", "seconds"} <= set(content[0])


@pytest.mark.parametrize("far", [1e30, 1e300])
@pytest.mark.parametrize("form", ["auto", "M2", "BNSL1", "power"])
def test_a_row_absurdly_far_away_is_still_json(far, form):
    laws = laws_of(
        table(**changed("seen", 13, far)), x=["seen"], y="loss", group=["task"], train="train", form=form, bootstrap=100
    )
    told = json.loads(json.dumps(laws[0].as_dict(), allow_nan=False))
    assert len(told["held_out"]) == len(laws[0].as_dict()["held_out"]) > 0


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"x": ["size"]}, "no column 'size'"),
        ({}, {"group": ["family"]}, "no column 'family'"),
        ({}, {"clusters": "run"}, "no column 'run'"),
        ({"train": np.full(28, 2)}, {}, "train, row 0: 2 is neither 1"),
        (changed("train", 3, np.nan), {}, "train, row 3: nan is neither 1"),
        ({"task": np.where(np.arange(28) == 7, np.nan, 1.0)}, {}, "task, row 7: nan names no group"),
        ({"task": np.array([None] * 28, dtype=object)}, {}, "task, row 0: None names no group"),
        ({"seen": SEEN}, {}, "seen has 14 rows but loss has 28"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_at_once(change, options, message):
    with pytest.raises(SonoscaleError, match=message):
        laws_of(table(**change), **({"x": ["seen"], "y": "loss", "group": ["task"], "train": "train"} | options))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (changed("seen", 17, 0.0), {}, "seen, row 17: 0 is not above zero"),
        (changed("seen", 25, -1.0), {}, "seen, row 25: -1 is not above zero"),
        (changed("seen", 26, np.nan), {}, "seen, row 26: nan is not a finite number"),
        (changed("seen", 18, "many", object), {}, "seen, row 18: 'many' is not a number"),
        (changed("loss", 15, np.inf), {}, "loss, row 15: inf is not a finite number"),
        (changed("loss", 14, -0.5), {}, "is not above zero"),
        ({"seen": np.full(28, 7.0)}, {}, "seen is constant (7 in all 10 rows)"),
        ({"loss": np.full(28, 0.5)}, {}, "loss is constant"),
        ({"train": np.zeros(28, dtype=int)}, {}, "no row to fit: all are held out"),
        ({"train": (np.arange(28) % 14 < 2).astype(int)}, {}, "2 different runs are too few"),
        ({}, {"form": "cubic"}, "no form of a law is called 'cubic'"),
        ({}, {"form": "chinchilla"}, "form 'chinchilla' has the variables N, D; give 2 columns for x, not 1"),
        ({}, {"form": "BNSL3"}, "10 different runs are too few: BNSL3 has 12 parameters and needs 13"),
        ({}, {"form": "saturating"}, "is outside 0..1"),
        ({"size": np.zeros(28)}, {"size": "size"}, "is not above zero"),
    ],
)
def test_a_group_that_cannot_be_fitted_says_why_with_the_row_of_the_table(change, options, message):
    law = laws_of(table(**change), x=["seen"], y="loss", group=["task"], train="train", **options)[1]
    assert message in law.error
    assert law.law is None


def test_predict_refuses_what_is_no_run():
    law = extrapolate(SEEN, LOSS, x_names=("seen",))
    for x, message in (
        ([0.0], "seen, row 0: 0 is not above zero"),
        ([np.nan], "not a finite"),
        (["7"], "not a number"),
    ):
        with pytest.raises(SonoscaleError, match=message):
            law.predict(x)
    with pytest.raises(SonoscaleError, match="one column for each of seen"):
        law.predict([[1.0, 2.0]])
    with pytest.raises(SonoscaleError, match="flops has 2 rows but seen has 1"):
        law.predict([1e6], flops=[1.0, 2.0])
    with pytest.raises(SonoscaleError, match="flops, row 0: -1 is not above zero"):
        law.predict([1e6], flops=[-1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": LOSS[:5]}, "x has 14 rows but y has 5"),
        ({"flops": SEEN[:5]}, "flops has 5 rows but y has 14"),
        ({"clusters": [1, 2]}, "clusters has 2 rows"),
        ({"x_names": ("N", "D")}, "x is one column, but there are names for 2"),
        ({"x": np.stack([SEEN, SEEN], axis=1)}, r"x must be \[n, 1\] for x"),
        ({"x": np.stack([SEEN, np.ones(14)], axis=1), "x_names": ("N", "D")}, "D is constant"),
        ({"y": np.linspace(0.1, 1.0, 14)}, "leaves no error below 1"),
        ({"y": np.linspace(-0.1, 0.9, 14)}, "y, row 0: -0.1 is not above zero"),
    ],
)
def test_extrapolate_refuses_and_names(change, message):
    with pytest.raises(SonoscaleError, match=message):
        extrapolate(**({"x": SEEN, "y": LOSS} | change))
