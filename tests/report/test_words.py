"""Numbers, sentences and tables: what a reader is given, for good news and for bad."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sonoscale.report import _format as form
from sonoscale.report import terminal_summary
from sonoscale.report._answers import answers, law_sentence, scope, summary
from sonoscale.report._load import load_study
from sonoscale.report._model import Interval, StudyResults
from sonoscale.report._tables import (
    audit_table,
    correlations_table,
    laws_table,
    runs_table,
    tasks_table,
    two_stage_table,
)


@pytest.fixture(scope="module")
def results(whole_study: Path) -> StudyResults:
    return load_study(whole_study)


def with_correlations(results: StudyResults, **found: tuple[float, float, float]) -> str:
    laws = replace(results.laws, correlations={x: Interval(*value) for x, value in found.items()})
    return " ".join(summary(replace(results, laws=laws)))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (form.count(1_234_567), "1.2M"),
        (form.count(999_999), "1.0M"),
        (form.count(125_184), "125k"),
        (form.count(420), "420"),
        (form.flops(5.61e12), "5.6e12"),
        (form.flops(0.0), "0"),
        (form.hours(3.42), "3.4 h"),
        (form.hours(0.25), "15 min"),
        (form.hours(1234.0), "1234 h"),
        (form.duration(7.25), "7.2 s"),
        (form.decimal(-0.1234), "−0.123"),
        (form.decimal(1.5e-9), "1.50e−9"),
        (form.count(math.nan), "–"),
        (form.interval(Interval(0.21, 0.15, 0.27), 2), "0.21 [0.15, 0.27]"),
        (form.interval(Interval(0.21)), "0.210"),
        (form.interval(None), "–"),
        (form.join(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_are_written_for_people(said: str, expected: str) -> None:
    assert said == expected


def test_the_law_has_its_interval(results: StudyResults) -> None:
    sentence = law_sentence(results)
    assert "a saturating law, y = c - a x^-b with b = 0.920 (95% interval 0.400 to 1.600)" in sentence
    assert "includes zero" not in sentence


def test_intervals_of_another_level_say_so(study: Path) -> None:
    raw = json.loads((study / "laws.json").read_text())
    for entry in (*raw["fits"], *raw["correlations"].values()):
        entry["level"] = 0.9
    (study / "laws.json").write_text(json.dumps(raw))
    results = load_study(study)
    assert "(90% interval 0.400 to 1.600)" in law_sentence(results)
    assert "exponent [90% interval]" in [column.head for column in laws_table(results).columns]
    assert "95%" not in " ".join(summary(results))


def test_an_exponent_that_could_be_zero_is_said(results: StudyResults) -> None:
    fits = tuple(
        replace(fit, params={"b": Interval(0.1, -0.2, 0.4)}) if fit.form == "saturating" else fit
        for fit in results.laws.fits
    )
    sentence = law_sentence(replace(results, laws=replace(results.laws, fits=fits)))
    assert "do not show that quality follows rank" in sentence


def test_no_law_has_its_reason(results: StudyResults) -> None:
    laws = replace(results.laws, fits=(), skipped=(("rankme", "power", "3 configurations are too few"),))
    assert (
        law_sentence(replace(results, laws=laws))
        == "No law of quality on RankMe could be fitted (power: 3 configurations are too few)."
    )


def test_a_better_alternative_is_named(results: StudyResults) -> None:
    said = " ".join(summary(results))
    assert "RankMe is not the best predictor: quality is ordered more closely by training FLOPs." in said
    assert "overlap: the difference is not significant." in said
    assert "held-out loss −0.40 [−0.70, 0.03]" in said


def test_a_negative_correlation_competes_by_its_size(results: StudyResults) -> None:
    said = with_correlations(results, rankme=(0.5, 0.4, 0.6), loss=(-0.9, -0.95, -0.8))
    assert "more closely by held-out loss." in said
    assert "overlap" not in said


def test_a_loss_that_rises_with_quality_is_no_better(results: StudyResults) -> None:
    said = with_correlations(results, rankme=(0.5, 0.4, 0.6), loss=(0.9, 0.8, 0.95))
    assert "not the best predictor" not in said


def test_a_baseline_that_beats_the_models_is_in_the_summary(results: StudyResults) -> None:
    said = summary(replace(results, laws=replace(results.laws, baseline="Without any encoder: 0.9.")))
    assert "Without any encoder: 0.9." in said
    assert "" not in summary(results)


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        (
            {"verdict": "not_supported", "words": "Not supported: no", "reason": "rho is -0.4", "needed": "none"},
            "Is rank to be trusted here? Not supported: no. Rho is -0.4. Runs that would settle it: none.",
        ),
        ({"verdict": None, "reason": "quality is constant"}, "Rank was not audited: quality is constant."),
    ],
)
def test_the_audit_is_in_the_summary(whole_study: Path, tmp_path: Path, audit: dict[str, str], said: str) -> None:
    folder = tmp_path / "study"
    shutil.copytree(whole_study, folder)
    laws = json.loads((folder / "laws.json").read_text())
    (folder / "laws.json").write_text(json.dumps(laws | {"audit": {"rankme": audit}}))
    assert said in summary(load_study(folder))


def test_every_unsettled_alternative_is_named(results: StudyResults) -> None:
    said = with_correlations(results, rankme=(0.5, 0.3, 0.7), flops=(0.9, 0.8, 0.95), params=(0.51, 0.2, 0.7))
    assert "more closely by training FLOPs and encoder parameters." in said
    assert "The intervals of RankMe and encoder parameters overlap" in said


def test_the_warnings_of_the_law_stand_with_it(results: StudyResults) -> None:
    fits = tuple(replace(fit, warnings=("no trend is shown",)) for fit in results.laws.fits)
    assert "Note: no trend is shown." in law_sentence(replace(results, laws=replace(results.laws, fits=fits)))


def test_rank_that_is_best_is_said_too(results: StudyResults) -> None:
    said = with_correlations(results, rankme=(0.9, 0.8, 0.95), flops=(0.5, 0.3, 0.6))
    assert "RankMe orders quality more closely than training FLOPs." in said
    assert "not the best predictor" not in said


def test_rank_that_may_mean_nothing_is_said(results: StudyResults) -> None:
    said = with_correlations(results, rankme=(0.2, -0.1, 0.5), flops=(0.1, -0.2, 0.4))
    assert "The interval of RankMe includes zero" in said


def test_rank_against_quality_is_said(results: StudyResults) -> None:
    assert "is negative" in with_correlations(results, rankme=(-0.6, -0.8, -0.3))


def test_one_seed_settles_nothing(make_study: Callable[..., Path]) -> None:
    said = " ".join(summary(load_study(make_study(seeds=1))))
    assert "With one seed, the spread between seeds is unknown" in said
    assert "1 seed," in said


def test_seed_spread_is_said(results: StudyResults) -> None:
    assert "spread by 0.010 in quality and 0.6 in RankMe" in " ".join(summary(results))


def test_tables_hold_what_they_should(results: StudyResults) -> None:
    laws = laws_table(results)
    assert [row[0].text for row in laws.rows][:3] == ["RankMe", "RankMe", "RankMe (centred)"]
    assert [row[1].strong for row in laws.rows][:3] == [True, False, True]
    assert (laws.rows[-1][0].text, laws.rows[-1][1].text) == ("held-out loss", "not fitted")
    runs = runs_table(results)
    assert len(runs.rows) == len(results.points)
    heads = [column.head for column in runs.columns]
    parameters = heads.index("parameters")
    assert runs.rows[0][parameters].text == "125k"
    assert runs.rows[0][parameters].sort == 4 * 12 * 48 * 48 + 300 * 48
    assert [row[0].text for row in tasks_table(results).rows] == list(results.tasks)
    best = [[cell.strong for cell in row].index(True) for row in correlations_table(results).rows]
    assert {correlations_table(results).columns[index].head for index in best} == {"training FLOPs"}
    for table in (laws, runs, tasks_table(results), correlations_table(results)):
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_law_in_two_stages_is_a_sentence_and_a_table(results: StudyResults) -> None:
    assert (
        "From encoder parameters and hours of training audio: quality through RankMe: an error of 0.021 against 0.019."
        in summary(results)
    )
    rows = [[cell.text for cell in row] for row in two_stage_table(results).rows]
    assert rows == [
        ["RankMe", "direct", "0.0190", "–"],
        ["RankMe", "through rank", "0.0210", "−0.0020 [−0.0040, 0.0010]"],
    ]
    assert [row[2].strong for row in two_stage_table(results).rows] == [True, False]


def shown(results: StudyResults, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(*terminal_summary(results, width=width), sep="\n")
    return console.export_text()


def test_the_terminal_shows_runs_laws_and_the_law(results: StudyResults) -> None:
    wide = shown(results, 220)
    for word in ("width=128", "7.1 h", "1.9e12", "esc10", "speakers", "saturating", "y = a x^b"):
        assert word in wide
    assert law_sentence(results).split(";")[0] in wide.replace("\n", " ")
    narrow = shown(results, 100)
    assert "speakers" not in narrow
    assert all(len(line) <= 100 for line in narrow.splitlines())
    assert "0.920 [0.400, 1.600]" in narrow


def test_the_terminal_reads_no_markup_from_labels(make_study: Callable[..., Path]) -> None:
    results = load_study(make_study(label=lambda label: f"[red]{label}[/nothing]"))
    assert "[red]base[/nothing]" in shown(results, 220)


PLANNED = "no plan here"


def test_the_first_screen_answers_in_order_each_with_its_number(results: StudyResults) -> None:
    audit = {
        "verdict": "insufficient_data",
        "words": "Insufficient data: these runs cannot say",
        "rank": "rankme",
        "reason": "rho is 0.67 over 8 configurations",
        "needed": "34 configurations show a correlation of 0.5",
    }
    found = answers(replace(results, laws=replace(results.laws, audit=audit)), PLANNED)
    assert [one.question.split()[0] for one in found] == ["Can", "Which", "What", "What"]
    trust, law, plan, settle = found
    assert (trust.lead, trust.tone) == ("Insufficient data: these runs cannot say.", "open")
    assert trust.rest == "Rho is 0.67 over 8 configurations."
    assert law.lead == "RankMe: off by 0.026 in quality on configurations left out."
    assert "b = 0.92 [0.40, 1.60] (95%)" in law.rest
    assert (plan.lead, plan.rest) == ("No plan can be made.", "No plan here.")
    assert settle.lead == "34 configurations show a correlation of 0.5."


def test_a_grid_says_what_it_varies_and_by_how_many_protocols_each_task_is_scored(results: StudyResults) -> None:
    points = tuple(replace(point, axis="several") for point in results.points)
    settings = {"sweep": {"encoder.width": [8, 16], "data.clips": [10, 20]}}
    names = ("esc10:knn/1", "esc10:linear/2", "speakers:knn/1", "speakers:linear/2")
    laws = replace(results.laws, y_meaning="mean accuracy over 1 task (esc10) by knn/1")
    grid = replace(
        results, points=points, settings=settings, tasks=names, protocols=("knn/1", "linear/2"), laws=laws
    )  # fmt: skip
    said = scope(grid)
    assert "configurations that vary data.clips and encoder.width," in said
    assert (
        "2 tasks (esc10 and speakers) scored by 2 protocols; quality is the mean accuracy over 1 task (esc10)" in said
    )


def test_what_would_settle_it_leads_with_the_number_of_configurations(results: StudyResults) -> None:
    audit = {"verdict": "insufficient_data", "words": "Insufficient data: no", "needed": "9 do; fewer do not"}
    settle = answers(replace(results, laws=replace(results.laws, audit=audit)), PLANNED)[3]
    assert (settle.lead, settle.rest) == ("9 do.", "Fewer do not.")


def test_the_best_law_is_that_of_the_least_error_on_what_was_left_out(results: StudyResults) -> None:
    fits = tuple(replace(fit, loo_rmse=0.011) if fit.x == "flops" else fit for fit in results.laws.fits)
    law = answers(replace(results, laws=replace(results.laws, fits=fits)), PLANNED)[1]
    assert law.lead.startswith("Training FLOPs: off by 0.011")
    assert "RankMe alone: 0.026." in law.rest


def test_without_an_audit_the_first_answer_says_why(results: StudyResults) -> None:
    laws = replace(results.laws, audit={"verdict": None, "reason": "quality is constant"})
    trust = answers(replace(results, laws=laws), PLANNED)[0]
    assert (trust.lead, trust.rest, trust.tone) == ("Not audited.", "Quality is constant.", "open")


def test_checks_of_an_audit_say_on_which_side_of_zero_they_lie(results: StudyResults) -> None:
    audit = {
        "verdict": "supported",
        "words": "Supported: yes",
        "rank": "rankme",
        "spearman": {"value": 0.7, "low": 0.2, "high": 0.9, "p": 0.01},
        "adjusted": {
            "each": [{"given": ["log params"], "value": 0.1, "low": -0.3, "high": 0.4, "p": 0.6}],
            "linear": {"value": -0.5, "low": -0.8, "high": -0.1, "p": 0.02},
            "partial": None,
            "richer": None,
        },
        "joint": None,
    }
    rows = audit_table(replace(results, laws=replace(results.laws, audit=audit))).rows
    assert [(row[0].text, row[4].text) for row in rows] == [
        ("Spearman's rho", "above zero"),
        ("given log encoder parameters", "zero is possible"),
        ("given all, linear", "below zero"),
    ]
    assert rows[0][2].text == "0.70 [0.20, 0.90]"


def test_floors_and_reliability_of_tasks_are_shown_where_they_are_known(results: StudyResults) -> None:
    about = {task: dict(found) for task, found in results.about_tasks.items()}
    about["esc10"] |= {"floor_logmel": 0.0, "ceiling": 0.9, "reliability": 0.75}
    about["esc10"] |= {"reliability_low": 0.5, "reliability_high": 0.9}
    first, second, _ = tasks_table(replace(results, about_tasks=about)).rows
    assert [cell.text for cell in first][2:5] == ["0.100", "–", "0.000"]
    assert [cell.text for cell in first][7:10] == ["0.900", "100%", "0.75 [0.50, 0.90]"]
    assert [cell.text for cell in second][3:5] == ["–", "–"]
    assert 0 < float(second[9].sort) <= 1  # from the seeds of the study itself
    assert sum(float(row[10].sort) for row in tasks_table(results).rows) == pytest.approx(1.0)
