"""`sonoscale probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonoscale.errors import SonoscaleError


def probe(
    encoder: Annotated[str, typer.Argument(help="A run folder, hf:, hear:, xares:, onnx:, python:, as for measure.")],
    task: Annotated[
        list[str], typer.Option(help="Labelled audio: a metadata.csv, a HEAR or X-ARES folder, hf:; again for more.")
    ],
    protocol: Annotated[list[str] | None, typer.Option(help="How to score; again for more (default: linear).")] = None,
    compare: Annotated[list[str] | None, typer.Option(help="Another encoder on the same tasks.")] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Also log-mel statistics and untrained encoders.")
    ] = True,
    layers: Annotated[bool, typer.Option("--layers", help="Score every layer.")] = False,
    trained_on: Annotated[
        str | None,
        typer.Option(help="What ENCODER was trained on, to find test audio in it (default: a run's own)."),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Of the tasks, if their tables do not say: retrieval.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of labels, if not the usual one.")] = None,
    audio_root: Annotated[Path | None, typer.Option(help="Folder that a table's paths are relative to.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all scores to this .json file.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of embeddings.", envvar="SONOSCALE_CACHE")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that decode.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of what protocols draw.")] = 0,
) -> None:
    """Score frozen encoders on labelled tasks, by the field's protocols, with intervals and baselines."""
    from sonoscale.cli._probe import ProbeOptions, probe_encoders
    from sonoscale.cli.study import default_cache
    from sonoscale.probe import find_protocol

    names = list(dict.fromkeys(protocol or ["linear"]))
    for name in names:
        find_protocol(name)
    if json and (json.suffix != ".json" or not json.parent.is_dir()):
        raise SonoscaleError(f"{json}: must end in .json, in a folder that exists")
    probe_encoders(
        list(dict.fromkeys([encoder, *(compare or [])])),
        list(dict.fromkeys(task)),
        ProbeOptions(
            names, baselines, layers, trained_on, kind, label, audio_root, json, cache or default_cache(), device,
            workers, seed,
        ),
    )  # fmt: skip
