"""The verb: which kind of plan, from which columns, at what cost, for which groups."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import sonoscale as so
from sonoscale.errors import SonoscaleError
from sonoscale.laws.plan import Allocation, Designed, GroupPlans, plan
from sonoscale.pretrain import RunConfig, training_cost

BASE = {
    "encoder": {"backbone": "vit", "width": 32, "depth": 2},
    "objective": {"kind": "mae"},
    "train": {"batch_size": 8},
}
JOINED = 1.69  # clips that make one training example


def ledger_rows(*, examples: bool, batch: bool):
    """Widths and depths one at a time, two seeds, two budgets; short clips are joined into one example."""
    rng = np.random.default_rng(0)
    rows = []
    for i, (width, depth) in enumerate([(32, 2), (16, 2), (64, 2), (128, 2), (32, 1), (32, 4), (64, 4)]):
        run = {"encoder": {"backbone": "vit", "width": width, "depth": depth}}
        cost = training_cost(RunConfig.model_validate(BASE | run))
        for seed in (0, 1):
            for step in (40, 80):
                z = -4 + 0.5 * np.log(width) + 0.2 * np.log(step) + 0.02 * rng.standard_normal()
                row = {
                    "run": f"r{i}-{seed}", "config": f"c{i}", "label": f"c{i}", "seed": seed, "step": step,
                    "width": width, "depth": depth, "clips_seen": round(JOINED * 8 * step),
                    "params": cost.params_encoder, "flops": float(cost.flops * 8 * step), "task": "word",
                    "protocol": "linear/1", "score": float(1 / (1 + np.exp(-z))),
                }  # fmt: skip
                row |= ({"examples_seen": 8 * step} if examples else {}) | ({"batch_size": 8} if batch else {})
                rows.append(row)
    return rows


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    pq.write_table(pa.Table.from_pylist(ledger_rows(examples=True, batch=True)), folder / "ledger.parquet")
    (folder / "study.yaml").write_text(yaml.safe_dump(BASE))
    return folder


def grid(parts=("one",)):
    rng = np.random.default_rng(0)
    n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5)))
    tables = [
        {"set": np.full(25, part, dtype=object), "params": n, "tokens": d,
         "loss": (1.7 + 400 / n**0.34 + 1200 / d**0.36) * np.exp(0.003 * rng.standard_normal(25))}
        for part in parts
    ]  # fmt: skip
    return {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}


def one(table, **options: Any) -> Allocation | Designed:
    """The plan of a table without groups, quickly."""
    quick: dict[str, Any] = {"bootstrap": 100, "next_runs": 0}
    found = plan(table, **(quick | options))
    assert not isinstance(found, GroupPlans)
    return found


@pytest.mark.parametrize(("examples", "batch"), [(True, True), (False, True), (False, False)])
def test_flops_of_a_study_are_counted_by_examples_and_not_by_clips(tmp_path, examples, batch):
    rows = ledger_rows(examples=examples, batch=batch)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "ledger.parquet")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(BASE))
    found = plan(tmp_path, flops=3e10, bootstrap=100, next_runs=0)
    assert isinstance(found, Designed)
    assert not [note for note in found.warnings if "differ from the column" in note]
    amount = "examples_seen" if batch else "step"  # of ledgers of earlier versions
    assert found.law.x[-1] == amount
    reach = next(one for one in found.reach if one.name == "FLOPs")
    assert [reach.low, reach.high] == pytest.approx([min(r["flops"] for r in rows),
                                                     max(r["flops"] for r in rows)])  # fmt: skip
    best = found.best
    config = RunConfig.model_validate(
        BASE | {"encoder": {"backbone": "vit"} | {name: best[name] for name in ("width", "depth")}}
    )
    spent = training_cost(config).flops * best[amount] * (1 if batch else 8)
    assert 0.9 * 3e10 < spent <= 3e10
    assert found.plan.costs["flops"] == pytest.approx(spent)


def test_a_ledger_as_a_frame_is_planned_like_its_folder(study):
    rows = ledger_rows(examples=True, batch=True)
    table = {name: [row[name] for row in rows] for name in rows[0]}
    found = plan(study, flops=3e10, bootstrap=100, next_runs=2)
    again = plan(table, base=study / "study.yaml", flops=3e10, bootstrap=100, next_runs=2)
    assert again.as_dict() == found.as_dict()
    with pytest.raises(SonoscaleError, match=r"does not say flops of a design: name the YAML .* \(base\)"):
        plan(table, flops=3e10)


def test_the_ledger_of_a_study_is_planned_like_its_folder(study):
    options = {"flops": 3e10, "bootstrap": 80, "next_runs": 0}
    assert plan(study / "ledger.parquet", **options).best == plan(study, **options).best


def test_a_budget_that_is_given_twice_is_refused():
    with pytest.raises(SonoscaleError, match="params is given twice: as a budget and in limits"):
        plan({"params": [1.0], "loss": [1.0]}, params=1e6, limits={"params": 1e7})


def test_a_study_can_be_split_between_parameters_and_data(study):
    with pytest.raises(SonoscaleError, match="examples_seen has 2 different values only"):  # taken as D
        plan(study, n="params", flops=3e10, bootstrap=100)


def test_a_table_of_other_names_is_split_by_them():
    table = grid()
    found = one(table, flops=1e21)
    assert isinstance(found, Allocation)
    renamed = {"size": table["params"], "seen": table["tokens"], "err": table["loss"]}
    again = one(renamed, n="size", d="seen", y="err", flops=1e21)
    assert list(again.best.values()) == list(found.best.values())
    with pytest.raises(SonoscaleError, match=r"no column params, n_params, .*: name one \(n\)"):
        plan(renamed, d="seen", y="err", flops=1e21)
    capped = one(table, flops=1e21, limits={"tokens": 3e10})
    assert capped.best["tokens"] == pytest.approx(3e10)
    assert so.plan is plan


def test_groups_have_plans_of_their_own_or_say_why_not():
    table = grid(("one", "two"))
    found = plan(table, group="set", flops=1e21, bootstrap=100, next_runs=0)
    assert isinstance(found, GroupPlans)
    alone = one(grid(), flops=1e21)
    assert [one["set"] for one in found.best] == ["one", "two"]
    assert found.best[0] == pytest.approx({"set": "one"} | alone.best)
    assert {"set", "params", "tokens", "loss", "loss_low", "loss_high"} == set(found.rows()[0])
    assert "Plans for 2 of 2 groups by set." in repr(found)
    table["loss"][30] = np.nan
    found = plan(table, group="set", flops=1e21, bootstrap=100, next_runs=0)
    assert isinstance(found, GroupPlans)
    assert str(found.plans[1]).startswith("loss, row 30: no value")
    assert json.loads(found.to_json())["plans"][1] == {"group": {"set": "two"}, "error": found.plans[1]}
    table["loss"][3] = np.nan
    with pytest.raises(SonoscaleError, match=r"^set = one: loss, row 3: no value"):
        plan(table, group="set", flops=1e21)
    left = plan(table, group="set", flops=1e21, omit=True, bootstrap=100, next_runs=0)
    assert len(left.best) == 2
    table["set"][30] = None
    with pytest.raises(SonoscaleError, match=r"^set, row 30: no value"):
        plan(table, group="set", flops=1e21)


def test_copies_count_once_and_rows_of_one_configuration_together():
    table = grid()
    found = one(table, flops=1e21)
    copied = {name: np.concatenate([values, values[:6]]) for name, values in table.items()}
    again = one(copied, flops=1e21)
    assert (len(again.runs), again.best) == (25, found.best)
    assert any("repeat others in every column: counted once" in note for note in again.warnings)
    seeds = {name: np.concatenate([values, values]) for name, values in table.items()}
    seeds["loss"][25:] *= 1.001
    assert one(seeds, flops=1e21).runs.n_clusters == 25


@pytest.mark.parametrize("way", [{}, {"design": ["params", "tokens"], "limits": {"params": 1e9}}])
def test_the_same_refusal_in_both_kinds(way):
    table = grid()
    accuracy = {"params": table["params"], "tokens": table["tokens"], "accuracy": table["loss"] / 10}
    options: dict[str, Any] = {"bootstrap": 100, "next_runs": 0} | way | ({} if way else {"flops": 1e21})
    with pytest.raises(SonoscaleError, match=r"accuracy falls with .* by its name it is a score: say which is better"):
        plan(accuracy, **options)
    with pytest.raises(SonoscaleError, match=r"does not improve") if not way else contextlib.nullcontext():
        plan(accuracy, higher_is_better=True, **options)
    found = plan(accuracy, higher_is_better=False, **options)
    assert not isinstance(found, GroupPlans)
    assert found.target.words == "accuracy"


def test_messages_name_keywords_and_no_flags(study):
    wrong: list[dict[str, Any]] = [
        {"design": "width", "n": "params"}, {"design": "nope"}, {"y": "nope"}, {"flops": -1.0},
        {"curved": "x", "n": "params"}, {"limits": {"speed": 3.0}}, {"n": "nope"},
        {"flops": "1e10"}, {"next_runs": -1}, {"flops": 3e10, "next_flops": "all"}, {"base": "nowhere.yaml"},
    ]  # fmt: skip
    for options in wrong:
        with pytest.raises(SonoscaleError) as error:
            plan(study, **options)
        assert not re.search(r"--\w", str(error.value))


def test_without_pre_training_exact_costs_say_what_is_missing(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "sonoscale.pretrain._design_costs", None)
    with pytest.raises(SonoscaleError, match=r"exact costs .* not installed .*sonoscale\[train\]"):
        plan(study, flops=3e10)
