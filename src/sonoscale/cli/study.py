"""`sonoscale study`."""

from __future__ import annotations

import os
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
    from sonoscale.cli._progress import RichWatcher
    from sonoscale.config import load_config
    from sonoscale.study import StudyConfig, run_study

    study = load_config(StudyConfig, file, set_ or [])
    if workers:
        study = study.model_copy(update={"workers": workers})
    folder = out or Path("results") / study.name
    with RichWatcher(console) as watcher:
        outcome = run_study(study, folder, cache=cache or default_cache(), watcher=watcher)
    if outcome.ledger.num_rows:
        _draw(folder)
    if outcome.failures:
        lines = [f"  {f.label}, seed {f.seed}: {f.error}" for f in outcome.failures]
        others = "the others are kept" if outcome.ledger.num_rows else "none is finished, so there is no ledger"
        raise SonoscaleError(f"{len(lines)} run(s) failed; {others}\n" + "\n".join(lines))


@app.command("report")
def report(folder: Annotated[Path, typer.Argument(help="Folder of a study.")]) -> None:
    """Draw the page and the figures of a study again."""
    _draw(folder)


def _draw(folder: Path) -> None:
    from sonoscale.report import load_study, terminal_summary, write_report

    paths = write_report(folder)
    for part in terminal_summary(load_study(folder), width=console.width):
        console.print(part)
    console.print(f"page     {paths.page}", highlight=False, soft_wrap=True)
    for figure in paths.figures:
        console.print(f"figure   {figure}", highlight=False, soft_wrap=True)


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sonoscale"
