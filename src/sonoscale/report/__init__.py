"""From a finished study folder to a self-contained interactive page, figures for papers, and terminal tables;
and from what was measured of encoders or embeddings to a page of spectra and tables.

A figure is described once, as Vega-Lite (through Altair), and drawn alike on a page, as PNG, as SVG and as PDF
(through vl-convert), without a network and without a browser.
"""

from typing import TYPE_CHECKING

from sonoscale._callable import make_callable
from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.report._chart_measure import spectrum_figure
    from sonoscale.report._compare import compare_studies
    from sonoscale.report._figure import write_figure
    from sonoscale.report._figures import Figures, figures
    from sonoscale.report._measure_page import write_measurement_page
    from sonoscale.report._report import Report, report
    from sonoscale.report._result_pages import write_page
    from sonoscale.report._terminal import terminal_summary

__all__ = ["Figures", "Report", "compare_studies", "figures", "report", "write_page"]

__getattr__ = lazy(__name__)
make_callable(__name__)
