"""Arguments of the wrong type, and tables that hold what no law can use: one line, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import compare, fit, fit_loglinear, fit_two_stage, read_runs
from sonoscale.laws.audit import audit
from sonoscale.laws.plan import plan, plan_allocation, plan_design

X = ("params", "hours")
N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 6), np.geomspace(10.0, 1000.0, 4)))
NOISE = np.random.default_rng(0).normal(size=(2, 24))
RUNS = {
    "params": N,
    "hours": D,
    "rankme": 40 * (N / 1e6) ** 0.2 * D**0.1 * np.exp(0.05 * NOISE[0]),
    "accuracy": 0.95 - (12 * N**-0.25 + 1.2 * D**-0.4) * 0.7 * np.exp(0.02 * NOISE[1]),
}


def _with(verb: Any, **usual: Any) -> Callable[..., Any]:
    return lambda source=RUNS, **options: verb(source, **(usual | options))


VERBS = {
    "fit": _with(fit, x=X, bootstrap=80),
    "compare": _with(compare, x=X, bootstrap=80),
    "audit": _with(audit, rank="rankme", bootstrap=80, permutations=80),
    "plan": _with(plan, flops=1e10, bootstrap=80, next_runs=0),
    "fit_loglinear": _with(fit_loglinear, x=X, bootstrap=80),
    "fit_two_stage": _with(fit_two_stage, x=X, bootstrap=80),
}

WRONG = {
    "y": [3, ["accuracy"], np.arange(2)], "family": [3, ["accuracy"]], "step": [3, ["accuracy"]],
    "clusters": [3, [None], {"params": 1}], "group": [3, [None], {"params": 1}],
    "omit": ["no", 2, np.arange(2)], "higher_is_better": ["no", 2, np.arange(2)], "unit": [3, np.arange(2)],
    "bootstrap": ["x", 1.5, -1], "seed": ["x", 1.5, -1], "level": ["x", 2, None],
}  # fmt: skip


@pytest.mark.parametrize("option", WRONG)
@pytest.mark.parametrize("verb", VERBS)
def test_options_that_all_verbs_share(verb, option):
    form = {"form": "chinchilla"} if verb == "fit" else {}  # auto draws nothing
    for value in WRONG[option]:
        with pytest.raises(SonoscaleError, match=f"^{option} must"):
            VERBS[verb](**{option: value, **form})


@pytest.mark.parametrize(
    ("verb", "option", "value"),
    [
        ("fit", "x", None), ("fit", "x", 3), ("fit", "form", 3), ("fit", "form", ["M1"]), ("fit", "flops", []),
        ("fit", "through", ["rankme"]), ("fit", "huber", "x"), ("compare", "x", 3), ("compare", "forms", 3),
        ("compare", "forms", []), ("compare", "x", ["params", "params"]), ("audit", "rank", ["rankme"]),
        ("audit", "covariates", 3), ("audit", "baselines", None), ("audit", "warmup", "x"), ("audit", "layer", 3),
        ("audit", "permutations", 1.5), ("plan", "limits", 3), ("plan", "n", ["params"]), ("plan", "d", np.arange(2)),
        ("plan", "design", 3), ("plan", "curved", 3), ("plan", "base", np.arange(2)), ("plan", "flops_column", []),
        ("plan", "flops", True), ("fit_loglinear", "y_scale", ["log"]), ("fit_loglinear", "effects", np.arange(2)),
        ("fit_loglinear", "interactions", 3), ("fit_loglinear", "interactions", [("params",)]),
        ("fit_loglinear", "log", 3), ("fit_two_stage", "through", ["rankme"]), ("fit_two_stage", "form", 3),
    ],
)  # fmt: skip
def test_options_of_one_verb(verb, option, value):
    with pytest.raises(SonoscaleError):
        VERBS[verb](**{option: value})


@pytest.mark.parametrize("verb", ["compare", "fit_loglinear", "fit_two_stage"])
def test_groups_are_not_pooled_in_silence(verb):
    with pytest.raises(SonoscaleError, match=r"group \(task\): .* take each group by itself"):
        VERBS[verb](RUNS | {"task": ["a", "b"] * 12}, group="task")


@pytest.mark.parametrize("option", ["clusters", "group", "family"])
def test_a_list_is_no_label(option):
    verb = VERBS["audit" if option == "family" else "fit"]
    with pytest.raises(SonoscaleError, match=r"of, row 0: \[1\] is a list, not a label"):
        verb(pytest.importorskip("pandas").DataFrame(RUNS | {"of": [[1]] * 24}), **{option: "of"})


@pytest.mark.parametrize("verb", VERBS)
def test_a_number_that_no_float_holds(verb):
    with pytest.raises(SonoscaleError, match="params, row 5: inf is not a finite number"):
        VERBS[verb](RUNS | {"params": [10**400 if i == 5 else int(n) for i, n in enumerate(N)]})


def test_labels_of_64_bits_stay_apart():
    runs = read_runs(RUNS | {"config": [2**63 + i // 2 for i in range(24)]})
    assert runs.n_clusters == 12


@pytest.mark.parametrize("verb", VERBS)
def test_decimals_are_numbers(verb):
    found = VERBS[verb](RUNS | {"params": [Decimal(int(n)) for n in N]})
    assert len(found.runs.fitted) == 24


def test_columns_that_are_none():
    with pytest.raises(SonoscaleError, match="params: a column is a flat sequence, not lists of unlike lengths"):
        read_runs({"params": [[1], [1, 2]], "loss": [1.0, 2.0]})
    with pytest.raises(SonoscaleError, match="several columns called '3'"):
        read_runs({"3": [1.0, 2.0], 3: [1.0, 2.0], "loss": [1.0, 2.0]})


@pytest.mark.parametrize("verb", ["fit", "compare", "plan", "fit_two_stage"])
def test_held_out_rows_in_another_unit(verb):
    accuracy = np.where(np.arange(24) > 19, 100.0, 1.0) * RUNS["accuracy"]
    with pytest.raises(SonoscaleError, match="held-out rows together mixes fractions with percentages"):
        VERBS[verb](RUNS | {"accuracy": accuracy, "held_out": [0] * 20 + [1] * 4}, held_out="held_out")


@pytest.mark.parametrize("verb", VERBS)
def test_sizes_are_above_zero_and_the_row_is_that_of_the_table(verb):
    columns = {name: np.concatenate([values[:3], values]) for name, values in RUNS.items()}  # 3 copies
    columns["params"][20] = -1.0
    with pytest.raises(SonoscaleError, match="params, row 20: -1 is not above zero"):
        VERBS[verb](columns)


def test_rows_that_are_held_out_and_cannot_be_predicted_are_named():
    params = np.where(np.arange(24) == 22, -1.0, N)
    with pytest.raises(SonoscaleError, match="params, row 22: -1 is not above zero"):
        fit(RUNS | {"params": params, "held_out": [0] * 20 + [1] * 4}, X, through="rankme", held_out="held_out")


def test_no_row_with_a_score_names_the_score():
    with pytest.raises(SonoscaleError, match=r"no row has a value in accuracy$"):
        fit(RUNS | {"accuracy": [None] * 24}, X, omit=True)
    half = np.arange(24) < 12
    gaps = {"params": np.where(half, np.nan, N), "accuracy": np.where(half, RUNS["accuracy"], np.nan)}
    with pytest.raises(SonoscaleError, match="no row has a value in all of params, hours, accuracy"):
        fit(RUNS | gaps, X, omit=True)


def test_a_percentage_is_compared_as_one():
    found = compare(RUNS | {"accuracy": 100 * RUNS["accuracy"]}, X, bootstrap=80)
    fraction = compare(RUNS, X, bootstrap=80)
    assert [one.form.name for one in found.fits] == ["power", "saturating_percent"] * 2
    assert [one.loo_rmse for one in found.fits] == pytest.approx(
        [100 * one.loo_rmse for one in fraction.fits], rel=1e-3
    )
    assert {one.form.name for one in compare(RUNS, X, unit="none", bootstrap=80).fits} == {"power"}


@pytest.mark.parametrize("at", [None, 1e9, [1e9, 100.0], "params=1e9"])
@pytest.mark.parametrize("verb", ["fit", "fit_loglinear", "fit_two_stage"])
def test_a_prediction_is_asked_with_columns(verb, at):
    with pytest.raises(SonoscaleError, match="a prediction is asked with a mapping of columns"):
        VERBS[verb]().predict(at)


def test_a_prediction_takes_data_frames():
    frames = pytest.importorskip("pandas"), pytest.importorskip("polars")
    law = VERBS["fit"]()
    values = [
        law.predict(one.DataFrame({"params": [1e7, 1e8], "hours": [10.0, 20.0]})).value.tolist() for one in frames
    ]
    assert values[0] == values[1] == law.predict({"params": [1e7, 1e8], "hours": [10.0, 20.0]}).value.tolist()


def test_a_law_through_the_rank_refuses_what_it_does_not_depend_on_and_ends_where_the_score_ends():
    law = fit(RUNS, X, through="rankme", bootstrap=80)
    with pytest.raises(SonoscaleError, match="does not depend on depth, but on params, hours"):
        law.predict({"params": 1e9, "hours": 100, "depth": 3})
    with pytest.warns() as said:
        found = law.predict({"params": 1e12, "hours": 1e6})
    assert any("accuracy is predicted above 1, where it ends" in str(one.message) for one in said)
    assert found.low[0] <= found.value[0] <= found.high[0] == 1.0


def test_the_group_of_a_prediction_is_one_value_as_text_or_as_a_number():
    law = fit(RUNS | {"task": ["001", "002"] * 12}, X, group="task")
    at = {"params": 1e9, "hours": 100}
    assert law.predict({**at, "task": 2}).value == law.predict({**at, "task": "002"}).value
    with pytest.raises(SonoscaleError, match="task: a prediction is of one group"):
        law.predict({**at, "task": np.array(["001", "002"])})


def test_a_group_without_a_law_is_not_counted():
    found = fit(RUNS | {"task": ["a"] * 23 + ["b"]}, X, group="task")
    assert found.headline == "fitted: log(1 - accuracy), 23 runs, in 1 of 2 groups"
    assert found.as_dict()["n"] == 23


def test_a_ledger_with_two_scores_of_one_task_and_with_gaps_in_its_labels():
    row = {"run": "a", "label": None, "seed": 0, "step": 1, "task": "t", "protocol": "p", "score": 0.5}
    rows = [row, row | {"run": "b", "label": "x", "seed": None}]
    assert len(read_runs({name: [one[name] for one in rows] for name in row})) == 2
    rows.append(row | {"score": 0.75})
    with pytest.raises(SonoscaleError, match=r"run a, step 1 has two scores of t: 0.5 and 0.75"):
        read_runs({name: [one[name] for one in rows] for name in row})


def test_the_interval_of_a_planned_score_ends_at_zero():
    found = VERBS["plan"](hours=1.0, force=True)
    assert found.y.low >= 0.0


def test_a_comparison_knows_the_names_of_columns():
    runs = {"a==b": [1, 2, 4, 8], "a": [9, 9, 9, 9], "loss": [3.0, 2.5, 2.2, 2.0]}
    assert read_runs(runs, held_out="a==b>=4").held.tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"basin_share": None}, "basin_share must be a number above zero"),
        ({"huber": True}, "huber must be a number above zero"),
        ({"cost": 3.0}, "cost must be a Cost, a function of N and D, or the name of a column"),
        ({"n": ["params"]}, "n must be the name of a column"),
    ],
)
def test_an_allocation_names_what_it_refuses(options, message):
    with pytest.raises(SonoscaleError, match=message):
        plan_allocation(RUNS, **({"n": "params", "d": "hours", "flops": 1e20} | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": None}, "x must be the name of a column, or a list of names"),
        ({"cost": "flops"}, "cost must be a function"),
        ({"budgets": "params"}, "budgets must map costs or columns"),
        ({"amount": ["hours"]}, "amount must be the name of a column"),
        ({"curved": None}, "curved must be the name of a column, or a list of names"),
        ({"shown": 0}, "shown must be a whole number, 1 or more"),
    ],
)
def test_a_design_names_what_it_refuses(options, message):
    with pytest.raises(SonoscaleError, match=message):
        plan_design(RUNS, **({"x": ["params"], "budgets": {"params": 1e9}} | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"progress": "yes"}, "progress must be a function"),
        ({"form": "M2", "fix": np.array([1.0, 2.0])}, "fix must map parameters to values"),
        ({"form": "M2", "tie": np.array([1.0, 2.0])}, "fix must map parameters to values"),
    ],
)
def test_a_fit_names_what_it_refuses(options, message):
    with pytest.raises(SonoscaleError, match=message):
        fit(RUNS, "params", **options)
