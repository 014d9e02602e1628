"""`fit`: one law for each group of a table of runs, what it predicts, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import extrapolate, fit, fit_form, read_runs

PARAMS = np.geomspace(1e3, 1e6, 14)
LOSS = (0.5 + 8.0 * PARAMS**-0.35) * np.exp(0.01 * np.random.default_rng(0).normal(size=14))


def table(**change):
    """Two tasks of 14 runs, of which the 4 largest are held out, their losses in the ratio of 2."""
    columns = {
        "task": np.array(["a"] * 14 + ["b"] * 14, dtype=object),
        "params": np.tile(PARAMS, 2),
        "loss": np.concatenate([LOSS, 2 * LOSS]),
        "held": np.tile(np.arange(14) >= 10, 2).astype(int),
    }
    return columns | {name: np.asarray(value) for name, value in change.items()}


def changed(name, row, value, dtype=None):
    column = table()[name].astype(dtype or float)
    column[row] = value
    return {name: column}


def laws_of(columns, x: str | list[str] = "params", **options) -> list[Any]:
    """The laws of the groups, whose optional fields are looked at without asking."""
    given: dict[str, Any] = {"y": "loss", "group": ["task"], "held_out": "held"} | options
    return list(fit(columns, x, **given))


def test_each_group_is_extrapolated_from_its_own_rows():
    laws = laws_of(table())
    assert [law.group for law in laws] == [{"task": "a"}, {"task": "b"}]
    assert laws[1].held.rows.tolist() == [24, 25, 26, 27]
    for law, k in zip(laws, (1, 2), strict=True):
        alone = extrapolate(PARAMS[:10], k * LOSS[:10], x_names=("params",), y_name="loss").predict(PARAMS[10:])
        np.testing.assert_allclose(law.prediction.value, alone.value, rtol=1e-9)
        np.testing.assert_allclose(law.prediction.low, alone.low, rtol=1e-9)
        observed = k * LOSS[10:]
        assert law.rmse_log == pytest.approx(np.sqrt(np.mean(np.log(alone.value / observed) ** 2)))
        assert law.coverage == np.mean(
            [low <= s <= high for low, s, high in zip(alone.low, observed, alone.high, strict=True)]
        )
        assert law.seconds > 0


def test_held_out_rows_do_not_touch_the_fit():
    """Other losses in held-out rows, or none, change the score alone."""
    before = laws_of(table())[0]
    other = laws_of(table(**changed("loss", slice(10, 14), 99.0)))[0]
    missing = laws_of(table(**changed("loss", slice(10, 14), np.nan)))[0]
    for after in (other, missing):
        np.testing.assert_array_equal(after.prediction.value, before.prediction.value)
        np.testing.assert_array_equal(after.prediction.high, before.prediction.high)
    assert other.rmse_log > 4
    assert (missing.rmse_log, missing.coverage, missing.naive_coverage) == (None, None, None)
    assert [row["observed"] for row in missing.as_dict()["held_out"]] == [None] * 4


def test_one_failing_group_does_not_stop_the_others():
    good, bad = laws_of(table(**changed("loss", 16, np.nan)))
    assert good.error is None
    assert bad.error == "loss, row 16: no value; fill it in, leave the row out, or leave out every such row (omit)"
    assert bad.as_dict() == {"group": {"task": "b"}, "error": bad.error}


def test_a_named_form_is_fitted_with_bootstrap_intervals_too():
    law = laws_of(table(), form="M2", bootstrap=100, seed=5)[0]
    alone = fit_form("M2", PARAMS[:10], LOSS[:10], bootstrap=100, seed=5, x_name="params", y_name="loss")
    assert law.fit.values == pytest.approx(alone.values)
    assert law.fit.params["b"].high == pytest.approx(alone.params["b"].high)
    assert law.as_dict()["form"] == "M2"
    robust = laws_of(table(), form="M2", bootstrap=100, huber=1e-4)[0]
    assert robust.fit.huber == 1e-4
    assert robust.fit.values["b"] != pytest.approx(law.fit.values["b"], rel=1e-4)


def test_seeds_of_a_configuration_are_one_cluster():
    rows = np.repeat(np.arange(28), 3)
    seeds = {name: column[rows] for name, column in table().items()} | {"run": rows, "seed": np.tile([0, 1, 2], 28)}
    law = laws_of(seeds, clusters="run")[0]
    once = laws_of(table())[0]
    assert (law.law.n, law.law.n_clusters) == (30, 10)
    np.testing.assert_allclose(law.prediction.high[::3], once.prediction.high, rtol=0.01)
    np.testing.assert_allclose(law.prediction.low[::3], once.prediction.low, rtol=0.01)


def test_copied_rows_count_once_and_are_named():
    rows = np.repeat(np.arange(28), 2)
    copied = {name: column[rows] for name, column in table().items()}
    (law, _), once = laws_of(copied), laws_of(table())[0]
    assert (law.law.n, law.law.n_clusters) == (10, 10)
    np.testing.assert_array_equal(law.prediction.high, once.prediction.high)
    assert law.held.rows.tolist() == [20, 22, 24, 26]
    notes = fit(copied, "params", y="loss", group="task", held_out="held").notes
    assert notes[0].startswith("rows 1, 3, 5, 7, 9, 11, ... repeat others in every column")


def test_several_variables_along_flops():
    n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 6), np.geomspace(1e8, 1e10, 6)))
    loss = 1.7 + 400 * n**-0.34 + 410 * d**-0.28
    held = n * d >= 1e17
    runs = {"N": n, "D": d, "C": 6 * n * d, "loss": loss}
    law = laws_of(runs, ["N", "D"], group=(), held_out="C>=6e17", flops="C")[0]
    assert law.law.largest == (6 * n * d)[~held].max()
    np.testing.assert_allclose(law.prediction.value, loss[held], rtol=1e-3)
    np.testing.assert_allclose(law.prediction.reach, (6 * n * d)[held] / law.law.largest)
    assert law.predict({"N": 1e9, "D": 1e11, "C": 6e20}).value == pytest.approx(
        [1.7 + 400 * 1e9**-0.34 + 410 * 1e11**-0.28], rel=2e-3
    )
    with pytest.raises(SonoscaleError, match="a prediction needs C; given: N, D"):
        law.predict({"N": 1e9, "D": 1e11})


def test_everything_is_plain_json():
    """Also where a bound is infinite, an observed value missing, or a group's name a date."""
    days = np.array([np.datetime64("2024-01-01")] * 14 + [np.datetime64("2024-02-01")] * 14)
    for form in ("auto", "BNSL1", "saturating_loss"):
        laws = laws_of(
            table(day=days, **changed("loss", slice(10, 14), np.nan)),
            group=["day"], form=form, bootstrap=100,
        )  # fmt: skip
        content = json.loads(json.dumps([law.as_dict() for law in laws], allow_nan=False))
        assert content[0]["group"] == {"day": "2024-01-01"}
        assert {"panel", "fitted", "origins", "noise", "drift", "held_out", "seconds"} <= set(content[0])


@pytest.mark.parametrize("far", [1e30, 1e300])
@pytest.mark.parametrize("form", ["auto", "M2", "BNSL1", "power"])
def test_a_row_absurdly_far_away_is_still_json(far, form):
    laws = laws_of(table(**changed("params", 13, far)), form=form, bootstrap=100)
    content = json.loads(json.dumps(laws[0].as_dict(), allow_nan=False))
    assert len(content["held_out"]) == len(laws[0].as_dict()["held_out"]) > 0


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"x": ["size"]}, "no column 'size'"),
        ({}, {"group": ["family"]}, "no column 'family'"),
        ({}, {"clusters": "run"}, "no column 'run'"),
        ({}, {"x": []}, "x names no column"),
        ({}, {"x": ["params", "loss"]}, "'loss' is named twice among x and y"),
        ({}, {"flops": "C"}, "no column 'C'"),
        ({}, {"level": 95}, "level must lie between 0 and 1"),
        ({}, {"form": "cubic"}, "no form of a law is called 'cubic'"),
        ({}, {"huber": 1e-3}, "huber is for a named form"),
        ({"held": np.full(28, 2)}, {}, r"held, row 0: 2 is neither 1 \(held out\) nor 0"),
        (changed("held", 3, np.nan), {}, "held, row 3: nan is neither 1"),
        ({"task": np.where(np.arange(28) == 7, np.nan, 1.0)}, {}, "task, row 7: no value"),
        ({"params": PARAMS}, {}, "params has 14 rows but task has 28"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_at_once(change, options, message):
    with pytest.raises(SonoscaleError, match=message):
        laws_of(table(**change), **options)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (changed("params", 17, 0.0), {}, "params, row 17: 0 is not above zero"),
        (changed("params", 25, -1.0), {}, "params, row 25: -1 is not above zero"),
        (changed("params", 26, np.nan), {}, "params, row 26: no value"),
        (changed("params", 18, "many", object), {}, "params, row 18: 'many' is not a number"),
        (changed("loss", 15, np.inf), {}, "loss, row 15: inf is not a finite number"),
        (changed("loss", 14, -0.5), {}, "is not above zero"),
        ({"held": (np.arange(28) >= 14).astype(int)}, {}, "no row to fit: all are held out"),
        ({"held": (np.arange(28) >= 16).astype(int)}, {}, "2 different runs are too few"),
        ({"C": np.where(np.arange(28) < 14, 1.0, 0.0)}, {"flops": "C"}, "C, row 14: 0 is not above zero"),
    ],
)
def test_a_group_that_cannot_be_fitted_says_why_with_the_row_of_the_table(change, options, message):
    law = laws_of(table(**change), **options)[1]
    assert message in law.error
    assert law.law is None


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"params": np.full(28, 7.0)}, {}, "params is constant (7 in all 10 rows); and 1 more group"),
        ({"loss": np.full(28, 0.5)}, {}, "loss is constant"),
        ({}, {"form": "chinchilla"}, "form 'chinchilla' has the variables N, D; give 2 columns for x, not 1"),
        ({}, {"form": "BNSL3"}, "10 different runs are too few: BNSL3 has 12 parameters and needs 13"),
        ({}, {"form": "saturating"}, "is outside 0..1"),
    ],
)
def test_where_no_group_can_be_fitted_the_reason_of_the_first_is_raised(change, options, message):
    with pytest.raises(SonoscaleError) as caught:
        laws_of(table(**change), **options)
    assert str(caught.value).startswith("task = a: ")
    assert message in str(caught.value)


def score(**change):
    """One table of 12 configurations with two seeds each; the accuracy rises towards 90 %."""
    params = np.repeat(np.geomspace(1e6, 1e9, 12), 2)
    accuracy = 0.9 - 30.0 * params**-0.3 * np.exp(0.02 * np.random.default_rng(1).normal(size=24))
    columns = {"config": np.repeat(np.arange(12), 2), "params": params, "accuracy": accuracy}
    return columns | {name: np.asarray(value) for name, value in change.items()}


@pytest.mark.parametrize(
    ("y", "values", "fitted", "words"),
    [
        ("accuracy", lambda a: a, "log(1 - accuracy)", "1 - accuracy"),
        ("accuracy", lambda a: 100 * a, "log(100 - accuracy)", "100 - accuracy"),
        ("loss", lambda a: 1 - a, "log(loss)", "loss"),
        ("rankme", lambda a: 500 * a, "log(1 / rankme)", "1 / rankme"),
    ],
)
def test_what_is_fitted_is_said_and_labels_the_parameters(y, values, fitted, words):
    given = score()
    found = fit({**given, y: values(given["accuracy"])}, "params", y=y, form="M2", bootstrap=100, held_out="params>9e8")
    assert found.headline == f"fitted: {fitted}, 22 runs of 11 configurations, 2 held out"
    assert {row["of"] for row in found.rows()} == {words}
    assert found.groups[0].as_dict()["fit"]["y_name"] == words
    assert found.as_dict()["headline"] == found.headline
    assert found.headline in repr(found)
    assert words in found._repr_html_()


def test_a_score_of_zero_is_fitted():
    """The logarithm is of what is left to the ceiling, which is 1 there."""
    values = np.maximum(score()["accuracy"] - score()["accuracy"].min(), 0.0)
    for form in ("auto", "M2", "M1"):
        found = fit(score(accuracy=values), "params", y="accuracy", form=form, bootstrap=100)
        assert found.groups[0].fitted == "log(1 - accuracy)"
        assert (found.predict({"params": [1e7, 1e10]}).value < 1).all()
    n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 5), np.geomspace(1e8, 1e10, 5)))
    left = 0.1 + 20 * n**-0.3 + 30 * d**-0.2
    runs = {"params": n, "tokens": d, "top1": 1 - left / left.max()}
    assert fit(runs, ["params", "tokens"], y="top1").groups[0].law.n == 25  # pyright: ignore[reportOptionalMemberAccess]


def test_a_percentage_under_an_unknown_name_is_asked_for_and_ends_at_100():
    runs = {"params": [1e6, 1e7, 1e8], "esc50": [98.0, 99.0, 99.5]}
    with pytest.raises(SonoscaleError, match=r"say whether it is a percentage.*\(unit: percent or none\)"):
        fit(runs, "params", y="esc50")
    assert fit(runs, "params", y="esc50", unit="percent").predict({"params": 1e12}).high[0] <= 100.0


def test_a_blank_cell_is_refused_with_its_row_and_omitted_on_request():
    hole = score()["accuracy"].copy()
    hole[5] = np.nan
    with pytest.raises(SonoscaleError, match=r"accuracy, row 5: no value.*\(omit\)"):
        fit(score(accuracy=hole), "params", y="accuracy")
    found = fit(score(accuracy=hole), "params", y="accuracy", omit=True)
    assert found.headline == "fitted: log(1 - accuracy), 23 runs of 12 configurations"
    assert found.notes[0] == "row 5 left out: no value in accuracy or another needed column"


def test_outliers_are_named_by_their_place_in_the_table():
    values = score()["accuracy"].copy()
    values[20] -= 0.3
    runs = read_runs(score(accuracy=values, group=np.repeat([0, 1], 12)), y="accuracy", group="group")
    law = fit(runs, "params", form="M1", bootstrap=100).groups[1]
    assert law.fit is not None
    assert 20 in law.fit.diagnosis.outliers
    assert any(line.startswith("row 20 lies far off") for line in law.warnings)


def test_predictions_ask_for_the_group():
    laws = fit(table(), "params", y="loss", group="task", held_out="held")
    with pytest.raises(SonoscaleError, match=r"there is a law for each task: give task too \(task = a; task = b\)"):
        laws.predict({"params": 1e7})
    with pytest.raises(SonoscaleError, match="no group has task = c"):
        laws.predict({"params": 1e7, "task": "c"})
    one = laws.predict({"params": [1e7, 1e8], "task": "b"})
    np.testing.assert_array_equal(one.low, laws.groups[1].predict({"params": [1e7, 1e8]}).low)
    assert [row["task"] for row in laws.predict_rows([{"params": 1e7}, {"params": 1e7, "task": "b"}])] == [
        "a",
        "b",
        "b",
    ]


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ({}, "a prediction needs params; given: nothing"),
        ({"params": 1e7, "hours": 3.0}, "the law does not depend on hours, but on params"),
        ({"params": 0.0}, "params, row 0: 0 is not above zero"),
        ({"params": "many"}, "params, row 0: 'many' is not a number"),
    ],
)
def test_predictions_refuse_and_name(at, message):
    with pytest.raises(SonoscaleError, match=message):
        fit(score(), "params", y="accuracy", form="M1", bootstrap=100).predict(at)


@pytest.mark.filterwarnings("ignore:extrapolating")
def test_through_another_column():
    """The held-out runs are predicted through the rank, and the verdict compares that with the direct law."""
    rng = np.random.default_rng(0)
    params = np.repeat(np.geomspace(1e6, 1e9, 12), 2)
    rank = 20 * (params / 1e6) ** 0.3 * np.exp(0.02 * rng.normal(size=24))
    runs = {"config": np.repeat(np.arange(12), 2), "params": params, "rankme": rank, "quality": 0.1 * rank**0.25}
    found = fit(runs, "params", through="rankme", held_out="params>9e8", bootstrap=100)
    (law,) = found.groups
    assert law.two_stage is not None
    assert found.headline.startswith("fitted: quality through rankme, 22 runs of 11 configurations, 2 held out: ")
    assert found.headline.endswith(law.two_stage.verdict)
    assert law.rmse_log is not None
    assert law.rmse_log < 0.02
    assert found.predict({"params": 1e10}).value == pytest.approx([0.1 * (20 * 1e4**0.3) ** 0.25], rel=0.03)
    assert json.loads(found.to_json())["groups"][0]["two_stage"]["routes"].keys() == law.two_stage.routes.keys()


@pytest.mark.parametrize("options", [{}, {"group": "task", "held_out": "held"}])
def test_a_figure_of_the_law(options):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    laws = fit(table() if options else score(), "params", y="loss" if options else "accuracy", **options)
    axes = laws.plot()
    assert len(axes.lines) == len(laws.groups)
    assert axes.get_xlabel() == "params"
    pyplot.close(axes.figure)


PUBLISHED = Path(__file__).parents[2].parent / "shared" / "data" / "laws" / "chinchilla_fig4_epoch.csv"


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"no {PUBLISHED}")
def test_chinchilla_is_fitted_as_its_source_fits_it():
    """Besiroglu et al., arXiv 2404.10102, table 1; least squares gives A = 593, alpha = 0.360."""
    table = read_runs(PUBLISHED, y="loss").columns
    kept = table["epoch_excluded_outlier"].astype(str) == "False"
    part = {name: table[name][kept].astype(float) for name in ("N", "D", "loss")}
    assert len(part["N"]) == 240
    found = fit(part, ["N", "D"], y="loss", form="chinchilla", bootstrap=80)
    (law,) = found.groups
    assert law.fit is not None
    assert law.fit.huber == 1e-3
    assert any("Huber's loss with delta 0.001" in note for note in found.notes)
    theirs = {"A": 477.8, "alpha": 0.347, "B": 2143.0, "beta": 0.367, "E": 1.817}
    assert law.fit.values == pytest.approx(theirs, rel=2e-3)
    plain = fit(part, ["N", "D"], y="loss", form="chinchilla", bootstrap=80, huber=np.inf)
    assert plain.groups[0].fit is not None
    assert plain.groups[0].fit.values["alpha"] == pytest.approx(0.360, abs=1e-3)


def test_a_parameter_that_nothing_determines_is_not_identified():
    """Where N is always far below the best for U, its repeats are worth whatever rN says."""
    rng = np.random.default_rng(0)
    n, d, u = np.exp(rng.uniform(np.log([1e6, 1e9, 5e9]), np.log([1e8, 1e12, 5e10]), size=(60, 3))).T
    fresh = np.minimum(d, u) * (1 + 15.0 * (1 - np.exp(-np.maximum(d / u - 1, 0) / 15.0)))
    y = 1.7 + 400.0 * n**-0.34 + 1200.0 * fresh**-0.36
    table = {"N": n, "D": d, "U": u, "loss": y * np.exp(0.002 * rng.normal(size=60))}
    found = fit(table, ["N", "D", "U"], y="loss", form="data_constrained", bootstrap=80)
    notes = {row["parameter"]: row["note"] for row in found.rows()}
    assert notes["rN"] == "not identified"
    assert not notes["alpha"]
    assert not notes["E"]


def test_intervals_that_do_not_end_are_not_numbers():
    """Of noise about nothing: neither in the table nor in JSON is there an infinity."""
    rng = np.random.default_rng(0)
    table = {"params": np.geomspace(1e6, 1e9, 30), "loss": np.exp(rng.normal(size=30))}
    found = fit(table, "params", y="loss")
    lost = [row for row in found.rows() if row["note"] == "not identified"]
    assert any(row["low"] is None and row["high"] is None for row in lost)
    assert all(np.isfinite([row["low"], row["high"]]).all() for row in found.rows() if row["low"] is not None)
    assert "inf " not in repr(found)


def test_a_score_stays_within_its_scale():
    """Scores of 1 to 7 % as GSM8K has them for small models: once up to 61 on a scale of 0 to 1, at ten times."""
    flops = np.geomspace(1e19, 1e22, 8)
    score = np.array([0.01, 0.012, 0.011, 0.02, 0.018, 0.03, 0.05, 0.07])
    ahead = np.array([1e22, 1e23, 1e24])
    for y, name, top, form in (
        (score, "gsm8k", 1.0, "auto"), (100 * score, "accuracy", 100.0, "auto"), (score, "accuracy", 1.0, "power"),
        (1 - score, "error", 1.0, "auto"), (100 - 100 * score, "top1_error", 100.0, "auto"),
        (100 * score, "accuracy", 100.0, "logistic"),
    ):  # fmt: skip
        law = fit({"flops": flops, name: y}, "flops", y=name, form=form, bootstrap=80)
        found = law.predict({"flops": ahead})
        for end in (found.value, found.low, found.high, found.naive_low, found.naive_high):
            assert end is not None
            assert (end >= 0).all(), (name, form)
            assert (end <= top).all(), (name, form)
