"""`sonoscale plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sonoscale.laws.plan import Allocation, Designed

_LIMIT = "Any other budget, COLUMN=VALUE (repeatable)."
_HOLD = "Hold out rows above FLOPS, or above COLUMN=VALUE, and foretell them."


def plan(
    table: Annotated[Path, typer.Argument(help="Runs: a CSV or Parquet file, or the folder of a study.")],
    flops: Annotated[float | None, typer.Option(help="Budget: FLOPs of the training.")] = None,
    params: Annotated[float | None, typer.Option(help="Budget: parameters of the encoder.")] = None,
    hours: Annotated[float | None, typer.Option(help="Budget: hours of audio.")] = None,
    clips: Annotated[float | None, typer.Option(help="Budget: clips of audio.")] = None,
    latency: Annotated[float | None, typer.Option(help="Budget: encoder FLOPs for a second of audio.")] = None,
    memory: Annotated[float | None, typer.Option(help="Budget: bytes of weights and optimiser in training.")] = None,
    limit: Annotated[list[str] | None, typer.Option(help=_LIMIT)] = None,
    quality: Annotated[str | None, typer.Option(help="Column to make best (default: quality, score or loss).")] = None,
    size: Annotated[str | None, typer.Option(help="Column of parameters, to split a budget with --data.")] = None,
    data: Annotated[str | None, typer.Option(help="Column of data: tokens, clips or hours seen.")] = None,
    design: Annotated[str | None, typer.Option(help="Columns to choose (default: all that differ).")] = None,
    curved: Annotated[str | None, typer.Option(help="Columns of the design whose best may lie inside.")] = None,
    base: Annotated[Path | None, typer.Option(help="YAML of a run or study: exact costs for a table.")] = None,
    flops_column: Annotated[str | None, typer.Option(help="Column of FLOPs (default: 6 N D).")] = None,
    higher_is_better: Annotated[
        bool | None, typer.Option("--higher-is-better/--lower-is-better", help="Which is better (default: by name).")
    ] = None,
    replicate: Annotated[str | None, typer.Option(help="Columns that name a configuration.")] = None,
    by: Annotated[str | None, typer.Option(help="Column: a plan for each of its values.")] = None,
    hold_out_above: Annotated[str | None, typer.Option(help=_HOLD)] = None,
    train: Annotated[str | None, typer.Option(help="Column: rows where it is 0 are held out.")] = None,
    next_: Annotated[int, typer.Option("--next", min=0, max=50, help="How many next runs to suggest.")] = 4,
    next_flops: Annotated[float | None, typer.Option(help="The most that one may cost (default: as seen).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Plan more than 100x beyond the data.")] = False,
    bootstrap: Annotated[int, typer.Option(min=10, max=100_000, help="Resamples.")] = 1000,
    level: Annotated[float, typer.Option(help="Of intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of resampling.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write everything to this .json file.")] = None,
) -> None:
    """What to train next for a budget, how sure that is, and which runs would tell more."""
    from sonoscale.cli import _plan_inputs as inputs
    from sonoscale.cli._console import console
    from sonoscale.cli._law_tables import open_table
    from sonoscale.cli._outputs import check_outputs
    from sonoscale.cli._plan_tables import tell

    if json and (json.suffix != ".json" or not json.parent.is_dir()):
        raise SonoscaleError(f"{json}: must end in .json, in a folder that exists")
    check_outputs([json], [table])
    budgets = inputs.budgets(
        {"flops": flops, "params": params, "hours": hours, "clips": clips, "latency": latency, "memory": memory},
        limit or [],
    )
    asked = inputs.Asked(
        budgets=budgets, quality=quality, size=size, data=data, design=inputs.names(design),
        curved=inputs.names(curved), base=base, flops_column=flops_column, higher_is_better=higher_is_better,
        replicate=inputs.names(replicate), hold_out_above=hold_out_above, train=train, next_count=next_,
        next_flops=next_flops, force=force, bootstrap=bootstrap, level=level, seed=seed,
        study=table if table.is_dir() else None,
    )  # fmt: skip
    columns = open_table(table)
    held = asked.held(columns)
    found: dict[Any, Allocation | Designed | str] = {}
    for name, rows in inputs.parts(columns, by).items():
        try:
            found[name] = asked.plan(columns, rows, held)
        except SonoscaleError as error:
            if by is None:
                raise
            found[name] = str(error)
    if all(isinstance(one, str) for one in found.values()):
        name, error = next(iter(found.items()))
        raise SonoscaleError(f"{by} = {name}: {error}")
    if json:
        _write(found, table, by, json)
    for i, (name, one) in enumerate(found.items()):
        if by is not None:
            console.print(("\n" if i else "") + f"{by} = {name}", style="bold underline", markup=False)
        if isinstance(one, str):
            console.print(f"! no plan: {one}", style="yellow", markup=False, soft_wrap=True)
        else:
            tell(one)
    if json:
        console.print(f"\neverything  {json}", soft_wrap=True, markup=False)


def _write(found: Mapping[Any, Allocation | Designed | str], table: Path, by: str | None, path: Path) -> None:
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
    plans = [
        ({"error": one} if isinstance(one, str) else one.as_dict()) | ({} if by is None else {"by": {by: name}})
        for name, one in found.items()
    ]
    content = {"table": str(table), "versions": versions}
    content |= {"plans": plans} if by is not None else plans[0]
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False, default=_item))


def _item(value: NDArray[Any]) -> Any:
    return value.item()
