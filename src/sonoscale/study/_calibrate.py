"""How fast a machine is: short real trainings and probes in its worker processes, on made-up log-mels."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.memory import peak_memory
from sonoscale.pretrain import RunConfig
from sonoscale.study._work import Scan, Work, embedding, loss_examples, reading, step, training_memory, work_of

__all__ = ["Fit", "Rates", "Shape", "chosen_shapes", "measure_rates", "short"]

Array = NDArray[np.float64]

_SECONDS = 1.5  # of training to aim at for each shape
_SPEED = 4e9  # operations per second that a core makes of small models, to the order
_CLIPS = 96  # held out, at most
_MOST_FITTED = 2000  # clips of a task
_SHAPES = 4  # at most, where there are not more kinds
_PRIOR = 0.05  # weight of the prior shares below against measured times
_SHARES = {"step": (0.3, 0.4, 0.25, 0.05), "embedding": (0.3, 0.4, 0.3), "reading": (0.4, 0.4, 0.2)}
"""What the terms of each time are expected to contribute, as far as the measurements do not say."""


@dataclass(frozen=True)
class Shape:
    """What was measured of one shape of run.

    Attributes:
        kind: see `Work.kind`.
        work, embedded, read: what its times are linear in; see `step`, `embedding` and `reading`.
        step, embed, reading, fixed: seconds of a core for a step, for embedding the held-out clips, for a reading
            besides, and for the rest of a run.
        size: see `training_memory`.
        memory: the most that the process had after it, bytes.
    """

    kind: str
    work: tuple[float, ...]
    embedded: tuple[float, ...]
    read: tuple[float, ...]
    step: float
    embed: float
    reading: float
    fixed: float
    size: float
    memory: float


@dataclass(frozen=True)
class Fit:
    """Seconds of a core that one probe takes: of a task, by a protocol, at a dimension."""

    task: str
    protocol: str
    clips: int
    dim: int
    seconds: float


@dataclass(frozen=True)
class Rates:
    """How fast a machine is.

    Attributes:
        shapes: what was measured of runs.
        fits: of probes.
        start: seconds of a core until a worker process can work.
        slowdown: seconds that pass for each second that a process has a core.
        log_mels: seconds of a core for the log-mels of a second of audio; None where it was not measured.
        workers, device, machine: where it was measured.
        created: when.
    """

    shapes: tuple[Shape, ...]
    fits: tuple[Fit, ...]
    start: float
    slowdown: float
    log_mels: float | None
    workers: int
    device: str
    machine: str
    created: str

    def step(self, work: Work) -> float:
        """Seconds of a training step."""
        return self._predict("step", step(work), work.kind, [(s.kind, s.work, s.step) for s in self.shapes])

    def embed(self, work: Work, audio: Sequence[Scan]) -> float:
        """Seconds to embed clips."""
        x = embedding(work.config.encoder, audio, [one.frames(work.config) for one in audio])
        return self._predict("embedding", x, work.kind, [(s.kind, s.embedded, s.embed) for s in self.shapes])

    def reading(self, work: Work, heldout: Scan) -> float:
        """Seconds of a reading of the rank besides the embedding."""
        x = reading(work.config.encoder.width, heldout.clips)
        return self._predict("reading", x, work.kind, [(s.kind, s.read, s.reading) for s in self.shapes])

    def training(self, work: Work, heldout: Scan) -> float:
        """Seconds of a whole training, readings of the rank and held-out losses included."""
        step_seconds, budgets = self.step(work), len(work.budgets)
        losses = budgets * loss_examples(heldout.clips) / work.config.train.batch_size * step_seconds / 3
        readings = work.readings * (self.embed(work, [heldout]) + self.reading(work, heldout))
        fixed = statistics.median(shape.fixed for shape in self.shapes)
        return work.steps * step_seconds + losses + readings + fixed

    def fit(self, task: str, protocol: str, clips: int, dim: int) -> float:
        """Seconds of a probe."""
        own = sorted(
            {(f.dim, f.seconds * clips / f.clips) for f in self.fits if (f.task, f.protocol) == (task, protocol)}
        )
        if not own:  # of another study
            alike = [f for f in self.fits if f.protocol == protocol] or list(self.fits)
            return statistics.median(f.seconds / f.clips * dim / f.dim for f in alike) * clips if alike else 0.0
        dims, seconds = zip(*own, strict=True)
        slope = (seconds[-1] - seconds[0]) / (dims[-1] - dims[0]) if len(own) > 1 else 0.0
        return max(seconds[0] + slope * (dim - dims[0]), 0.2 * min(seconds))

    def memory(self, work: Work) -> float:
        """Bytes that a process has at most in a run, log-mels not counted."""
        points = sorted((shape.size, shape.memory) for shape in self.shapes)
        (small, least), (large, most) = points[0], points[-1]
        slope = max(0.0, (most - least) / (large - small)) if large > small else 1.0
        return max(least + slope * (training_memory(work) - small), 0.9 * least)

    def _predict(self, what: str, x: Array, kind: str, rows: list[tuple[str, tuple[float, ...], float]]) -> float:
        """From times that were measured to that of x: linear with terms above 0, and exact where it was measured."""
        alike = [row for row in rows if row[0] == kind] or rows
        X, y = np.array([row[1] for row in alike]), np.maximum([row[2] for row in alike], 1e-9)
        c = _nonnegative(X, y, _SHARES[what])
        off = np.log(y / (X @ c))
        far = (np.log(np.maximum(X, 1e-9)) - np.log(np.maximum(x, 1e-9))) ** 2
        near = 1.0 / (far.sum(axis=1) + 1e-9)
        return float((x @ c) * np.exp((near * off).sum() / near.sum()))


def _nonnegative(X: Array, y: Array, shares: Sequence[float]) -> Array:
    """Coefficients [p] of X [n, p], relative errors squared least, with a weak prior for what they contribute."""
    from scipy.optimize import nnls

    typical = X.mean(axis=0) / y.mean()
    prior = np.sqrt(_PRIOR) * np.diag(typical)
    return nnls(
        np.vstack([X / y[:, None], prior]), np.concatenate([np.ones(len(y)), np.sqrt(_PRIOR) * np.array(shares)])
    )[0]


def chosen_shapes(works: Sequence[Work]) -> list[Work]:
    """The shapes to measure: of each kind the smallest, the largest, and what is furthest from those; small first."""
    by_kind: dict[str, list[Work]] = {}
    for work in works:
        by_kind.setdefault(work.kind, []).append(work)
    found: list[Work] = []
    for alike in by_kind.values():
        x = np.log(np.array([step(work) for work in alike]))
        size = x[:, 2]
        picked = list(dict.fromkeys([int(size.argmin()), int(size.argmax())]))
        while len(picked) < max(2, _SHAPES // len(by_kind)):
            distance = np.min([((x - x[i]) ** 2).sum(axis=1) for i in picked], axis=0)
            if distance.max() < 0.05:
                break
            picked.append(int(distance.argmax()))
        found += [alike[i] for i in picked]
    return sorted(found, key=training_memory)


def measure_shapes(configs: Sequence[RunConfig], heldout: Scan, device: str) -> dict[str, Any]:
    """In a worker process: train a few steps of each, the first twice, as the first time a process imports."""
    entered, began = time.process_time(), time.perf_counter()
    base = time.process_time()
    cold = _one_shape(configs[0], heldout, device)[1]
    found = [_one_shape(config, heldout, device) for config in configs]
    cpu, wall = time.process_time() - base, time.perf_counter() - began
    return {
        "start": entered + max(0.0, cold - found[0][1]),
        "slowdown": max(1.0, wall / cpu) if device == "cpu" else 1.0,
        "shapes": [shape for shape, _ in found],
    }


def _clock(device: str) -> float:
    """Of a core's time, which does not depend on who else has it; of a GPU, time as it passes."""
    return time.process_time() if device == "cpu" else time.perf_counter()


def _one_shape(config: RunConfig, heldout: Scan, device: str) -> tuple[Shape, float]:
    from sonoscale.encoders import embed_store
    from sonoscale.pretrain import build_objective, train_run
    from sonoscale.pretrain._monitor import rank_monitor
    from sonoscale.pretrain._runtime import OneProcess, start_runtime

    began = _clock(device)
    fabric = OneProcess() if device == "cpu" else start_runtime(device, 1, "auto", config.train.precision)
    clips = Scan(min(heldout.clips, _CLIPS), heldout.seconds)
    held = _store(clips.clips, clips.frames(config), config, np.float32)
    train = _store(max(config.train.batch_size, 8), config.frames, config, np.float16)
    work = work_of(config, clips)
    ticks: list[tuple[int, float]] = []  # steps done, and when; on a GPU it is told of some steps only
    with tempfile.TemporaryDirectory() as folder:
        train_run(
            config, train, held, Path(folder) / "run", identity={}, fabric=fabric,
            progress=lambda done, total, loss: ticks.append((done, _clock(device))),
        )  # fmt: skip
    trained = _clock(device) - began
    each = [(at - t) / (done - d) for (d, t), (done, at) in itertools.pairwise(ticks) if done > d]
    step_seconds = statistics.median(each[1:] or each or [trained / work.steps])
    objective = build_objective(config, mean=0.0, std=1.0)[0].eval().to(fabric.device)
    monitor, embed, read = rank_monitor(held), [], []
    for _ in range(2):
        start = _clock(device)
        embed_store(objective.encoder, held)
        between = _clock(device)
        monitor.read(objective, 0)
        embed.append(between - start)
        read.append(_clock(device) - between)
    losses = len(work.budgets) * loss_examples(clips.clips) / config.train.batch_size * step_seconds / 3
    fixed = trained - work.steps * step_seconds - work.readings * min(read) - losses
    shape = Shape(
        kind=work.kind, work=_plain(step(work)), read=_plain(reading(config.encoder.width, clips.clips)),
        embedded=_plain(embedding(config.encoder, [clips], [clips.frames(config)])), step=step_seconds,
        embed=min(embed), reading=max(min(read) - min(embed), 1e-4), fixed=max(fixed, 0.0), size=training_memory(work),
        memory=float(peak_memory()),
    )  # fmt: skip
    return shape, trained


def short(config: RunConfig) -> RunConfig:
    """A run of the same shape that ends after some seconds."""
    cost = work_of(config, Scan(1, 1.0)).cost.flops * config.train.batch_size
    steps = int(min(max(_SECONDS * _SPEED / cost, 4), 24))
    train = config.train.model_copy(
        update={"budgets": (steps,), "flops": None, "warmup_steps": 0, "rank_points": 2, "log_mels": "cached"}
    )
    return config.model_copy(update={"train": train})


def measure_fit(
    task: str, protocol: str, dim: int, labels: Sequence[Any], folds: Sequence[str], how: dict[str, Any]
) -> Fit:
    """In a worker process: probe made-up embeddings that know a little of the labels."""
    from sonoscale.probe import find_protocol, probe_embeddings
    from sonoscale.probe._retrieval import Retrieval

    rng = np.random.default_rng(0)
    kept = np.sort(rng.permutation(len(labels))[:_MOST_FITTED])
    chosen, parts = [labels[i] for i in kept], [str(folds[i]) for i in kept]
    numbers = {label: i for i, label in enumerate(dict.fromkeys(map(str, chosen)))}
    centres = rng.standard_normal((len(numbers), dim))
    spread = np.arange(1, dim + 1) ** -0.5
    x = (0.7 * centres[[numbers[str(label)] for label in chosen]] + rng.standard_normal((len(kept), dim))) * spread
    given = {name: value for name, value in how.items() if name not in ("groups", "roles")}
    for name in ("groups", "roles"):
        if how.get(name) is not None and (name == "groups" or isinstance(find_protocol(protocol), Retrieval)):
            given[name] = [how[name][i] for i in kept]
    if isinstance(find_protocol(protocol), Retrieval) and given.get("kind") != "retrieval":
        given["metric"] = None
    seconds = []
    for _ in range(2):
        began = time.process_time()
        probe_embeddings(x.astype(np.float32), chosen, parts, protocol=protocol, device="cpu", **given)
        seconds.append(time.process_time() - began)
        if seconds[0] > 2.0:
            break
    return Fit(task, protocol, len(kept), dim, min(seconds))


def measure_rates(
    works: Sequence[Work], heldout: Scan, probes: Sequence[tuple[str, str, int, Any, Any, dict[str, Any]]], *,
    workers: int, device: str, log_mels: Callable[[], float] | None, say: Callable[[str, int, int], None],
) -> Rates:  # fmt: skip
    """Measure on this machine, with as many processes at a time as the study would have.

    Arguments:
        works: the runs of the study.
        heldout: the clips on which the rank is read.
        probes: arguments of `measure_fit`.
        workers: processes.
        device: cpu or cuda, of the trainings.
        log_mels: gives seconds of a core for the log-mels of a second of audio; None if they need not be measured.
        say: called with what is measured, how much is done, and of how much.
    """
    from datetime import UTC, datetime

    from sonoscale.processes import worker_pool
    from sonoscale.provenance import provenance

    shapes = [short(work.config) for work in chosen_shapes(works)]
    total = 1 + len(probes)
    say("speed of this machine", 0, total)
    with worker_pool(workers, doing="measuring") as pool:
        futures = [pool.submit(measure_shapes, shapes, heldout, device) for _ in range(workers)]
        measured = [pool.result(future) for future in futures]
        say("speed of this machine", 1, total)
        fits = []
        for i, future in enumerate([pool.submit(measure_fit, *probe) for probe in probes], start=2):
            fits.append(pool.result(future))
            say("speed of this machine", i, total)
    facts = provenance("torch")
    return Rates(
        shapes=tuple(_mean(alike) for alike in zip(*(one["shapes"] for one in measured), strict=True)),
        fits=tuple(fits),
        start=statistics.mean(one["start"] for one in measured),
        slowdown=statistics.mean(one["slowdown"] for one in measured),
        log_mels=log_mels() if log_mels else None,
        workers=workers,
        device=device,
        machine=f"{facts['cpu']}, {facts['cores']} cores",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _mean(alike: Sequence[Shape]) -> Shape:
    from dataclasses import replace

    names = ("step", "embed", "reading", "fixed", "memory")
    return replace(alike[0], **{name: statistics.mean(getattr(one, name) for one in alike) for name in names})


def _store(clips: int, frames: int, config: RunConfig, dtype: Any) -> Any:
    from sonoscale.corpora import FeatureStore

    rng = np.random.default_rng(0)
    values = rng.standard_normal((clips * frames, config.encoder.n_mels)).astype(dtype)
    return FeatureStore(Path(), values, np.arange(clips + 1) * frames, 0.01, 0.025, "made up")


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
