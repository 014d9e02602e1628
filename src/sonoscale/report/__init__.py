"""From a finished study folder to a self-contained interactive page, figures for papers, and terminal tables;
and from what was measured of encoders or embeddings to a page of spectra and tables.

Of a study it reads the files alone. A figure is described once as data and drawn twice, by plotly for the
page and by matplotlib for print, so that the two never disagree.
"""

from typing import TYPE_CHECKING

from sonoscale._callable import make_callable
from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.report._figure_spectrum import spectrum_figure, write_figure
    from sonoscale.report._measure_page import write_measurement_page
    from sonoscale.report._report import Report, report
    from sonoscale.report._terminal import terminal_summary

__all__ = ["Report", "report"]

__getattr__ = lazy(__name__)
make_callable(__name__)
