"""`sonoscale measure ENCODER AUDIO`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.text import Text

from sonoscale.cli._console import console, progress_bars
from sonoscale.cli._encoder_tables import encoder_lines, encoders_table
from sonoscale.cli._measure_options import MeasureOptions
from sonoscale.cli._outputs import check_outputs
from sonoscale.cli._rank_tables import comparison_table
from sonoscale.corpora import open_corpus
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure import (
    EmbeddingWriter,
    Measurement,
    Pass,
    compare_encoders,
    every_estimator,
    measure_encoder,
    ray_sketcher,
    write_encoders,
)
from sonoscale.processes import available_cores

__all__ = ["EncoderOptions", "measure_encoders"]


@dataclass(frozen=True)
class EncoderOptions:
    """Checked options; see the command's help."""

    layers: bool
    by: str | None
    durations: list[float]
    rivals: bool
    kind: str | None
    audio_root: Path | None
    max_seconds: float
    max_broken: float
    save_embeddings: Path | None
    device: str
    precision: Literal["fp32", "bf16", "fp16"]
    workers: int | None
    executor: Literal["local", "ray"]


def measure_encoders(specs: list[str], audio: str, chosen: EncoderOptions, options: MeasureOptions) -> None:
    """Measure each encoder, and compare those after the first with it, clip by clip."""
    saved = chosen.save_embeddings
    names = saved.with_suffix(".csv") if saved and saved.suffix == ".npy" else None
    check_outputs([options.json, options.plot, options.out, saved, names], [Path(audio)])
    if saved and (len(specs) > 1 or chosen.executor == "ray"):
        raise SonoscaleError("--save-embeddings is for one encoder, run here")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if chosen.device == "auto" else chosen.device
    estimators = every_estimator(options.estimators) if options.everything else options.estimators
    how = Pass(
        options.blocks, chosen.layers, chosen.by, workers=chosen.workers or available_cores(),
        sample=4096 if chosen.rivals or options.everything else 0,
    )  # fmt: skip
    found: list[Measurement] = []
    for spec in specs:
        # Over Ray, only what the encoder says of itself is needed here; there may be no GPU.
        here = device if chosen.executor == "local" else "cpu"
        encoder = load_encoder(spec, device=here, precision=chosen.precision)
        opened: dict[str, Any] = {
            "kind": chosen.kind,
            "max_seconds": chosen.max_seconds,
            "audio_root": chosen.audio_root,
        }
        if encoder.max_samples:  # else longer recordings would have to be left out
            opened["max_seconds"] = min(chosen.max_seconds, encoder.max_samples / encoder.sample_rate)
        corpus = open_corpus(audio, sample_rate=encoder.sample_rate, **opened)
        with ExitStack() as stack:
            show = _shown(stack.enter_context(progress_bars()), spec)
            sketch = None
            if chosen.executor == "ray":
                loaded = {"device": device, "precision": chosen.precision}
                sketch = ray_sketcher(spec, audio, opened=opened, loaded=loaded, progress=show)
            emit = None
            if chosen.save_embeddings:
                emit = stack.enter_context(EmbeddingWriter(chosen.save_embeddings, corpus, encoder.dim))
            found.append(
                measure_encoder(
                    encoder, corpus, how=how, estimators=estimators, durations=chosen.durations, level=options.level,
                    max_broken=chosen.max_broken, progress=show, emit=emit, sketch=sketch,
                )
            )  # fmt: skip
        for part in encoder_lines(found[-1]):
            console.print(part)
        if options.json:
            write_encoders(options.json, found, [])
    comparisons = []
    if len(found) > 1:
        console.print(encoders_table(found))
        comparisons = compare_encoders(found, estimators, level=options.level)
        console.print(comparison_table(comparisons))
        if options.json:
            write_encoders(options.json, found, comparisons)
    if options.plot:
        from sonoscale.report import spectrum_figure, write_figure

        write_figure(spectrum_figure({each.encoder: each.sketches.whole for each in found}), options.plot)
    if options.out:
        from sonoscale.cli._measure_page import write_encoders_page

        write_encoders_page(
            options.out, found, comparisons, options, specs=specs, audio=audio, chosen=chosen, device=device
        )
    for what, path in (
        ("figure", options.plot), ("page", options.out), ("records", options.json), ("saved", chosen.save_embeddings),
    ):  # fmt: skip
        if path:
            console.print(Text(f"{what:8} {path}"), soft_wrap=True)


def _shown(bars: Progress, spec: str) -> Callable[[str, int, int], None]:
    """What shows the progress of one encoder, a bar for each thing it does."""
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(escape(f"{spec}: {what}"), total=total)
        bars.update(tasks[what], completed=done)

    return show
