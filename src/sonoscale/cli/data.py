"""`sonoscale data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at and listen to the data.", no_args_is_help=True)


@app.callback()
def _data() -> None:
    """Keep `preview` a sub-command even while it is the only one."""


@app.command("preview")
def preview(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    clips: Annotated[int, typer.Option(min=1, max=1000, help="Clips per split.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the corpus.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.5, max=30, help="Length of a clip.")] = 2.0,
) -> None:
    """Write clips of the procedural corpus as WAV, with their labels and a contact sheet of log-mels."""
    from sonoscale.corpora.preview import write_preview

    for path in write_preview(out, clips=clips, seed=seed, seconds=seconds):
        typer.echo(path)
