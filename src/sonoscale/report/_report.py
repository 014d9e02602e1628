"""From a study's folder to its report beside the data."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.files import write_bytes, write_text
from sonoscale.report._figures_law import alternatives_figure, law_figure, tasks_figure
from sonoscale.report._figures_runs import spectra_figure, trajectories_figure
from sonoscale.report._load import load_study
from sonoscale.report._model import StudyResults
from sonoscale.report._spec import FigureSpec
from sonoscale.report._summary import law_sentence, summary
from sonoscale.results import Result

__all__ = ["Report", "figures_of", "report"]


@dataclass(frozen=True, repr=False, eq=False)
class Report(Result):
    """Where a report was written, and what it says.

    Attributes:
        page: the page.
        figures: a PNG for each figure in which there is anything to draw.
        results: what was read from the study's folder.
    """

    page: Path
    figures: tuple[Path, ...]
    results: StudyResults

    @property
    def headline(self) -> str:
        """The law of quality on RankMe, in a sentence."""
        return law_sentence(self.results)

    def rows(self) -> list[dict[str, Any]]:
        """One row per run at its largest budget."""
        names = ("params", "hours_seen", "flops", "loss", "rankme", "quality")
        return [
            {"label": point.label, "seed": point.seed, "step": point.step} | {name: point.get(name) for name in names}
            for point in self.results.final_points
        ]

    def as_dict(self) -> dict[str, Any]:
        """The files, the sentences of the summary, and the rows."""
        return {
            "page": str(self.page), "figures": [str(figure) for figure in self.figures],
            "summary": summary(self.results), "rows": self.rows(),
        }  # fmt: skip


def report(folder: str | PathLike[str]) -> Report:
    """Write `report.html` and `figures/*.png` into the folder of a finished study.

    Each file is replaced atomically: a reader sees the old one or the new one, never a part. A figure without
    anything to draw has no PNG, and the page says why; its PNG from an earlier report is removed.

    Arguments:
        folder: the folder of the study: `study.yaml`, `provenance.json`, `ledger.parquet` and `laws.json` must be
            there; `runs/*/metrics.parquet`, `runs/*/spectra.npz` and `failed.json` may be.

    Returns:
        The `Report`.

    Raises:
        SonoscaleError: a file of the study is missing, unreadable or malformed, or the folder cannot be written.

    Example:
        >>> report("results/quickstart").page  # doctest: +SKIP
        PosixPath('results/quickstart/report.html')
    """
    check_arguments(report, locals())
    need("plotly", what="a report")
    need("matplotlib", what="a report")
    from sonoscale.report._matplotlib import figure_png
    from sonoscale.report._page import page_html

    folder = Path(folder)
    results = load_study(folder)
    specs = figures_of(results)
    page, figures = folder / "report.html", []
    try:
        for spec in specs:
            path = folder / "figures" / f"{spec.name}.png"
            if spec.empty:
                path.unlink(missing_ok=True)
            else:
                write_bytes(path, figure_png(spec))
                figures.append(path)
        write_text(page, page_html(results, specs))
    except OSError as error:
        raise SonoscaleError(f"cannot write the report into {folder}: {error}") from error
    return Report(page, tuple(figures), results)


def figures_of(results: StudyResults) -> list[FigureSpec]:
    """All figures of a study, in the order of the page."""
    return [
        law_figure(results),
        alternatives_figure(results),
        trajectories_figure(results, "rankme"),
        trajectories_figure(results, "loss"),
        spectra_figure(results, centred=False),
        spectra_figure(results, centred=True),
        tasks_figure(results),
    ]
