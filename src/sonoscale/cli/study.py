"""`sonoscale study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonoscale.cli._console import console, say
from sonoscale.errors import SonoscaleError

app = typer.Typer(help="Run a designed sweep of encoders and fit its laws.", no_args_is_help=True)


@app.command("run")
def run(
    file: Annotated[Path, typer.Argument(help="The study's YAML file; its folder, or its ledger, to continue.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key: a.b=value.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the study (default: results/NAME).")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of computed log-mels.", envvar="SONOSCALE_CACHE")] = None,
    executor: Annotated[
        str, typer.Option(help="Where runs are done: local, ray, slurm or python:module:Class.")
    ] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at once (default: one per core).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    retries: Annotated[int, typer.Option(min=0, help="How often a run that fails is tried again.")] = 1,
    option: Annotated[
        list[str] | None,
        typer.Option(help="address=..., gpus=0.25 (ray); minutes=60, slurm.slurm_partition=... (slurm)."),
    ] = None,
) -> None:
    """Train, probe, fit and report. Finished runs are reused, so the same command resumes."""
    from sonoscale.cli._progress import RichWatcher
    from sonoscale.config import override_pairs, set_key
    from sonoscale.study import study

    made, how = study(file, out=out, cache=cache, set=set_ or []), {}
    for key, value in override_pairs(option or []):
        set_key(how, key, value)
    with RichWatcher(console) as watcher:
        made.run(executor=executor, workers=workers, device=device, retries=retries, progress=watcher, **how)
    finished = (made.folder / "ledger.parquet").is_file()
    if finished and made.is_reported:
        say(f"nothing has changed since it was reported: {made.folder / 'report.html'}")
    elif finished:
        draw(made.folder)
    if made.failures:
        lines = [f"  {f.label}, seed {f.seed}: {f.reason}: {f.error}" for f in made.failures]
        others = "the others are kept" if finished else "none is finished, so there is no ledger"
        raise SonoscaleError(f"{len(lines)} run(s) failed; {others}\n" + "\n".join(lines))


@app.command("status")
def status(
    folder: Annotated[Path, typer.Argument(help="Folder of a study.")],
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it until all runs have ended.")] = False,
) -> None:
    """Which runs are queued, running (with rate and time left), done, and failed (with the reason)."""
    from sonoscale.study import status

    if json:
        say(status(folder).to_json())
        return
    found = status(folder)
    if watch:
        import time

        from rich.live import Live
        from rich.text import Text

        with Live(Text(repr(found)), console=console, auto_refresh=False) as live:
            while found.counts["queued"] or found.counts["running"]:
                time.sleep(2)
                found = status(folder)
                live.update(Text(repr(found)), refresh=True)
    else:
        say(repr(found))


@app.command("stop")
def stop(folder: Annotated[Path, typer.Argument(help="Folder of a study.")]) -> None:
    """End all drivers and runs of a study; runs keep what they have, and the study resumes later."""
    from sonoscale.study import stop

    say(f"{folder}: {stop(folder)} run(s) were under way and have ended; run the study again to resume")


@app.command("retry")
def retry(
    folder: Annotated[Path, typer.Argument(help="Folder of a study.")],
    runs: Annotated[list[str] | None, typer.Argument(help="Names or labels (default: all that failed).")] = None,
) -> None:
    """Let runs that failed be tried again the next time that the study is run."""
    from sonoscale.study import retry

    say(f"{folder}: {len(retry(folder, runs or []))} run(s) will be tried again; run the study")


@app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(help="Folder of a study.")],
    value: Annotated[list[str] | None, typer.Option(help="To a swept key: encoder.width=[96,128].")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="One more seed.")] = None,
    budget: Annotated[list[int] | None, typer.Option(help="One more budget, in steps.")] = None,
    flops: Annotated[list[float] | None, typer.Option(help="One more budget, in FLOPs.")] = None,
) -> None:
    """Add values, seeds or longer budgets; a longer budget continues what was trained."""
    from sonoscale.config import override_pairs
    from sonoscale.study import add

    values = {key: more if isinstance(more, list) else [more] for key, more in override_pairs(value or [])}
    say(repr(add(folder, values=values, seeds=seed or [], budgets=budget or [], flops=flops or [])))


@app.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of a study.")],
    retrain: Annotated[int, typer.Option(min=0, help="Train so many runs again, and compare.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the draw of these.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at once.")] = None,
) -> None:
    """Read ledger and checkpoints, and compare them with their checksums and with each other."""
    from sonoscale.study import verify

    found = verify(folder, retrain=retrain, seed=seed, workers=workers, progress=say)
    say(repr(found))
    if found.wrong:
        raise SonoscaleError(f"{folder}: {len(found.wrong)} problem(s)")


@app.command("import")
def import_(
    table: Annotated[Path, typer.Argument(help="Somebody's table of runs: CSV, TSV or Parquet.")],
    out: Annotated[Path, typer.Argument(help="Folder of the study to be made.")],
    scores: Annotated[str, typer.Option(help="Columns of scores, comma-separated (default: by their names).")] = "",
    column: Annotated[list[str] | None, typer.Option(help="Another name of a column: theirs=ours.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the study (default: that of the folder).")] = None,
) -> None:
    """Make a study of a table of runs that were trained elsewhere, to be reported and audited as any other."""
    from sonoscale.cli._laws import names
    from sonoscale.study import import_ledger

    pairs = {theirs: ours for theirs, _, ours in (one.partition("=") for one in column or [])}
    say(import_ledger(table, out, scores=names(scores) or [], columns=pairs, name=name).headline)


@app.command("sql")
def sql(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, or its ledger.")],
    query: Annotated[str, typer.Argument(help="Over the tables ledger and runs: select count(*) from ledger.")],
    json: Annotated[bool, typer.Option("--json", help="Print all rows as JSON.")] = False,
) -> None:
    """Query the ledger with DuckDB."""
    from sonoscale.study import sql

    found = sql(folder, query)
    say(found.to_json() if json else repr(found))


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, or its ledger.")],
    out: Annotated[Path, typer.Argument(help="A .csv or .parquet file; for wandb and mlflow a new folder.")],
    kind: Annotated[str | None, typer.Option(help="wandb or mlflow (default: by the suffix).")] = None,
    rows: Annotated[str, typer.Option(help="Of a table: ledger, or runs with their quality.")] = "ledger",
) -> None:
    """Write the runs as a table, or as runs of W&B (offline) or MLflow."""
    from sonoscale.study import export as write

    say(write(folder, out, kind=kind, rows=rows).headline)  # pyright: ignore[reportArgumentType]


@app.command("clean")
def clean(
    folder: Annotated[Path, typer.Argument(help="Folder of a study.")],
    files: Annotated[str, typer.Option(help="trunks, checkpoints (before the last), final.")] = "trunks,checkpoints",
    best: Annotated[int, typer.Option(min=0, help="Keep all files of so many runs of the highest quality.")] = 0,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be removed.")] = True,
) -> None:
    """Remove checkpoints and trunks of runs whose scores are all in the ledger."""
    from sonoscale.cli._laws import names
    from sonoscale.study import clean

    found = clean(folder, files=names(files) or [], best=best, dry_run=dry_run)  # pyright: ignore[reportArgumentType]
    say(repr(found))


@app.command("quality")
def quality(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, or its ledger.")],
    weights: Annotated[str | None, typer.Option(help="plain or reliability, instead of the study's own.")] = None,
    min_reliability: Annotated[float | None, typer.Option(min=0, max=1, help="Instead of the study's own.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all to this .json file.")] = None,
) -> None:
    """Which scores tell the configurations apart: reliability, floors, ceiling, and what quality is made of."""
    from dataclasses import replace

    from sonoscale.files import check_outputs
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
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Of studies, or ledgers alone.")],
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
        page = compare_studies([_restored(folder) for folder in folders], out)
        console.print(f"page     {page}", highlight=False, soft_wrap=True)
        return
    draw(folders[0], flops)


def draw(folder: Path, flops: float | None = None) -> None:
    """Write the report of a study, and print what it says."""
    from sonoscale.report import report, terminal_summary

    written = report(_restored(folder), flops=flops)
    for part in terminal_summary(written.results, width=console.width):
        console.print(part)
    console.print(f"page     {written.page}", highlight=False, soft_wrap=True)
    for figure in written.figures:
        console.print(f"figure   {figure}", highlight=False, soft_wrap=True)


def _restored(folder: Path) -> Path:
    """The folder of a study, or of a ledger alone, with what can be made again from the ledger."""
    from sonoscale.study._run import restore

    folder = folder.parent if folder.suffix == ".parquet" else folder
    restore(folder)
    return folder


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

    written = write(_restored(folder), style=style, out=out, kinds=names(kinds) or [], flops=flops)
    for file in written.files:
        console.print(f"{file.suffix[1:]:4} {file}", highlight=False, soft_wrap=True)
    for name, why in written.left_out.items():
        console.print(f"not written: {name}: {why}", markup=False, soft_wrap=True)


@app.command("plan")
def plan(
    file: Annotated[Path, typer.Argument(help="The study's YAML file, or its folder.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key: a.b=value.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes at a time (default: one per core).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    calibrate: Annotated[bool, typer.Option(help="Time some steps here, or take the speed measured last.")] = True,
    speed: Annotated[float | None, typer.Option(help="Training FLOPs per second of a process, instead.")] = None,
    noise: Annotated[float | None, typer.Option(help="Spread of log y between seeds (default: 0.05).")] = None,
    ledger: Annotated[Path | None, typer.Option(help="An earlier study, from which to take the noise.")] = None,
    level: Annotated[float, typer.Option(help="Of intervals.")] = 0.95,
    cache: Annotated[Path | None, typer.Option(help="Folder of measured speeds.", envvar="SONOSCALE_CACHE")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything to this file.")] = None,
) -> None:
    """Cost of every run, time and memory on this machine, and what the design can tell apart. Trains nothing."""
    from sonoscale.cli._console import print_result, stage_bars
    from sonoscale.files import check_outputs
    from sonoscale.study import plan as make_plan

    check_outputs([json], [file])
    with stage_bars() as progress:
        planned = make_plan(
            file, set=set_ or [], workers=workers, device=device, calibrate=calibrate, speed=speed, noise=noise,
            ledger=ledger, level=level, cache=cache, progress=progress,
        )  # fmt: skip
    print_result(planned)
    if json is not None:
        planned.to_json(json)


@app.command("init")
def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("study.yaml"),
    question: Annotated[
        str | None, typer.Option(help="folder, width-data, objectives, isoflop, run or continue.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of unlabelled audio (default: synthesised).")] = None,
    run: Annotated[Path | None, typer.Option(help="An existing run as the base, or to train further.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented study file for a common question, and the schema that editors check it with."""
    from sonoscale.study import init as write

    written = write(file, question=question, data=data, run=run, force=force)
    say(f"{written}: written, with study.schema.json beside it. What it costs: sonoscale study plan {written}")


@app.command("schema")
def schema(
    of: Annotated[str, typer.Argument(help="study, encoders (a study of existing ones) or run.")] = "study",
) -> None:
    """Print the JSON Schema of a study file, or of the file of a run."""
    import json

    from sonoscale.study import schema as make_schema

    print(json.dumps(make_schema(of), indent=1))
