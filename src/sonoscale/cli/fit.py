"""`sonoscale fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonoscale.cli._console import console, progress_bars
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from sonoscale.laws.extrapolation import GroupLaw


def fit(
    table: Annotated[Path, typer.Argument(help="Runs: a CSV or Parquet file, or the folder of a study.")],
    x: Annotated[str, typer.Option(help="Column that the law depends on; several with commas between.")],
    y: Annotated[str, typer.Option(help="Column that the law foretells.")],
    group: Annotated[str | None, typer.Option(help="Columns whose values make groups, a law for each.")] = None,
    train: Annotated[str | None, typer.Option(help="Column that is 0 in rows to foretell, not to fit.")] = None,
    form: Annotated[str, typer.Option(help="Form of the law, or auto.")] = "auto",
    clusters: Annotated[
        str | None, typer.Option(help="Column that names the configuration; its rows are dependent.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Column of size (compute) (default: the product of x).")] = None,
    direction: Annotated[str | None, typer.Option(help="falling, score or rising (default: as the data run).")] = None,
    huber: Annotated[
        float | None, typer.Option(help="Delta of Huber's loss, for a named form (default: least squares).")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=80, max=100_000, help="Resamples, for a named form.")] = 1000,
    level: Annotated[float, typer.Option(help="Of all intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of resampling.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write everything to this .json file.")] = None,
) -> None:
    """Fit a scaling law to a table of runs, and foretell those held out."""
    from sonoscale.cli._law_tables import open_table
    from sonoscale.cli._outputs import check_outputs
    from sonoscale.laws.extrapolation import fit_groups

    if json and (json.suffix != ".json" or not json.parent.is_dir()):
        raise SonoscaleError(f"{json}: must end in .json, in a folder that exists")
    check_outputs([json], [table])
    if direction not in (None, "falling", "score", "rising"):
        raise SonoscaleError(f"--direction must be falling, score or rising, not {direction!r}")
    if not 0 < level < 1:
        raise SonoscaleError(f"--level must lie between 0 and 1 (such as 0.95), not {level:g}")
    if huber is not None and not huber > 0:
        raise SonoscaleError(f"--huber must be above zero, not {huber:g}")
    names = _names(x)
    if not names:
        raise SonoscaleError("--x names no column")
    with progress_bars() as bars:
        task = bars.add_task("fitting", total=None)
        laws = fit_groups(
            open_table(table), x=names, y=y, group=_names(group or ""), train=train, form=form, clusters=clusters,
            size=size, huber=huber, bootstrap=bootstrap, level=level, seed=seed,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )  # fmt: skip
    if json:
        asked = {
            "table": str(table), "x": names, "y": y, "group": _names(group or ""), "train": train, "form": form,
            "clusters": clusters, "size": size, "direction": direction, "huber": huber, "bootstrap": bootstrap,
            "level": level, "seed": seed,
        }  # fmt: skip
        _write(laws, asked, json)
    if all(law.error for law in laws):
        one = laws[0]
        where = f" ({_label(one)})" if one.group else ""
        more = f"; and {len(laws) - 1} more groups" if len(laws) > 1 else ""
        raise SonoscaleError(f"{table}{where}: {one.error}{more}")
    _tell(laws, y)
    if json:
        console.print(f"everything  {json}", soft_wrap=True, markup=False)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _label(law: GroupLaw) -> str:
    return ", ".join(f"{name} = {value}" for name, value in law.group.items())


def _write(laws: Sequence[GroupLaw], asked: dict[str, object], path: Path) -> None:
    import json

    from sonoscale import __version__
    from sonoscale.files import replacing

    known = [law for law in laws if law.rmse_log is not None]
    content = {
        "sonoscale": __version__,
        **asked,
        "groups": [law.as_dict() for law in laws],
        "mean_rmse_log": _mean([law.rmse_log for law in known]),
        "mean_coverage": _mean([law.coverage for law in known]),
        "mean_coverage_naive": _mean([law.naive_coverage for law in known]),
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _tell(laws: Sequence[GroupLaw], y: str) -> None:
    from rich.text import Text

    console.print(_summary(laws))
    fitted = [law for law in laws if law.law is not None]
    if len(fitted) == 1:
        console.print(_parameters(fitted[0]))
        if fitted[0].forecast is not None:
            console.print(_forecasts(fitted[0], y))
    for law in laws:
        where = f"{_label(law)}: " if law.group else ""
        for sentence in [law.error] if law.error else law.warnings:
            console.print(Text(f"! {where}{sentence}", style="yellow"))


def _summary(laws: Sequence[GroupLaw]) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, header_style="bold")
    names = list(laws[0].group)
    for name in names:
        grid.add_column(Text(name))
    for name in ("form", "rows", "clusters", "noise", "drift", "held out", "RMSE of log", "inside", "naive", "s"):
        grid.add_column(name, justify="right" if name != "form" else "left")
    for law in laws:
        first = [Text(str(law.group[name])) for name in names]
        if law.law is None:
            grid.add_row(*first, "not fitted")
            continue
        held = 0 if law.forecast is None else len(law.forecast.value)
        grid.add_row(
            *first,
            _form(law),
            str(law.law.n), str(law.law.n_clusters), f"{law.law.noise:.4f}", f"{law.law.drift:.4f}",
            str(held) if held else "-",
            *("-" if value is None else f"{value:{how}}" for value, how in (
                (law.rmse_log, ".4f"), (law.coverage, ".0%"), (law.naive_coverage, ".0%"),
            )),
            f"{law.seconds:.2f}",
        )  # fmt: skip
    return grid


def _form(law: GroupLaw) -> str:
    if law.fit is not None:
        return law.fit.form.name
    assert law.law is not None
    return "auto: " + ", ".join(one.form for one in law.law.panel if one.used)


def _parameters(law: GroupLaw) -> Table:
    from rich.markup import escape
    from rich.table import Table

    assert law.law is not None
    percent = f"{law.law.level:.0%}"
    grid = Table(box=None, header_style="bold")
    for name in ("form", "parameter", "estimate", f"{percent} interval"):
        grid.add_column(name, justify="left" if name in ("form", "parameter") else "right")
    if law.fit is not None:
        grid.title = escape(law.fit.form.formula)
        for name, span in law.fit.params.items():
            grid.add_row(law.fit.form.name, escape(name), f"{span.value:.5g}", rf"\[{span.low:.4g}, {span.high:.4g}]")
        return grid
    for one in law.law.panel:
        for name, span in one.params.items():
            grid.add_row(
                one.form if one.used else f"{one.form} (left out)", escape(name), f"{span.value:.5g}",
                rf"\[{span.low:.4g}, {span.high:.4g}]",
            )  # fmt: skip
    return grid


def _forecasts(law: GroupLaw, y: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    assert law.forecast is not None
    assert law.law is not None
    assert law.truth is not None
    assert law.rows is not None
    grid = Table(box=None, header_style="bold")
    for name in (
        "row",
        "times the largest",
        f"{escape(y)} foretold",
        f"{law.law.level:.0%} interval",
        f"{escape(y)} seen",
    ):
        grid.add_column(name, justify="right")
    shown = range(len(law.rows)) if len(law.rows) <= 12 else [*range(6), *range(len(law.rows) - 6, len(law.rows))]
    last = -1
    for i in shown:
        if i != last + 1:
            grid.add_row("...")
        last = i
        f = law.forecast
        seen = law.truth[i]
        grid.add_row(
            str(law.rows[i]), f"{f.reach[i]:.3g}", f"{f.value[i]:.4g}", rf"\[{f.low[i]:.4g}, {f.high[i]:.4g}]",
            f"{seen:.4g}" if seen == seen else "-",
        )  # fmt: skip
    return grid
