"""`sonoscale audit`, in this process."""

import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Forty configurations of two seeds, rank knowing more than capacity; and broken tables."""
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    size, known = rng.uniform(0, 5, 40), rng.normal(size=40)
    lines = ["config,seed,family,params,rankme,other,quality"]
    for i in range(80):
        c = i // 2
        rank = 20 * np.exp(0.3 * size[c] + 0.2 * known[c] + 0.02 * rng.normal())
        quality = 0.3 + 0.05 * size[c] + 0.05 * known[c] + 0.005 * rng.normal()
        other = rng.uniform()
        lines.append(f"c{c},{i % 2},{'ab'[c % 2]},{1e5 * np.exp(size[c]):.0f},{rank:.4f},{other:.4f},{quality:.5f}")
    (root / "runs.csv").write_text("\n".join(lines))
    (root / "few.csv").write_text("\n".join(lines[:7]))
    (root / "hole.csv").write_text("\n".join([*lines, "c99,0,a,1000,12.5,0.1,"]))
    (root / "alike.csv").write_text("\n".join([lines[0], *(f"{line.rpartition(',')[0]},0.5" for line in lines[1:])]))
    return root


def test_a_verdict_its_tables_and_its_file(runs, sonoscale, tmp_path):
    file = tmp_path / "audit.json"
    result = sonoscale(
        "audit", runs / "runs.csv", "--rank", "rankme", "--y", "quality", "--clusters", "config", "--family",
        "family", "--baselines", "other", "--json", file,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Supported:")
    assert "Spearman's rho is" in lines[1]
    content = json.loads(file.read_text())
    assert content["verdict"] == "supported"
    assert (content["n"], content["n_clusters"], content["n_families"]) == (80, 40, 2)
    assert content["covariates"] == ["log params"]
    assert content["provenance"]["scipy"]
    assert {one["name"] for one in content["baselines"]} == {"other", "params"}
    assert list(tmp_path.iterdir()) == [file]
    for words in (
        "covariates and rank",
        "oracle",
        "within families",
        "of equal params",
        "no layers:",
        "difference of quality",
    ):
        assert words in result.stdout


def test_too_few_runs_are_a_verdict_and_no_error(runs, sonoscale):
    result = sonoscale("audit", runs / "few.csv", "--rank", "rankme")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Insufficient data:")
    assert "at least 8 are needed" in result.stdout


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("gone.csv", (), "no such table"),
        ("runs.csv", ("--covariates", "params,nothing"), "no column 'nothing'"),
        ("runs.csv", ("--y", "config"), "config, row 0: 'c0' is not a number"),
        ("hole.csv", (), "quality, row 80: no value"),
        ("alike.csv", (), "quality is constant (0.5 in all 80 rows)"),
        ("runs.csv", ("--clusters", "family", "--family", "config"), "a configuration is in one family"),
        ("runs.csv", ("--step", "step"), "no column 'step'"),
        ("runs.csv", ("--unit", "points"), "unit must be one of fraction, percent, none"),
        ("runs.csv", ("--level", "2"), "level must lie between 0.5 and 0.999"),
        ("runs.csv", ("--level", "0.9999999"), "level must lie between 0.5 and 0.999"),
        ("runs.csv", ("--json", "audit.txt"), "must end in .json"),
    ],
)
def test_refuses_in_one_line(runs, sonoscale, file, options, message):
    result = sonoscale("audit", runs / file, "--rank", "rankme", *options)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_loss_is_known_by_its_name_unless_the_flag_says_otherwise(runs, sonoscale, tmp_path):
    lines = (runs / "runs.csv").read_text().splitlines()
    rows = [line.rpartition(",") for line in lines[1:]]
    table = tmp_path / "losses.csv"
    table.write_text("\n".join(["config,seed,family,params,rankme,other,test_loss",
                                *(f"{first},{1 - float(last):.5f}" for first, _, last in rows)]))  # fmt: skip
    options = ("audit", table, "--rank", "rankme", "--y", "test_loss")
    result = sonoscale(*options)
    assert result.stdout.startswith("Supported:")
    assert "note  audited: test_loss (less is better, by its name), 80 runs of 40 configurations" in result.stdout
    assert sonoscale(*options, "--lower-is-better").stdout.startswith("Supported:")
    assert sonoscale(*options, "--higher-is-better").stdout.startswith("Not supported:")


def test_a_row_with_a_hole_is_left_out_on_request(runs, sonoscale):
    result = sonoscale("audit", runs / "hole.csv", "--rank", "rankme", "--omit")
    assert result.stdout.startswith("Supported:")
    assert "80 runs of 40 configurations" in result.stdout
    assert "row 80 left out" in result.stdout


def test_groups_a_margin_and_a_figure(runs, sonoscale, tmp_path):
    options = ("audit", runs / "runs.csv", "--rank", "rankme", "--clusters", "config")
    file, figure = tmp_path / "groups.json", tmp_path / "groups.png"
    result = sonoscale(*options, "--group", "family", "--json", file, "--plot", figure)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("2 groups, corrected for 2 tests (Holm): 2 supported.")
    content = json.loads(file.read_text())
    assert [one["group"] for one in content["groups"]] == [{"family": "a"}, {"family": "b"}]
    alone = [one["audit"]["p"] for one in content["groups"]]
    assert [one["p"] for one in content["groups"]] == pytest.approx([max(min(alone) * 2, one) for one in alone], rel=1)
    assert figure.stat().st_size > 1000
    result = sonoscale(*options, "--margin", "2")
    assert result.returncode == 1
    assert "margin must lie between 0.05 and 0.95" in result.stderr
    result = sonoscale(*options, "--plot", figure)
    assert "What would undo it: a covariate that was not recorded" in " ".join(result.stdout.split())
