"""`sonoscale measure ENCODER AUDIO`."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.text import Text

from sonoscale import __version__
from sonoscale.cli._console import console, progress_bars
from sonoscale.cli._encoder_tables import encoder_lines, encoders_table
from sonoscale.cli._measure_options import MeasureOptions
from sonoscale.cli._outputs import check_outputs
from sonoscale.cli._rank_tables import comparison_table
from sonoscale.corpora import open_corpus
from sonoscale.encoders import CheckedEncoder, load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure import (
    EmbeddingWriter,
    EncoderFacts,
    Measurement,
    Pass,
    cluster_device,
    compare_encoders,
    every_estimator,
    lengths_for_all,
    measure_encoder,
    need_layers,
    ray_sketcher,
    write_encoders,
)
from sonoscale.processes import available_cores
from sonoscale.rank import FileComparison

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
    batch_seconds: float


def measure_encoders(specs: list[str], audio: str, chosen: EncoderOptions, options: MeasureOptions) -> None:
    """Measure each encoder, and compare those after the first with it, clip by clip."""
    saved = chosen.save_embeddings
    names = saved.with_suffix(".csv") if saved and saved.suffix == ".npy" else None
    check_outputs([options.json, options.plot, options.out, saved, names], [Path(audio)])
    if saved and (len(specs) > 1 or chosen.executor == "ray"):
        raise SonoscaleError("--save-embeddings is for one encoder, run here")
    chosen = _shared_out(replace(chosen, device=_device(chosen)))
    told, only = _look(specs, chosen)
    # All hear the same: what is too long for one is cut for all, and what is too short for one is left out for all.
    max_seconds, min_seconds = lengths_for_all(told, chosen.max_seconds)
    chosen = replace(chosen, max_seconds=max_seconds)
    how = Pass(
        options.blocks, chosen.layers, chosen.by, workers=chosen.workers or 1, batch_seconds=chosen.batch_seconds,
        sample=4096 if chosen.rivals or options.everything else 0, min_seconds=min_seconds,
    )  # fmt: skip
    estimators = every_estimator(options.estimators) if options.everything else options.estimators
    again = _options(specs, audio, chosen, options, estimators, min_seconds)
    found: list[Measurement] = []
    try:
        for spec, facts in zip(specs, told, strict=True):
            found.append(_measured(spec, audio, facts, only, chosen, how, estimators, options.level))
            for part in encoder_lines(found[-1]):
                console.print(part)
            if options.json:
                write_encoders(options.json, found, [], again)
    except BaseException:
        with contextlib.suppress(Exception):  # the error on its way says more
            _draw(found, [], options, specs=specs, audio=audio, chosen=chosen)
        raise
    comparisons = []
    if len(found) > 1:
        console.print(encoders_table(found))
        comparisons = compare_encoders(found, estimators, level=options.level)
        console.print(comparison_table(comparisons))
        if options.json:
            write_encoders(options.json, found, comparisons, again)
    _draw(found, comparisons, options, specs=specs, audio=audio, chosen=chosen)
    for what, path in (
        ("figure", options.plot), ("page", options.out), ("records", options.json), ("saved", chosen.save_embeddings),
    ):  # fmt: skip
        if path:
            console.print(Text(f"{what:8} {path}"), soft_wrap=True)


def _shared_out(chosen: EncoderOptions) -> EncoderOptions:
    """Cores for decoding and for the encoder, apart: threads of both on one core stall each other."""
    cores, on_cpu = available_cores(), chosen.device == "cpu"
    workers = chosen.workers or (max(1, cores // 4) if on_cpu else cores)
    if on_cpu:
        torch.set_num_threads(max(1, cores - workers))
    return replace(chosen, workers=workers)


def _device(chosen: EncoderOptions) -> str:
    """Where encoders run."""
    if chosen.executor == "ray":
        return cluster_device(chosen.device)
    return ("cuda" if torch.cuda.is_available() else "cpu") if chosen.device == "auto" else chosen.device


def _look(specs: Sequence[str], chosen: EncoderOptions) -> tuple[list[EncoderFacts], CheckedEncoder | None]:
    """What each encoder tells of itself, so that what is wrong with one is known at the start; and an only one.

    Over Ray the numbers are all that is needed here, where there may be no GPU.
    """
    told: list[EncoderFacts] = []
    for spec in specs:
        if chosen.executor == "ray":
            encoder = load_encoder(spec, device="cpu")
            told.append(EncoderFacts.of(encoder, precision=chosen.precision))
        else:
            encoder = load_encoder(spec, device=chosen.device, precision=chosen.precision)
            told.append(EncoderFacts.of(encoder))
        if chosen.layers:
            need_layers(encoder)
        if len(specs) == 1:
            return told, encoder
        del encoder  # two need not fit into the memory
    return told, None


def _measured(
    spec: str, audio: str, facts: EncoderFacts, loaded: CheckedEncoder | None, chosen: EncoderOptions, how: Pass,
    estimators: Sequence[str], level: float,
) -> Measurement:  # fmt: skip
    """Measure one encoder, here or over Ray, with bars of its progress."""
    opened: dict[str, Any] = {
        "kind": chosen.kind,
        "max_seconds": chosen.max_seconds,
        "audio_root": chosen.audio_root,
    }
    corpus = open_corpus(audio, sample_rate=facts.sample_rate, **opened)
    settings: dict[str, Any] = {"device": chosen.device, "precision": chosen.precision}
    with ExitStack() as stack:
        show = _shown(stack.enter_context(progress_bars()), spec)
        sketch = writer = None
        if chosen.executor == "ray":
            encoder = facts
            sketch = ray_sketcher(
                spec, audio, encoder=facts, corpus=corpus, opened=opened, loaded=settings, progress=show
            )
        else:
            encoder = loaded or load_encoder(spec, **settings)
        if chosen.save_embeddings:
            writer = stack.enter_context(EmbeddingWriter(chosen.save_embeddings, corpus, facts.dim))
        return measure_encoder(
            encoder, corpus, how=how, estimators=estimators, durations=chosen.durations, level=level,
            max_broken=chosen.max_broken, progress=show, emit=writer, finished=writer and writer.finish, sketch=sketch,
        )  # fmt: skip


def _draw(
    found: Sequence[Measurement], comparisons: Sequence[FileComparison], options: MeasureOptions, *,
    specs: Sequence[str], audio: str, chosen: EncoderOptions,
) -> None:  # fmt: skip
    """Write the figure and the page of what was found, if they are wanted."""
    if options.plot and found:
        from sonoscale.report import spectrum_figure, write_figure

        write_figure(spectrum_figure({each.encoder: each.sketches.whole for each in found}), options.plot)
    if options.out and found:
        from sonoscale.cli._measure_page import write_encoders_page

        write_encoders_page(
            options.out, found, comparisons, options, specs=specs[: len(found)], audio=audio, chosen=chosen
        )


def _options(
    specs: Sequence[str], audio: str, chosen: EncoderOptions, options: MeasureOptions, estimators: Sequence[str],
    min_seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """Everything to do it again with, JSON-able."""
    return {
        "encoders": list(specs), "audio": audio, "kind": chosen.kind,
        "audio_root": None if chosen.audio_root is None else str(chosen.audio_root),
        "max_seconds": chosen.max_seconds, "min_seconds": min_seconds, "blocks": options.blocks, "level": options.level,
        "estimators": list(estimators), "rivals": chosen.rivals or options.everything, "layers": chosen.layers,
        "by": chosen.by, "durations": chosen.durations, "max_broken": chosen.max_broken, "device": chosen.device,
        "precision": chosen.precision, "executor": chosen.executor, "workers": chosen.workers,
        "batch_seconds": chosen.batch_seconds,
        "versions": {
            "sonoscale": __version__, "torch": torch.__version__, "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }  # fmt: skip


def _shown(bars: Progress, spec: str) -> Callable[[str, int, int], None]:
    """What shows the progress of one encoder, a bar for each thing it does."""
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(escape(f"{spec}: {what}"), total=total)
        bars.update(tasks[what], completed=done)

    return show
