"""`sonoscale fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonoscale.cli._console import console, progress_bars
from sonoscale.cli._laws import Clusters, HigherIsBetter, Omit, Runs, Seed, Unit, names, print_table
from sonoscale.cli._plot import Json, Out, Plot, check_files, draw_files
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonoscale.laws import Laws


def fit(
    table: Runs,
    x: Annotated[str, typer.Option(help="Columns that the law depends on, comma-separated.")],
    y: Annotated[str | None, typer.Option(help="Column that the law predicts (default: quality, score, ...).")] = None,
    form: Annotated[str, typer.Option(help="Form of the law, or auto.")] = "auto",
    flops: Annotated[
        str | None, typer.Option(help="Column of training compute, to extrapolate along (default: the product of x).")
    ] = None,
    through: Annotated[
        str | None, typer.Option(help="Column, such as rankme, through which x acts on y: a law in two stages.")
    ] = None,
    at: Annotated[list[str] | None, typer.Option(help="Predict here: params=1e9,hours=100; repeatable.")] = None,
    clusters: Clusters = None,
    held_out: Annotated[
        str | None, typer.Option(help="Rows to predict, not to fit: a column that is 1 there, or such as params>1e9.")
    ] = None,
    group: Annotated[str, typer.Option(help="Columns that define groups; a law is fitted to each.")] = "",
    family: Annotated[
        str | None, typer.Option(help="Column of families, with effects of their own (--through).")
    ] = None,
    omit: Omit = False,
    higher_is_better: HigherIsBetter = None,
    unit: Unit = None,
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
    seed: Seed = 0,
    json: Json = None,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """Fit a scaling law to a table of runs, and predict those held out."""
    from sonoscale import laws
    from sonoscale.files import write_json
    from sonoscale.provenance import provenance

    check_files(table, json, plot, out)
    points = [_point(text) for text in at or []]
    with progress_bars() as bars:
        task = bars.add_task("fitting", total=None)
        found = laws.fit(
            table, names(x) or [], form=form, flops=flops, through=through, huber=huber, fix=_numbers(fix),
            tie=[pair for text in tie or [] for pair in names(text) or []], bootstrap=bootstrap, level=level, seed=seed,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
            y=y, clusters=names(clusters), held_out=held_out, group=names(group) or [],
            family=family, omit=omit, higher_is_better=higher_is_better,
            unit=unit,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
    predictions = found.predict_rows(points)
    if json:
        options = {
            "huber": huber, "fix": _numbers(fix), "tie": tie or [], "bootstrap": bootstrap, "seed": seed,
            "held_out": held_out,
        }  # fmt: skip
        content = found.as_dict() | options | {"at": predictions, "provenance": provenance("numpy", "scipy")}
        write_json(json, content)
    _print(found, predictions)
    draw_files(found, json, plot, out)


def _numbers(texts: Sequence[str] | None) -> dict[str, float]:
    """`E=1.8,alpha=0.34` as a mapping."""
    found = {}
    for text in texts or []:
        for name, value in _point(text, "fix", "E=1.8").items():
            if not isinstance(value, float):
                raise SonoscaleError(f"fix: {name}={value}: {value} is no number")
            found[name] = value
    return found


def _point(text: str, option: str = "at", such: str = "params=1e9,hours=100") -> dict[str, Any]:
    """`params=1e9,task=music` as a mapping, numbers where they are numbers."""
    point: dict[str, Any] = {}
    for part in names(text) or []:
        name, sign, value = (word.strip() for word in part.partition("="))
        if not sign or not name or not value:
            raise SonoscaleError(f"{option}: {part!r}: give name=value, such as {such}")
        if name in point:
            raise SonoscaleError(f"{option}: {text!r} gives {name} twice")
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
    level, naive = f"{found.level:.0%}", ["naive_low", "naive_high"]
    fitted = [law for law in found.groups if law.error is None]
    print_table([law.summary() for law in found.groups], once=True)
    if len(fitted) == 1:
        law = fitted[0]
        print_table([_marked(row) for row in law.parameters()], f"parameters, {level} intervals", hidden=["used"])
        if law.two_stage is not None:
            print_table(law.two_stage.rows(), "routes, errors of clusters left out")
        if law.prediction is not None:
            print_table(law.predictions(), f"{found.runs.y} held out, {level} intervals", hidden=naive)
    if predictions:
        print_table(predictions, f"{found.runs.y} predicted, {level} intervals", hidden=naive)
    for note in found.notes:
        console.print(Text(f"! {note}", style="yellow"))


def _marked(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a parameter, which says so where its form does not count; its note in the place of its value."""
    shown = {name: value for name, value in row.items() if name != "note"}
    if row.get("used") is False:
        shown["form"] = f"{row['form']} (left out)"
    if note := row.get("note"):
        shown["value"] = note if note == "not identified" else f"{row['value']:.4g} ({note})"
    return shown
