"""Splits of a budget: known truths, intervals that cover them, and refusals."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import RunTable, read_runs
from sonoscale.laws.plan import PowerCost, plan_allocation

TRUTH = {"E": 1.7, "A": 400.0, "B": 1200.0, "alpha": 0.34, "beta": 0.36}
BUDGET = 1e20


def best_of(flops):
    a, b = TRUTH["alpha"], TRUTH["beta"]
    n = (a * TRUTH["A"] / (b * TRUTH["B"])) ** (1 / (a + b)) * (flops / 6) ** (b / (a + b))
    return n, flops / 6 / n


def runs(noise=0.004, seed=0, count=8):
    """A grid of runs of 1e17 to 4e19 FLOPs, with noise of log y."""
    rng = np.random.default_rng(seed)
    flops, n = np.meshgrid(np.geomspace(1e17, 4e19, 5), np.geomspace(3e7, 3e9, count))
    n, d = n.ravel(), (flops / 6 / n).ravel()
    y = TRUTH["E"] + TRUTH["A"] / n ** TRUTH["alpha"] + TRUTH["B"] / d ** TRUTH["beta"]
    return {"N": n, "D": d, "loss": y * np.exp(noise * rng.standard_normal(len(n)))}


def plan(table, **options):
    given = {} if isinstance(table, RunTable) else {"y": "loss"}
    return plan_allocation(table, n="N", d="D", **given, **({"flops": BUDGET, "bootstrap": 100} | options))


@functools.cache
def standard():
    """The plan of `runs()`, which several tests compare with."""
    return plan(runs())


def test_without_noise_the_truth_is_found():
    found = plan(runs(noise=1e-9))
    n, d = best_of(BUDGET)
    np.testing.assert_allclose([found.n.value, found.d.value], [n, d], rtol=1e-3)
    assert found.a.value == pytest.approx(0.36 / 0.70, abs=1e-4)
    assert found.a.value + found.b.value == pytest.approx(1.0)
    y = TRUTH["E"] + TRUTH["A"] / n ** TRUTH["alpha"] + TRUTH["B"] / d ** TRUTH["beta"]
    assert found.y.value == pytest.approx(y, rel=1e-4)
    assert {name: one.value for name, one in found.law.items()} == pytest.approx(TRUTH, rel=1e-2)


def test_intervals_cover_the_truth():
    n, d = best_of(BUDGET)
    y = TRUTH["E"] + TRUTH["A"] / n ** TRUTH["alpha"] + TRUTH["B"] / d ** TRUTH["beta"]
    hits = []
    for seed in range(12):
        found = plan(runs(seed=seed), level=0.8, bootstrap=50)
        rng = np.random.default_rng(1000 + seed)
        new = y * np.exp(0.004 * rng.standard_normal())
        hits.append(
            [found.n.low <= n <= found.n.high, found.a.low <= 0.36 / 0.7 <= found.a.high,
             found.expected.low <= y <= found.expected.high, found.y.low <= new <= found.y.high]
        )  # fmt: skip
    assert (np.mean(hits, axis=0) >= 0.6).all(), np.mean(hits, axis=0)  # of 80 %; 12 tables


def test_where_the_law_holds_the_optimum_hardly_drifts():
    """Ten times beyond the data, the intervals of N and a are about those of resampling."""
    halves = []
    for seed in range(4):
        found = plan(runs(seed=seed), flops=4e20)
        assert found.origins >= 2
        halves.append([0.5 * np.log(found.n.high / found.n.low), 0.5 * (found.a.high - found.a.low)])
    assert (np.median(halves, axis=0) < [0.25, 0.05]).all(), halves


def test_the_drift_of_a_large_table_is_that_of_some_of_its_rows(monkeypatch):
    monkeypatch.setattr("sonoscale.laws.plan._drift._MOST_ROWS", 20)
    some, every = plan(runs()), standard()
    assert some.origins >= 1
    assert some.n.value == every.n.value
    assert np.log(some.n.high / some.n.low) < 2.0 * np.log(every.n.high / every.n.low)


def test_everything_agrees_with_everything_else():
    found = plan(runs(), next_runs=2)
    reported = json.loads(found.to_json())
    assert reported["flops"] == pytest.approx(BUDGET)
    assert reported["frontier"]["n"]["x"][-1] == pytest.approx(BUDGET)
    assert reported["frontier"]["n"]["y"][-1] == pytest.approx(reported["n"]["value"])
    assert reported["frontier"]["n"]["low"][-1] == pytest.approx(reported["n"]["low"])
    assert (np.diff(reported["frontier"]["y"]["y"]) < 0).all()
    asked = reported["isoflops"][-1]
    assert asked["flops"] == pytest.approx(BUDGET)
    assert min(asked["y"]) >= reported["expected"]["value"] * (1 - 1e-12)
    np.testing.assert_allclose(6 * np.array(asked["x"]) * np.array(asked["d"]), BUDGET)
    assert reported["basin"]["n_low"] < reported["n"]["value"] < reported["basin"]["n_high"]
    compute = next(one for one in found.doublings if one.variable == "compute")
    twice = plan(runs(), flops=2 * BUDGET)
    assert compute.change.value == pytest.approx(twice.expected.value - found.expected.value)
    assert compute.flops == pytest.approx(BUDGET)
    at_plan = [one.change.value for one in found.doublings if one.at == "the plan" and one.variable != "compute"]
    assert all(compute.change.value <= one < 0 for one in at_plan)  # the best split of twice the compute buys most


def test_units_and_order_of_rows_do_not_matter():
    table = runs()
    found = standard()
    swapped = plan({name: values[::-1] for name, values in table.items()}, level=0.95)
    thousand = plan(table | {"N": table["N"] / 1e3}, cost=PowerCost(6e3))
    assert swapped.n.value == pytest.approx(found.n.value, rel=1e-5)
    assert thousand.n.value * 1e3 == pytest.approx(found.n.value, rel=1e-5)
    assert thousand.d.value == pytest.approx(found.d.value, rel=1e-5)
    assert thousand.y.value == pytest.approx(found.y.value, rel=1e-6)


def test_a_score_is_planned_as_its_distance_from_the_top():
    table = runs(noise=1e-9)
    error = table.pop("loss") / 10
    found = plan_allocation(table | {"accuracy": 1 - error}, n="N", d="D", y="accuracy", flops=BUDGET, bootstrap=100)
    assert found.n.value == pytest.approx(best_of(BUDGET)[0], rel=1e-3)
    assert found.y.low < found.y.value < found.y.high < 1
    assert found.doublings[0].change.value > 0
    assert found.target.words == "1 - accuracy"


def test_a_column_of_flops_gives_the_cost():
    table = runs()
    found = plan(table | {"flops": 8.0 * table["N"] * table["D"]}, cost="flops", flops=8 / 6 * BUDGET)
    assert found.n.value == pytest.approx(standard().n.value)
    assert "8 N D" in found.cost


def test_repeated_rows_of_one_configuration_add_no_certainty():
    table = runs()
    whole = standard()
    table = {name: np.tile(values, 4) for name, values in table.items()} | {"run": np.tile(np.arange(40), 4)}
    again = plan(table, clusters="run")
    assert again.runs.n_clusters == 40
    assert np.log(again.n.high / again.n.low) == pytest.approx(np.log(whole.n.high / whole.n.low), rel=0.2)


def test_held_out_rows_are_predicted_and_not_fitted():
    table = runs()
    large = table["N"] * table["D"] * 6 > 3e19
    spoilt = table | {"loss": np.where(large, 9.0, table["loss"])}
    found, other = plan(table, held_out=large), plan(spoilt, held_out=large)
    assert found.n == other.n
    assert found.check is not None
    assert len(found.check.runs) == large.sum()
    assert found.check.coverage >= 0.75
    assert other.check is not None
    assert other.check.coverage == 0.0
    for one in found.check.runs:
        n, _ = best_of(one.flops)
        assert one.best is not None
        assert one.best["N"] == pytest.approx(n, rel=0.5)
        assert one.best_y is not None
        assert one.best_y <= one.predicted.value * (1 + 1e-9)


def test_caps_bound_the_plan():
    assert plan(runs(), most_n=1e8).n.value == pytest.approx(1e8)
    both = plan(runs(), most_n=1e8, most_d=1e9)
    assert both.flops == pytest.approx(6e17)
    assert any("both caps are reached" in note for note in both.warnings)
    assert plan(runs(), flops=None, most_n=1e8, most_d=1e9).basin is None


def test_far_is_warned_of_and_too_far_refused():
    assert not [note for note in standard().warnings if "above the largest" in note]
    assert [note for note in plan(runs(), flops=1e21).warnings if "FLOPs = 1e+21 is 25x above the largest" in note]
    with pytest.raises(SonoscaleError, match="more than 100x beyond what was tried nothing is known"):
        plan(runs(), flops=1e22)
    assert plan(runs(), flops=1e22, force=True).flops == pytest.approx(1e22)
    with pytest.raises(SonoscaleError, match=r"below the smallest in the data \(1e\+17\)"):
        plan(runs(), flops=1e14)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"flops": -1.0}, "the budget of flops must be a number above zero, not -1"),
        ({}, {"flops": np.inf}, "the budget of flops must be a number above zero"),
        ({}, {"flops": None}, "nothing bounds the plan"),
        ({}, {"flops": None, "most_n": 1e9}, "nothing bounds the plan"),
        ({}, {"most_d": 0.0}, "the cap on D must be a number above zero"),
        ({"N": np.full(40, 1e8)}, {}, "N is constant"),
        ({"N": np.where(np.arange(40) < 20, 1e8, 2e8)}, {}, "N has 2 different values only"),
        ({"loss": np.full(40, 2.0)}, {}, "loss is constant"),
        ({"loss": np.r_[np.nan, np.ones(39)]}, {}, "loss, row 0: no value"),
        ({"D": np.r_[0.0, np.ones(39)]}, {}, "D, row 0: 0 is not above zero"),
        ({}, {"cost": "flop"}, "no column 'flop'"),
        ({}, {"held_out": np.zeros(40, dtype=bool)}, "no row is held out"),
        ({}, {"held_out": np.ones(40, dtype=bool)}, "all rows are held out"),
        ({}, {"held_out": np.ones(3)}, "held_out must be 40 times true or false"),
        ({}, {"held_out": np.arange(40) > 4}, "needs"),
        ({}, {"bootstrap": 10}, "bootstrap=10 is too few"),
        ({}, {"next_runs": 1, "next_flops": 1e10}, "no next run costs at most 1e"),
    ],
)  # fmt: skip
def test_refusals(change, options, message):
    with pytest.raises(SonoscaleError, match=message):
        plan(runs() | change, **options)


def test_no_plan_where_a_variable_does_nothing():
    table = runs()
    only_d = 2.0 + 1200.0 / table["D"] ** 0.36
    with pytest.raises(SonoscaleError, match="loss does not improve with N"):
        plan(table | {"loss": only_d})
    rng = np.random.default_rng(1)
    with pytest.raises(SonoscaleError, match="does not improve with"):
        plan(table | {"loss": 3.0 * np.exp(0.01 * rng.standard_normal(40))})


def test_a_table_lacks_a_column():
    with pytest.raises(SonoscaleError, match="no column 'params'"):
        plan_allocation(runs(), n="params", d="D", y="loss", flops=1e20)
    with pytest.raises(SonoscaleError, match="three different columns"):
        plan_allocation(runs(), n="N", d="N", y="loss", flops=1e20)


def test_data_without_any_noise_are_planned_with():
    table = runs(noise=0)
    n, _ = best_of(BUDGET)
    assert plan(table).n.value == pytest.approx(n, rel=1e-3)


def accuracies(table):
    """A score of the same law."""
    return table["N"], table["D"], 1 - 0.1 * np.asarray(table["loss"])


def test_the_name_of_the_quality_says_which_way_it_improves():
    n, d, accuracy = accuracies(runs())
    options = {"n": "N", "d": "D", "flops": BUDGET, "bootstrap": 100}
    found = plan_allocation({"N": n, "D": d, "accuracy": accuracy}, y="accuracy", **options)
    assert found.target.words == "1 - accuracy"
    for name, values in (("accuracy", 1 - accuracy), ("valid_mAP", 1 - accuracy), ("eer", accuracy)):
        table = {"N": n, "D": d, name: values}
        way = f"{'rises' if name == 'eer' else 'falls'} with N .*D"
        with pytest.raises(
            SonoscaleError, match=f"{name} {way} .* by its name it is a (score|loss): say which is better"
        ):
            plan_allocation(table, y=name, **options)
        flag = name == "eer"
        assert plan_allocation(table, y=name, higher_is_better=flag, **options).n.value == pytest.approx(
            found.n.value, rel=1e-6
        )
        with pytest.raises(SonoscaleError, match="does not improve"):
            plan_allocation(table, y=name, higher_is_better=not flag, **options)
    unnamed = plan_allocation({"N": n, "D": d, "y": 1 - accuracy}, y="y", **options)
    assert unnamed.target.words == "y"


@pytest.mark.parametrize(("name", "value"), [("N", np.nan), ("D", 0.0), ("loss", np.inf), ("loss", None)])
@pytest.mark.parametrize("held", [False, True])
def test_rows_of_a_part_are_named_by_their_places_in_the_table(name, value, held):
    table = {key: np.concatenate([values[:9], values]).astype(object) for key, values in runs().items()}
    table["part"] = np.array(["other"] * 9 + ["this"] * 40, dtype=object)
    out = np.zeros(49, dtype=bool)
    out[[11, 16 if held else 29]] = True
    read = read_runs(table, y="loss", group="part", held_out=out)
    good = plan(read.parts()[1][1])
    assert good.check is not None
    assert {one.row for one in good.check.runs} == {11, 16 if held else 29}
    table[name][16] = value
    part = read_runs(table, y="loss", group="part", held_out=out).parts()[1][1]
    if held and value is None:  # a run that is predicted need not have been trained
        check = plan(part).check
        assert check is not None
        assert [one.covered for one in sorted(check.runs, key=lambda one: one.row)][1] is None
        return
    with pytest.raises(SonoscaleError, match=f"^{name}, row 16: "):
        plan(part)


def test_a_score_above_its_top_is_refused():
    n, d, accuracy = accuracies(runs())
    accuracy[3] = 1.2
    with pytest.raises(SonoscaleError, match=r"accuracy, row 3: 1.2 is above 1 in a column of fractions"):
        plan_allocation({"N": n, "D": d, "accuracy": accuracy}, n="N", d="D", y="accuracy", flops=BUDGET)


def test_the_optimum_at_the_edge_of_what_was_tried_is_said_to_be_there():
    table = runs()
    inside = plan(table, flops=1e19)
    assert inside.edges == {}
    assert "edge" not in " ".join(inside.details)
    kept = table["N"] < 0.6 * best_of(1e19)[0]  # only models that are too small for their data
    one_sided = {name: values[kept] for name, values in table.items()}
    found = plan(one_sided, flops=3e17)
    assert found.edges == {}
    found = plan(one_sided, flops=1e19)
    assert found.edges["N"] == "largest"
    said = " ".join(found.details)
    assert "Best at the edge of what was tried" in said
    assert "the optimum may lie beyond" in said
    assert "N was tried from" in said  # the basin reaches beyond
    assert json.loads(found.to_json())["edges"] == found.edges
    assert plan(one_sided, flops=1e19, most_n=float(one_sided["N"].max())).edges == {}  # a cap is no optimum
    steep = {name: values[table["D"] / table["N"] > 60] for name, values in table.items()}
    shaped = plan(steep, flops=1e19)
    assert shaped.edges["D / N"] == "smallest"
    assert "a and b rest on the form of the law" in " ".join(shaped.details)


def test_next_runs_are_distinct_and_say_what_is_another_seed():
    found = plan(runs(), next_runs=4).next_runs
    assert found is not None
    assert len({tuple(run.values()) for run in found.runs}) == 4
    known = set(zip(runs()["N"], runs()["D"], strict=True))
    assert [tuple(run.values()) in known for run in found.runs] == list(found.repeats)


def test_a_plan_prints_and_gives_its_tables(recwarn):
    found = plan(runs(), next_runs=2, held_out=runs()["N"] > 2e9)
    assert found.headline.startswith("Train N = ")
    assert repr(found).startswith(found.headline)
    assert "<table>" in found._repr_html_()
    assert found.best == {"N": found.n.value, "D": found.d.value}
    assert [title.split(",")[0] for title, _ in found.tables()][:2] == [
        "the frontier",
        "the law: loss = E + A N^-alpha + B D^-beta",
    ]
    assert len(found.rows()) == 25
    pytest.importorskip("matplotlib").use("agg")
    assert found.plot().get_xlabel() == "N"
