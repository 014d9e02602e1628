"""Several studies on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.files import write_text
from sonoscale.report._answers import law_sentence, tone_of
from sonoscale.report._chart_evidence import frontier_figure
from sonoscale.report._chart_quality import alternatives_figure, quality_figure
from sonoscale.report._chart_tasks import tasks_figure
from sonoscale.report._encoders import encoders_of
from sonoscale.report._figure import unchecked
from sonoscale.report._format import decimal, interval, join, name_of, plural
from sonoscale.report._html import Answer, Grid, Page, Section, items, page_html, paragraphs
from sonoscale.report._load import load_study
from sonoscale.report._model import Laws, Point, StudyResults
from sonoscale.report._tables import Cell, Column, Table, runs_table

__all__ = ["compare_studies", "comparison_page"]


@in_one_line
def compare_studies(folders: Sequence[str | PathLike[str]], path: str | PathLike[str]) -> Path:
    """Write a page on which several studies stand side by side, atomically.

    Quality is compared over the tasks that all of them scored; every study keeps its own laws and its own verdict.

    Arguments:
        folders: of finished studies, two at least.
        path: of the `.html` file.

    Returns:
        The path.

    Raises:
        SonoscaleError: Fewer than two folders, one that is no finished study, no task in common, or a file that cannot
            be written.

    Example:
        >>> compare_studies(["results/quickstart", "results/objectives"], "comparison.html")  # doctest: +SKIP
        PosixPath('comparison.html')
    """
    path = Path(path)
    if isinstance(folders, (str, bytes, PathLike)) or len(folders) < 2:
        raise SonoscaleError(f"a comparison is of two studies or more, not of {folders!r}")
    if path.suffix != ".html":
        raise SonoscaleError(f"{path}: the name of a page must end in .html")
    with unchecked():
        page = comparison_page([load_study(Path(folder)) for folder in folders])
    try:
        write_text(path, page_html(page))
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def comparison_page(studies: Sequence[StudyResults]) -> Page:
    """The page of a comparison.

    Raises:
        SonoscaleError: The studies have no task in common.
    """
    names = _names(studies)
    tasks = [task for task in studies[0].tasks if all(task in one.tasks for one in studies)]
    if not tasks:
        raise SonoscaleError(f"{join(names)} scored no task in common: there is nothing to compare them by")
    merged = _merged(studies, names, tasks)
    encoders = encoders_of(merged)
    axis = replace(encoders.variables["axis"], title="study")
    encoders = replace(encoders, variables={**encoders.variables, "axis": axis}, by="axis")
    x = encoders.variables.get("rankme")
    best = {name: _best(merged, name) for name in names}
    ahead = max(best, key=lambda name: best[name].quality)
    answers = [
        Answer(
            "Which study has the best encoder?",
            f"{ahead}: quality {decimal(best[ahead].quality)}, {best[ahead].label}.",
            "; ".join(f"{name} {decimal(one.quality)}" for name, one in best.items() if name != ahead) + ".",
        ),
        *(_verdict(name, one) for name, one in zip(names, studies, strict=True)),
    ]
    lost = sorted({task for one in studies for task in one.tasks} - set(tasks))
    about = [f"{join(names)}, on {plural(len(tasks), 'task')} in common: {join(tasks)}."]
    notes = [f"Not in all studies, and in no quality here: {join(lost)}."] if lost else []
    if len({one.protocols for one in studies}) > 1 or len({one.readouts for one in studies}) > 1:
        notes.append("Protocols or readouts differ between the studies: differences may be of method.")
    counts = {p.get("rank_n") for p in merged.points if math.isfinite(p.get("rank_n"))}
    if len(counts) > 1:
        notes.append(
            "Ranks were measured on different numbers of clips: they grow with it, and compare only within a study."
        )
    keys = [(point.run, point.config) for point in merged.points]
    sections = [
        Section(
            "studies",
            "The studies",
            (
                _table(studies, names, best),
                *(paragraphs([f"{name}: {law_sentence(one)}"]) for name, one in zip(names, studies, strict=True)),
            ),
        ),
        Section("laws", "Against rank and its alternatives", (alternatives_figure(merged, encoders),)),
        Section("budget", "What budgets buy", (frontier_figure(merged, encoders),)),
        Section("scores", "Tasks", (tasks_figure(merged, encoders),)),
        Section("runs", "Runs", (Grid(runs_table(merged, tasks=True), keys),)),
        Section("notes", "Notes", (items(notes, "No notes."),)),
    ]
    return Page(
        kicker="Sonoscale comparison",
        title=f"{join(names)} compared",
        about=about,
        answers=answers,
        opening=quality_figure(merged, encoders),
        sections=sections,
        provenance={
            f"{name}: {key}": one.provenance[key]
            for name, one in zip(names, studies, strict=True)
            for key in ("command", "created", "sonoscale", "cpu")
            if key in one.provenance
        },
        encoders=encoders,
        chosen={"x": x.key if x else "", "y": "quality", "colour": axis.key},
    )


def _names(studies: Sequence[StudyResults]) -> list[str]:
    names = [one.name for one in studies]
    if len(set(names)) == len(names):
        return names
    return [
        f"{name} ({one.folder.name})" if names.count(name) > 1 else name
        for name, one in zip(names, studies, strict=True)
    ]


def _merged(studies: Sequence[StudyResults], names: Sequence[str], tasks: Sequence[str]) -> StudyResults:
    """One study whose swept variable is the study that an encoder is of."""
    points: list[Point] = []
    for number, (name, one) in enumerate(zip(names, studies, strict=True)):
        for point in one.points:
            scores = {task: point.scores[task] for task in tasks}
            points.append(
                replace(
                    point,
                    run=f"{number}/{point.run}",
                    config=f"{number}/{point.config}",
                    label=f"{name}: {point.label}",
                    axis=name,
                    scores=scores,
                    quality=sum(scores.values()) / len(tasks),
                )
            )
    first = studies[0]
    return replace(
        first,
        points=tuple(points),
        tasks=tuple(tasks),
        runs={},
        failures=(),
        missing=(),
        laws=Laws("quality", "", (), {}, (), {}, {}, {}, ()),
        name=join(list(names)),
    )


def _best(merged: StudyResults, name: str) -> Point:
    mine = [point for point in merged.points if point.axis == name and math.isfinite(point.quality)]
    return max(mine, key=lambda point: point.quality)


def _verdict(name: str, one: StudyResults) -> Answer:
    audit = one.laws.audit
    if not audit.get("verdict"):
        return Answer(f"{name}: can rank be trusted?", "Not audited.", str(audit.get("reason") or ""), "open")
    words = str(audit["words"])
    return Answer(
        f"{name}: can rank be trusted?", f"{words}.", str(audit.get("reason") or ""), tone_of(str(audit["verdict"]))
    )


def _table(studies: Sequence[StudyResults], names: Sequence[str], best: dict[str, Point]) -> Table:
    rows = []
    for name, one in zip(names, studies, strict=True):
        rank: Any = one.laws.correlations.get("rankme")
        fits = [fit for x in dict.fromkeys(f.x for f in one.laws.fits) for fit in one.laws.of(x)[:1]]
        known = [fit for fit in fits if math.isfinite(fit.loo_rmse)]
        law = min(known, key=lambda fit: fit.loo_rmse) if known else None
        configs = len({point.config for point in one.points})
        rows.append(
            (
                Cell(name, name),
                Cell(str(configs), configs),
                Cell(str(len(one.seeds)), len(one.seeds)),
                Cell(decimal(best[name].quality), best[name].quality, strong=True),
                Cell(interval(rank, 2), rank.value if rank else math.nan),
                Cell(f"{name_of(law.x)}, {law.form}" if law else "–", law.x if law else ""),
                Cell(decimal(law.loo_rmse, 4) if law else "–", law.loo_rmse if law else math.nan),
                Cell(
                    str(one.laws.audit.get("verdict") or "–").replace("_", " "),
                    str(one.laws.audit.get("verdict") or ""),
                ),
            )
        )
    columns = (
        Column("study", numeric=False),
        Column("configurations"),
        Column("seeds"),
        Column("best quality"),
        Column("Spearman of RankMe"),
        Column("best law", numeric=False),
        Column("left-out error"),
        Column("verdict on rank", numeric=False),
    )
    return Table(
        "The studies. Quality is over the tasks in common; laws are of each study's own quality.", columns, tuple(rows)
    )
