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
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one per core).")] = None,
) -> None:
    """Train, probe, fit and report. Finished runs are reused, so the same command resumes."""
    from sonoscale.study import study

    made = study(file, out=out, cache=cache, set=set_ or [])
    from sonoscale.cli._progress import RichWatcher

    with RichWatcher(console) as watcher:
        made.run(workers=workers, progress=watcher)
    finished = (made.folder / "ledger.parquet").is_file()
    if finished:
        report(made.folder)
    if made.failures:
        lines = [f"  {f.label}, seed {f.seed}: {f.error}" for f in made.failures]
        others = "the others are kept" if finished else "none is finished, so there is no ledger"
        raise SonoscaleError(f"{len(lines)} run(s) failed; {others}\n" + "\n".join(lines))


@app.command("report")
def report(folder: Annotated[Path, typer.Argument(help="Folder of a study.")]) -> None:
    """Draw the page and the figures of a study again."""
    from sonoscale.report import report, terminal_summary

    written = report(folder)
    for part in terminal_summary(written.results, width=console.width):
        console.print(part)
    console.print(f"page     {written.page}", highlight=False, soft_wrap=True)
    for figure in written.figures:
        console.print(f"figure   {figure}", highlight=False, soft_wrap=True)


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
    from sonoscale.cli._outputs import check_outputs
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
    question: Annotated[str | None, typer.Option(help="folder, width-data, objectives, isoflop or run.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of unlabelled audio (default: synthesised).")] = None,
    run: Annotated[Path | None, typer.Option(help="An existing run as the base.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented study file for a common question, and the schema that editors check it with."""
    from sonoscale.cli._console import say
    from sonoscale.study import init as write

    written = write(file, question=question, data=data, run=run, force=force)
    say(f"{written}: written, with study.schema.json beside it. What it costs: sonoscale study plan {written}")


@app.command("schema")
def schema(of: Annotated[str, typer.Argument(help="study or run.")] = "study") -> None:
    """Print the JSON Schema of a study file, or of the file of a run."""
    import json

    from sonoscale.study import schema as make_schema

    print(json.dumps(make_schema(of), indent=1))
