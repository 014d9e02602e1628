"""What one process does for one run: claim it, pre-train, then probe every checkpoint on every task."""

from __future__ import annotations

import functools
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sonoscale.claims import Claim, ClaimLostError, claim
from sonoscale.files import write_json
from sonoscale.study._failures import forget_failures, is_disk_full, note_failure, reason_of
from sonoscale.study._prepare import RunJob, TaskJob, layer_key

__all__ = ["Attempt", "Outcome", "attempt", "execute", "is_finished", "read_probe"]

Progress = Callable[[str, int, int, float], None]  # (stage, done, total, loss)


@dataclass(frozen=True)
class Attempt:
    """A run as it is given to a process.

    Attributes:
        job: the run.
        study: folder of the study.
        retries: see `note_failure`.
        device: cpu or cuda.
        stop_files: once one of them is there, the run is left, with what it has, for another time.
    """

    job: RunJob
    study: Path
    retries: int
    device: str = "cpu"
    stop_files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        state: done; busy (another process has the run); stopped (it was asked to, or preempted); again (it failed, and
            may be tried once more); failed; full (the disk is).
        reason, error: of what failed.
        recorded: whether the process could keep that itself.
    """

    state: Literal["done", "busy", "stopped", "again", "failed", "full"]
    reason: str = ""
    error: str = ""
    recorded: bool = True


def _silent(stage: str, done: int, total: int, loss: float) -> None:
    pass


def attempt(task: Attempt, progress: Progress = _silent) -> Outcome:
    """Bring one run to its end, if nobody else has it; whatever goes wrong with it is kept, and raised by nobody.

    What an executor carries out, in whatever process, on whatever machine that sees the study's folder and the cache.

    Arguments:
        task: what was given to `Executor.start`; it can be pickled.
        progress: called with the stage, how much of it is done, of how much, and the loss.

    Returns:
        How it ended, for `Executor.poll`.

    Raises:
        SystemExit: the process is asked to end. What was trained is kept.

    Example:
        In a thread or process of an executor, with what `Executor.start` was given:

        >>> outcome = attempt(task)  # doctest: +SKIP
        >>> outcome.state  # doctest: +SKIP
        'done'
    """
    job = task.job
    about = {"label": job.plan.label, "seed": job.plan.config.seed}
    try:
        mine = claim(job.folder.parent, job.folder.name, stop_files=task.stop_files)
    except Exception as error:
        return Outcome("full" if is_disk_full(error) else "failed", reason_of(error), str(error))
    if mine is None:
        return Outcome("busy")

    def failed(reason: str, error: BaseException | str) -> Outcome:
        again = note_failure(task.study, job.folder.name, **about, reason=reason, error=error, retries=task.retries)
        return Outcome("again" if again else "failed", reason, str(error))

    try:
        if is_finished(job):
            return Outcome("done")
        if (before := mine.took_over) is not None:
            lost = failed("lost", f"process {before.pid} on {before.host} is gone")
            if lost.state == "failed":
                return lost
        execute(job, progress, mine=mine, device=task.device)
        forget_failures(task.study, [job.folder.name])
        return Outcome("done")
    except ClaimLostError:
        return Outcome("busy")
    except Exception as error:
        if is_disk_full(error):
            return Outcome("full", "disk full", str(error))
        try:
            return failed(reason_of(error), error)
        except OSError as other:
            return Outcome("full" if is_disk_full(other) else "failed", reason_of(error), str(error))
    finally:
        mine.release()


def execute(job: RunJob, progress: Progress, *, mine: Claim | None = None, device: str = "cpu") -> None:
    """Bring one run to its end; whatever is already there is kept.

    Arguments:
        job: the run.
        progress: see `Progress`.
        mine: the claim on it.
        device: cpu or cuda.

    Raises:
        SystemExit: it is asked to stop.
    """
    from sonoscale.pretrain import check_run, read_record

    began = time.monotonic()
    at: dict[str, float] = {}

    def report(stage: str, done: int, total: int, loss: float) -> None:
        at.setdefault(stage, done)
        if mine is not None:
            rate = (done - at[stage]) / max(1e-9, time.monotonic() - began)
            told = loss if math.isfinite(loss) else None
            mine.note(stage=stage, done=done, total=total, loss=told, rate=rate)
            if mine.stopping and stage == "probe":
                raise SystemExit(143)
        progress(stage, done, total, loss)

    damaged = job.folder.with_name(f".{job.folder.name}.damaged")
    if read_record(job.folder) is not None and _to_probe(job) and (check_run(job.folder) or _removed(job)):
        shutil.rmtree(damaged, ignore_errors=True)
        job.folder.replace(damaged)  # its checkpoints are no longer what was trained: train it again
    if read_record(job.folder) is None:
        _train(job, report, mine, device)
    if damaged.is_dir():
        for file in damaged.glob("probe-*.json"):
            if not (job.folder / file.name).exists():
                file.replace(job.folder / file.name)
        shutil.rmtree(damaged, ignore_errors=True)
    began = time.monotonic()
    _probe(job, report, mine, device)


def _train(job: RunJob, report: Progress, mine: Claim | None, device: str) -> None:
    from sonoscale.corpora import FeatureStore
    from sonoscale.pretrain import train_run
    from sonoscale.pretrain._runtime import OneProcess, start_runtime

    fabric = OneProcess() if device == "cpu" else start_runtime(device, 1, "auto", job.plan.config.train.precision)
    train_run(
        job.plan.config,
        FeatureStore.open(job.train_store) if isinstance(job.train_store, Path) else job.train_store,
        FeatureStore.open(job.heldout_store),
        job.folder,
        identity=job.identity,
        clips=job.identity["clips"],
        fabric=fabric,
        claim=mine,
        continues=job.continues,
        initial=job.initial,
        progress=lambda done, total, loss: report("train", done, total, loss),
    )


def _probe(job: RunJob, report: Progress, mine: Claim | None, device: str) -> None:
    from sonoscale.encoders import load_encoder
    from sonoscale.pretrain import checkpoint_file
    from sonoscale.study._quality import UNTRAINED, probe_task, probe_twin, write_ranks

    budgets = job.plan.config.budgets
    load = functools.cache(lambda step: load_encoder(checkpoint_file(job.folder, step, budgets[-1]), device=device))
    missing = [(task, pairs) for task in job.tasks if (pairs := _missing(job, task))]
    for i, (task, pairs) in enumerate(missing):
        results: dict[tuple[str, str], dict[str, Any]] = {pair: _kept(job, task.keys[pair]) for pair in pairs}
        for j, step in enumerate((0, *budgets)):
            wanted = [pair for pair in pairs if str(step) not in results[pair]]
            if wanted:
                found = (
                    probe_task(task, load(step), wanted) if step else probe_twin(job, task, load(budgets[-1]), wanted)
                )
                for pair, result in found.items():
                    results[pair][str(step) if step else UNTRAINED] = result
            report("probe", i * (len(budgets) + 1) + j + 1, len(missing) * (len(budgets) + 1), float("nan"))
        if mine is not None:
            mine.check()
        for pair in pairs:
            key = task.keys[pair]
            write_json(_file(job.folder, key), {"task": task.name, "key": key, "steps": results[pair]})
    _probe_layers(job, load, report, mine)
    if mine is not None:
        mine.check()
    write_ranks(job, load)


def _probe_layers(job: RunJob, load: Callable[[int], Any], report: Progress, mine: Claim | None) -> None:
    """Score the layers that are asked for, of every checkpoint, on every task."""
    from sonoscale.study._quality import score_layers

    budgets = job.plan.config.budgets
    missing = [(task, layers) for task in job.tasks if (layers := _layers_missing(job, task))]
    for i, (task, layers) in enumerate(missing):
        files = {(pair, layer): layer_key(key, layer) for pair, key in task.keys.items() for layer in layers}
        results = {place: _kept(job, key) for place, key in files.items()}
        for j, step in enumerate(budgets):
            wanted = [layer for layer in layers if any(str(step) not in results[pair, layer] for pair in task.keys)]
            for place, result in score_layers(task, load(step), wanted).items() if wanted else ():
                results[place][str(step)] = result
            report("probe", i * len(budgets) + j + 1, len(missing) * len(budgets), float("nan"))
        if mine is not None:
            mine.check()
        for (pair, layer), key in files.items():
            content = {"task": task.name, "key": key, "layer": layer, "steps": results[pair, layer]}
            write_json(_file(job.folder, key), content)


def is_finished(job: RunJob) -> bool:
    """Whether the run is trained, probed on all tasks by all protocols and readouts, and its readouts' rank known."""
    from sonoscale.pretrain import read_record

    return read_record(job.folder) is not None and not _to_probe(job)


def read_probe(folder: Path, key: str) -> dict[str, Any] | None:
    """Results of one task by one protocol and readout, by step (0: of the untrained twin), or None without any."""
    try:
        found = json.loads(_file(folder, key).read_text())["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _kept(job: RunJob, key: str) -> dict[str, Any]:
    """Scores that are there already, also those of checkpoints that come from a smaller run, by step."""
    steps = {str(step) for step in (0, *job.plan.config.budgets)}
    earlier = read_probe(job.continues, key) if job.continues is not None else None
    found = (earlier or {}) | (read_probe(job.folder, key) or {})
    return {step: score for step, score in found.items() if step in steps}


def _removed(job: RunJob) -> bool:
    """Whether a checkpoint was removed to make room (`sonoscale.study.clean`)."""
    from sonoscale.pretrain import checkpoint_file

    budgets = job.plan.config.budgets
    return not all(checkpoint_file(job.folder, step, budgets[-1]).is_file() for step in budgets)


def _to_probe(job: RunJob) -> bool:
    """Whether a score, or a rank, is not known yet, for which the checkpoints are needed."""
    from sonoscale.study._quality import ranks_missing

    return any(_missing(job, task) or _layers_missing(job, task) for task in job.tasks) or ranks_missing(job)


def _layers_missing(job: RunJob, task: TaskJob) -> list[int]:
    """Layers on which a checkpoint was not scored yet."""
    steps = set(map(str, job.plan.config.budgets))
    return [
        layer
        for layer in job.layers
        if not all(steps <= set(read_probe(job.folder, layer_key(key, layer)) or {}) for key in task.keys.values())
    ]


def _missing(job: RunJob, task: TaskJob) -> list[tuple[str, str]]:
    """Pairs of protocol and readout that a checkpoint, or the untrained twin, was not scored by yet."""
    steps = {str(step) for step in (0, *job.plan.config.budgets)}
    return [pair for pair, key in task.keys.items() if not steps <= set(read_probe(job.folder, key) or {})]


def _file(folder: Path, key: str) -> Path:
    return folder / f"probe-{key}.json"
