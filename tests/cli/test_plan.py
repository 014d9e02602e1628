"""`sonoscale plan`: on published tables, on a study with exact costs, and on input that cannot be planned with."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sonoscale.pretrain import RunConfig, training_cost

ROOT = Path(__file__).parents[2]
TABLES = ROOT.parent / "shared" / "data" / "laws"
STUDY = {
    "name": "small",
    "data": {"kind": "procedural", "clips": 64},
    "encoder": {"backbone": "vit", "width": 32, "depth": 2},
    "objective": {"kind": "mae", "mask_ratio": 0.75},
    "train": {"batch_size": 8, "budgets": [40, 80], "warmup_steps": 4, "lr_rule": "of another version"},
    "tasks": [{"kind": "procedural", "name": "word"}],
}


def counted(width, depth, ratio, clips):
    """What a run of the study costs: (parameters, FLOPs)."""
    config = RunConfig.model_validate(
        {
            "encoder": {"backbone": "vit", "width": width, "depth": depth},
            "objective": {"kind": "mae", "mask_ratio": ratio},
            "train": {"batch_size": 8},
        }
    )
    cost = training_cost(config)
    return cost.params_encoder, float(cost.flops * clips)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study's folder: widths, depths and ratios one at a time, two seeds, two budgets."""
    rng = np.random.default_rng(0)
    rows = []
    designs = [
        (32, 2, 0.75),
        (16, 2, 0.75),
        (64, 2, 0.75),
        (128, 2, 0.75),
        (32, 1, 0.75),
        (32, 4, 0.75),
        (32, 2, 0.5),
        (32, 2, 0.9),
    ]
    for i, (width, depth, ratio) in enumerate(designs):
        for seed in (0, 1):
            for step in (40, 80):
                params, flops = counted(width, depth, ratio, step * 8)
                z = -4 + 0.5 * np.log(width) + 0.2 * np.log(step * 8) + 0.02 * rng.standard_normal()
                rows.append(
                    {"run": f"r{i}-{seed}", "config": f"c{i}", "label": f"c{i}", "seed": seed, "step": step,
                     "width": width, "dim": width, "depth": depth, "mask_ratio": ratio, "clips_seen": step * 8,
                     "batch_size": 8, "examples_seen": step * 8,
                     "params": params, "flops": flops, "lr": 0.002, "task": "word",
                     "protocol": "linear/1", "metric": "accuracy", "chance": 0.1, "score": float(1 / (1 + np.exp(-z)))}
                )  # fmt: skip
    folder = tmp_path_factory.mktemp("study")
    pq.write_table(pa.Table.from_pylist(rows), folder / "ledger.parquet")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return folder


@pytest.fixture
def plan(sonoscale):
    """`plan(*arguments)`: that command, seen to have succeeded."""

    def call(*arguments):
        result = sonoscale("plan", *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return call


@pytest.fixture
def refused(sonoscale):
    """`refused(*arguments)`: the message."""

    def call(*arguments):
        result = sonoscale("plan", *arguments)
        assert result.returncode == 1, result.stdout
        assert result.stderr.startswith("error: ")
        assert "Traceback" not in result.stderr
        return result.stderr

    return call


def test_a_study_is_planned_with_what_its_models_cost(study, plan, tmp_path):
    said = plan(study, "--flops", "3e10", "--json", tmp_path / "plan.json", "--bootstrap", "100")
    assert said.startswith("Train width ")
    assert "another version" in said
    assert "differ from the column" not in said
    reported = json.loads((tmp_path / "plan.json").read_text())
    assert reported["columns"]["x"] == ["width", "depth", "mask_ratio", "examples_seen"]
    assert reported["best"] == reported["plan"]["design"]
    best = reported["choice"]["shown"][0]
    d = best["design"]
    params, flops = counted(d["width"], d["depth"], d["mask_ratio"], d["examples_seen"])
    assert best["costs"]["flops"] == pytest.approx(flops)
    assert best["costs"]["params"] == params
    assert flops <= 3e10
    assert set(best["costs"]) == {"flops", "params", "memory", "latency", "clips", "hours"}
    assert len(reported["next_runs"]["runs"]) == 4
    assert reported["versions"]["sonoscale"]


def test_all_budgets_bind(study, plan, tmp_path):
    out = tmp_path / "plan.json"
    wide = ("--bootstrap", "100", "--json", out, "--next-runs", "0")
    for name, most in {"params": 20_000, "latency": 3e6, "memory": 1e6, "clips": 500, "hours": 0.3}.items():
        plan(study, f"--{name}", most, *wide)
        assert json.loads(out.read_text())["choice"]["shown"][0]["costs"][name] <= most
    plan(study, "--limit", "depth=1", "--limit", "width=64", *wide)
    design = json.loads(out.read_text())["choice"]["shown"][0]["design"]
    assert (design["depth"], design["width"]) == (1, 64)


def test_a_study_split_between_size_and_data_or_held_out(study, plan):
    said = plan(study, "--flops", "3e10", "--held-out", "flops>1.5e10", "--bootstrap", "100", "--curved", "mask_ratio")
    assert "held out, quality: " in said
    assert "intervals" in said


def test_a_table_by_groups_with_the_largest_held_out(plan, tmp_path):
    rng = np.random.default_rng(0)
    lines = ["set,params,tokens,loss,fit"]
    for name, floor in (("one", 1.7), ("two", 2.0)):
        for n in np.geomspace(1e7, 1e9, 5):
            for d in np.geomspace(1e9, 1e11, 5):
                y = (floor + 400 / n**0.34 + 1200 / d**0.36) * np.exp(0.003 * rng.standard_normal())
                lines.append(f"{name},{int(n)},{int(d)},{y},{int(n < 9e8)}")
    table = tmp_path / "runs.csv"
    table.write_text("\n".join(lines))
    out = tmp_path / "plan.json"
    quick = ("--bootstrap", "100", "--group", "set", "--flops", "1e21", "--json", out)
    said = plan(table, "--held-out", "params>9e8", *quick)
    assert said.index("set = one") < said.index("Train params = ") < said.index("set = two")
    assert said.count("held out, loss: ") == 2
    first = json.loads(out.read_text())
    assert [one["group"]["set"] for one in first["plans"]] == ["one", "two"]
    assert all(len(one["check"]["runs"]) == 5 for one in first["plans"])
    plan(table, "--held-out", "fit==0", *quick)
    assert json.loads(out.read_text()) == first
    designed = plan(table, "--design", "params,tokens", "--limit", "params=1e9", "--bootstrap", "100")
    assert designed.startswith("Train params ")


@pytest.mark.skipif(not TABLES.is_dir(), reason=f"the published tables are not in {TABLES}")
def test_the_published_tables(plan, tmp_path):
    out = tmp_path / "plan.json"
    options = ["--group", "dataset", "--flops", "5.7e21", "--held-out", "params>1e9", "--bootstrap", "100"]
    loss = ("--y", "loss_val_tok_mult_paloma_c4_en_00000001")
    plan(TABLES / "mlfoundations_scaling_104models.csv", *options, *loss, "--json", out)
    checks = [one["check"] for one in json.loads(out.read_text())["plans"]]
    assert [len(one["runs"]) for one in checks] == [3, 3, 3]
    assert np.mean([one["coverage"] for one in checks]) >= 8 / 9
    said = plan(TABLES / "chinchilla_fig4_epoch.csv", "--flops", "1e23", "--bootstrap", "100")
    assert "N_opt ~ C^a, a = 0.5" in said


@pytest.mark.skipif(not (ROOT / "results/quickstart").is_dir(), reason="results/quickstart is not there")
def test_the_quickstart_study(plan):
    said = plan(ROOT / "results/quickstart", "--flops", "1e12", "--bootstrap", "100")
    assert "differ from the column" not in said  # the counts are the study's own


def grid_of(*, bad=(), cells=None):
    """Lines of a table in two parts, where those at `bad` hold other `cells`: column -> text."""
    rng = np.random.default_rng(0)
    lines = ["set,params,tokens,loss,fit,flops"]
    for part in ("one", "two"):
        for n in np.geomspace(1e7, 1e9, 5):
            for d in np.geomspace(1e9, 1e11, 5):
                y = (1.7 + 400 / n**0.34 + 1200 / d**0.36) * np.exp(0.003 * rng.standard_normal())
                row = {
                    "set": part,
                    "params": int(n),
                    "tokens": int(d),
                    "loss": y,
                    "fit": int(n < 9e8),
                    "flops": 6 * n * d,
                }
                if len(lines) - 1 in bad:
                    row |= cells or {}
                lines.append(",".join(map(str, row.values())))
    return "\n".join(lines)


def test_a_group_that_cannot_be_planned_is_named_beside_the_others(plan, refused, tmp_path):
    table, out = tmp_path / "runs.csv", tmp_path / "plan.json"
    quick = ("--bootstrap", "100", "--group", "set", "--flops", "1e21", "--next-runs", "0")
    table.write_text(grid_of(bad=[30], cells={"loss": "nan"}))
    said = plan(table, *quick, "--json", out)
    assert "set = one" in said
    assert "Train params = " in said
    assert "! no plan: loss, row 30: no value" in said
    plans = json.loads(out.read_text())["plans"]
    assert plans[0]["kind"] == "allocation"
    assert plans[1].keys() == {"error", "group"}
    table.write_text(grid_of(bad=[30], cells={"set": ""}))
    assert "set, row 30: no value" in refused(table, *quick)


@pytest.mark.parametrize("cell", ["2", "", "no"])
def test_what_is_held_out_must_be_said(refused, tmp_path, cell):
    table = tmp_path / "runs.csv"
    table.write_text(grid_of(bad=[33], cells={"fit": cell}))
    said = refused(table, "--flops", "1e21", "--held-out", "fit")
    assert "fit, row 33: " in said
    assert "is neither 1 (held out) nor 0 (fitted)" in said
    table.write_text(grid_of(bad=[33], cells={"flops": ""}))
    assert "flops, row 33: no value" in refused(table, "--flops", "1e21", "--held-out", "flops>1e19")


def test_the_direction_comes_from_the_flag_or_the_name(plan, refused, tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text(grid_of().replace("loss", "accuracy"))
    options = (table, "--y", "accuracy", "--bootstrap", "100", "--next-runs", "0", "--flops", "1e21")
    said = refused(*options)
    assert "accuracy falls with " in said
    assert "by its name it is a score: say which is better" in said
    assert plan(*options, "--lower-is-better").startswith("Train params ")
    assert "does not improve" in refused(*options, "--higher-is-better")


def test_refusals(study, refused, tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("params,tokens,loss,word\n" + "\n".join(f"{10**i},{7**i},{3 / i},a" for i in range(1, 5)))
    of_study, of_table = partial(refused, study), partial(refused, table)
    assert "the budget of flops must be a number above zero, not -1" in of_study("--flops", "-1")
    assert "the budget of flops must be a number above zero, not nan" in of_study("--flops", "nan")
    assert "above the largest in the data" in of_study("--flops", "1e19")
    assert "is below the cheapest candidate: " in of_study("--flops", "10")
    assert "is below the cheapest candidate: " in of_study("--params", "10")
    assert "the table has no column 'nope'" in of_study("--y", "nope")
    assert "the table has no column 'nope'" in of_study("--design", "nope")
    assert "give one of them" in of_study("--design", "width", "--n", "params")
    assert "give COLUMN=VALUE" in of_study("--limit", "width")
    assert "no cost or column of the design is called 'speed'" in of_study("--limit", "speed=3")
    assert "lr is constant" in of_study("--design", "width,lr")
    assert "must end in .json" in of_study("--json", tmp_path / "plan.txt")
    assert "nothing bounds the plan" in of_table()
    assert "needs at least 6" in of_table("--flops", "1e5")
    assert "say nothing of latency" in of_table("--flops", "1e5", "--latency", "3")
    assert "a table alone does not say flops of a design: name the YAML" in of_table(
        "--design", "params", "--flops", "1e5"
    )
    assert "word, row 0: 'a' is not a number" in of_table("--flops", "1e5", "--held-out", "word>3")
    assert "no row is held out" in of_table("--flops", "1e5", "--held-out", "params>1e30")
    assert "unit must be one of" in of_table("--flops", "1e5", "--unit", "points")
    assert "no such table" in refused(tmp_path / "none.csv", "--flops", "1e5")
    assert "base goes with design" in of_table("--flops", "1e5", "--base", study / "study.yaml")
    assert "no such configuration file" in of_table("--design", "params", "--base", tmp_path / "x.yaml")
    (tmp_path / "bare.yaml").write_text("a: 1")
    assert "neither a run nor a study" in of_table("--design", "params", "--base", tmp_path / "bare.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    assert "not valid YAML" in of_table("--design", "params", "--base", tmp_path / "bad.yaml")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert "no column quality, score, accuracy, loss: name the column" in refused(tmp_path / "other.csv")


def test_a_plan_is_drawn(sonoscale, tmp_path):
    n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
    loss = (1.7 + 400 / n**0.34 + 1200 / d**0.36) * np.exp(0.003 * np.random.default_rng(0).standard_normal(16))
    table, figure = tmp_path / "runs.csv", tmp_path / "plan.svg"
    table.write_text("\n".join(["params,tokens,loss", *(f"{a},{b},{c}" for a, b, c in zip(n, d, loss, strict=True))]))
    asked = ("plan", table, "--flops", "1e21", "--bootstrap", "80")
    result = sonoscale(*asked, "--plot", figure)
    assert result.returncode == 0, result.stderr
    assert "<svg" in figure.read_text()
    assert f"figure  {figure}" in result.stdout
    result = sonoscale(*asked, "--plot", tmp_path / "there" / "plan.png")
    assert result.returncode == 1
    assert "in a folder that exists" in result.stderr
