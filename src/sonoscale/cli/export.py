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
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write a trained encoder for other tools, so that it runs there without Sonoscale, and compare it with itself."""
    from sonoscale.export import export_encoder

    made = export_encoder(run, to.value, out, force=force)
    for name, size in made.files.items():
        console.print(f"wrote    {made.folder / name}  {size:,} bytes", highlight=False, markup=False, soft_wrap=True)
    told = f"checked  differs from the run's encoder by at most {made.difference:.2g}, on {made.clips} clips"
    console.print(told, highlight=False, markup=False, soft_wrap=True)
    if made.spec:
        console.print(f"measure  sonoscale measure '{made.spec}' AUDIO", highlight=False, markup=False, soft_wrap=True)
