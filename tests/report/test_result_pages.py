"""Pages of fits, audits, plans and comparisons, and the figures and tables for papers."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import sonoscale as so
from commands import run_command
from sonoscale.errors import SonoscaleError
from sonoscale.report import compare_studies, figures, write_page
from sonoscale.report._figures import latex, markdown
from sonoscale.report._result_pages import rows_table
from sonoscale.report._tables import Cell, Column, Table


def table(rows: int = 5) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, rows), np.geomspace(1e9, 1e11, rows)))
    loss = (1.7 + 400 / n**0.34 + 1200 / d**0.36) * np.exp(0.003 * rng.standard_normal(len(n)))
    return {"params": n, "tokens": d, "loss": loss, "rankme": n**0.3 * np.exp(0.1 * rng.standard_normal(len(n)))}


def words_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", text[text.index("<body>") :], flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def data_of(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0])


def test_a_fit_says_how_it_predicts_what_was_held_out(tmp_path: Path) -> None:
    found = so.fit(table(), x=["params"], held_out="params>5e8", bootstrap=80)
    words = words_of(write_page(found, tmp_path / "fit.html"))
    law = found.groups[0]
    assert law.rmse_log is not None
    assert f"Off by {law.rmse_log:.1%} on 5 held-out runs" in words
    ahead = law.predict({"params": 10 * float(np.max(law.runs["params"]))})[0]  # type: ignore[index]
    assert f"loss {ahead.value:.3g}"[:9] in words
    drawn = data_of(tmp_path / "fit.html")["tables"]
    assert drawn["runs0"]["n"] == 25
    assert drawn["held"]["n"] == 5


def test_a_fit_without_rows_held_out_says_that_it_was_not_tested(tmp_path: Path) -> None:
    found = so.fit(table(), x=["params", "tokens"], bootstrap=80)
    words = words_of(write_page(found, tmp_path / "fit.html"))
    assert "Not tested: no row was held out." in words
    assert "Held-out runs" not in words


def test_an_audit_is_its_verdict_and_its_evidence(tmp_path: Path) -> None:
    found = so.audit(table(), rank="rankme", y="loss")
    words = words_of(write_page(found, tmp_path / "audit.html"))
    assert found.words.partition(": ")[2] in words
    assert found.needed[1:] in words
    for row in found.rows():
        assert row["evidence"] in words
    assert data_of(tmp_path / "audit.html")["tables"]["configurations"]["n"] == 25


def test_a_plan_has_a_planner_and_its_tables(tmp_path: Path) -> None:
    found = so.plan(table(), flops=1e21, bootstrap=100)
    words = words_of(write_page(found, tmp_path / "plan.html"))
    assert f"for {1e21:.1e}".replace("e+", "e") in words
    data = data_of(tmp_path / "plan.html")
    assert data["planner"]["kind"] == "allocation"
    assert {"isoflops-0", "planner-curve-0"} == set(data["charts"])


def test_groups_have_one_page(tmp_path: Path) -> None:
    both = {name: np.concatenate([values, values]) for name, values in table(4).items()}
    both["task"] = np.repeat(["speech", "<b>music"], 16)
    found = so.plan(both, flops=1e20, group="task", bootstrap=100, y="loss")
    words = words_of(write_page(found, tmp_path / "plans.html"))
    assert "task = speech" in words
    assert "<b>music" in words


def test_only_results_have_pages_and_pages_end_in_html(tmp_path: Path) -> None:
    with pytest.raises(SonoscaleError, match="measure, fit, audit and plan return, not of dict"):
        write_page({}, tmp_path / "x.html")
    with pytest.raises(SonoscaleError, match=r"must end in \.html"):
        write_page(so.audit(table(), rank="rankme", y="loss"), tmp_path / "x.txt")


def test_an_interval_is_one_column_and_unknown_cells_are_dashes() -> None:
    rows = [{"what": "a", "value": 1.23456, "low": 1.0, "high": 2.0, "p": None}, {"what": "b", "value": None, "p": 0.5}]
    found = rows_table("c", rows)
    assert [column.head for column in found.columns] == ["what", "value", "interval", "p"]
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["a", "1.235", "[1, 2]", "–"],
        ["b", "–", "", "0.5000"],
    ]


def test_studies_are_compared_by_the_tasks_that_they_share(
    whole_study: Path, make_study: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_study(seeds=1)
    config = yaml.safe_load((other / "study.yaml").read_text()) | {"name": "Other"}
    (other / "study.yaml").write_text(yaml.safe_dump(config))
    page = compare_studies([whole_study, other], tmp_path / "c.html")
    words = words_of(page)
    assert "Small sweep and Other compared" in words
    assert "on 3 tasks in common: esc10, commands and speakers" in words
    data = data_of(page)
    axis = data["tables"]["encoders"]["columns"]["axis"]
    assert axis["d"] == ["Other", "Small sweep"] or axis["d"] == ["Small sweep", "Other"]
    assert data["chosen"]["colour"] == "axis"
    runs = data["tables"]["encoders"]["columns"]["run"]["d"]
    assert len(runs) == 16 + 8  # the same names of runs in both stay apart
    with pytest.raises(SonoscaleError, match="two studies or more"):
        compare_studies([whole_study], tmp_path / "c.html")


def test_figures_of_a_paper_are_as_wide_as_its_columns(whole_study: Path, tmp_path: Path) -> None:
    written = figures(whole_study, out=tmp_path, kinds=["svg"])
    names = {path.name for path in written.files}
    assert {"quality.svg", "tasks.svg", "table-laws.tex", "table-laws.md", "table-runs.tex"} <= names
    assert written.left_out["audit"] == "rank was not audited"
    assert {path.name for path in tmp_path.iterdir()} == names

    def width(name: str) -> float:
        found = re.search(r'width="([\d.]+)"', (tmp_path / name).read_text())
        assert found
        return float(found[1])

    assert width("quality.svg") == pytest.approx(240, abs=16)  # 3.33 inches
    assert width("tasks.svg") == pytest.approx(504, abs=30)  # 7 inches


def test_a_draft_of_the_methods_says_what_the_files_of_the_study_say(whole_study: Path, tmp_path: Path) -> None:
    figures(whole_study, out=tmp_path, kinds=["svg"])
    text = (tmp_path / "methods.md").read_text()
    assert "We pre-trained 16 encoders (8 configurations, 2 seeds)" in text
    assert "3 tasks (esc10, commands and speakers; accuracy and mAP)" in text
    ledger = (whole_study / "ledger.parquet").read_bytes()
    assert f"`{hashlib.sha256(ledger).hexdigest()}`" in text
    cited = set(re.findall(r"@(\w+)", text))
    assert cited == set(re.findall(r"@\w+\{(\w+),", (tmp_path / "references.bib").read_text()))


def test_tables_of_a_paper_say_what_the_page_says() -> None:
    made = Table("", (Column("a_b", numeric=False), Column("R²")), ((Cell("x & y|z", "x"), Cell("−1.5%", -1.5, True)),))
    assert latex(made).splitlines()[2:5] == ["a\\_b & R$^2$ \\\\", "\\midrule", "x \\& y|z & \\textbf{$-$1.5\\%} \\\\"]
    assert markdown(made).splitlines() == ["| a_b | R² |", "|---|--:|", "| x & y\\|z | **−1.5%** |"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "poster"}, "style must be one of page, paper, slides"),
        ({"kinds": ["gif"]}, "pdf, svg and png, not 'gif'"),
    ],
)
def test_figures_refuse_what_they_do_not_know(whole_study: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SonoscaleError, match=message):
        figures(whole_study, **options)


def test_the_commands_write_the_same_pages(study: Path, tmp_path: Path) -> None:
    (study / "baseline.json").write_text("{}")
    (study / "failed.json").write_text("[]")
    out = tmp_path / "f"
    done = run_command("figures", study, "--out", out, "--kinds", "svg")
    assert done.returncode == 0, done.stderr
    assert (out / "quality.svg").is_file()
    (tmp_path / "t.csv").write_text(
        "params,loss\n"
        + "\n".join(f"{n:g},{2 + 400 * n**-0.34 + 1e-3 * (i % 3)}" for i, n in enumerate(np.geomspace(1e6, 1e9, 12)))
    )
    done = run_command("fit", str(tmp_path / "t.csv"), "--x", "params", "--out", str(tmp_path / "fit.html"))
    assert done.returncode == 0, done.stderr
    assert "page    " in done.stdout
    assert (tmp_path / "fit.html").is_file()
    done = run_command("study", "report", str(study), str(study))
    assert done.returncode == 1
    assert done.stderr.startswith("error: several studies are compared on one page: name it (--out)")
