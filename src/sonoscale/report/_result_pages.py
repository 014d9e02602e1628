"""Pages of what `fit`, `audit` and `plan` return."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale import __version__
from sonoscale.errors import SonoscaleError
from sonoscale.files import write_text
from sonoscale.laws import Laws
from sonoscale.laws.audit import Audit, GroupAudits
from sonoscale.laws.plan import Allocation, Designed, GroupPlans
from sonoscale.measure import Measurement
from sonoscale.provenance import provenance
from sonoscale.report._answers import amount_words, plan_answer, tone_of
from sonoscale.report._chart_evidence import audit_figure, decisions_figure, held_out_figure, isoflop_figure
from sonoscale.report._figure import Figure, Panel, unchecked
from sonoscale.report._format import count, decimal, label_of, plural, significant
from sonoscale.report._html import Answer, Page, Section, items, page_html
from sonoscale.report._planner import planner_data, planner_figure
from sonoscale.report._tables import Cell, Column, Table

__all__ = ["result_page", "rows_table", "write_page"]

Rows = Sequence[Mapping[str, Any]]
_PANELS = 9


def write_page(result: Any, path: str | PathLike[str]) -> Path:
    """Write what `measure`, `fit`, `audit` or `plan` returned as a page that needs nothing else, atomically.

    Arguments:
        result: of one of them.
        path: of the `.html` file.

    Returns:
        The path.

    Raises:
        SonoscaleError: There are no pages of such results, the name has another ending, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> import sonoscale as so
        >>> table = {"params": [1e6, 3e6, 1e7, 3e7, 1e8, 3e8], "loss": [4.0, 3.4, 2.9, 2.5, 2.2, 2.0]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_page(so.fit(table, x=["params"]), f"{folder}/laws.html").name
        'laws.html'
    """
    path = Path(path)
    if path.suffix != ".html":
        raise SonoscaleError(f"{path}: the name of a page must end in .html")
    if isinstance(result, Measurement):
        from sonoscale.report._measure_page import measure_page_html

        text = measure_page_html(result)
    else:
        text = page_html(result_page(result))
    try:
        write_text(path, text)
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def result_page(result: Any) -> Page:
    """The page of what `fit`, `audit` or `plan` returned.

    Raises:
        SonoscaleError: For anything else.
    """
    makers = {
        Laws: _laws,
        Audit: _audit,
        GroupAudits: _groups,
        Allocation: _plan,
        Designed: _plan,
        GroupPlans: _groups,
    }
    make = makers.get(type(result))
    if make is None:
        raise SonoscaleError(f"pages are of what measure, fit, audit and plan return, not of {type(result).__name__}")
    with unchecked():
        return make(result)


def rows_table(caption: str, rows: Rows, *, empty: str = "") -> Table:
    """Rows as a table; `low` and `high` beside a value make one column, its interval."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: list[tuple[str, Column]] = []
    for name in names:
        if name == "high" or name.endswith(("_high", " high")):
            continue
        values = [row.get(name) for row in rows]
        numeric = all(value is None or _is_number(value) for value in values) and any(map(_is_number, values))
        head = (
            f"{name.removesuffix('low').strip('_ ')} interval".strip() if _low(name) else name.replace("_", " ") or "of"
        )
        prose = not numeric and any(len(str(value)) > 40 for value in values)
        columns.append((name, Column(head, numeric=numeric or _low(name), prose=prose)))
    made = tuple(tuple(_of(row, name) for name, _ in columns) for row in rows)
    return Table(caption, tuple(column for _, column in columns), made, empty)


def _laws(found: Laws) -> Page:
    fitted = [law for law in found.groups if law.error is None and law.runs is not None]
    held = [row for law in fitted for row in law.predictions()]
    known = [law for law in fitted if law.rmse_log is not None]
    answers = [
        Answer(
            "What was fitted?",
            f"The law of {found.headline.removeprefix('fitted: ')}.",
            " ".join(f"{law.label}: {law.form}." if law.group else f"Form: {law.form}." for law in fitted[:4]),
        )
    ]
    if known:
        rmse = float(np.mean([law.rmse_log for law in known if law.rmse_log is not None]))
        inside = [law.coverage for law in known if law.coverage is not None]
        lead = f"Off by {rmse:.1%} on {plural(len(held), 'held-out run')}"
        lead += f"; {np.mean(inside):.0%} inside their {found.level:.0%} intervals." if inside else "."
        answers.append(
            Answer("Does it predict larger runs?", lead, tone="good" if inside and np.mean(inside) >= 0.8 else "open")
        )
    else:
        answers.append(
            Answer(
                "Does it predict larger runs?",
                "Not tested: no row was held out.",
                "Hold some out (held_out) and see whether they lie inside their intervals.",
                "open",
            )
        )
    answers += [_ahead(found, law) for law in fitted[:3] if law.two_stage is None]
    observed = _observed(fitted)
    opening = _curves(found, fitted)
    held_rows: Rows = [
        {"label": f"row {row['row']}", "predicted": float(row["predicted"]), "observed": float(row["observed"])}
        for row in held
        if math.isfinite(row["observed"])
    ]
    parameters = [row for law in fitted for row in law.parameters()]
    blocks: list[Any] = [rows_table(f"Parameters, with {found.level:.0%} intervals.", parameters)]
    blocks += [
        rows_table(f"{law.label} routes, errors of clusters left out.".strip(), law.two_stage.rows())
        for law in fitted
        if law.two_stage is not None
    ]
    sections = [
        Section("law", "The law", (rows_table("The laws.", [law.summary() for law in found.groups]), *blocks)),
        Section(
            "held",
            "Held-out runs",
            (
                *([held_out_figure(held_rows, found.runs.y, "the law")] if held_rows else []),
                rows_table(f"{found.runs.y} of held-out runs, with {found.level:.0%} intervals.", held),
            )
            if held
            else (),
        ),
        Section("table", "Runs", (rows_table("The runs that were fitted.", observed),)),
        Section("notes", "Notes", (items(found.notes, "No notes."),)),
    ]
    title = f"{label_of(found.runs.y).capitalize()} by {', '.join(map(label_of, found.x))}"
    return Page(
        "Sonoscale laws",
        title,
        [f"Table: {found.runs.source or 'in memory'}."],
        answers,
        sections,
        _made(),
        opening=opening,
    )


def _ahead(found: Laws, law: Any) -> Answer:
    """What ten times the largest run would give."""
    assert law.runs is not None
    largest = {name: 10.0 * float(np.max(law.runs[name])) for name in (*law.x, *([law.flops] if law.flops else []))}
    one = law.predict(largest)[0]
    where = ", ".join(f"{label_of(name)} {count(value)}" for name, value in largest.items())
    question = f"What would ten times the largest run give{f' ({law.label})' if law.group else ''}?"
    return Answer(
        question,
        f"{label_of(found.runs.y)} {significant(one.value, 3)} "
        f"[{significant(one.low, 3)}, {significant(one.high, 3)}].",
        f"At {where}; {found.level:.0%} interval for one run, calibrated by earlier extrapolations.",
    )


def _curves(found: Laws, fitted: Sequence[Any]) -> Figure | None:
    """y against x with the law beyond the data, a panel for each group; of several variables, none."""
    import altair as alt

    if len(found.x) != 1:
        return None
    panels, data = [], {}
    x, y = found.x[0], found.runs.y
    for i, law in enumerate(fitted[:_PANELS]):
        ends = float(np.min(law.runs[x])), 10.0 * float(np.max(law.runs[x]))
        at = np.geomspace(*ends, 60)
        if law.flops not in (None, x):
            continue
        predicted = law.predict({x: at})
        data[f"curve{i}"] = [
            {"x": float(a), "y": float(v), "low": float(low), "high": float(high)}
            for a, v, low, high in zip(at, predicted.value, predicted.low, predicted.high, strict=True)
        ]
        data[f"runs{i}"] = [
            {"x": float(a), "y": float(v), "set": kind}
            for part, kind in ((law.runs, "fitted"), (law.held, "held out"))
            if part is not None
            for a, v in zip(part[x], part[y], strict=True)
            if math.isfinite(v)
        ]
        across = alt.X("x:Q", title=label_of(x), scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format="~s"))
        along = alt.Y("y:Q", title=label_of(y), scale=alt.Scale(zero=False))
        curve = alt.Chart(alt.NamedData(f"curve{i}"))
        sets = alt.Scale(domain=["fitted", "held out"])
        points = (
            alt.Chart(alt.NamedData(f"runs{i}"))
            .mark_point(filled=True, size=55, opacity=0.85)
            .encode(
                x=across,
                y=along,
                color=alt.Color("set:N", title=None, scale=sets),
                shape=alt.Shape("set:N", title=None, scale=sets),
                tooltip=[
                    alt.Tooltip("set:N"),
                    alt.Tooltip("x:Q", title=label_of(x), format=".3~s"),
                    alt.Tooltip("y:Q", title=label_of(y), format=".4~g"),
                ],
            )
        )
        chart = alt.layer(
            curve.mark_area(style="band").encode(x=across, y=alt.Y("low:Q", title=label_of(y)), y2="high:Q"),
            curve.mark_line(style="law").encode(x=across, y=along),
            points,
        )
        panels.append(Panel(chart, law.label, height=400 if len(fitted) == 1 else 230))
    if not panels:
        return None
    return Figure(
        "law-curve",
        f"{label_of(y)} against {label_of(x)}",
        f"The law and its {found.level:.0%} band for one new run, to ten times beyond the data.",
        f"{label_of(y)} against {label_of(x)} with the fitted law.",
        tuple(panels),
        data=data,
        columns=1 if len(panels) == 1 else 2,
    )


def _observed(fitted: Sequence[Any]) -> Rows:
    rows = []
    for law in fitted:
        names = list(dict.fromkeys((*law.x, law.runs.y)))
        for i, row in enumerate(law.runs.rows.tolist()):
            rows.append({**law.group, "row": row} | {name: float(law.runs[name][i]) for name in names})
    return rows


def _audit(found: Audit) -> Page:
    content = found.as_dict()
    words, _, said = found.words.partition(": ")
    answers = [
        Answer(
            "Should you trust rank here?", f"{words}: {said}.", f"{_capital(found.reason)}.", tone_of(found.verdict)
        ),
        Answer("What would settle what is open?", f"{_capital(found.needed)}."),
    ]
    if not isinstance(found.spearman, str):
        one = found.spearman
        answers.append(
            Answer(
                "Does rank order quality at all?",
                f"Spearman's rho {decimal(float(one), 2)} [{decimal(one.low, 2)}, {decimal(one.high, 2)}].",
                f"Over {one.n} configurations (p = {one.p:.2g}); at equal size it may be otherwise.",
            )
        )
    if found.caveats:
        answers.append(
            Answer(
                "What speaks against the verdict?",
                f"{_capital(found.caveats[0])}.",
                " ".join(f"{_capital(one)}." for one in found.caveats[1:]),
                "open",
            )
        )
    evidence = [rows_table(_capital(title) + ".", rows) for title, rows in found.tables().items()]
    sections = [
        Section(
            "trust",
            "The audit, check by check",
            (
                audit_figure(content),
                rows_table("The evidence.", found.rows()),
            ),
        ),
        Section("decisions-section", "Decisions and baselines", (decisions_figure(content), *evidence)),
        Section("notes", "Notes", (items([*found.missing, *found.notes], "No notes."),)),
    ]
    title = f"Is {label_of(found.rank)} a proxy for {label_of(found.target.name)}?"
    return Page("Sonoscale audit", title, [f"{found.runs.counts}."], answers, sections, _made(), opening=_rank(found))


def _rank(found: Audit) -> Figure:
    """Quality against rank, a point for each configuration, coloured by size."""
    import altair as alt

    points = found.points
    rank = np.exp(points.rank)
    quality = points.quality if found.target.higher_is_better else -points.quality
    size = None if points.size_by is None else np.asarray(points.covariates[:, points.size_by])
    rows = [
        {"rank": float(r), "quality": float(q)}
        | ({"size": float(np.exp(size[i]))} if size is not None else {})
        | ({"family": str(points.family_labels[points.family[i]])} if points.family is not None else {})
        for i, (r, q) in enumerate(zip(rank, quality, strict=True))
    ]
    about: dict[str, Any] = {}
    if size is not None and points.size_by is not None:
        name = label_of(points.names[points.size_by].name)
        about["color"] = alt.Color(
            "size:Q", title=name, scale=alt.Scale(type="log"), legend=alt.Legend(format="~s", gradientLength=160)
        )
    if points.family is not None:
        about["shape"] = alt.Shape("family:N", title=None)
    scale = alt.Scale(type="log", nice=False, padding=14) if rank.max() >= 4 * rank.min() else alt.Scale(zero=False)
    chart = (
        alt.Chart(alt.NamedData("configurations"))
        .mark_point(filled=True, size=80)
        .encode(
            x=alt.X("rank:Q", title=label_of(found.rank), scale=scale),
            y=alt.Y("quality:Q", title=label_of(found.target.name), scale=alt.Scale(zero=False)),
            tooltip=[alt.Tooltip("rank:Q", format=".4~g"), alt.Tooltip("quality:Q", format=".4~g")],
            **about,
        )
    )
    return Figure(
        "rank",
        f"{label_of(found.target.name)} against {label_of(found.rank)}",
        f"A point for each of {plural(len(rows), 'configuration')}.",
        f"{label_of(found.target.name)} against {label_of(found.rank)}.",
        (Panel(chart, height=400),),
        data={"configurations": rows},
    )


def _plan(found: Allocation | Designed) -> Page:
    opening = isoflop_figure(found.as_dict(), _runs_of(found)) if isinstance(found, Allocation) else None
    planned = planner_data(found)
    answers = [plan_answer(found), Answer("How sure is that?", found.details[0], " ".join(found.details[1:]))]
    if found.next_runs is not None and found.next_runs.runs:
        suggested = found.next_runs
        first = ", ".join(amount_words(k, v) for k, v in suggested.runs[0].items())
        answers.append(
            Answer(
                "Which runs would tell most?",
                f"{_capital(first)}.",
                f"{plural(len(suggested.runs), 'such run')} lower the standard error of {suggested.of} from "
                f"{_short(suggested.before)} to {_short(suggested.after[-1])}.",
            )
        )
    if found.edges:
        answers.append(
            Answer(
                "What does the plan rest on?",
                f"{_capital(', '.join(map(label_of, found.edges)))}: best at an end of what was tried.",
                "The optimum may lie beyond.",
                "open",
            )
        )
    tables = [rows_table(_capital(title) + ".", rows) for title, rows in found.tables()]
    sections = [
        Section(
            "budget", "Plan another budget", ('<div id="planner"></div>', planner_figure(found)) if planned else ()
        ),
        Section("tables", "The plan in numbers", tuple(tables)),
        Section("notes", "What to know", (items(found.warnings, "No warnings."),)),
    ]
    return Page(
        "Sonoscale plan",
        f"What to train next for {label_of(found.target.name)}",
        [f"Fitted: {found.fitted}."],
        answers,
        sections,
        _made(),
        opening=opening,
        planner=planned,
    )


def _runs_of(plan: Allocation) -> Rows:
    n, _, y = plan.names
    return [{"n": float(a), "y": float(b)} for a, b in zip(plan.runs[n], plan.runs[y], strict=True)][:2000]


def _groups(found: GroupAudits | GroupPlans) -> Page:
    what = "audit" if isinstance(found, GroupAudits) else "plan"
    pages: list[tuple[str, Page]] = []
    if isinstance(found, GroupPlans):
        pages = [
            (", ".join(f"{k} = {v}" for k, v in labels.items()), _plan(one))
            for labels, one in zip(found.groups, found.plans, strict=True)
            if not isinstance(one, str)
        ]
    else:
        pages = [(one.label, _audit(one.audit)) for one in found.groups if one.audit is not None]
    answers = [
        Answer(label, page.answers[0].lead, page.answers[0].rest, page.answers[0].tone) for label, page in pages[:12]
    ]
    blocks = (rows_table("The groups.", found.rows()),)
    return Page(
        f"Sonoscale {what}s", found.headline.rstrip("."), [], answers, [Section("groups", "Groups", blocks)], _made()
    )


def _made() -> dict[str, Any]:
    return {"sonoscale": __version__, **provenance("numpy", "scipy")}


def _low(name: str) -> bool:
    return name == "low" or name.endswith(("_low", " low"))


def _of(row: Mapping[str, Any], name: str) -> Cell:
    value: Any = row.get(name)
    if _low(name):
        high: Any = row.get(f"{name.removesuffix('low')}high")
        if not _is_number(value) or not _is_number(high):
            return Cell("", math.nan)
        return Cell(f"[{significant(float(value))}, {significant(float(high))}]", float(high) - float(value))
    if isinstance(value, bool) or not _is_number(value):
        return Cell("–" if value is None else str(value), "" if value is None else str(value))
    return Cell(significant(float(value)), float(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return significant(float(value), 3) if _is_number(value) else str(value)


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
