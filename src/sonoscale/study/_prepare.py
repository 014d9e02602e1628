"""Everything that runs share, made once: corpora, tasks and their log-mels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from sonoscale.config import config_hash
from sonoscale.corpora import Corpus, FeatureStore, FolderData, ProceduralData, Task, feature_pool
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import (
    Inputs,
    Sources,
    WaveStore,
    all_clips,
    check_clips,
    check_initial,
    check_lengths,
    find_trunk,
    finished_runs,
)
from sonoscale.probe import find_metric, find_protocol
from sonoscale.probe._encoders import check_protocols
from sonoscale.study._config import StudyConfig
from sonoscale.study._design import PlannedRun
from sonoscale.study._quality import protocols_for

__all__ = ["RunJob", "TaskJob", "continued", "layer_key", "layers_of", "prepare"]

Report = Callable[[str, int, int], None]  # (what, done, total)


@dataclass(frozen=True)
class TaskJob:
    """One task as a worker needs it."""

    name: str
    keys: dict[tuple[str, str], str]  # protocol, readout -> digest of them, the clips, labels and folds
    store: Path
    labels: tuple[Any, ...]
    folds: tuple[str, ...]
    how: dict[str, Any]  # scheme, kind, metric, groups and roles, as `probe_store` takes them


def layer_key(key: str, layer: int) -> str:
    """Digest of a score on a layer before the last, given that on the output."""
    return config_hash([key, layer])


@dataclass(frozen=True)
class RunJob:
    """One run as a worker needs it; `folder` is named by the hash of all that decides its outcome."""

    plan: PlannedRun
    config_id: str  # digest of the identity without the seed: runs that share it differ in their seed only
    folder: Path
    identity: dict[str, Any]
    train_store: Path | WaveStore
    heldout_store: Path
    tasks: tuple[TaskJob, ...]
    study: str = ""  # its name
    initial: str | None = None  # where the weights lie that it begins with; None where they are drawn
    layers: tuple[int, ...] = ()  # before the last, that are scored too
    estimators: tuple[str, ...] = ()  # of the rank, besides the usual two
    continues: Path | None = None  # folder of a finished run of smaller budgets, whose trunk this one continues

    @property
    def keys(self) -> list[str]:
        """Digests of all its scores, those of layers behind."""
        keys = [key for task in self.tasks for key in task.keys.values()]
        return keys + [layer_key(key, layer) for layer in self.layers for key in keys]


def prepare(
    study: StudyConfig, runs: list[PlannedRun], out: Path, cache: Path, workers: int, report: Report
) -> list[RunJob]:
    """Check all inputs, compute what log-mels are missing, and bind each run to its files.

    Raises:
        SonoscaleError: any input that a run or a probe would stumble on later.
    """
    base = study.data.base() if isinstance(study.data, FolderData) else None  # of real tasks
    tasks = [task.load(base) for task in study.tasks]
    _check_tasks(tasks, study.protocols)
    sources = Sources()
    for run in runs:  # all checks before the first long computation
        check_initial(run.config)
        check_clips(run.config, len(sources.training(run.config.data)))
    if not isinstance(study.data, ProceduralData):
        for data in dict.fromkeys(all_clips(run.config.data) for run in runs):  # mixtures reach different clips
            _check_overlap(sources.training(data), sources.heldout(data), tasks)
    with feature_pool(workers) as pool:
        inputs = Inputs(sources, cache, pool, report, threads=1)  # a core has a run of its own
        return _bind(study, runs, tasks, inputs, out)


def continued(jobs: Sequence[RunJob]) -> list[RunJob]:
    """The jobs, each with the finished run of smaller budgets in the same folder that it can continue, if there is."""
    places = {job.folder.parent for job in jobs}
    finished = {place: list(finished_runs(place)) for place in places}
    return [
        replace(job, continues=find_trunk(job.plan.config, job.identity, finished[job.folder.parent])) for job in jobs
    ]


def _bind(study: StudyConfig, runs: list[PlannedRun], tasks: list[Task], inputs: Inputs, out: Path) -> list[RunJob]:
    jobs: dict[Path, RunJob] = {}
    for run in runs:
        front_end, data = run.config.encoder.front_end, run.config.data
        alike = [r.config.data for r in runs if all_clips(r.config.data) == all_clips(data)]
        largest = max(alike, key=lambda one: len(inputs.sources.training(one)))
        prepared = inputs.of_run(run.config, shared=largest)
        stores = [inputs.features(f"task {t.name}", t.corpus, front_end, "float32") for t in tasks]
        for task, store in zip(tasks, stores, strict=True):
            check_lengths(f"task {task.name}", store, task.corpus, run.config)
        identity, train = prepared.identity, prepared.train
        any_seed = {**identity, "run": {k: v for k, v in identity["run"].items() if k != "seed"}}
        job = RunJob(
            plan=replace(run, config=prepared.config),
            config_id=config_hash(any_seed),
            folder=out / "runs" / prepared.name,
            identity=identity,
            train_store=train if isinstance(train, WaveStore) else train.folder,
            heldout_store=prepared.heldout.folder,
            tasks=tuple(_task_job(t, s, study) for t, s in zip(tasks, stores, strict=True)),
            study=study.name,
            initial=prepared.initial,
            layers=layers_of(study.layers, run.config.encoder.depth),
            estimators=study.estimators,
        )
        jobs.setdefault(job.folder, job)  # the same run may be written in two ways
    return list(jobs.values())


def layers_of(asked: bool | tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Layers before the last of an encoder, as far as they are asked for and it has them."""
    if isinstance(asked, bool):
        return tuple(range(depth)) if asked else ()
    return tuple(layer for layer in range(depth) if layer in asked)


def _check_overlap(training: Corpus, heldout: Corpus, tasks: list[Task]) -> None:
    """No file of a task may be among those to pre-train on or to measure the rank on, by its path or whole.

    What lies in archives and packs has other names than files have: `sonoscale probe` looks by content.
    """
    pool = {file for corpus in (training, heldout) for file in _files(corpus)}
    for task in tasks:
        both = pool.intersection(_files(task.corpus))
        if both:
            raise SonoscaleError(
                f"task {task.name}: {len(both)} of its clips are pre-training data too, for example {min(both)}; "
                "set data.audio to a folder without the tasks"
            )


def _files(corpus: Corpus) -> Iterator[str]:
    """The absolute path, or what there is for one, that each clip was cut from."""
    for i in range(len(corpus)):
        yield os.path.abspath(re.sub(r"@[0-9.]+-[0-9.]*s$", "", corpus.name(i)))  # noqa: PTH100 (no links followed)


def _task_job(task: Task, store: FeatureStore, study: StudyConfig) -> TaskJob:
    how: dict[str, Any] = {"scheme": task.scheme, "kind": task.kind, "metric": task.metric, "groups": task.groups}
    content = [store.corpus, task.labels, task.classes, task.folds, how]
    if task.roles is not None:
        how = how | {"roles": task.roles}
        content.append(task.roles)
    keys = {
        (name, readout): config_hash(
            [find_protocol(name).version, *content, *([] if readout == "mean" else [{"readout": readout}])]
        )
        for readout in study.readouts
        for name in protocols_for(task, study.protocols)
    }
    return TaskJob(task.name, keys, store.folder, task.labels, task.folds, how)


def _check_tasks(tasks: list[Task], protocols: Sequence[str]) -> None:
    """Raises:
    SonoscaleError: a task cannot be scored by any of the protocols, or has no score of which more is better.
    """
    for task in tasks:
        if task.kind == "events":
            raise SonoscaleError(
                f"task {task.name}: has events in time, which studies do not probe; leave it out, and probe the runs "
                "with protocol hear"
            )
        check_protocols(task, protocols_for(task, protocols))
        if task.kind == "retrieval":
            continue  # all its metrics are scores
        metric = find_metric(task.metric, cast(Any, task.kind))
        if not metric.higher:
            raise SonoscaleError(
                f"task {task.name}: {metric.name} is better the lower it is, and a study's quality is a mean of "
                "scores of which more is better; set its metric to another"
            )
