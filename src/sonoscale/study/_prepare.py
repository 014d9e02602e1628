"""Everything that runs share, made once: corpora, tasks and their log-mels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sonoscale.audio import LogMelConfig
from sonoscale.config import config_hash
from sonoscale.corpora import (
    Corpus,
    DataConfig,
    FeatureStore,
    FolderData,
    ProceduralData,
    Task,
    build_features,
    feature_pool,
)
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import WaveStore, all_clips, check_clips, check_lengths, run_identity
from sonoscale.probe import find_metric, find_protocol
from sonoscale.processes import WorkerPool
from sonoscale.study._config import StudyConfig
from sonoscale.study._design import PlannedRun

Report = Callable[[str, int, int], None]  # (what, done, total)


@dataclass(frozen=True)
class TaskJob:
    """One task as a worker needs it."""

    name: str
    key: str  # digest of clips, labels and folds
    store: Path
    labels: tuple[Any, ...]
    folds: tuple[str, ...]
    how: dict[str, Any]  # scheme, kind, metric and groups, as `probe` takes them


@dataclass(frozen=True)
class RunJob:
    """One run as a worker needs it; `folder` is named by the hash of all that decides its outcome."""

    plan: PlannedRun
    config_id: str  # digest of the identity without the seed: runs that share it are replicates
    folder: Path
    identity: dict[str, Any]
    train_store: Path | WaveStore
    heldout_store: Path
    tasks: tuple[TaskJob, ...]


def prepare(
    study: StudyConfig, runs: list[PlannedRun], out: Path, cache: Path, workers: int, report: Report
) -> list[RunJob]:
    """Check all inputs, compute what log-mels are missing, and bind each run to its files.

    Raises:
        SonoscaleError: any input that a run or a probe would stumble on later.
    """
    base = study.data.base() if isinstance(study.data, FolderData) else None  # of real tasks
    tasks = [task.load(base) for task in study.tasks]
    _check_tasks(tasks)
    sources = _Sources()
    for run in runs:  # all checks before the first long computation
        check_clips(run.config, sources.clips(run.config.data))
    if not isinstance(study.data, ProceduralData):
        for data in dict.fromkeys(all_clips(run.config.data) for run in runs):  # mixtures reach different clips
            _check_overlap(sources.training(data), sources.heldout(data), tasks)
    with feature_pool(workers) as pool:
        return _bind(runs, tasks, sources, _Features(cache, pool, report), out)


def _bind(runs: list[PlannedRun], tasks: list[Task], sources: _Sources, features: _Features, out: Path) -> list[RunJob]:
    jobs = []
    for run in runs:
        front_end, data = run.config.encoder.front_end, run.config.data
        largest = max((r.config.data for r in runs if all_clips(r.config.data) == all_clips(data)), key=sources.clips)
        training, heldout = sources.training(largest), sources.heldout(data)
        if run.config.train.log_mels == "on_device":
            train = features.waves(training, front_end)
        else:
            train = features.get("training audio", training, front_end, "float16")
        held = features.get("held-out audio", heldout, front_end, "float32")
        stores = [features.get(f"task {t.name}", t.corpus, front_end, "float32") for t in tasks]
        for what, store, corpus in [("held-out", held, heldout)] + [
            (f"task {t.name}", s, t.corpus) for t, s in zip(tasks, stores, strict=True)
        ]:
            check_lengths(what, store, corpus, run.config)
        identity = run_identity(
            run.config, training=sources.training(all_clips(data)), clips=sources.clips(data), heldout=held.corpus
        )
        folder = out / "runs" / config_hash(identity)
        if any(job.folder == folder for job in jobs):
            continue  # the same run, written in two ways
        replicate = {**identity, "run": {k: v for k, v in identity["run"].items() if k != "seed"}}
        jobs.append(
            RunJob(
                plan=run,
                config_id=config_hash(replicate),
                folder=folder,
                identity=identity,
                train_store=train if isinstance(train, WaveStore) else train.folder,
                heldout_store=held.folder,
                tasks=tuple(_task_job(t, s) for t, s in zip(tasks, stores, strict=True)),
            )
        )
    return jobs


class _Sources:
    """Training and held-out corpora by configuration, each built once."""

    def __init__(self) -> None:
        self._corpora: dict[tuple[str, DataConfig], Corpus] = {}

    def training(self, data: DataConfig) -> Corpus:
        return self._get("training", data)

    def heldout(self, data: DataConfig) -> Corpus:
        return self._get("heldout", all_clips(data))

    def clips(self, data: DataConfig) -> int:
        return len(self.training(data))

    def _get(self, which: str, data: DataConfig) -> Corpus:
        key = (which, data)
        if key not in self._corpora:
            self._corpora[key] = getattr(data, which)()
        return self._corpora[key]


class _Features:
    """Feature stores by content, each built once."""

    def __init__(self, cache: Path, pool: WorkerPool | None, report: Report) -> None:
        self.cache, self.pool, self.report = cache, pool, report
        self._stores: dict[tuple[int, LogMelConfig, str], tuple[Corpus, FeatureStore]] = {}
        self._waves: dict[tuple[int, LogMelConfig], WaveStore] = {}

    def get(self, what: str, corpus: Corpus, front_end: LogMelConfig, dtype: str) -> FeatureStore:
        key = (id(corpus), front_end, dtype)
        if key not in self._stores:
            store = build_features(
                corpus, front_end, self.cache, dtype=dtype, pool=self.pool,
                progress=lambda done, total: self.report(what, done, total),
            )  # fmt: skip
            self._stores[key] = (corpus, store)  # the corpus too, so that its id stays taken
        return self._stores[key][1]

    def waves(self, corpus: Corpus, front_end: LogMelConfig) -> WaveStore:
        key = (id(corpus), front_end)
        if key not in self._waves:
            self._waves[key] = WaveStore(corpus, front_end, cache=self.cache, threads=1)  # a core has a run of its own
        return self._waves[key]


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


def _task_job(task: Task, store: FeatureStore) -> TaskJob:
    how = {"scheme": task.scheme, "kind": task.kind, "metric": task.metric, "groups": task.groups}
    key = config_hash([find_protocol("linear").version, store.corpus, task.labels, task.classes, task.folds, how])
    return TaskJob(task.name, key, store.folder, task.labels, task.folds, how)


def _check_tasks(tasks: list[Task]) -> None:
    """Raises:
    SonoscaleError: a task has no score of clips of which more is better.
    """
    for task in tasks:
        if task.kind == "events":
            raise SonoscaleError(
                f"task {task.name}: has events in time, which studies do not probe; leave it out, and use "
                "sonoscale probe --protocol hear on the runs"
            )
        metric = find_metric(task.metric, cast(Any, task.kind))
        if not metric.higher:
            raise SonoscaleError(
                f"task {task.name}: {metric.name} is better the lower it is, and a study's quality is a mean of "
                "scores of which more is better; set its metric to another"
            )
