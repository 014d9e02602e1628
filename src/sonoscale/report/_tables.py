"""The tables as data: in each cell a text to read and a value to sort by. Page and terminal share them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sonoscale.report._chart_quality import alternatives_of
from sonoscale.report._format import count, decimal, duration, flops, hours, interval, name_of
from sonoscale.report._model import Fit, Interval, Point, StudyResults

__all__ = [
    "Cell",
    "Column",
    "Table",
    "audit_table",
    "correlations_table",
    "laws_table",
    "runs_table",
    "tasks_table",
    "two_stage_table",
]


@dataclass(frozen=True)
class Column:
    """A column's head, whether it holds numbers or sentences, and how early a narrow terminal gives it up."""

    head: str
    numeric: bool = True
    spare: int = 0
    prose: bool = False


@dataclass(frozen=True)
class Cell:
    """What a cell says and what it sorts by; `strong` marks the one that matters in its row."""

    text: str
    sort: float | str
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table: caption, columns and rows; without rows, `empty` says why."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = ""


def laws_table(results: StudyResults) -> Table:
    """Every fitted law, rank's first, beside the correlation of its predictor."""
    order = ["rankme", *alternatives_of(results)]
    fits = [fit for x in order for fit in results.laws.of(x)]
    fits += [fit for fit in results.laws.fits if fit not in fits]
    unfitted = [x for x in order if x in results.laws.correlations and all(fit.x != x for fit in fits)]
    columns = (
        Column("predictor", numeric=False),
        Column("form", numeric=False),
        Column("formula", numeric=False, spare=3),
        Column(f"exponent [{results.laws.percent} interval]"),
        Column("R²", spare=2),
        Column("left-out error"),
        Column("AICc", spare=5),
        Column(f"Spearman [{results.laws.percent} interval]", spare=1),
        Column("points (configurations)", spare=4),
    )
    rows = [_law_row(results, fit) for fit in fits] + [_unfitted_row(results, x) for x in unfitted]
    return Table(
        f"Fitted laws of {name_of(results.laws.y)}, the best form of each predictor in bold. The left-out "
        "error is the root mean squared error on configurations left out, all seeds and "
        "budgets of one together.",
        columns,
        tuple(rows),
        empty="No law could be fitted.",
    )


def two_stage_table(results: StudyResults) -> Table:
    """How well each way from the design to quality predicts configurations left out."""
    rows = []
    for rank, found in results.laws.two_stage.items():
        best = min((route.error for route in found.routes.values()), default=math.nan)
        for name, route in found.routes.items():
            error = _decimal(route.error, 4)
            rows.append(
                (
                    _words(name_of(rank)),
                    _words(name),
                    Cell(error.text, error.sort, strong=route.error == best),
                    Cell(interval(route.gain, 4), route.gain.value),
                )
            )
    columns = (
        Column("rank", numeric=False),
        Column("route", numeric=False),
        Column("left-out error"),
        Column(f"gain on the direct law [{results.laws.percent} interval]"),
    )
    caption = (
        "From the design to quality: through the rank that the design predicts, directly, directly with the measured "
        "rank beside the design, and from the measured rank alone. The error is the root mean squared error on "
        "configurations left out, of which both stages are fitted anew."
    )
    return Table(caption, columns, tuple(rows), empty="The law in two stages was not fitted.")


def _law_row(results: StudyResults, fit: Fit) -> tuple[Cell, ...]:
    best = results.laws.best.get(fit.x) == fit.form
    slope = fit.slope
    spearman = results.laws.correlations.get(fit.x) if fit.y == results.laws.y else None
    sizes = "–" if fit.n is None else f"{fit.n}" + ("" if fit.n_clusters is None else f" ({fit.n_clusters})")
    predictor = name_of(fit.x) if fit.y == results.laws.y else f"{name_of(fit.x)} (for {name_of(fit.y)})"
    return (
        _words(predictor),
        Cell(fit.form, fit.form, strong=best),
        _words(fit.formula),
        Cell(interval(slope), slope.value if slope else math.nan),
        _decimal(fit.r2, 2),
        _decimal(fit.loo_rmse, 4),
        _decimal(fit.aicc, 1),
        Cell(interval(spearman, 2), spearman.value if spearman else math.nan),
        Cell(sizes, math.nan if fit.n is None else float(fit.n)),
    )


def _unfitted_row(results: StudyResults, x: str) -> tuple[Cell, ...]:
    spearman = results.laws.correlations[x]
    blank = Cell("–", math.nan)
    found = Cell(interval(spearman, 2), spearman.value)
    return (_words(name_of(x)), _words("not fitted"), _words("–"), blank, blank, blank, blank, found, blank)


def runs_table(results: StudyResults, *, final_only: bool = False, tasks: bool = False) -> Table:
    """The measured encoders: what they are, what they cost, and what came of it."""
    columns = [
        Column("configuration", numeric=False),
        Column("swept", numeric=False, spare=5),
        Column("seed"),
        Column("step", spare=2),
        Column("parameters"),
        Column("processed", spare=1),
        Column("FLOPs", spare=1),
        Column("time", spare=6),
        Column("loss"),
        Column("RankMe [95% interval]"),
        Column("RankMe / dim", spare=4),
        Column("quality"),
    ]
    if tasks:
        columns += [Column(task, spare=3) for task in results.tasks]
    points = results.final_points if final_only else results.points
    rows = []
    for point in points:
        row = _run_row(point)
        if tasks:
            row += [_decimal(point.scores.get(task, math.nan)) for task in results.tasks]
        rows.append(tuple(row))
    which = "largest budget of each run" if final_only else "one row per run and training budget"
    return Table(f"Measured encoders, {which}.", tuple(columns), tuple(rows), empty="No encoder was measured.")


def _run_row(point: Point) -> list[Cell]:
    parameters, audio, cost = point.get("params"), point.get("hours_seen"), point.get("flops")
    share = point.get("rankme") / point.get("dim") if point.get("dim") > 0 else math.nan
    return [
        _words(point.label),
        _words(point.axis),
        Cell(str(point.seed), float(point.seed)),
        Cell(str(point.step), float(point.step)),
        Cell(count(parameters), parameters),
        Cell(hours(audio), audio),
        Cell(flops(cost), cost),
        Cell(duration(point.get("seconds")), point.get("seconds")),
        _decimal(point.get("loss")),
        Cell(interval(point.interval("rankme"), 1), point.get("rankme")),
        _decimal(share, 2),
        Cell(decimal(point.quality), point.quality, strong=True),
    ]


def tasks_table(results: StudyResults) -> Table:
    """What bounds the scores of each task, and how well it tells configurations apart."""
    from sonoscale.report._chart_tasks import reliability_of

    rows = []
    for task in results.tasks:
        about = results.about_tasks.get(task, {})
        scores = [
            point.scores[task] for point in results.final_points if math.isfinite(point.scores.get(task, math.nan))
        ]
        reliability = reliability_of(results, task)
        found = Interval(*(reliability.get(key, math.nan) for key in ("value", "low", "high")))
        known = [about.get(key, math.nan) for key in ("floor_untrained", "floor_logmel")]
        floor = max((value for value in known if math.isfinite(value)), default=math.nan)
        above = sum(score > floor for score in scores) / len(scores) if scores and math.isfinite(floor) else math.nan
        rows.append((
            _words(task), _words(results.metrics.get(task, "")), _decimal(about.get("chance", math.nan)),
            *map(_decimal, known), _decimal(min(scores, default=math.nan)), _decimal(max(scores, default=math.nan)),
            _decimal(about.get("ceiling", math.nan)), Cell(f"{above:.0%}" if math.isfinite(above) else "–", above),
            Cell(interval(found, 2), found.value), _decimal(about.get("weight", math.nan), 2),
        ))  # fmt: skip
    columns = (
        Column("task", numeric=False), Column("metric", numeric=False), Column("chance"), Column("untrained"),
        Column("log-mel"), Column("worst"), Column("best"), Column("ceiling"), Column("above the floor"),
        Column(f"reliability [{results.laws.percent} interval]"), Column("weight"),
    )  # fmt: skip
    caption = (
        "Tasks at the largest budget of each run. Floors are an untrained encoder and log-mel statistics, read out "
        "alike; the ceiling is a strong public encoder, where one was scored; the weight is that in quality."
    )
    return Table(caption, columns, tuple(rows), empty="No task was scored.")


def audit_table(results: StudyResults) -> Table:
    """The checks of the audit, one a row."""
    from sonoscale.report._chart_evidence import audit_rows

    rows = []
    for row in audit_rows(results.laws.audit):
        found = Interval(row["value"], row.get("low", math.nan), row.get("high", math.nan))
        p = row.get("p", math.nan)
        rows.append(
            (
                _words(row["check"]),
                _words(row["asks"]),
                Cell(interval(found, 2), found.value),
                Cell(f"{p:.2g}" if math.isfinite(p) else "–", p),
                _words(row["result"]),
            )
        )
    columns = (
        Column("check", numeric=False),
        Column("what it asks", numeric=False, prose=True),
        Column(f"value [{results.laws.percent} interval]"),
        Column("p"),
        Column("interval", numeric=False),
    )
    caption = "The checks of the audit, on each configuration at its largest budget, the mean of its seeds."
    return Table(caption, columns, tuple(rows), empty="Rank was not audited.")


def correlations_table(results: StudyResults) -> Table:
    """Spearman's correlation of each task's score, and of quality, with every predictor."""
    laws = results.laws
    by_row = {"quality (all tasks)": laws.correlations, **laws.per_task}
    by_row = {name: found for name, found in by_row.items() if found}
    seen = list(dict.fromkeys(x for found in by_row.values() for x in found))
    xs = [x for x in ["rankme", *alternatives_of(results)] if x in seen]
    xs += [x for x in seen if x not in xs]
    rows = []
    for name, found in by_row.items():
        best = max((abs(entry.value) for entry in found.values() if math.isfinite(entry.value)), default=0.0)
        cells = [_words(name)]
        for x in xs:
            entry = found.get(x)
            value = entry.value if entry else math.nan
            cells.append(Cell(interval(entry, 2), value, strong=abs(value) == best))
        rows.append(tuple(cells))
    columns = (Column("score", numeric=False), *(Column(name_of(x)) for x in xs))
    head = f"[{laws.percent} interval]"
    caption = f"Spearman's correlation with each predictor {head}; the strongest of each row in bold."
    return Table(caption, columns, tuple(rows), empty="No correlation was computed.")


def _words(text: str) -> Cell:
    return Cell(text, text)


def _decimal(value: float, places: int = 3) -> Cell:
    return Cell(decimal(value, places), value)
