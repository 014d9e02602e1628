"""`sonoscale plan`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonoscale.cli._laws import Clusters, HigherIsBetter, Omit, Runs, Seed, Unit, names, print_table
from sonoscale.cli._plot import Json, Out, Plot, check_files, draw_files
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.laws.plan import Allocation, Designed

_LIMIT = "Any other budget, COLUMN=VALUE (repeatable)."
_HELD = "Rows to predict, not to fit: a column that is 1 there, or a comparison such as 'params>1e9'."


def plan(
    table: Runs,
    flops: Annotated[float | None, typer.Option(help="Budget: FLOPs of the training.")] = None,
    params: Annotated[float | None, typer.Option(help="Budget: parameters of the encoder.")] = None,
    hours: Annotated[float | None, typer.Option(help="Budget: hours of audio.")] = None,
    clips: Annotated[float | None, typer.Option(help="Budget: clips of audio.")] = None,
    latency: Annotated[float | None, typer.Option(help="Budget: encoder FLOPs for a second of audio.")] = None,
    memory: Annotated[float | None, typer.Option(help="Budget: bytes of weights and optimiser in training.")] = None,
    limit: Annotated[list[str] | None, typer.Option(help=_LIMIT)] = None,
    y: Annotated[str | None, typer.Option(help="Column to make best (default: quality, score or loss).")] = None,
    n: Annotated[str | None, typer.Option(help="Column of parameters, to split a budget with --d.")] = None,
    d: Annotated[str | None, typer.Option(help="Column of data: tokens, examples or hours seen in training.")] = None,
    design: Annotated[str | None, typer.Option(help="Columns to choose (default: all that differ).")] = None,
    curved: Annotated[str | None, typer.Option(help="Columns of the design whose best may lie inside.")] = None,
    base: Annotated[Path | None, typer.Option(help="YAML of a run or study: exact costs for a table.")] = None,
    flops_column: Annotated[str | None, typer.Option(help="Column of FLOPs (default: 6 N D).")] = None,
    higher_is_better: HigherIsBetter = None,
    unit: Unit = None,
    clusters: Clusters = None,
    group: Annotated[str | None, typer.Option(help="Columns: a plan for each of their values.")] = None,
    held_out: Annotated[str | None, typer.Option(help=_HELD)] = None,
    omit: Omit = False,
    next_runs: Annotated[int, typer.Option(min=0, max=50, help="How many next runs to suggest.")] = 4,
    next_flops: Annotated[float | None, typer.Option(help="The most that one may cost (default: as tried).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Plan more than 100x beyond the data.")] = False,
    bootstrap: Annotated[int, typer.Option(min=10, max=100_000, help="Resamples.")] = 1000,
    level: Annotated[float, typer.Option(help="Of intervals.")] = 0.95,
    seed: Seed = 0,
    json: Json = None,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """What to train next for a budget, how certain that is, and which runs would make it more certain."""
    from sonoscale.cli._console import console
    from sonoscale.files import write_json
    from sonoscale.laws.plan import GroupPlans
    from sonoscale.laws.plan import plan as make_plan
    from sonoscale.provenance import versions
    from sonoscale.results import plain

    check_files(table, json, plot, out)
    if unit not in (None, "fraction", "percent", "none"):
        raise SonoscaleError(f"unit must be one of fraction, percent, none, not {unit!r}")
    found = make_plan(
        table, flops=flops, params=params, hours=hours, clips=clips, latency=latency, memory=memory,
        limits=_limits(limit or []), n=n, d=d, design=names(design), curved=names(curved) or (), base=base,
        flops_column=flops_column, next_runs=next_runs, next_flops=next_flops, force=force, bootstrap=bootstrap,
        level=level, seed=seed, y=y, clusters=names(clusters), held_out=held_out, group=names(group) or (),
        omit=omit, higher_is_better=higher_is_better, unit=unit,
    )  # fmt: skip
    if json:
        content = {"table": str(table), "versions": versions("numpy", "scipy")} | found.as_dict()
        write_json(json, plain(content))
    if isinstance(found, GroupPlans):
        for i, (labels, one) in enumerate(zip(found.groups, found.plans, strict=True)):
            title = ", ".join(f"{name} = {value}" for name, value in labels.items())
            console.print(("\n" if i else "") + title, style="bold underline", markup=False)
            if isinstance(one, str):
                console.print(f"! no plan: {one}", style="yellow", markup=False, soft_wrap=True)
            else:
                _print(one)
    else:
        _print(found)
    draw_files(found, json, plot, out)


def _limits(texts: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            if not equals or not name.strip():
                raise ValueError
            found[name.strip()] = float(value)
        except ValueError:
            raise SonoscaleError(f"--limit {text}: give COLUMN=VALUE, such as params=1e9") from None
    return found


def _print(found: Allocation | Designed) -> None:
    from rich.text import Text

    from sonoscale.cli._console import console

    console.print(Text(found.headline, style="bold"))
    for sentence in (*found.details, f"fitted: {found.fitted}"):
        console.print(Text(sentence))
    for title, rows in found.tables():
        print_table(rows, title)
    console.print()
    for note in found.warnings:
        console.print(Text(f"warning  {note}", style="yellow"))
