"""`sonoscale export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sonoscale.cli._console import console


class Format(StrEnum):
    """What an encoder can be exported to."""

    HEAR = "hear"
    XARES = "xares"
    MTEB = "mteb"
    HF = "hf"
    ONNX = "onnx"


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, or a checkpoint file.")],
    to: Annotated[Format, typer.Option(help="HEAR package, X-ARES file, MTEB file, Hugging Face folder, ONNX file.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    readout: Annotated[
        str, typer.Option(help="What it gives for a clip: mean, mean+std, frequency, frequency+std.")
    ] = "mean",
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write a trained encoder for other tools, so that it runs there without Sonoscale, and compare it with itself."""
    from sonoscale.export import export

    made = export(run, to.value, out, readout=readout, force=force)
    lines = [f"wrote    {made.folder / name}  {size:,} bytes" for name, size in made.files.items()]
    lines.append(f"checked  {made.headline}")
    if made.spec:
        lines.append(f"measure  sonoscale measure '{made.spec}' AUDIO")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
