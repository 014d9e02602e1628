"""The page: the packaged template, filled."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from sonoscale.report._format import duration, name_of
from sonoscale.report._html import definitions, figure_html, fill, items, paragraphs, table_html
from sonoscale.report._model import StudyResults
from sonoscale.report._spec import FigureSpec
from sonoscale.report._summary import summary, two_stage_sentences
from sonoscale.report._tables import correlations_table, laws_table, runs_table, scores_table, two_stage_table

__all__ = ["page_html"]


def page_html(results: StudyResults, figures: Sequence[FigureSpec]) -> str:
    """The whole page as one text that needs nothing else to be read.

    Arguments:
        results: The study's results.
        figures: The figures by name: law, law_alternatives, rank_trajectories, loss_trajectories, spectra,
            spectra_centred, tasks.

    Returns:
        An HTML document with its style, its script and plotly.js inside it.
    """
    by_name = {figure.name: figure_html(figure) for figure in figures}
    about = [f"{name_of(results.laws.y).capitalize()}: {results.laws.y_meaning}"] if results.laws.y_meaning else []
    return fill(
        "_page.html",
        title=html.escape(results.name),
        description=paragraphs([results.description] if results.description else []),
        summary=paragraphs(summary(results)),
        meaning=paragraphs(about),
        laws_table=table_html(laws_table(results)),
        two_stage=paragraphs(two_stage_sentences(results)) + table_html(two_stage_table(results)),
        runs_table=table_html(runs_table(results)),
        scores_table=table_html(scores_table(results)),
        correlations_table=table_html(correlations_table(results)),
        failures=_failures(results),
        notes=items(_notes(results), "No notes and no warnings."),
        provenance=definitions(_provenance(results.provenance)),
        **by_name,
    )


def _notes(results: StudyResults) -> list[str]:
    laws = results.laws
    warnings: dict[str, list[str]] = {}
    for fit in laws.fits:
        for warning in fit.warnings:
            warnings.setdefault(warning, []).append(f"{name_of(fit.x)}, {fit.form}")
    return [
        *laws.notes,
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
