"""`sonoscale audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonoscale.cli._console import console
from sonoscale.cli._laws import Clusters, HigherIsBetter, Omit, Runs, Seed, Unit, names, print_table
from sonoscale.cli._plot import Json, Out, Plot, check_files, draw_files

if TYPE_CHECKING:
    from sonoscale.laws.audit import Audit, GroupAudits


def audit(
    table: Runs,
    rank: Annotated[str, typer.Option(help="Column of the rank.")],
    y: Annotated[str | None, typer.Option(help="Column of the quality (default: quality, score, ...).")] = None,
    covariates: Annotated[
        str | None, typer.Option(help="Columns to control for, comma-separated (default: sizes and loss).")
    ] = None,
    baselines: Annotated[str, typer.Option(help="Columns to compare with rank, comma-separated.")] = "",
    clusters: Clusters = None,
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
    omit: Omit = False,
    higher_is_better: HigherIsBetter = None,
    unit: Unit = None,
    level: Annotated[float, typer.Option(help="Of intervals and tests, 0.5 to 0.999.")] = 0.95,
    seed: Seed = 0,
    json: Json = None,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """Should you trust rank here? A verdict on a table of runs, with its evidence."""
    from sonoscale.files import write_json
    from sonoscale.laws.audit import audit as audit_runs
    from sonoscale.laws.audit import audit_groups
    from sonoscale.provenance import provenance

    check_files(table, json, plot, out)
    options: dict[str, Any] = {
        "rank": rank, "covariates": names(covariates), "baselines": names(baselines) or (), "warmup": warmup,
        "layer": layer, "margin": margin, "reliability": reliability, "level": level, "seed": seed, "y": y,
        "family": family, "held_out": held_out, "step": step, "omit": omit, "unit": unit, "clusters": names(clusters),
        "higher_is_better": higher_is_better,
    }  # fmt: skip
    found: Audit | GroupAudits
    found = audit_groups(table, group=names(group) or (), **options) if names(group) else audit_runs(table, **options)
    if json:
        write_json(json, found.as_dict() | {"table": str(table), "provenance": provenance("numpy", "scipy")})
    _print(found)
    draw_files(found, json, plot, out)


def _print(found: Audit | GroupAudits) -> None:
    from rich.text import Text

    from sonoscale.laws.audit import GroupAudits

    if isinstance(found, GroupAudits):
        console.print(Text(f"{found.headline}.", style="bold"))
        print_table(found.rows(), whole=True)
        console.print()
        for note in found.notes:
            console.print(Text(f"note  {note}", style="dim"))
        return
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
            print_table(rows, title, whole=True)
    console.print()
    for text in (*found.missing, *(f"note  {note}" for note in found.notes)):
        console.print(Text(text, style="dim"))
