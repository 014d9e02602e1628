"""The page of what was measured: spectra and tables in one file."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from sonoscale import __version__
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.files import write_text
from sonoscale.measure import Measurement
from sonoscale.report._chart_measure import durations_figure, groups_figure, layers_figure, spectrum_figure
from sonoscale.report._figure import Figure, unchecked
from sonoscale.report._html import Page, Section, page_html
from sonoscale.report._measure_tables import (
    comparisons_table,
    durations_table,
    estimators_table,
    groups_table,
    layers_table,
    overview_table,
    skipped_table,
)
from sonoscale.report._measure_words import about, answers, title
from sonoscale.report._tables import Table

__all__ = ["measure_page_html", "write_measurement_page"]


@in_one_line
def write_measurement_page(measurement: Measurement, path: str | PathLike[str]) -> None:
    """Write the page of a measurement atomically: a reader sees the old one or the new one, never a part.

    Arguments:
        measurement: What `measure` returned.
        path: The `.html` file.

    Raises:
        SonoscaleError: The file cannot be written.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from sonoscale.measure import measure
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/a.npy", np.random.default_rng(0).standard_normal((100, 4)))
        ...     write_measurement_page(measure(embeddings=f"{folder}/a.npy"), f"{folder}/a.html")
        ...     "<h1>Effective rank of a.npy</h1>" in Path(f"{folder}/a.html").read_text(encoding="utf-8")
        True
    """
    try:
        write_text(Path(path), measure_page_html(measurement))
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be written: {error.strerror or error}") from error


def measure_page_html(results: Measurement) -> str:
    """The whole page as one text that needs nothing else to be read.

    Arguments:
        results: What was measured. What is not in it has no section on the page.

    Returns:
        An HTML document with its style, its script and its data inside it.
    """
    with unchecked():
        return page_html(_page(results))


def _page(results: Measurement) -> Page:
    spectrum = spectrum_figure({one.name: one.sketch for one in results.measured})
    parts: list[tuple[str, str, Figure | None, Table]] = [
        ("overview", "Overview", None if spectrum.empty else spectrum, overview_table(results)),
        ("layers", "Layers", layers_figure(results), layers_table(results)),
        ("durations", "Durations", durations_figure(results), durations_table(results)),
        ("groups", "Groups", groups_figure(results), groups_table(results)),
        ("estimators", "Estimators", None, estimators_table(results)),
        ("differences", "Differences", None, comparisons_table(results)),
        ("skipped", "Skipped clips", None, skipped_table(results)),
    ]
    opening = parts[0][2]
    sections = [
        Section(name, heading, ((figure, table) if figure is not None and name != "overview" else (table,)))
        for name, heading, figure, table in parts if table.rows
    ]  # fmt: skip
    return Page(
        kicker="Sonoscale measurement", title=title(results), about=[about(results)], answers=answers(results),
        opening=opening, sections=sections, provenance=_provenance(results),
    )  # fmt: skip


_ELSEWHERE = ("encoders", "audio", "embeddings", "versions", "min_seconds")
"""Options that are on the page already, or that follow from others."""


def _provenance(results: Measurement) -> dict[str, str]:
    found = {"sonoscale": __version__, **results.options.get("versions", {})}
    for number, one in enumerate(results.measured, 1):
        what = "encoder" if results.audio else "file"
        found[f"{what} {number}" if results.several else what] = one.identity
    corpora = dict.fromkeys(one.corpus for one in results.measured if one.corpus)
    found |= {f"audio {i}" if len(corpora) > 1 else "audio": corpus for i, corpus in enumerate(corpora, 1)}
    return found | _given(results.options)


def _given(options: Mapping[str, object]) -> dict[str, str]:
    """Options that have a value, as text."""
    kept = {key: value for key, value in options.items() if key not in _ELSEWHERE and value not in (None, False, [])}
    return {key: "yes" if value is True else _text(value) for key, value in kept.items()}


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
