"""`sonoscale study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonoscale.cli._console import console
from sonoscale.errors import SonoscaleError

app = typer.Typer(help="Run a designed sweep of encoders and fit its laws.", no_args_is_help=True)


@app.command("run")
def run(
    file: Annotated[Path, typer.Argument(help="The study's YAML file.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key: a.b=value.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the study (default: results/NAME).")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of computed log-mels.", envvar="SONOSCALE_CACHE")] = None,
    executor: Annotated[str, typer.Option(help="Where runs are done: local.")] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at once (default: one per core).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    retries: Annotated[int, typer.Option(min=0, help="How often a run that fails is tried again.")] = 1,
) -> None:
    """Train, probe, fit and report. Finished runs are reused, so the same command resumes."""
    from sonoscale.study import study

    made = study(file, out=out, cache=cache, set=set_ or [])
    from sonoscale.cli._progress import RichWatcher

    with RichWatcher(console) as watcher:
        made.run(executor=executor, workers=workers, device=device, retries=retries, progress=watcher)
    finished = (made.folder / "ledger.parquet").is_file()
    if finished:
        draw(made.folder)
    if made.failures:
        lines = [f"  {f.label}, seed {f.seed}: {f.error}" for f in made.failures]
        others = "the others are kept" if finished else "none is finished, so there is no ledger"
        raise SonoscaleError(f"{len(lines)} run(s) failed; {others}\n" + "\n".join(lines))


@app.command("quality")
def quality(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, or its ledger.")],
    weights: Annotated[str | None, typer.Option(help="plain or reliability, instead of the study's own.")] = None,
    min_reliability: Annotated[float | None, typer.Option(min=0, max=1, help="Instead of the study's own.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all to this .json file.")] = None,
) -> None:
    """Which scores tell the configurations apart: reliability, floors, ceiling, and what quality is made of."""
    from dataclasses import replace

    from sonoscale.cli._outputs import check_outputs
    from sonoscale.laws import quality

    check_outputs([json], [folder])
    found = quality(folder)
    given = {"weights": weights, "min_reliability": min_reliability}
    changed = {name: value for name, value in given.items() if value is not None}
    if changed:
        found = quality(folder, rule=replace(found.rule, **changed))
    console.print(repr(found), highlight=False, markup=False, soft_wrap=True)
    if json:
        found.to_json(json)


@app.command("report")
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders of studies.")],
    flops: Annotated[
        float | None, typer.Option(help="Budget to plan for (default: ten times the largest run).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Of several studies: the .html file of their comparison.")] = None,
) -> None:
    """Draw the page and the figures of a study again, or compare several studies on one page."""
    if len(folders) > 1 or out:
        from sonoscale.report import compare_studies

        if out is None:
            raise SonoscaleError("several studies are compared on one page: name it (out)")
        console.print(f"page     {compare_studies(folders, out)}", highlight=False, soft_wrap=True)
        return
    draw(folders[0], flops)


def draw(folder: Path, flops: float | None = None) -> None:
    """Write the report of a study, and print what it says."""
    from sonoscale.report import report, terminal_summary

    written = report(folder, flops=flops)
    for part in terminal_summary(written.results, width=console.width):
        console.print(part)
    console.print(f"page     {written.page}", highlight=False, soft_wrap=True)
    for figure in written.figures:
        console.print(f"figure   {figure}", highlight=False, soft_wrap=True)


def figures(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    style: Annotated[str, typer.Option(help="paper, slides or page.")] = "paper",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write into (default: figures-STYLE in the study).")
    ] = None,
    kinds: Annotated[str, typer.Option(help="Kinds of files: pdf, svg, png.")] = "pdf,svg",
    flops: Annotated[
        float | None, typer.Option(help="Budget of the plan (default: ten times the largest run).")
    ] = None,
) -> None:
    """Write the figures of a study for a paper, and its tables in LaTeX and Markdown."""
    from sonoscale.cli._laws import names
    from sonoscale.report import figures as write

    written = write(folder, style=style, out=out, kinds=names(kinds) or [], flops=flops)
    for file in written.files:
        console.print(f"{file.suffix[1:]:4} {file}", highlight=False, soft_wrap=True)
    for name, why in written.left_out.items():
        console.print(f"not written: {name}: {why}", markup=False, soft_wrap=True)
