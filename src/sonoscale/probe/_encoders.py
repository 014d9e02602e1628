"""Encoders on tasks, under several protocols."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from sonoscale.corpora import Task
from sonoscale.encoders import Encoder
from sonoscale.errors import SonoscaleError
from sonoscale.probe._cache import embed_once
from sonoscale.probe._embeddings import probe_embeddings
from sonoscale.probe._events import probe_events
from sonoscale.probe._overlap import content_hashes, overlap, overlap_warning
from sonoscale.probe._registry import PROTOCOLS, find_protocol
from sonoscale.probe._result import ProbeResult
from sonoscale.probe._retrieval import Retrieval
from sonoscale.probe._targets import make_targets

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Score:
    """One encoder on one task under one protocol.

    Attributes:
        encoder: what it was asked for as.
        identity: which weights and code that was.
        task, dim: of the clips, and of their embeddings.
        layer: which, counted from 0; None for the output.
        result: the score.
        embed_seconds, probe_seconds: taken by the encoder over all clips, and by the protocol.
    """

    encoder: str
    identity: str
    task: str
    dim: int
    layer: int | None
    result: ProbeResult
    embed_seconds: float
    probe_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the result's fields among the others."""
        return {
            "encoder": self.encoder, "identity": self.identity, "task": self.task, "dim": self.dim,
            "layer": self.layer, "embed_seconds": self.embed_seconds, "probe_seconds": self.probe_seconds,
            **self.result.as_dict(),
        }  # fmt: skip


def score_encoder(
    encoder: Encoder,
    name: str,
    task: Task,
    protocols: Sequence[str],
    *,
    layers: bool = False,
    cache: Path | None = None,
    trained_on: np.ndarray | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    batch_seconds: float = 64.0,
    progress: Progress = lambda what, done, total: None,
) -> list[Score]:
    """Score an encoder on a task; its embeddings are made once for all protocols.

    Arguments:
        encoder: at the rate of the task's audio.
        name: what to call it.
        task: labelled clips.
        protocols: names of `PROTOCOLS`.
        layers: score every layer instead of the output.
        cache: folder of embeddings to find or keep.
        trained_on: `content_hashes` of what the encoder was trained on; None where that is not known.
        seed, device: see `probe_embeddings`.
        workers, batch_seconds: see `embed_corpus`.
        progress: told what is being done, how much of it is, and of how much.

    Raises:
        SonoscaleError: see `embed_corpus` and `probe_embeddings`; the message begins with the task.
    """
    check_protocols(task, protocols, layers=layers)
    try:
        leaked = _leaked(task, trained_on, cache, workers, progress)
        if task.kind == "events":
            return [_score_events(encoder, name, task, leaked, seed, progress)]
        targets = make_targets(task.labels, kind=task.kind, classes=task.classes)
        made = embed_once(
            encoder, task.corpus, cache, layers=layers, workers=workers, batch_seconds=batch_seconds,
            progress=lambda done, total: progress(f"{task.name}: embed", done, total),
        )  # fmt: skip
        remarks = [*task.notes, *leaked]
        if made.padded:
            remarks.append(f"{made.padded} clips are shorter than the encoder takes and were padded with zeros")
        if made.cut:
            remarks.append(f"{made.cut} clips are longer than the encoder takes: means over equal parts")
        scores = []
        for (layer, rows), protocol in itertools.product(enumerate(made.rows), protocols):
            started = time.perf_counter()
            what = f"{task.name}: {protocol}" + (f", layer {layer}" if layers else "")
            searching = isinstance(find_protocol(protocol), Retrieval)  # by metrics of its own
            result = probe_embeddings(
                rows, targets, task.folds, protocol=protocol, scheme=task.scheme, groups=task.groups, roles=task.roles,
                metric=None if searching and task.kind != "retrieval" else task.metric, seed=seed,
                device=device, progress=lambda done, total, what=what: progress(what, done, total),
            )  # fmt: skip
            result = replace(result, warnings=tuple(dict.fromkeys((*remarks, *result.warnings))))
            took = time.perf_counter() - started
            scores.append(
                Score(name, encoder.identity, task.name, rows.shape[1], layer if layers else None, result,
                      made.forward_seconds, took)
            )  # fmt: skip
    except SonoscaleError as error:
        raise SonoscaleError(f"task {task.name}: {error}") from error
    return scores


def check_protocols(task: Task, protocols: Sequence[str], *, layers: bool = False) -> None:
    """Whether a task can be scored by these protocols.

    Raises:
        SonoscaleError: one of them is not for its kind, or finds nothing to search; or every layer is asked for of a
            task of events.
    """
    if task.kind == "events":
        if list(protocols) != ["hear"] or layers:
            raise SonoscaleError(
                f"task {task.name}: has events in time, which protocol hear alone is for, on the output alone"
            )
        return
    for name in protocols:
        method = find_protocol(name)
        if task.kind not in method.kinds:
            raise SonoscaleError(
                f"task {task.name}: protocol {name} is for {', '.join(method.kinds)} tasks, and this one is "
                f"{task.kind}; for it there are {', '.join(p.name for p in PROTOCOLS.values() if task.kind in p.kinds)}"
            )
        if isinstance(method, Retrieval):
            targets = make_targets(task.labels, kind=task.kind, classes=task.classes)
            try:
                method.searches(targets, task.folds, task.scheme, task.groups, task.roles)
            except SonoscaleError as error:
                raise SonoscaleError(f"task {task.name}: {error}") from error


def _leaked(
    task: Task, trained_on: np.ndarray | None, cache: Path | None, workers: int, progress: Progress
) -> list[str]:
    """A warning, if clips of the task are among what was trained on."""
    if trained_on is None:
        return []
    hashes = content_hashes(
        task.corpus, cache, workers=workers,
        progress=lambda done, total: progress(f"{task.name}: compare with training audio", done, total),
    )  # fmt: skip
    both = overlap(hashes, trained_on)
    return [overlap_warning(task.name, task.corpus, both)] if len(both) else []


def _score_events(encoder: Encoder, name: str, task: Task, leaked: list[str], seed: int, progress: Progress) -> Score:
    """Raises:
    SonoscaleError: the encoder gives no frames.
    """
    frames, times, started = [], [], time.perf_counter()
    for i in range(len(task.corpus)):
        wave = task.corpus.wave(i)
        wave = np.pad(wave, (0, max(0, encoder.min_samples - len(wave))))
        steps, centres = encoder.embed_frames(torch.from_numpy(wave)[None])
        frames.append(steps[0].float().cpu().numpy())
        times.append(centres.double().cpu().numpy())
        progress(f"{task.name}: embed", i + 1, len(task.corpus))
    embed_seconds, started = time.perf_counter() - started, time.perf_counter()
    result = probe_events(
        frames, times, task.labels, task.folds, scheme=task.scheme, metric=task.metric or "event_onset_200ms_fms",
        seed=seed, progress=lambda done, total: progress(f"{task.name}: hear", done, total),
    )  # fmt: skip
    result = replace(result, warnings=tuple(dict.fromkeys((*task.notes, *leaked, *result.warnings))))
    dim, took = frames[0].shape[1], time.perf_counter() - started
    return Score(name, encoder.identity, task.name, dim, None, result, embed_seconds, took)


@dataclass(frozen=True)
class Agreement:
    """Whether two protocols order encoders alike.

    Attributes:
        one, other: protocols with versions.
        per_task: Spearman's correlation over encoders, by task; tasks on which a protocol scores all the same are
            left out.
        mean: over tasks.
        encoders: how many.
    """

    one: str
    other: str
    per_task: dict[str, float]
    mean: float
    encoders: int


def protocol_agreement(scores: Sequence[Score]) -> list[Agreement]:
    """Spearman's correlation of each two protocols over the encoders, task by task; empty for fewer than 3 encoders."""
    outputs = [score for score in scores if score.layer is None]
    table = {(s.result.protocol, s.task, s.encoder): s.result.score for s in outputs}
    encoders, tasks, protocols = (list(dict.fromkeys(x)) for x in (
        (s.encoder for s in outputs), (s.task for s in outputs), (s.result.protocol for s in outputs)
    ))  # fmt: skip
    if len(encoders) < 3:
        return []
    found = []
    for one, other in itertools.combinations(protocols, 2):
        per_task = {}
        for task in tasks:
            pairs = [
                (table[one, task, e], table[other, task, e])
                for e in encoders
                if (one, task, e) in table and (other, task, e) in table
            ]
            first, second = (np.array(each) for each in zip(*pairs, strict=True)) if pairs else (np.array([]),) * 2
            if len(first) > 2 and np.ptp(first) > 0 and np.ptp(second) > 0:
                per_task[task] = float(np.asarray(stats.spearmanr(first, second))[0])
        if per_task:
            found.append(Agreement(one, other, per_task, float(np.mean(list(per_task.values()))), len(encoders)))
    return found
