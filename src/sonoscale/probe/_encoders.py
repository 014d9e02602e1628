"""Encoders on tasks, under several protocols."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sonoscale.corpora import Task
from sonoscale.encoders import Encoder, check_readout
from sonoscale.errors import SonoscaleError
from sonoscale.probe._cache import embed_once
from sonoscale.probe._embeddings import probe_embeddings
from sonoscale.probe._events import probe_events
from sonoscale.probe._overlap import content_hashes, overlap, overlap_warning
from sonoscale.probe._protocols import PROTOCOLS, find_protocol
from sonoscale.probe._results import Score
from sonoscale.probe._retrieval import Retrieval
from sonoscale.probe._targets import make_targets

Progress = Callable[[str, int, int], None]


def score_encoder(
    encoder: Encoder,
    name: str,
    task: Task,
    protocols: Sequence[str],
    *,
    readouts: Sequence[str] = ("mean",),
    layers: bool | Sequence[int] = False,
    cache: Path | None = None,
    trained_on: np.ndarray | None = None,
    hashed: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    batch_seconds: float = 64.0,
    progress: Progress = lambda what, done, total: None,
) -> list[Score]:
    """Score an encoder on a task; its embeddings are made once, for all readouts, layers and protocols.

    Arguments:
        encoder: at the rate of the task's audio.
        name: what to call it.
        task: labelled clips.
        protocols: names of `PROTOCOLS`.
        readouts: names of `READOUTS`.
        layers: score every layer instead of the output, or these.
        cache: folder of embeddings to find or keep.
        trained_on: `content_hashes` of what the encoder was trained on; None where that is not known.
        hashed: folder of `content_hashes` of tasks; None to keep none.
        seed, device: see `probe_embeddings`.
        workers, batch_seconds: see `embed_corpus`.
        progress: called with what is being done, how much of it is, and of how much.

    Raises:
        SonoscaleError: see `embed_corpus` and `probe_embeddings`; the message begins with the task.
    """
    check_protocols(task, protocols, layers=bool(layers), readouts=readouts)
    try:
        leaked = _leaked(task, trained_on, hashed or cache, workers, progress)
        if task.kind == "events":
            return [_score_events(encoder, name, task, leaked, seed, progress)]
        targets = make_targets(task.labels, kind=task.kind, classes=task.classes)
        scores = []
        embedded = embed_once(
            encoder, readouts, task.corpus, cache, layers=bool(layers), workers=workers, batch_seconds=batch_seconds,
            progress=lambda done, total: progress(f"{task.name}: embed", done, total),
        )  # fmt: skip
        for readout, made in embedded.items():
            also = "" if readout == "mean" else f" on {readout}"
            remarks = [*task.notes, *leaked]
            if made.padded:
                remarks.append(f"{made.padded} clips are shorter than the encoder takes and were padded with zeros")
            if made.cut:
                remarks.append(f"{made.cut} clips are longer than the encoder takes: means over equal parts")
            wanted = range(len(made.rows)) if isinstance(layers, bool) else layers
            for layer, protocol in itertools.product(wanted, protocols):
                rows = made.rows[layer]
                started = time.perf_counter()
                what = f"{task.name}: {protocol}{also}" + (f", layer {layer}" if layers else "")
                searching = isinstance(find_protocol(protocol), Retrieval)  # by metrics of its own
                result = probe_embeddings(
                    rows, targets, task.folds, protocol=protocol, scheme=task.scheme, groups=task.groups,
                    roles=task.roles, metric=None if searching and task.kind != "retrieval" else task.metric, seed=seed,
                    device=device, progress=lambda done, total, what=what: progress(what, done, total),
                )  # fmt: skip
                warnings = tuple(dict.fromkeys((*remarks, *result.warnings)))
                result, took = replace(result, warnings=warnings, readout=readout), time.perf_counter() - started
                scores.append(
                    Score(name, encoder.identity, task.name, rows.shape[1], layer if layers else None, result,
                          made.forward_seconds, took)
                )  # fmt: skip
    except SonoscaleError as error:
        raise SonoscaleError(f"task {task.name}: {error}") from error
    return scores


def check_protocols(
    task: Task, protocols: Sequence[str], *, layers: bool = False, readouts: Sequence[str] = ("mean",)
) -> None:
    """Whether a task can be scored by these protocols, on these readouts.

    Raises:
        SonoscaleError: one of them is not for its kind, or finds nothing to search; or every layer, or a readout, is
            asked for of a task of events.
    """
    for name in readouts:
        check_readout(name)
    if list(readouts) != ["mean"] and task.kind == "events":
        raise SonoscaleError(f"task {task.name}: has events in time, which are read frame by frame: no readouts")
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
        seed=seed, progress=lambda done, total: progress(f"{task.name}: fit", done, total),
    )  # fmt: skip
    warnings = tuple(dict.fromkeys((*task.notes, *leaked, *result.warnings)))
    result = replace(result, warnings=warnings, readout="frames")
    dim, took = frames[0].shape[1], time.perf_counter() - started
    return Score(name, encoder.identity, task.name, dim, None, result, embed_seconds, took)
