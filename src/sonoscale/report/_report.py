"""From a study's folder to its report beside the data."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.extras import need
from sonoscale.files import write_bytes, write_text
from sonoscale.report._answers import law_sentence, summary
from sonoscale.report._load import load_study
from sonoscale.report._model import StudyResults
from sonoscale.results import Result

__all__ = ["Report", "report"]


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


@in_one_line
def report(folder: str | PathLike[str], *, flops: float | None = None) -> Report:
    """Write `report.html` and `figures/*.png` into the folder of a finished study.

    Each file is replaced atomically: a reader sees the old one or the new one, never a part. A figure without
    anything to draw has no PNG, and the page says why; its PNG from an earlier report is removed.

    Arguments:
        folder: the folder of the study: `study.yaml`, `provenance.json`, `ledger.parquet` and `laws.json` must be
            there; `runs/*/metrics.parquet`, `runs/*/spectra.npz` and `failed.json` may be.
        flops: the budget for which the page says what to train next; None: ten times the most expensive run.

    Returns:
        The `Report`.

    Raises:
        SonoscaleError: a file of the study is missing, unreadable or malformed, or the folder cannot be written.

    Example:
        >>> report("results/quickstart").page  # doctest: +SKIP
        PosixPath('results/quickstart/report.html')
    """
    check_arguments(report, locals())
    need("altair", what="a report")
    need("vl_convert", what="a report")
    from sonoscale.report._figure import draw
    from sonoscale.report._html import page_html
    from sonoscale.report._planned import plan_study
    from sonoscale.report._study_page import study_figures, study_page

    folder = Path(folder)
    results = load_study(folder)
    plan = plan_study(results, flops)
    page, figures = folder / "report.html", []
    try:
        for figure in study_figures(results, plan).values():
            path = folder / "figures" / f"{figure.name}.png"
            if figure.empty:
                path.unlink(missing_ok=True)
            else:
                write_bytes(path, draw(figure, ".png"))
                figures.append(path)
        write_text(page, page_html(study_page(results, plan)))
    except OSError as error:
        raise SonoscaleError(f"cannot write the report into {folder}: {error}") from error
    return Report(page, tuple(figures), results)
