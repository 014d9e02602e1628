"""The page of what was measured: spectra and tables in one file."""

from __future__ import annotations

import html
from pathlib import Path

from sonoscale import __version__
from sonoscale.errors import SonoscaleError
from sonoscale.files import write_bytes
from sonoscale.report._figure_spectrum import spectrum_figure
from sonoscale.report._html import definitions, figure_html, paragraphs, table_html
from sonoscale.report._measure_figures import durations_figure, groups_figure, layers_figure
from sonoscale.report._measure_model import Measurements
from sonoscale.report._measure_tables import (
    comparisons_table,
    durations_table,
    estimators_table,
    groups_table,
    layers_table,
    overview_table,
    skipped_table,
)
from sonoscale.report._measure_words import about, summary, title
from sonoscale.report._spec import FigureSpec
from sonoscale.report._tables import Table
from sonoscale.report._template import fill

__all__ = ["measure_page_html", "write_measure_page"]


def write_measure_page(path: Path, results: Measurements) -> None:
    """Write the page by atomic rename: a reader sees the old one or the new one, never a part.

    Arguments:
        path: The `.html` file, in a folder that exists.
        results: What was measured.

    Raises:
        SonoscaleError: The file cannot be written.
    """
    try:
        write_bytes(path, measure_page_html(results).encode("utf-8"))
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be written: {error.strerror or error}") from error


def measure_page_html(results: Measurements) -> str:
    """The whole page as one text that needs nothing else to be read.

    Arguments:
        results: What was measured. What is not in it has no section on the page.

    Returns:
        An HTML document with its style, its script and plotly.js inside it.
    """
    spectrum = spectrum_figure({one.name: one.sketch for one in results.measured})
    parts: list[tuple[str, str, FigureSpec | None, Table]] = [
        ("overview", "Overview", None if spectrum.empty else spectrum, overview_table(results)),
        ("layers", "Layers", layers_figure(results), layers_table(results)),
        ("durations", "Durations", durations_figure(results), durations_table(results)),
        ("groups", "Groups", groups_figure(results), groups_table(results)),
        ("estimators", "Estimators", None, estimators_table(results)),
        ("differences", "Differences", None, comparisons_table(results)),
        ("skipped", "Skipped clips", None, skipped_table(results)),
    ]
    shown = [part for part in parts if part[3].rows]
    links = [(name, heading) for name, heading, _, _ in shown] + [("provenance", "Provenance")]
    return fill(
        "_measure_page.html",
        title=html.escape(title(results)),
        about=paragraphs([about(results)]),
        contents="".join(f'<a href="#{name}">{heading}</a>' for name, heading in links),
        summary=paragraphs(summary(results)),
        sections="\n".join(_section(*part) for part in shown),
        provenance=definitions(_provenance(results)),
    )


def _section(name: str, heading: str, figure: FigureSpec | None, table: Table) -> str:
    drawn, told = figure_html(figure) if figure else "", table_html(table)
    both = told + drawn if name == "overview" else drawn + told
    return f'<section id="{name}"><h2>{heading}</h2>{both}</section>'


def _provenance(results: Measurements) -> dict[str, str]:
    told = {"sonoscale": __version__}
    for number, one in enumerate(results.measured, 1):
        what = "encoder" if results.audio else "file"
        told[f"{what} {number}" if results.several else what] = one.identity
    corpora = dict.fromkeys(one.corpus for one in results.measured if one.corpus)
    told |= {f"audio {i}" if len(corpora) > 1 else "audio": corpus for i, corpus in enumerate(corpora, 1)}
    return told | {f"{key}": _plain(value) for key, value in results.options.items()}


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
