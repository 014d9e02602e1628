"""A plan on the terminal: the answer in a sentence, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sonoscale.cli._console import console
from sonoscale.laws.plan import Allocation, Designed

if TYPE_CHECKING:
    from rich.table import Table

    from sonoscale.laws.plan import Candidate

__all__ = ["tell"]


def tell(found: Allocation | Designed) -> None:
    """Print a plan."""
    from rich.text import Text

    def line(text: str, style: str = "") -> None:
        console.print(Text(text, style=style))

    sentences, tables = _allocation(found) if isinstance(found, Allocation) else _design(found)
    line(sentences[0], "bold")
    for sentence in sentences[1:]:
        line(sentence)
    for title, columns, rows in [*tables, *_shared(found)]:
        if rows:
            console.print()
            line(title, "italic")
            console.print(_table(columns, rows))
    console.print()
    for note in found.warnings:
        line(f"warning  {note}", "yellow")


def _allocation(p: Allocation) -> tuple[list[str], list[Any]]:
    n, d, y = p.names
    level, fitted = f"{p.level:.0%}", p.fitted.split(",")[0]
    within = "" if p.budget is None else f" for {_g(p.budget)} FLOPs"
    said = [
        f"Train {n} = {_g(p.n.value)} on {d} = {_g(p.d.value)}{within}: {y} = {_span(p.y)} ({level}, one run).",
        f"{n} {_ends(p.n)}, {d} {_ends(p.d)} over resamples of {p.n_clusters} independent runs.",
    ]
    if p.basin is not None:
        low, high = p.basin
        said.append(f"Flat: {n} from {_g(low)} to {_g(high)} costs at most {p.basin_share:.0%} of {fitted}.")
    said += [
        f"{n}_opt ~ C^a, a = {_span(p.a)}; {d}_opt ~ C^b, b = {_span(p.b)}. FLOPs = {p.cost}.",
    ]
    law = [(name, _span(value)) for name, value in p.law.items()]
    step = max(1, len(p.frontier.flops) // 6)
    rows = []
    for k in [*range(0, len(p.frontier.flops) - 1, step), len(p.frontier.flops) - 1]:
        cells = [
            f"{_g(one[0, k])} [{_g(one[1, k])}, {_g(one[2, k])}]" for one in (p.frontier.n, p.frontier.d, p.frontier.y)
        ]
        rows.append((_g(p.frontier.flops[k]), *cells))
    tables = [
        (
            "the frontier, without caps",
            ("FLOPs", f"best {n} [{level}]", f"best {d} [{level}]", f"expected {y} [{level}]"),
            rows,
        ),
        (f"the law: {fitted} = E + A {n}^-alpha + B {d}^-beta", ("", f"value [{level}]"), law),
    ]
    return said, tables


def _design(p: Designed) -> tuple[list[str], list[Any]]:
    best, choice = p.choice.best, p.choice
    level = f"{p.level:.0%}"
    told = ", ".join(f"{name} {_g(value)}" for name, value in best.design.items())
    within = " and ".join(f"{_g(value)} {name}" for name, value in p.budgets.items())
    said = [
        f"Train {told}{f' for {within}' if within else ''}: {p.law.y} = {_span(best.y)} ({level}, one run).",
        f"Best of {choice.count} candidates in {best.share:.0%} of the resamples; {choice.ties} others cannot be told "
        f"from it.",
    ]
    if choice.cheapest is not None:
        cheap = choice.cheapest
        what = "flops" if "flops" in cheap.costs else "params"
        told = ", ".join(f"{name} {_g(value)}" for name, value in cheap.design.items())
        said.append(f"As good as far as these data tell, and cheapest ({_g(cheap.costs[what])} {what}): {told}.")
    variables = list(best.design)
    costs = [name for name in best.costs if name in ("flops", "params") or name in p.budgets]
    rows = [(*(_g(one.design[v]) for v in variables), _span(one.y), f"{one.share:.1%}", _tie(one, one is best),
             *(_g(one.costs[c]) for c in costs)) for one in choice.shown]  # fmt: skip
    shares = [
        (name, "  ".join(f"{_g(value)}: {share:.0%}" for value, share in by.items() if share >= 0.005))
        for name, by in choice.shares.items()
    ]
    tables = [
        ("the best candidates", (*variables, f"{p.law.y} [{level}]", "best in", "", *costs), rows),
        ("in how many resamples the best candidate has", ("", "value: share"), shares),
        (f"the law: {p.law.formula}", ("", f"value [{level}]"), [(k, _span(v)) for k, v in p.law.coefficients.items()]),
    ]
    return said, tables


def _shared(p: Allocation | Designed) -> list[tuple[str, Sequence[str], list[Any]]]:
    y = p.names[2] if isinstance(p, Allocation) else p.law.y
    level = f"{p.level:.0%}"
    doublings = [
        (one.variable, one.at, f"{one.change.value:+.3g} [{one.change.low:+.2g}, {one.change.high:+.2g}]",
         "" if one.flops is None else _g(one.flops), "" if one.per_flop is None else _g(one.per_flop))
        for one in p.doublings
    ]  # fmt: skip
    reach = [(one.name, _g(one.value), f"{_g(one.low)} to {_g(one.high)}", _beyond(one)) for one in p.reach]
    tables: list[tuple[str, Sequence[str], list[Any]]] = [
        (
            f"doubled: change of expected {y}",
            ("", "at", f"change [{level}]", "FLOPs more", "change per FLOP"),
            doublings,
        ),
        ("how far beyond the data", ("", "plan", "data", ""), reach),
    ]
    if p.next_runs is not None:
        runs = p.next_runs
        rows = [
            (str(i + 1), *(_g(v) for v in run.values()), "" if flops is None else _g(flops), _g(after))
            for i, (run, flops, after) in enumerate(zip(runs.runs, runs.flops, runs.after, strict=True))
        ]
        most = "" if runs.most is None else f", each at most {_g(runs.most)} FLOPs"
        title = f"next runs{most}: standard error of {runs.of} falls from {_g(runs.before)} to {_g(runs.after[-1])}"
        tables.append((title, ("", *runs.runs[0], "FLOPs", "standard error"), rows))
    if p.check is not None:
        tables.append(_check(p, y))
    return tables


def _check(p: Allocation | Designed, y: str) -> tuple[str, Sequence[str], list[Any]]:
    assert p.check is not None
    runs = p.check.runs
    title = (
        f"held out, {y}: {sum(one.covered for one in runs)} of {len(runs)} inside their {p.check.level:.0%} intervals, "
        f"{p.check.error:.1%} off"
    )
    planned = runs[0].best is not None
    columns = [*runs[0].run, "FLOPs", "seen", "foretold", "interval", ""]
    if planned:
        columns += [*(f"plan's {name}" for name in runs[0].best or {}), "it expects"]
    rows = []
    for one in runs:
        row = [*(_g(v) for v in one.run.values()), "" if one.flops is None else _g(one.flops), _g(one.seen),
               _g(one.foretold), f"[{_g(one.low)}, {_g(one.high)}]", "" if one.covered else "outside"]  # fmt: skip
        if one.best is not None and one.best_y is not None:
            row += [*(_g(v) for v in one.best.values()), _g(one.best_y)]
        rows.append(tuple(row))
    return title, columns, rows


def _tie(one: Candidate, best: bool) -> str:
    return "best" if best else "tied" if one.tied else ""


def _beyond(one: Any) -> str:
    return "inside" if one.side == "inside" else f"{one.beyond:.3g}x {one.side}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_edge=False, pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(escape(name), justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _span(value: Any) -> str:
    return f"{_g(value.value)} {_ends(value)}"


def _ends(value: Any) -> str:
    return f"[{_g(value.low)}, {_g(value.high)}]"


def _g(value: Any) -> str:
    if isinstance(value, int) and abs(value) < 1e6:
        return str(value)
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
