"""Writes a study's report beside its data."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sonoscale.errors import SonoscaleError
from sonoscale.report._figures_law import law_figure, rivals_figure, tasks_figure
from sonoscale.report._figures_runs import spectra_figure, trajectories_figure
from sonoscale.report._load import load_study
from sonoscale.report._matplotlib import figure_png
from sonoscale.report._model import StudyResults
from sonoscale.report._page import page_html
from sonoscale.report._spec import FigureSpec

__all__ = ["ReportPaths", "figures_of", "replace_file", "write_report"]


@dataclass(frozen=True)
class ReportPaths:
    """Where a report was written."""

    page: Path
    figures: list[Path]


def write_report(folder: Path) -> ReportPaths:
    """Write `report.html` and `figures/*.png` into a finished study folder.

    Each file is replaced at once: a reader sees the old one or the new one, never a part. A figure without
    anything to draw has no PNG, and the page says why; its PNG from an earlier report is removed.

    Arguments:
        folder: The study folder (see `load_study`).

    Returns:
        The paths of the page and of the figures.

    Raises:
        SonoscaleError: A file of the study is missing or unreadable, or the folder cannot be written.
    """
    folder = Path(folder)
    results = load_study(folder)
    specs = figures_of(results)
    page = folder / "report.html"
    figures = []
    try:
        (folder / "figures").mkdir(exist_ok=True)
        for spec in specs:
            path = folder / "figures" / f"{spec.name}.png"
            if spec.empty:
                path.unlink(missing_ok=True)
            else:
                replace_file(path, figure_png(spec))
                figures.append(path)
        replace_file(page, page_html(results, specs).encode("utf-8"))
    except OSError as error:
        raise SonoscaleError(f"cannot write the report into {folder}: {error}") from error
    return ReportPaths(page, figures)


def figures_of(results: StudyResults) -> list[FigureSpec]:
    """All figures of a study, in the order of the page."""
    return [
        law_figure(results),
        rivals_figure(results),
        trajectories_figure(results, "rankme"),
        trajectories_figure(results, "loss"),
        spectra_figure(results, centred=False),
        spectra_figure(results, centred=True),
        tasks_figure(results),
    ]


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader sees the old one or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
