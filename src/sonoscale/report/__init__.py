"""From a finished study folder to a self-contained interactive page, figures for papers, and terminal tables;
and from what was measured of encoders or embeddings to a page of spectra and tables.

Of a study it reads the files alone. A figure is described once as data and drawn twice, by plotly for the
page and by matplotlib for print, so that the two never disagree.
"""

from __future__ import annotations

from sonoscale.report._figure_spectrum import spectrum_figure, write_figure
from sonoscale.report._load import load_study
from sonoscale.report._measure_page import write_measurement_page
from sonoscale.report._model import StudyResults
from sonoscale.report._terminal import terminal_summary
from sonoscale.report._write import ReportPaths, write_report

__all__ = [
    "ReportPaths",
    "StudyResults",
    "load_study",
    "spectrum_figure",
    "terminal_summary",
    "write_figure",
    "write_measurement_page",
    "write_report",
]
