"""`sonoscale tasks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonoscale.cli._console import console


def tasks(
    name: Annotated[str | None, typer.Argument(help="A task, such as hear/esc50, to describe in full.")] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder to look for tasks in; repeatable (default: those of SONOSCALE_TASKS)."),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Only those of hear or xares.")] = None,
    found: Annotated[bool, typer.Option("--found", help="Only those found on this machine.")] = False,
) -> None:
    """List the public tasks that can be opened by name, and which are found on this machine.

    Kinds in brackets are not probed here.
    """
    from sonoscale.corpora.tasks import catalogue, entry_of, locate_tasks
    from sonoscale.corpora.tasks._catalogue_tables import details, overview
    from sonoscale.errors import SonoscaleError

    where = locate_tasks(root or None)
    if name is not None:
        entry = entry_of(name)
        console.print(details(entry, where.get(entry.name, [])))
        return
    suites = sorted({entry.suite for entry in catalogue()})
    if suite is not None and suite not in suites:
        raise SonoscaleError(f"--suite {suite}: there are {', '.join(suites)}")
    listed = [entry for entry in catalogue() if suite in (None, entry.suite) and (entry.name in where or not found)]
    console.print(overview(listed, where))
    here = sum(entry.name in where for entry in listed)
    hint = "" if where else "; say with --root or SONOSCALE_TASKS where to look"
    console.print(f"{len(listed)} tasks, {here} found{hint}")
