"""What `sonoscale probe` does."""

from __future__ import annotations

import contextlib
import json
import math
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sonoscale import __version__
from sonoscale.cli._console import console, progress_bars
from sonoscale.cli._outputs import check_outputs
from sonoscale.corpora import Task, find_task, open_corpus, open_task
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.files import replacing
from sonoscale.measure import need_layers
from sonoscale.probe import Score, check_protocols, content_hashes, protocol_agreement, score_encoder
from sonoscale.processes import available_cores

__all__ = ["ProbeOptions", "probe_encoders"]


@dataclass(frozen=True)
class ProbeOptions:
    """Checked options; see the command's help."""

    protocols: list[str]
    baselines: bool
    layers: bool
    trained_on: str | None
    kind: str | None
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
    opened = [_open(task, 16_000, options) for task in tasks]  # what is wrong is known before the first embedding
    for task in opened:
        check_protocols(task, options.protocols, layers=options.layers)
    names = [task.name for task in opened]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SonoscaleError(f"two tasks are called {twice}: score them one after the other, or rename a folder")
    if options.trained_on is not None:
        open_corpus(options.trained_on)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    everything = [*specs, *_baselines(specs)] if options.baselines else specs
    if options.layers:
        for spec in specs:
            need_layers(load_encoder(spec, device=device))
    scores: list[Score] = []
    try:
        for spec in everything:
            _score(spec, specs, tasks, device, options, scores)
    except BaseException:
        with contextlib.suppress(Exception):  # the error on its way says more
            _tell(scores, options)
        raise
    _tell(scores, options)


def _score(
    spec: str, specs: list[str], tasks: list[str], device: str, options: ProbeOptions, scores: list[Score]
) -> None:
    """Add the scores of one encoder, and write all."""
    encoder = load_encoder(spec, device=device)
    with progress_bars() as bars:
        shown: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in shown:
                shown[what] = bars.add_task(escape(f"{spec}: {what}"), total=total)
            bars.update(shown[what], completed=done)

        given = options.trained_on if spec == specs[0] else None
        trained_on = _trained_on(spec, given, encoder.sample_rate, options, show)
        for task in tasks:
            scores += score_encoder(
                encoder, spec, _open(task, encoder.sample_rate, options), options.protocols,
                layers=options.layers and spec in specs, cache=options.cache, trained_on=trained_on,
                seed=options.seed, workers=options.workers or available_cores(), progress=show,
            )  # fmt: skip
            _write(scores, specs, tasks, options)


def _open(task: str, rate: int, options: ProbeOptions) -> Task:
    """Of the catalogue, if it is called so and no file or folder is."""
    said: dict[str, Any] = {k: v for k, v in (("kind", options.kind), ("label", options.label)) if v is not None}
    if not Path(task).exists() and re.fullmatch(r"(hear|xares)/[\w.-]+", task):
        return find_task(task, sample_rate=rate, **said)
    path = Path(task) / "metadata.csv" if (Path(task) / "metadata.csv").is_file() else Path(task)
    if path.suffix == ".csv" and options.audio_root is not None:
        said["audio_root"] = options.audio_root
    name = path.parent.name if path.name == "metadata.csv" and path.parent.name else None
    return open_task(
        task if task.startswith("hf:") else path,
        name=name,
        sample_rate=rate,
        **said,
    )


def _baselines(specs: Sequence[str]) -> list[str]:
    """Log-mel statistics, and each of our own encoders without training."""
    own = [f"untrained:{spec}" for spec in specs if Path(spec).exists()]
    return [each for each in ["logmel:", *own] if each not in specs]


def _trained_on(spec: str, given: str | None, rate: int, options: ProbeOptions, show: Any) -> np.ndarray | None:
    """Hashes of the audio that an encoder was trained on, where that is known and there; of whole recordings."""
    if spec.startswith(("logmel:", "untrained:")):
        return None

    def progress(done: int, total: int) -> None:
        show("training audio", done, total)

    workers = options.workers or available_cores()
    if given is not None:
        corpus = open_corpus(given, sample_rate=rate, max_seconds=None)
        return content_hashes(corpus, options.cache, workers=workers, progress=progress)
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
            "kind": options.kind, "label": options.label, "trained_on": options.trained_on,
            "audio_root": None if options.audio_root is None else str(options.audio_root),
            "layers": options.layers, "baselines": options.baselines,
            "versions": {
                "sonoscale": __version__, "torch": torch.__version__, "numpy": np.__version__,
                "python": platform.python_version(),
            },
        },
    }  # fmt: skip
    with replacing(options.json) as partial:
        partial.write_text(json.dumps(_finite(content), indent=1, allow_nan=False))


def _tell(scores: Sequence[Score], options: ProbeOptions) -> None:
    for protocol in dict.fromkeys(score.result.protocol for score in scores):
        mine = [score for score in scores if score.result.protocol == protocol]
        tasks = list(dict.fromkeys(score.task for score in mine))
        table = Table(title=protocol, title_justify="left", show_edge=False, pad_edge=False)
        table.add_column("encoder", overflow="fold")
        for name in ("layer", *tasks) if options.layers else tasks:
            first = next((score for score in mine if score.task == name), None)
            table.add_column(f"{name}\n{first.result.metric}" if first else name, justify="right", no_wrap=True)
        for encoder, layer in dict.fromkeys((score.encoder, score.layer) for score in mine):
            found = {score.task: score.result for score in mine if (score.encoder, score.layer) == (encoder, layer)}
            cells = [_cell(found[task].score, found[task].interval) if task in found else "" for task in tasks]
            table.add_row(_name(encoder), *(["" if layer is None else str(layer)] if options.layers else []), *cells)
        chances = {score.task: score.result.chance for score in mine}
        table.add_section()
        table.add_row("chance", *([""] if options.layers else []), *(_short(chances[t]) for t in tasks))
        console.print(table)
        if any(score.result.others for score in mine):
            console.print(_others(mine, options))
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


def _others(scores: Sequence[Score], options: ProbeOptions) -> Table:
    """The metrics that go with the main one, a row for each encoder and task; their intervals are in the file."""
    names = list(dict.fromkeys(name for score in scores for name in score.result.others))
    table = Table(title=f"{scores[0].result.protocol}, other metrics", title_justify="left", show_edge=False,
                  pad_edge=False)  # fmt: skip
    table.add_column("encoder", overflow="fold")
    for name in ("task", *(["layer"] if options.layers else [])):
        table.add_column(name)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    chances = {score.task: score.result.others for score in scores}

    def row(name: str, task: str, layer: int | None, cells: list[str]) -> None:
        table.add_row(name, task, *(["" if layer is None else str(layer)] if options.layers else []), *cells)

    for score in scores:
        found = score.result.others
        cells = [_short(found[name]["score"]) if name in found else "" for name in names]
        row(_name(score.encoder), score.task, score.layer, cells)
    table.add_section()
    for task, found in chances.items():
        row("chance", task, None, [_short(found[name]["chance"]) if name in found else "" for name in names])
    return table


def _finite(content: Any) -> Any:
    """null for what is no number."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _cell(score: float, interval: tuple[float, float]) -> str:
    return f"{_short(score)} [{_short(interval[0], 2)}, {_short(interval[1], 2)}]"


def _short(value: float, digits: int = 3) -> str:
    """`.668` for 0.668."""
    return f"{value:.{digits}f}".replace("0.", ".", 1) if 0 <= value < 1 else f"{value:.{digits}f}"


def _name(encoder: str) -> str:
    """Of a run, its folder and not where that lies."""
    kind, colon, rest = encoder.rpartition(":") if encoder.startswith("untrained:") else ("", "", encoder)
    return f"{kind}{colon}{Path(rest).name}" if Path(rest).exists() else encoder
