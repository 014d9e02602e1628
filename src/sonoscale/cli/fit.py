"""`sonoscale fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonoscale.cli._console import console, progress_bars
from sonoscale.cli._plot import Plot, check_plot, save_plot
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from sonoscale.laws import Laws


def fit(
    table: Annotated[Path, typer.Argument(help="Runs: a CSV or Parquet file, or the folder of a study.")],
    x: Annotated[str, typer.Option(help="Column that the law depends on; several with commas between.")],
    y: Annotated[str | None, typer.Option(help="Column that the law predicts (default: quality, score, ...).")] = None,
    form: Annotated[str, typer.Option(help="Form of the law, or auto.")] = "auto",
    flops: Annotated[
        str | None, typer.Option(help="Column of training compute, to extrapolate along (default: the product of x).")
    ] = None,
    through: Annotated[
        str | None, typer.Option(help="Column, such as rankme, through which x acts on y: a law in two stages.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(help="Predict here: params=1e9,hours=100. May be given several times.")
    ] = None,
    clusters: Annotated[
        str | None, typer.Option(help="Columns that name the configuration; its rows (seeds, steps) are dependent.")
    ] = None,
    held_out: Annotated[
        str | None, typer.Option(help="Rows to predict, not to fit: a column that is 1 there, or such as params>1e9.")
    ] = None,
    group: Annotated[str, typer.Option(help="Columns whose values make groups, a law for each.")] = "",
    family: Annotated[
        str | None, typer.Option(help="Column of families, with effects of their own (--through).")
    ] = None,
    omit: Annotated[bool, typer.Option("--omit", help="Leave out rows with a missing cell.")] = False,
    higher_is_better: Annotated[
        bool | None, typer.Option("--higher-is-better/--lower-is-better", help="Which is better (default: by name).")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Of a score: fraction, percent or none.")] = None,
    huber: Annotated[
        float | None,
        typer.Option(help="Delta of Huber's loss, for a named form (default: as its source; inf: least squares)."),
    ] = None,
    fix: Annotated[list[str] | None, typer.Option(help="Parameter of a named form that is known: E=1.8.")] = None,
    tie: Annotated[
        list[str] | None, typer.Option(help="Parameters of a named form that are equal: alpha=beta.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=80, max=100_000, help="Resamples, for a named form.")] = 1000,
    level: Annotated[float, typer.Option(help="Of all intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of resampling.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write everything to this .json file.")] = None,
    plot: Plot = None,
) -> None:
    """Fit a scaling law to a table of runs, and predict those held out."""
    from sonoscale import laws
    from sonoscale.cli._outputs import check_outputs
    from sonoscale.files import write_json
    from sonoscale.provenance import provenance

    if json and (json.suffix != ".json" or not json.parent.is_dir()):
        raise SonoscaleError(f"{json}: must end in .json, in a folder that exists")
    check_outputs([json, plot], [table])
    check_plot(plot)
    points = [_point(text) for text in at or []]
    with progress_bars() as bars:
        task = bars.add_task("fitting", total=None)
        found = laws.fit(
            table, _names(x), form=form, flops=flops, through=through, huber=huber, fix=_numbers(fix),
            tie=[pair for text in tie or [] for pair in _names(text)], bootstrap=bootstrap, level=level, seed=seed,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
            y=y, clusters=None if clusters is None else _names(clusters), held_out=held_out, group=_names(group),
            family=family, omit=omit, higher_is_better=higher_is_better,
            unit=unit,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
    predictions = found.predict_rows(points)
    _print(found, predictions)
    save_plot(found, plot)
    if json:
        options = {
            "huber": huber,
            "fix": _numbers(fix),
            "tie": tie or [],
            "bootstrap": bootstrap,
            "seed": seed,
            "held_out": held_out,
        }
        content = found.as_dict() | options | {"at": predictions, "provenance": provenance("numpy", "scipy")}
        write_json(json, content)
        console.print(f"everything  {json}", soft_wrap=True, markup=False)


def _numbers(texts: Sequence[str] | None) -> dict[str, float]:
    """`E=1.8,alpha=0.34` as a mapping."""
    found = {}
    for text in texts or []:
        for name, value in _point(text, "fix", "E=1.8").items():
            if not isinstance(value, float):
                raise SonoscaleError(f"fix: {name}={value}: {value} is no number")
            found[name] = value
    return found


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _point(text: str, option: str = "at", such: str = "params=1e9,hours=100") -> dict[str, Any]:
    """`params=1e9,task=music` as a mapping, numbers where they are numbers."""
    point: dict[str, Any] = {}
    for part in _names(text):
        name, sign, value = (word.strip() for word in part.partition("="))
        if not sign or not name or not value:
            raise SonoscaleError(f"{option}: {part!r}: give name=value, such as {such}")
        try:
            point[name] = float(value)
        except ValueError:
            point[name] = value
    if not point:
        raise SonoscaleError(f"{option}: nothing named: give name=value, such as {such}")
    return point


def _print(found: Laws, predictions: Sequence[dict[str, Any]]) -> None:
    from rich.text import Text

    console.print(Text(found.headline, style="bold"))
    level = f"{found.level:.0%}"
    fitted = [law for law in found.groups if law.error is None]
    console.print(_table("", [law.summary() for law in found.groups]))
    if len(fitted) == 1:
        law = fitted[0]
        console.print(_table(f"parameters, {level} intervals", [_noted(row) for row in law.parameters()]))
        if law.two_stage is not None:
            console.print(_table("routes, errors of clusters left out", law.two_stage.rows()))
        if law.prediction is not None:
            console.print(_table(f"{found.runs.y} held out, {level} intervals", law.predictions()))
    if predictions:
        console.print(_table(f"{found.runs.y} predicted, {level} intervals", predictions))
    for note in found.notes:
        console.print(Text(f"! {note}", style="yellow"))


def _noted(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a parameter with its note in the place of its value, or beside it."""
    note = row.get("note")
    shown = {name: value for name, value in row.items() if name != "note"}
    if note:
        shown["value"] = note if note == "not identified" else f"{row['value']:.4g} ({note})"
    return shown


def _table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A table of at most 16 rows, the ends of intervals in one column."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, header_style="bold", title=Text(title) if title else None, title_justify="left")
    hidden = {"low", "high", "naive_low", "naive_high", "gain_low", "gain_high", "used"}
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in hidden]
    spans = {"value": ("low", "high"), "predicted": ("low", "high"), "gain": ("gain_low", "gain_high")}
    for name in names:
        right = not any(isinstance(row.get(name), str) for row in rows)
        grid.add_column(Text(name), justify="right" if right else "left")
        if name in spans:
            grid.add_column("interval", justify="right")
    for i, row in enumerate(rows):
        if len(rows) > 16 and 8 <= i < len(rows) - 8:
            if i == 8:
                grid.add_row("...")
            continue
        cells: list[Text] = []
        for name in names:
            left_out = name == "form" and row.get("used") is False
            cells.append(Text(_cell(row.get(name)) + (" (left out)" if left_out else "")))
            if name in spans:
                low, high = (row.get(end) for end in spans[name])
                cells.append(Text("-" if low is None else f"[{_cell(low)}, {_cell(high)}]"))
        grid.add_row(*cells)
    return grid


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
