"""`sonoscale audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonoscale.cli._console import console
from sonoscale.cli._plot import Out, Plot, check_out, check_plot, save_page, save_plot
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.laws.audit import Audit, GroupAudits


def audit(
    table: Annotated[Path, typer.Argument(help="Runs: a CSV or Parquet file, or the folder of a study.")],
    rank: Annotated[str, typer.Option(help="Column of the rank.")],
    y: Annotated[str | None, typer.Option(help="Column of the quality (default: quality, score, ...).")] = None,
    covariates: Annotated[
        str | None, typer.Option(help="Columns to control for, comma-separated (default: sizes and loss).")
    ] = None,
    baselines: Annotated[str, typer.Option(help="Columns to compare with rank, comma-separated.")] = "",
    clusters: Annotated[
        str | None, typer.Option(help="Columns that name the configuration; its rows (seeds, steps) are dependent.")
    ] = None,
    family: Annotated[str | None, typer.Option(help="Column of families (architecture, objective).")] = None,
    held_out: Annotated[
        str | None, typer.Option(help="Rows not to audit: a column that is 1 there, or such as params>1e9.")
    ] = None,
    step: Annotated[str | None, typer.Option(help="Column of steps: the last of each configuration counts.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Last step of the warm-up (default: a third).")] = None,
    layer: Annotated[str | None, typer.Option(help="Column of layers: the last one counts.")] = None,
    group: Annotated[str, typer.Option(help="Columns whose values make groups, a verdict for each.")] = "",
    margin: Annotated[
        float, typer.Option(help="Correlation below which rank is taken to add nothing that matters.")
    ] = 0.5,
    reliability: Annotated[
        float, typer.Option(help="Share of the variance of the recorded sizes that is true, 0.5 to 1.")
    ] = 0.97,
    omit: Annotated[bool, typer.Option("--omit", help="Leave out rows with a missing cell.")] = False,
    higher_is_better: Annotated[
        bool | None, typer.Option("--higher-is-better/--lower-is-better", help="Which is better (default: by name).")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Of a score: fraction, percent or none.")] = None,
    level: Annotated[float, typer.Option(help="Of intervals and tests, 0.5 to 0.999.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of resampling.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write everything to this .json file.")] = None,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """Should you trust rank here? A verdict on a table of runs, with its evidence."""
    from sonoscale.cli._outputs import check_outputs
    from sonoscale.files import write_json
    from sonoscale.laws.audit import audit as audit_runs
    from sonoscale.laws.audit import audit_groups
    from sonoscale.provenance import provenance

    if json and (json.suffix != ".json" or not json.parent.is_dir()):
        raise SonoscaleError(f"{json}: must end in .json, in a folder that exists")
    check_outputs([json], [table])
    check_plot(plot, json, table)
    check_out(out, [json, plot], table)
    options: dict[str, Any] = {
        "rank": rank, "covariates": None if covariates is None else _names(covariates), "baselines": _names(baselines),
        "warmup": warmup, "layer": layer, "margin": margin, "reliability": reliability, "level": level, "seed": seed,
        "y": y, "family": family, "held_out": held_out, "step": step, "omit": omit, "unit": unit,
        "clusters": None if clusters is None else _names(clusters), "higher_is_better": higher_is_better,
    }  # fmt: skip
    found: Audit | GroupAudits
    if group:
        found = audit_groups(table, group=_names(group), **options)
        console.print(f"{found.headline}.", style="bold", markup=False)
        console.print(_table("", found.rows()))
    else:
        found = audit_runs(table, **options)
        _print(found)
    save_plot(found, plot)
    save_page(found, out)
    if json:
        write_json(json, found.as_dict() | {"table": str(table), "provenance": provenance("numpy", "scipy")})
        console.print(f"everything  {json}", soft_wrap=True, markup=False)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print(found: Audit) -> None:
    from rich.text import Text

    words, _, reason = found.headline.partition(". ")
    console.print(Text(f"{words}.", style="bold"))
    robust = []
    if found.verdict == "supported" and not isinstance(found.robustness, str):
        robust = [f"What would undo it: {found.robustness.words}."]
    for text in (
        reason,
        f"Runs that would settle it: {found.needed}.",
        *robust,
        *(f"caveat  {one}" for one in found.caveats),
    ):
        console.print(Text(text))
    for title, rows in {"evidence": found.rows(), **found.tables()}.items():
        if rows:
            console.print()
            console.print(_table(title, rows))
    console.print()
    for text in (*found.missing, *(f"note  {note}" for note in found.notes)):
        console.print(Text(text, style="dim"))


def _table(title: str, rows: list[dict[str, Any]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", show_edge=False, pad_edge=False)
    for i, name in enumerate(rows[0]):
        table.add_column(escape(name), justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(
            *(escape(f"{v:.3g}" if isinstance(v, float) else "" if v is None else str(v)) for v in row.values())
        )
    return table
