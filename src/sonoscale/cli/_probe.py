"""What `sonoscale probe` does."""

from __future__ import annotations

import gc
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from rich.text import Text

from sonoscale import __version__
from sonoscale.cli._console import console, progress_bars
from sonoscale.cli._outputs import check_outputs
from sonoscale.corpora import AudioCorpus, Task, find_task, open_corpus, open_task
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.files import replacing
from sonoscale.probe import Score, content_hashes, probe_encoder, protocol_agreement
from sonoscale.processes import available_cores

__all__ = ["ProbeOptions", "probe_encoders"]


@dataclass(frozen=True)
class ProbeOptions:
    """Checked options; see the command's help."""

    protocols: list[str]
    baselines: bool
    layers: bool
    trained_on: str | None
    label: str | None
    audio_root: Path | None
    json: Path | None
    cache: Path
    device: str
    workers: int | None
    seed: int


def probe_encoders(specs: list[str], tasks: list[str], options: ProbeOptions) -> None:
    """Score each encoder on each task, and the baselines with them."""
    check_outputs([options.json], [Path(task) for task in tasks])
    for task in tasks:
        _open(task, 16_000, options)  # all that is wrong with a task is known before the first embedding
    given = None if options.trained_on is None else open_corpus(options.trained_on)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    everything = [*specs, *_baselines(specs)] if options.baselines else specs
    scores: list[Score] = []
    for spec in everything:
        encoder = load_encoder(spec, device=device)
        layers = options.layers and encoder.layers is not None and spec in specs
        with progress_bars() as bars:
            shown: dict[str, Any] = {}

            def show(what: str, done: int, total: int, spec: str = spec, shown: dict[str, Any] = shown) -> None:
                if what not in shown:
                    shown[what] = bars.add_task(f"{spec}: {what}", total=total)
                bars.update(shown[what], completed=done)

            trained_on = _trained_on(spec, given, options, show)
            for task in tasks:
                scores += probe_encoder(
                    encoder, spec, _open(task, encoder.sample_rate, options), options.protocols,
                    layers=layers, cache=options.cache, trained_on=trained_on, seed=options.seed,
                    workers=options.workers or available_cores(), progress=show,
                )  # fmt: skip
                _write(scores, specs, tasks, options)
        del encoder
        gc.collect()  # two need not fit into the memory
    _tell(scores, options)


def _open(task: str, rate: int, options: ProbeOptions) -> Task:
    """Of the catalogue, if it is called so and no file or folder is."""
    if not Path(task).exists() and re.fullmatch(r"(hear|xares)/[\w.-]+", task):
        return find_task(task, sample_rate=rate)
    path = Path(task) / "metadata.csv" if (Path(task) / "metadata.csv").is_file() else Path(task)
    chosen = {"label": options.label, "audio_root": options.audio_root if path.suffix == ".csv" else None}
    name = path.parent.name if path.name == "metadata.csv" and path.parent.name else None
    return open_task(
        task if task.startswith("hf:") else path,
        name=name,
        sample_rate=rate,
        **{k: v for k, v in chosen.items() if v is not None},
    )


def _baselines(specs: Sequence[str]) -> list[str]:
    """Log-mel statistics, and each of our own encoders without training."""
    own = [f"untrained:{spec}" for spec in specs if Path(spec).exists()]
    return [each for each in ["logmel:", *own] if each not in specs]


def _trained_on(spec: str, given: AudioCorpus | None, options: ProbeOptions, show: Any) -> np.ndarray | None:
    """Hashes of the audio that an encoder was trained on, where that is known and there."""
    if spec.startswith(("logmel:", "untrained:")):
        return None

    def progress(done: int, total: int) -> None:
        show("training audio", done, total)

    workers = options.workers or available_cores()
    if given is not None:
        return content_hashes(given, options.cache, workers=workers, progress=progress)
    if not Path(spec).exists():
        return None
    from sonoscale.pretrain import training_audio

    try:
        corpus = training_audio(Path(spec))
    except SonoscaleError as error:
        console.print(Text(f"{spec}: not compared with its training audio: {error}"))
        return None
    return None if corpus is None else content_hashes(corpus, options.cache, workers=workers, progress=progress)


def _write(scores: Sequence[Score], specs: Sequence[str], tasks: Sequence[str], options: ProbeOptions) -> None:
    """All scores so far."""
    if options.json is None:
        return
    content = {
        "scores": [score.as_dict() for score in scores],
        "agreement": [vars(each) for each in protocol_agreement(scores)],
        "options": {
            "encoders": list(specs), "tasks": list(tasks), "protocols": options.protocols, "seed": options.seed,
            "label": options.label, "audio_root": None if options.audio_root is None else str(options.audio_root),
            "trained_on": options.trained_on, "layers": options.layers, "baselines": options.baselines,
            "versions": {
                "sonoscale": __version__, "torch": torch.__version__, "numpy": np.__version__,
                "python": platform.python_version(),
            },
        },
    }  # fmt: skip
    with replacing(options.json) as partial:
        partial.write_text(json.dumps(content, indent=1))


def _tell(scores: Sequence[Score], options: ProbeOptions) -> None:
    tasks = list(dict.fromkeys(score.task for score in scores))
    for protocol in dict.fromkeys(score.result.protocol for score in scores):
        mine = [score for score in scores if score.result.protocol == protocol]
        table = Table(title=protocol, title_justify="left", show_edge=False, pad_edge=False)
        table.add_column("encoder")
        for name in ("layer", *tasks) if options.layers else tasks:
            first = next((score for score in mine if score.task == name), None)
            table.add_column(f"{name}\n{first.result.metric}" if first else name, justify="right")
        for encoder, layer in dict.fromkeys((score.encoder, score.layer) for score in mine):
            found = {score.task: score.result for score in mine if (score.encoder, score.layer) == (encoder, layer)}
            cells = [_cell(found[task].score, found[task].interval) if task in found else "" for task in tasks]
            table.add_row(encoder, *(["" if layer is None else str(layer)] if options.layers else []), *cells)
        chances = {score.task: score.result.chance for score in mine}
        table.add_section()
        table.add_row(
            "chance", *([""] if options.layers else []), *(f"{chances[t]:.3f}" for t in tasks if t in chances)
        )
        console.print(table)
    for each in protocol_agreement(scores):
        console.print(
            Text(
                f"{each.one} and {each.other} order {each.encoders} encoders alike: Spearman {each.mean:.2f}, mean of "
                f"{len(each.per_task)} tasks"
            )
        )
    for score in scores:
        for warning in score.result.warnings:
            console.print(Text(f"warning  {score.encoder}, {score.task}, {score.result.protocol}: {warning}"))
    if options.json:
        console.print(Text(f"scores   {options.json}"), soft_wrap=True)


def _cell(score: float, interval: tuple[float, float]) -> str:
    return f"{score:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
