"""The page of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sonoscale.laws.plan import Allocation, Designed
from sonoscale.report._answers import (
    answers,
    rank_against_alternatives,
    scope,
    seeds_sentence,
    two_stage_sentences,
)
from sonoscale.report._chart_evidence import (
    audit_figure,
    decisions_figure,
    frontier_figure,
    held_out_figure,
    isoflop_figure,
)
from sonoscale.report._chart_layers import layers_figure, layers_words
from sonoscale.report._chart_quality import alternatives_figure, effects_figure, quality_figure
from sonoscale.report._chart_tasks import tasks_figure
from sonoscale.report._chart_training import spectra_figure, trajectories_figure
from sonoscale.report._encoders import Encoders, encoders_of
from sonoscale.report._figure import Figure, unchecked
from sonoscale.report._format import duration, join, name_of
from sonoscale.report._html import Grid, Page, Section, items, paragraphs
from sonoscale.report._model import StudyResults
from sonoscale.report._planned import held_out_rows
from sonoscale.report._planner import planner_data, planner_figure
from sonoscale.report._tables import (
    audit_table,
    correlations_table,
    laws_table,
    runs_table,
    tasks_table,
    two_stage_table,
)

__all__ = ["study_figures", "study_page", "study_tables"]


def study_figures(
    results: StudyResults, plan: Allocation | Designed | str, encoders: Encoders | None = None
) -> dict[str, Figure]:
    """All figures of a study by name, in the order of the page."""
    encoders = encoders or encoders_of(results)
    with unchecked():
        found = _figures(results, plan, encoders)
    return {figure.name: figure for figure in found}


def _figures(results: StudyResults, plan: Allocation | Designed | str, encoders: Encoders) -> list[Figure]:
    law = plan.law.formula.split(" = ")[0] if isinstance(plan, Designed) else "the law"
    return [
        quality_figure(results, encoders),
        effects_figure(results, encoders),
        alternatives_figure(results, encoders),
        audit_figure(results.laws.audit),
        decisions_figure(results.laws.audit),
        frontier_figure(results, encoders),
        *([isoflop_figure(plan.as_dict())] if isinstance(plan, Allocation) else []),
        held_out_figure(held_out_rows(plan, results), "quality", f"the law of the design ({law})", encoders),
        tasks_figure(results, encoders),
        *([layers_figure(results, encoders)] if results.layers else []),
        trajectories_figure(results, encoders),
        spectra_figure(results, encoders),
    ]


def study_tables(results: StudyResults) -> dict[str, Any]:
    """The tables of a study by name."""
    return {
        "laws": laws_table(results),
        "audit": audit_table(results),
        "two_stage": two_stage_table(results),
        "tasks": tasks_table(results),
        "correlations": correlations_table(results),
        "runs": runs_table(results, tasks=True),
    }


def study_page(results: StudyResults, plan: Allocation | Designed | str) -> Page:
    """The page of a study: answers first, then the evidence.

    Arguments:
        results: the study's results.
        plan: what to train next, or why that cannot be said.
    """
    encoders = encoders_of(results)
    figures, tables = study_figures(results, plan, encoders), study_tables(results)
    laws = results.laws
    meaning = [f"{name_of(laws.y).capitalize()}: {laws.y_meaning}."] if laws.y_meaning else []
    keys = [(point.run, point.config) for point in results.points]
    x, colour = encoders.variables.get("rankme"), encoders.colour
    planned = planner_data(plan, results.folder)
    planner = ('<div id="planner"></div>', planner_figure(plan)) if planned else ()
    two_stage: list[Any] = []
    if tables["two_stage"].rows:
        two_stage = [
            "<h3>Through rank, or directly</h3>",
            paragraphs(two_stage_sentences(results)),
            tables["two_stage"],
        ]
    sections = [
        Section("effects-section", "What moves quality", (figures["effects"],)),
        Section(
            "laws",
            "Rank and its alternatives",
            (
                paragraphs([*meaning, *rank_against_alternatives(results), seeds_sentence(results)]),
                figures["alternatives"],
                tables["laws"],
                *two_stage,
            ),
        ),
        Section("trust", "Can rank be trusted?", (figures["audit"], tables["audit"], figures["decisions"])),
        Section(
            "budget",
            "What budgets buy",
            (
                *planner,
                figures["frontier"],
                *([figures["isoflops"]] if "isoflops" in figures else []),
                figures["held_out"],
                *_plan_notes(plan),
            ),
        ),
        Section("scores", "Tasks", (figures["tasks"], tables["tasks"], tables["correlations"])),
        *(
            [Section("by-layer", "Layers", (paragraphs([layers_words(results)]), figures["layers"]))]
            if results.layers
            else []
        ),
        Section("training", "Training", (figures["trajectories"], figures["spectra"])),
        Section("runs", "Runs", (_failures(results), Grid(tables["runs"], keys))),
        Section(
            "method", "How it was measured", (_method(results), items(_notes(results), "No notes and no warnings."))
        ),
    ]
    return Page(
        kicker="Sonoscale study",
        title=results.name,
        about=[results.description, scope(results)],
        answers=answers(results, plan),
        opening=figures["quality"],
        sections=sections,
        provenance=_provenance(results.provenance),
        encoders=encoders,
        chosen={"x": x.key if x else "", "y": "quality", "colour": colour.key if colour else ""},
        command=str(results.provenance.get("command") or ""),
        folder=results.folder.name,
        planner=planned,
        without='The same figures lie as pictures in the folder "figures" beside it.',
    )


def _plan_notes(plan: Allocation | Designed | str) -> list[str]:
    if isinstance(plan, str):
        return [paragraphs([f"No plan: {plan}."])]
    return ["<h3>What to know of the plan</h3>", items([*plan.details, *plan.warnings])]


def _method(results: StudyResults) -> str:
    said = [
        f"Protocols: {join(list(results.protocols)) or 'not named'}. Readouts: {join(list(results.readouts))}; "
        f"quality is of the first. {results.quality_rule}"
    ]
    counts = sorted({int(p.get("rank_n")) for p in results.points if p.get("rank_n") == p.get("rank_n")})
    if counts:
        said.append(
            f"Rank: RankMe of the mean over tokens, on {join([f'{n:,}' for n in counts])} held-out clips, uncentred "
            "unless named centred; intervals from a jackknife over blocks of clips."
        )
    return paragraphs(said)


def _notes(results: StudyResults) -> list[str]:
    laws = results.laws
    warnings: dict[str, list[str]] = {}
    for fit in laws.fits:
        for warning in fit.warnings:
            warnings.setdefault(warning, []).append(f"{name_of(fit.x)}, {fit.form}")
    audit = laws.audit
    return [
        *laws.notes,
        *(str(note) for note in audit.get("notes") or ()),
        *(str(note) for note in audit.get("caveats") or ()),
        *(f"{'; '.join(where)}: {warning}" for warning, where in warnings.items()),
        *(f"Not fitted: {name_of(x)}, {form}: {reason}" for x, form, reason in laws.skipped),
        *results.missing,
    ]


def _failures(results: StudyResults) -> str:
    if not results.failures:
        return ""
    lines = [f"{failure.label}, seed {failure.seed}: {failure.error}" for failure in results.failures]
    return f'<div class="failures"><h3>Failed runs</h3>{items(lines, "")}</div>'


def _provenance(provenance: Mapping[str, object]) -> dict[str, object]:
    shown = dict(provenance)
    seconds = shown.get("seconds")
    if isinstance(seconds, int | float):
        shown["seconds"] = f"{seconds:.0f} ({duration(float(seconds))})"
    return shown
