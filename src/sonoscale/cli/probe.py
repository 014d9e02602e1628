"""`sonoscale probe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sonoscale.probe import ProbeResults


def probe(
    encoder: Annotated[
        str, typer.Argument(help="As for measure. hear:, xares: and python: run the code that they name.")
    ],
    task: Annotated[
        list[str],
        typer.Option(help="Labelled audio: a metadata.csv, a HEAR or X-ARES folder, hf:, hear/esc50; repeatable."),
    ],
    protocol: Annotated[list[str] | None, typer.Option(help="How to score; repeatable (default: linear).")] = None,
    readout: Annotated[
        list[str] | None,
        typer.Option(help="What to read: mean, mean+std, frequency, frequency+std; repeatable (default: mean)."),
    ] = None,
    compare: Annotated[list[str] | None, typer.Option(help="Another encoder on the same tasks; repeatable.")] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Also log-mel statistics and untrained encoders.")
    ] = True,
    layers: Annotated[bool, typer.Option("--layers", help="Score every layer.")] = False,
    trained_on: Annotated[
        str | None,
        typer.Option(help="Audio that ENCODER was trained on, to look for test clips in it (default: a run's own)."),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Of the tasks, if their tables do not say: retrieval.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of labels, if not the usual one.")] = None,
    audio_root: Annotated[Path | None, typer.Option(help="Folder that a table's paths are relative to.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all scores to this .json file.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of embeddings.", envvar="SONOSCALE_CACHE")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Threads or processes that decode.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of what protocols and intervals draw.")] = 0,
) -> None:
    """Score frozen encoders on labelled tasks, by the field's protocols, with intervals and baselines."""
    from rich.markup import escape
    from rich.text import Text

    from sonoscale.cli._console import console, progress_bars
    from sonoscale.files import check_outputs, default_cache
    from sonoscale.processes import share_cores

    share_cores()
    from sonoscale.probe import probe  # with torch, which reads what that has set

    check_outputs([json], [Path(one) for one in task])
    found: list[ProbeResults] = []
    try:
        with progress_bars() as bars:
            shown: dict[str, Any] = {}

            def show(what: str, done: int, total: int) -> None:
                if what not in shown:
                    shown[what] = bars.add_task(escape(what), total=total)
                    if not console.is_terminal and what.endswith(("embed", "audio")):
                        console.print(Text(f"{what}, {total:,} clips"), soft_wrap=True)
                bars.update(shown[what], completed=done)

            results = probe(
                encoder, list(dict.fromkeys(task)), protocols=protocol or ["linear"],
                readouts=readout or ["mean"], compare=compare or [], baselines=baselines, layers=layers,
                trained_on=trained_on, kind=kind, label=label, audio_root=audio_root, out=json,
                cache=cache or default_cache(), device=device, workers=workers, seed=seed,
                progress=show, report=found.append,
            )  # fmt: skip
            found.append(results)
    finally:  # what was found before an error is not lost
        if found:
            console.print(Text(repr(found[-1])), soft_wrap=True)
            if json:
                console.print(Text(f"scores   {json}"), soft_wrap=True)
