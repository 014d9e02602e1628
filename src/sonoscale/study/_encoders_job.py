"""One existing encoder of a study: measure its ranks, score it on the tasks, and keep both in its folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from sonoscale.config import config_hash
from sonoscale.corpora import Corpus, Task
from sonoscale.corpora._base import Joined, Subset
from sonoscale.encoders import Encoder, load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder, write_json
from sonoscale.probe import find_protocol
from sonoscale.probe._cache import embed_once
from sonoscale.probe._encoders import score_encoder
from sonoscale.results import plain
from sonoscale.study._encoders_config import EncoderEntry, EncoderStudyConfig
from sonoscale.study._quality import protocols_for, readout_rank

__all__ = ["EncoderJob", "TaskKeys", "count_params", "execute_encoder", "read_record", "read_score", "score_tasks"]

Pair = tuple[str, str]  # protocol, readout
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TaskKeys:
    """A task with the digest of each of its scores: of its clips, labels and folds, the protocol and the readout."""

    task: Task
    keys: dict[Pair, str]

    @classmethod
    def of(cls, task: Task, config: EncoderStudyConfig) -> TaskKeys:
        """Those of a task that is opened at its own rate."""
        how = [task.scheme, task.kind, task.metric, task.groups, task.roles]
        content = [task.corpus.identity, task.labels, task.classes, task.folds, how]
        digest = config_hash(plain(content), 32)
        return cls(task, {
            (name, readout): config_hash([find_protocol(name).version, digest, readout])
            for readout in config.readouts
            for name in protocols_for(task, config.protocols)
        })  # fmt: skip


@dataclass(frozen=True)
class EncoderJob:
    """An encoder and the folder of what is known of it, named by the digest of all that decides it.

    Attributes:
        entry: of the study file.
        folder: in that of the study.
        keys: of its scores, those of layers aside.
    """

    entry: EncoderEntry
    folder: Path
    keys: tuple[str, ...]

    @property
    def plan(self) -> Any:
        """What a `Watcher` asks of a run."""
        return SimpleNamespace(label=self.entry.name, config=SimpleNamespace(seed=0))

    @property
    def done(self) -> bool:
        """Whether it is measured and scored; the record is written last."""
        return read_record(self.folder) is not None and all(read_score(self.folder, key) for key in self.keys)


def execute_encoder(
    job: EncoderJob,
    config: EncoderStudyConfig,
    corpus: Corpus,
    tasks: Sequence[TaskKeys],
    *,
    cache: Path,
    device: str,
    workers: int,
    progress: Progress,
) -> None:
    """Measure and score one encoder; what is in its folder already is kept.

    Raises:
        SonoscaleError: it cannot be loaded, measured or scored.
    """
    entry = job.entry
    if entry.source is None:
        raise SonoscaleError(f"{entry.name}: no spec: {entry.note or 'give one, such as python:file.py:factory'}")
    encoder = load_encoder(entry.source, device=device)
    make_folder(job.folder)
    layers = _layers(encoder, config)
    options: dict[str, Any] = {"cache": cache, "workers": workers}
    measured = _measure(encoder, config, at_rate(corpus, encoder.sample_rate), layers, options, progress)
    for each in tasks:
        score_tasks(
            encoder, entry.name, each, job.folder, config.readouts, layers, device=device, progress=progress, **options
        )
    write_json(job.folder / "record.json", plain(measured | {
        "encoder": entry.source,
        "identity": encoder.identity,
        "sample_rate": encoder.sample_rate,
        "dim": encoder.dim,
        "layers_of_encoder": encoder.layers,
        "params": count_params(encoder),
        "device": device,
    }))  # fmt: skip


def _layers(encoder: Encoder, config: EncoderStudyConfig) -> list[int]:
    """Which layers before the last are asked for, none of an encoder that gives none.

    Raises:
        SonoscaleError: it gives fewer.
    """
    if config.layers is False or encoder.layers is None:
        return []
    before = list(range(encoder.layers - 1))
    if config.layers is True:
        return before
    beyond = [layer for layer in config.layers if layer >= encoder.layers]
    if beyond:
        raise SonoscaleError(f"{encoder.identity}: has {encoder.layers} layers: there is no layer {beyond[0]}")
    return [layer for layer in before if layer in config.layers]


def _measure(
    encoder: Encoder, config: EncoderStudyConfig, corpus: Corpus, layers: list[int], options: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """Ranks of the embeddings of all clips: of each readout, and of each layer."""
    from sonoscale.rank import rankme

    def show(done: int, total: int) -> None:
        progress("rank", done, total)

    by_layer = embed_once(encoder, ["mean"], corpus, layers=bool(layers), progress=show, **options)["mean"]
    mean = by_layer.rows[-1]  # [n, dim]
    more: dict[str, float | None] = {}
    for name in config.estimators:
        try:
            more[name] = rankme(mean, estimator=name, interval=False).value
        except SonoscaleError:  # such as too few clips for it
            more[name] = None
    others = [name for name in config.readouts if name != "mean"]
    made = embed_once(encoder, others, corpus, progress=show, **options) if others else {}
    return {
        "rank": readout_rank(mean),
        "ranks": {name: readout_rank(rows.rows[0]) for name, rows in made.items()},
        "layers": {str(layer): readout_rank(by_layer.rows[layer]) for layer in layers},
        "estimators": more,
        "seconds": by_layer.forward_seconds,
        "padded": by_layer.padded,
        "cut": by_layer.cut,
    }


def score_tasks(
    encoder: Encoder, name: str, each: TaskKeys, folder: Path, readouts: Sequence[str], layers: Sequence[int], *,
    cache: Path, device: str, workers: int, progress: Progress,
) -> None:  # fmt: skip
    """Score an encoder on a task by all pairs of protocol and readout, and on some layers by the mean."""
    wanted = {pair: key for pair, key in each.keys.items() if read_score(folder, key) is None}
    deep = [layer for layer in layers if not all(
        read_score(folder, config_hash([key, layer])) for (_, readout), key in each.keys.items() if readout == "mean"
    )]  # fmt: skip
    if not wanted and not deep:
        return
    task = replace(each.task, corpus=at_rate(each.task.corpus, encoder.sample_rate))
    protocols = list(dict.fromkeys(protocol for protocol, _ in each.keys))
    options: dict[str, Any] = {"cache": cache, "device": device, "workers": workers, "progress": progress}
    scores = []
    rest = list(readouts)
    if deep and "mean" in rest and encoder.layers is not None:
        rest.remove("mean")
        last = encoder.layers - 1
        found = score_encoder(encoder, name, task, protocols, layers=[*deep, last], **options)
        scores += [replace(one, layer=None) if one.layer == last else one for one in found]
    if rest:
        scores += score_encoder(encoder, name, task, protocols, readouts=rest, **options)
    for score in scores:
        content = {k: v for k, v in score.result.as_dict().items() if k not in ("per_class", "confusion")}
        key = each.keys[score.result.protocol.partition("/")[0], score.result.readout]
        if score.layer is not None:
            key = config_hash([key, score.layer])
        write_json(folder / f"probe-{key}.json", plain({"layer": score.layer, "steps": {"0": content}}))


def read_record(folder: Path) -> dict[str, Any] | None:
    """What was measured of an encoder, None where it is not finished."""
    return _read(folder / "record.json")


def read_score(folder: Path, key: str) -> dict[str, Any] | None:
    """The result of one task by one protocol, readout and layer, as plain values."""
    content = _read(folder / f"probe-{key}.json")
    return None if content is None else content.get("steps", {}).get("0")


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def at_rate(corpus: Corpus, rate: int) -> Corpus:
    """The corpus with its audio at another rate.

    Raises:
        SonoscaleError: it is made at its own rate.
    """
    if corpus.sample_rate == rate:
        return corpus
    if isinstance(corpus, Subset):
        return replace(corpus, corpus=at_rate(corpus.corpus, rate))
    if isinstance(corpus, Joined):
        return replace(corpus, parts=tuple(at_rate(part, rate) for part in corpus.parts))
    own: Any = corpus
    if not is_dataclass(own) or "sample_rate" not in {each.name for each in fields(own) if each.init}:
        raise SonoscaleError(f"the audio is made at {corpus.sample_rate} Hz, and the encoder takes {rate} Hz")
    return replace(own, sample_rate=rate)  # pyright: ignore[reportArgumentType]


def count_params(encoder: Any) -> int | None:
    """Parameters of the torch modules that an encoder is made of, or what it says of itself (`params`).

    None where neither is known, as of ONNX files, or there are none.
    """
    import torch

    adapter = getattr(encoder, "_adapter", encoder)
    inside = [adapter, *vars(adapter).values()] if hasattr(adapter, "__dict__") else [adapter]
    of_user = [one.__self__ for one in inside if inspect.ismethod(one)]  # of `python:`, whose methods the adapter has
    inside += [part for one in of_user for part in (one, *vars(one).values())]
    modules = [one for one in inside if isinstance(one, torch.nn.Module)]
    if modules:
        sizes = {id(p): p.numel() for module in modules for p in module.parameters()}
        return sum(sizes.values()) or None
    for one in inside:
        said = getattr(one, "params", None)
        if isinstance(said, int | np.integer) and said > 0:
            return int(said)
    return None
