"""`sonoscale audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonoscale.cli._console import console
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from sonoscale.laws.audit import Audit


def audit(
    table: Annotated[Path, typer.Argument(help="Runs: a CSV or Parquet file, or the folder of a study.")],
    rank: Annotated[str, typer.Option(help="Column of the rank.")],
    quality: Annotated[str, typer.Option(help="Column of the quality.")],
    covariates: Annotated[
        str | None, typer.Option(help="Columns to hold equal, with commas between (default: the obvious ones).")
    ] = None,
    family: Annotated[str | None, typer.Option(help="Column of families (architecture, objective).")] = None,
    replicate: Annotated[
        str | None, typer.Option(help="Column that names the configuration; its rows are dependent.")
    ] = None,
    rivals: Annotated[str | None, typer.Option(help="Columns to try in the place of rank, commas between.")] = None,
    step: Annotated[str | None, typer.Option(help="Column of steps: the last of each configuration counts.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Last step of the warm-up (default: a third).")] = None,
    layer: Annotated[str | None, typer.Option(help="Column of layers: the last one counts.")] = None,
    higher_is_better: Annotated[
        bool | None, typer.Option("--higher-is-better/--lower-is-better", help="Which is better (default: by name).")
    ] = None,
    level: Annotated[float, typer.Option(help="Of intervals and tests, 0.5 to 0.999.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of resampling.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write everything to this .json file.")] = None,
) -> None:
    """Should you trust rank here? A verdict on a table of runs, with its evidence."""
    from sonoscale.cli._law_tables import open_table
    from sonoscale.cli._outputs import check_outputs
    from sonoscale.laws.audit import audit_rank

    if json and (json.suffix != ".json" or not json.parent.is_dir()):
        raise SonoscaleError(f"{json}: must end in .json, in a folder that exists")
    check_outputs([json], [table])
    found = audit_rank(
        open_table(table), rank=rank, quality=quality, covariates=None if covariates is None else _names(covariates),
        family=family, replicate=replicate, higher_is_better=higher_is_better, rivals=_names(rivals or ""),
        step=step, warmup=warmup, layer=layer, level=level, seed=seed,
    )  # fmt: skip
    if json:
        _write(found, table, json)
    _tell(found)
    if json:
        console.print(f"everything  {json}", soft_wrap=True, markup=False)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _write(found: Audit, table: Path, path: Path) -> None:
    import json
    import platform

    import numpy
    import scipy

    from sonoscale import __version__
    from sonoscale.files import replacing

    versions = {
        "sonoscale": __version__, "numpy": numpy.__version__, "scipy": scipy.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
    with replacing(path) as partial:
        partial.write_text(
            json.dumps(found.as_dict() | {"table": str(table), "versions": versions}, indent=1, allow_nan=False)
        )


def _tell(found: Audit) -> None:
    from rich.text import Text

    def line(text: str, style: str = "") -> None:
        console.print(Text(text, style=style))

    line(f"{found.words}.", "bold")
    line(f"{found.reason[0].upper()}{found.reason[1:]}.")
    line(f"Runs that would settle it: {found.needed}.")
    for caveat in found.caveats:
        line(f"caveat  {caveat}")
    for title, columns, rows in _tables(found):
        if rows:
            console.print()
            console.print(_table(title, columns, rows))
    reasons = found.as_dict()["reasons"]
    console.print()
    for name, reason in reasons.items():
        line(f"no {name.replace('_', ' ')}: {reason}", "dim")
    for note in found.notes:
        line(f"note  {note}", "dim")


def _tables(found: Audit) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Title, columns and rows of each table."""
    level = f"{found.level:.0%}"
    q = found.quality
    models, regrets, rivals, errors, layers = [], [], [], [], []
    if not isinstance(found.adjusted, str):
        for m in found.adjusted.models:
            models.append((m.name, str(m.parameters), _number(m.log_likelihood), _number(m.aicc), _number(m.loo_rmse)))
    if not isinstance(found.regret, str):
        for r in found.regret:
            regrets.append((r.by, _number(r.regret), f"{r.relative:.0%}", f"{_number(r.expected)} {_span(r.interval)}"))
    if not isinstance(found.rivals, str):
        for r in found.rivals:
            partial = r.why if r.partial is None else f"{r.partial.value:.2f} (p = {r.partial.p:.2g})"
            rivals.append((r.name, _correlation(r.spearman), f"{r.difference:+.2f} {_span(r.interval)}", str(partial)))
    if not isinstance(found.held_out, str):
        whole = {name: getattr(found.held_out, name) for name in ("mean", "rank", "covariates", "both")}
        for name, error in [*found.held_out.by_family.items(), ("all", whole)]:
            errors.append((name, *(_number(error[key]) for key in whole)))
    if not isinstance(found.layers, str):
        layers = [(name, _correlation(one)) for name, one in found.layers.by_layer.items()]
    return [
        (f"association of {found.rank} and {q}", ("", f"value [{level}]", "p", "over"), _associations(found)),
        (f"models of {q}", ("", "parameters", "log likelihood", "AICc", "leave-one-out error"), models),
        (f"pairs told apart by {found.rank}", ("", f"share right [{level}]", "pairs"), _pairs(found)),
        (f"{q} lost by choosing by", ("", "here", "of chance", "expected [sets]"), regrets),
        (f"in the place of {found.rank}", ("", "Spearman's rho", "rank less this", "at equal covariates"), rivals),
        ("a family foretold by the others: error", ("", "their mean", "rank", "covariates", "both"), errors),
        ("over the steps of a training: Spearman's rho", ("", "mean", "configurations"), _courses(found)),
        ("by layer", ("", "Spearman's rho"), layers),
    ]


def _associations(found: Audit) -> list[tuple[str, ...]]:
    rows = []
    for name, one in (
        ("Spearman", found.spearman), ("Kendall", found.kendall), ("within families", found.within),
        ("family means", found.across),
    ):  # fmt: skip
        if not isinstance(one, str):
            rows.append((name, _correlation(one), _p(one.p), str(one.n)))
    if not isinstance(found.adjusted, str):
        adjusted = found.adjusted
        tests = [(f"partial, given {', '.join(each.given)}", each) for each in adjusted.each]
        tests += [("partial, given all, linear", adjusted.linear)]
        tests += [(f"partial, given all, up to {adjusted.partial.basis}", adjusted.partial)]
        if adjusted.richer != adjusted.partial:
            tests += [(f"partial, given all, up to {adjusted.richer.basis}", adjusted.richer)]
        for name, test in tests:
            rows.append((name, f"{test.value:.2f} {_span(test.interval)}", _p(test.p), f"{test.df} degrees of freedom"))
    return rows


def _pairs(found: Audit) -> list[tuple[str, ...]]:
    rows = []
    for name, one in (("all", found.pairs), ("of equal size", found.matched)):
        if not isinstance(one, str):
            label = name if one.by is None else f"of equal {one.by}"
            counted = f"{one.counted} of {one.candidates}"
            rows.append((label, f"{one.share:.2f} {_span(one.interval)}", counted))
    return rows


def _courses(found: Audit) -> list[tuple[str, ...]]:
    if isinstance(found.trajectory, str):
        return []
    rows = []
    for name in ("inside", "after", "all_steps"):
        course = getattr(found.trajectory, name)
        label = {"inside": "inside the warm-up", "after": "after it", "all_steps": "all steps"}[name]
        if course is not None:
            rows.append((label, f"{course.mean:.2f} {_span(course.interval)}", str(course.configurations)))
    return rows


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", show_edge=False, pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(escape(name), justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _correlation(one: Any) -> str:
    return "" if one is None else f"{one.value:.2f} {_span(one.interval)}"


def _span(interval: Any) -> str:
    return "" if interval is None else f"[{interval.low:.2g}, {interval.high:.2g}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
