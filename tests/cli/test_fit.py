"""`sonoscale fit`, in this process."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

HEADER = "task,run,params,loss,accuracy,held"


def numbers(content):
    """All floats of a JSON value."""
    if isinstance(content, float):
        yield content
    elif isinstance(content, (dict, list)):
        for one in content.values() if isinstance(content, dict) else content:
            yield from numbers(one)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two tasks of 14 runs, the 4 largest held out; and tables that are broken in one way each."""
    root = tmp_path_factory.mktemp("laws")
    rng = np.random.default_rng(0)
    lines = [HEADER]
    for task, k in (("[blue]", 1.0), ("music", 2.0)):
        for i, params in enumerate(np.geomspace(1e3, 1e6, 14)):
            loss = k * (0.3 + 6.0 * params**-0.4) * math.exp(0.01 * rng.normal())
            lines.append(f"{task},r{i},{params:.6g},{loss:.6g},{1 - loss / 4:.6g},{int(i >= 10)}")

    def write(name, changed):
        (root / f"{name}.csv").write_text("\n".join(changed) + "\n")

    def cell(row, column, value):
        cells = lines[row + 1].split(",")
        cells[HEADER.split(",").index(column)] = value
        return [*lines[: row + 1], ",".join(cells), *lines[row + 2 :]]

    write("runs", lines)
    write("one", lines[:15])
    write("hole", cell(3, "loss", "NaN"))
    write("zero", cell(3, "params", "0"))
    write("negative", cell(3, "loss", "-2.5"))
    write("words", cell(3, "loss", "high"))
    write("third", cell(3, "held", "2"))
    write("unknown", cell(3, "task", ""))
    write("percent", cell(3, "accuracy", "71.5"))
    write("alike", [HEADER, *(",".join([*c[:2], "500", *c[3:]]) for c in (line.split(",") for line in lines[1:]))])
    write("few", [HEADER, *lines[1:3], *lines[12:15]])
    write("twice", [HEADER, *lines[1:15], *lines[1:15]])
    table = [line.split(",") for line in lines[1:15]]
    write("unseen", [HEADER, *(",".join([*c[:3], "" if c[5] == "1" else c[3], *c[4:]]) for c in table)])
    write("empty", [HEADER])
    return root


def test_a_law_for_each_group_in_json(runs, sonoscale, tmp_path):
    file = tmp_path / "laws.json"
    result = sonoscale(
        "fit",
        runs / "runs.csv",
        "--x",
        "params",
        "--y",
        "loss",
        "--group",
        "task",
        "--held-out",
        "held",
        "--json",
        file,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    content = json.loads(file.read_text(), parse_constant=pytest.fail)
    assert content["headline"] == "fitted: log(loss), 20 runs, 8 held out, in 2 groups"
    assert content["headline"] in result.stdout
    assert content["mean_rmse_log"] == pytest.approx(np.mean([one["rmse_log"] for one in content["groups"]]))
    assert [one["group"]["task"] for one in content["groups"]] == ["[blue]", "music"]
    table = list(csv.DictReader((runs / "runs.csv").open()))
    for one in content["groups"]:
        assert one["form"] == "auto"
        assert {entry["form"] for entry in one["panel"]} == {"M2", "M3", "M4", "BNSL1", "HILL", "logistic"}
        for entry in one["panel"]:
            for span in entry["params"].values():
                assert span["low"] is None or span["low"] <= span["value"] * (1 + 1e-9)
                assert span["high"] is None or span["value"] <= span["high"] * (1 + 1e-9)
        assert len(one["held_out"]) == 4
        errors, inside = [], []
        for row in one["held_out"]:
            observed = float(table[row["row"]]["loss"])
            assert row["observed"] == observed
            assert table[row["row"]]["held"] == "1"
            assert row["low"] < row["predicted"] < row["high"]
            errors.append(math.log(row["predicted"] / observed))
            inside.append(row["low"] <= observed <= row["high"])
        assert one["rmse_log"] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
        assert one["rmse_log"] < 0.03
        assert one["coverage"] == np.mean(inside)
        assert 0 < one["seconds"] < 60
    assert all(map(math.isfinite, numbers(content)))
    assert "[blue]" in result.stdout
    assert "nan" not in result.stdout.lower()
    assert list(tmp_path.iterdir()) == [file]


def test_the_parameters_and_predictions_of_one_group_are_shown(runs, sonoscale, tmp_path):
    file = tmp_path / "law.json"
    result = sonoscale(
        "fit", runs / "one.csv", "--x", "params", "--y", "loss", "--held-out", "held", "--form", "M2",
        "--clusters", "run",
        "--bootstrap", "100", "--json", file,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (one,) = json.loads(file.read_text(), parse_constant=pytest.fail)["groups"]
    b = one["fit"]["params"]["b"]
    assert b["low"] < 0.4 < b["high"]
    for words in (
        "fitted: log(loss), 10 runs, 4 held out",
        f"{b['value']:.4g}",
        f"[{b['low']:.4g}, {b['high']:.4g}]",
        "predicted",
    ):
        assert words in result.stdout
    for row in one["held_out"]:
        assert f"{row['predicted']:.4g}" in result.stdout
        assert f"[{row['low']:.4g}, {row['high']:.4g}]" in result.stdout


def test_runs_yet_to_be_made_are_predicted(runs, sonoscale, tmp_path):
    file = tmp_path / "law.json"
    result = sonoscale("fit", runs / "unseen.csv", "--x", "params", "--y", "loss", "--held-out", "held", "--json", file)
    assert result.returncode == 0, result.stderr
    (one,) = json.loads(file.read_text(), parse_constant=pytest.fail)["groups"]
    assert [row["observed"] for row in one["held_out"]] == [None] * 4
    assert (one["rmse_log"], one["coverage"]) == (None, None)


def test_copied_rows_are_named_and_do_not_narrow(runs, sonoscale, tmp_path):
    widths = []
    for name in ("one", "twice"):
        file = tmp_path / f"{name}.json"
        result = sonoscale(
            "fit", runs / f"{name}.csv", "--x", "params", "--y", "loss", "--held-out", "held", "--json", file
        )
        assert result.returncode == 0, result.stderr
        (one,) = json.loads(file.read_text())["groups"]
        widths.append(math.log(one["held_out"][0]["high"] / one["held_out"][0]["low"]))
    assert "repeat others in every column" in result.stdout
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


def test_one_failing_group_is_named_and_the_others_are_fitted(runs, sonoscale):
    result = sonoscale(
        "fit", runs / "hole.csv", "--x", "params", "--y", "loss", "--group", "task", "--held-out", "held"
    )
    assert result.returncode == 0, result.stderr
    assert "not fitted" in result.stdout
    assert "task = [blue]: loss, row 3: no value" in result.stdout


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("gone.csv", (), "no such table"),
        ("gone", (), "gone: no such table"),
        ("one.csv", ("--at", "params=1,params=2"), "at: 'params=1,params=2' gives params twice"),
        ("empty.csv", (), "column names but no rows"),
        ("one.csv", ("--x", "size"), "no column 'size'"),
        ("one.csv", ("--y", "quality"), "no column 'quality'"),
        ("one.csv", ("--unit", "per cent"), "unit must be one of fraction, percent, none, not 'per cent'"),
        ("one.csv", ("--at", "1e9"), "at: '1e9': give name=value, such as params=1e9"),
        ("one.csv", ("--at", "hours=3"), "a prediction needs params; given: hours"),
        ("one.csv", ("--through", "rankme"), "no column 'rankme'"),
        ("one.csv", ("--held-out", "params>1e9"), "held_out (params>1e9): no row is held out"),
        ("one.csv", ("--x", " , "), "x names no column"),
        ("one.csv", ("--group", "family"), "no column 'family'"),
        ("one.csv", ("--clusters", "seed"), "no column 'seed'"),
        ("one.csv", ("--flops", "flops"), "no column 'flops'"),
        ("one.csv", ("--form", "cubic"), "no form of a law is called 'cubic'"),
        ("one.csv", ("--form", "chinchilla"), "give 2 columns for x, not 1"),
        ("one.csv", ("--level", "95"), "level must lie between 0 and 1"),
        ("one.csv", ("--form", "M2", "--huber", "-1"), "huber must be above zero"),
        ("one.csv", ("--json", "laws.txt"), "must end in .json"),
        ("one.csv", ("--json", "nowhere/laws.json"), "in a folder that exists"),
        ("hole.csv", (), "or leave out every such row (--omit)"),
        ("words.csv", (), "is not a number"),
        ("zero.csv", (), "params, row 3: 0 is not above zero"),
        ("negative.csv", (), "loss, row 3: -2.5 is not above zero"),
        ("alike.csv", (), "params is constant (500 in all 20 rows)"),
        ("third.csv", (), "held, row 3: 2 is neither 1 (held out) nor 0 (fitted)"),
        ("unknown.csv", ("--group", "task"), "task, row 3: no value"),
        ("percent.csv", ("--y", "accuracy"), "accuracy mixes fractions with percentages"),
        ("few.csv", (), "2 different runs are too few"),
    ],
)
def test_refuses_in_one_line(runs, sonoscale, tmp_path, monkeypatch, file, options, message):
    monkeypatch.chdir(tmp_path)
    result = sonoscale("fit", runs / file, "--x", "params", "--y", "loss", "--held-out", "held", *options)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert not list(tmp_path.iterdir())


def test_predictions_at_points_through_a_column_and_with_gaps(runs, sonoscale, tmp_path):
    file = tmp_path / "law.json"
    result = sonoscale(
        "fit", runs / "hole.csv", "--x", "params", "--y", "loss", "--group", "task", "--omit", "--at", "params=1e7",
        "--at", "params=1e8,task=music", "--json", file,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    content = json.loads(file.read_text())
    assert [(row["task"], row["params"]) for row in content["at"]] == [("[blue]", 1e7), ("music", 1e7), ("music", 1e8)]
    assert all(row["low"] < row["value"] < row["high"] for row in content["at"])
    assert "row 3 left out: no value in loss" in result.stdout
    result = sonoscale(
        "fit", runs / "one.csv", "--x", "params", "--y", "loss", "--through", "accuracy", "--bootstrap", "100",
        "--at", "params=1e7",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "through accuracy" in result.stdout
    assert "direct with rank" in result.stdout


def test_a_direction_that_the_name_belies_is_asked_for_by_the_option(runs, sonoscale, tmp_path):
    lines = [line.split(",") for line in (runs / "one.csv").read_text().splitlines()]
    table = tmp_path / "falls.csv"
    table.write_text("\n".join([HEADER, *(",".join([*c[:4], f"{1 - float(c[4]):.6f}", c[5]]) for c in lines[1:])]))
    result = sonoscale("fit", table, "--x", "params", "--y", "accuracy")
    assert result.returncode == 1
    assert "say which is better (--higher-is-better or --lower-is-better)" in result.stderr
    assert sonoscale("fit", table, "--x", "params", "--y", "accuracy", "--lower-is-better").returncode == 0


def test_the_table_is_not_overwritten(runs, sonoscale, tmp_path):
    table = tmp_path / "table.json"
    table.write_bytes((runs / "one.csv").read_bytes())
    result = sonoscale("fit", table, "--x", "params", "--y", "loss", "--json", table)
    assert result.returncode == 1
    assert table.read_bytes() == (runs / "one.csv").read_bytes()


def test_parameters_are_fixed_and_tied_and_the_law_is_drawn(sonoscale, tmp_path):
    n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e8, 1e11, 5)))
    loss = (1.7 + 400.0 * n**-0.34 + 410.0 * d**-0.34) * np.exp(0.003 * np.random.default_rng(0).normal(size=25))
    table, file, figure = tmp_path / "runs.csv", tmp_path / "law.json", tmp_path / "law.png"
    table.write_text("\n".join(["N,D,loss", *(f"{a},{b},{c}" for a, b, c in zip(n, d, loss, strict=True))]))
    asked = ("fit", table, "--x", "N,D", "--y", "loss", "--form", "chinchilla", "--bootstrap", "80")
    result = sonoscale(*asked, "--fix", "E=1.7", "--tie", "alpha=beta", "--json", file, "--plot", figure)
    assert result.returncode == 0, result.stderr
    assert "1.7 (fixed)" in result.stdout
    assert "(= alpha)" in result.stdout
    assert "Huber's loss with delta 0.001" in result.stdout
    (law,) = json.loads(file.read_text())["groups"]
    assert law["fit"]["fixed"] == {"beta": "alpha", "E": 1.7}
    assert law["fit"]["huber"] == 1e-3
    assert law["fit"]["params"]["alpha"]["value"] == pytest.approx(0.34, abs=0.005)
    assert figure.read_bytes().startswith(b"\x89PNG")
    for option, value, message in (
        ("--fix", "E=high", "is no number"), ("--fix", "Q=1", "has no parameter 'Q'"), ("--tie", "alpha", "two param"),
        ("--plot", tmp_path / "law.txt", "must end in .png"),
    ):  # fmt: skip
        result = sonoscale(*asked, option, value)
        assert result.returncode == 1
        assert message in result.stderr
