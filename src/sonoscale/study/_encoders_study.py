"""A study of existing encoders, from its file to its results."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sonoscale.claims import ClaimLostError, claim
from sonoscale.config import config_hash
from sonoscale.corpora import Corpus, FolderData, ProceduralData
from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder, write_json
from sonoscale.study._encoders_config import EncoderStudyConfig
from sonoscale.study._encoders_job import EncoderJob, TaskKeys, execute_encoder, read_score, score_tasks
from sonoscale.study._encoders_ledger import Scored, encoder_ledger, holds_encoder, planned_encoders
from sonoscale.study._execute import LOOK_EVERY, StoppedError, stop_file
from sonoscale.study._failures import forget_failures, is_disk_full, note_failure, read_failures, reason_of
from sonoscale.study._stamp import is_stamped, stamp
from sonoscale.study._watch import Failure, Watcher

__all__ = ["run_encoders"]


def run_encoders(
    config: EncoderStudyConfig, out: Path, cache: Path, *, begun_with: Path | None, workers: int | None, device: str,
    watcher: Watcher,
) -> None:  # fmt: skip
    """Measure, score and fit what is not done yet; an encoder that fails is noted, and the others continue.

    Several calls, also on other machines that share the folder, share the encoders.

    Arguments:
        config: the study.
        out: its folder.
        cache: of embeddings.
        begun_with: the ledger of the same study in another place.
        workers: threads, or processes, that decode.
        device: auto, cpu or cuda.
        watcher: is notified.
    """
    from sonoscale.extras import need
    from sonoscale.study._run import LEDGER, check_place, laws_of, write_config

    if is_stamped(config, out) and not read_failures(out):
        watcher.started([], len(config.encoders))
        return
    need("torch", what="a study")
    from sonoscale.encoders import find_device
    from sonoscale.processes import available_cores
    from sonoscale.provenance import provenance
    from sonoscale.study._ledger import read_ledger, write_ledger
    from sonoscale.study._plan_file import write_plan
    from sonoscale.study._quality import register_rule

    started, target = time.perf_counter(), find_device(device)
    check_place(out, config)
    corpus, tasks = _prepare(config)
    jobs = _jobs(config, corpus, tasks, out)
    make_folder(out / "runs")
    if begun_with is not None and not (out / LEDGER).exists():
        shutil.copyfile(begun_with, out / LEDGER)
    write_config(config, out)
    kept = read_ledger(out / LEDGER).by_run() if (out / LEDGER).is_file() else {}
    kept = {job.folder.name: rows for job in jobs if holds_encoder(rows := kept.get(job.folder.name, []), job)}
    remaining = [job for job in jobs if job.folder.name not in kept and not job.done]
    rule = config.quality.rule()
    register_rule(out, rule, finished=len(jobs) - len(remaining))
    planned = planned_encoders(jobs)
    write_plan(out, planned)
    forget_failures(out, [job.folder.name for job in remaining if job.folder.name in read_failures(out)])
    watcher.started(remaining, len(jobs) - len(remaining))  # pyright: ignore[reportArgumentType]
    about: dict[str, Any] = {"study": config.model_dump(mode="json"), "runs": planned}
    options: dict[str, Any] = {"cache": cache, "device": target, "workers": workers or available_cores()}
    try:
        failures = _each(remaining, config, corpus, tasks, out, watcher, options)
    except BaseException:
        ledger = encoder_ledger(jobs, config, tasks, Scored({}, rule.text), kept)
        if ledger.num_rows:
            write_ledger(ledger, out / LEDGER, about)
        raise
    write_json(out / "failed.json", [asdict(failure) for failure in failures])
    floor = _floor(config, tasks, out, options)
    ledger = encoder_ledger(jobs, config, tasks, Scored(floor, rule.text), kept)
    baseline = _baseline(tasks, floor)
    write_json(out / "baseline.json", baseline)
    facts = provenance("torch", "numpy", "scipy", "pyarrow") | {
        "seconds": round(time.perf_counter() - started, 1),
        "runs_trained": 0,
        "runs_measured": len(remaining) - len(failures),
        "runs_reused": len(jobs) - len(remaining),
    }
    if ledger.num_rows:
        about |= {"baseline": baseline, "provenance": facts, "failed": [asdict(failure) for failure in failures]}
        write_ledger(ledger, out / LEDGER, about)
        write_json(out / "laws.json", laws_of(ledger, config, baseline, out))
    write_json(out / "provenance.json", facts)
    if ledger.num_rows and not failures:
        stamp(config, out)


def _prepare(config: EncoderStudyConfig) -> tuple[Corpus, list[TaskKeys]]:
    """The clips of the rank and the tasks, all of them checked before anything is loaded."""
    from sonoscale.study._prepare import _check_overlap, _check_tasks

    base = config.data.base() if isinstance(config.data, FolderData) else None
    tasks = [task.load(base) for task in config.tasks]
    _check_tasks(tasks, config.protocols)
    corpus = config.data.heldout()
    if not isinstance(config.data, ProceduralData):
        _check_overlap(corpus, corpus, tasks)
    return corpus, [TaskKeys.of(task, config) for task in tasks]


def _jobs(config: EncoderStudyConfig, corpus: Corpus, tasks: Sequence[TaskKeys], out: Path) -> list[EncoderJob]:
    """Every encoder, by the digest of its spec and of what it is measured on."""
    keys = tuple(key for each in tasks for key in each.keys.values())
    clips = config_hash(corpus.identity, 32)
    return [
        EncoderJob(
            entry,
            out / "runs" / config_hash([entry.source or entry.name, clips, config.layers, sorted(config.estimators)]),
            keys,
        )
        for entry in config.encoders
    ]


def _each(
    jobs: Sequence[EncoderJob], config: EncoderStudyConfig, corpus: Corpus, tasks: Sequence[TaskKeys], out: Path,
    watcher: Watcher, options: dict[str, Any],
) -> list[Failure]:  # fmt: skip
    """Bring every encoder to its end, here or with another driver.

    Raises:
        SonoscaleError: the disk is full, or somebody asked for a stop.
    """
    waiting, began, done = dict(enumerate(jobs)), time.monotonic(), 0
    failures: list[Failure] = []
    while waiting:
        for index, job in list(waiting.items()):
            mine = claim(out / "runs", job.folder.name, stop_files=(stop_file(out),))
            if mine is None:
                continue

            def show(what: str, now: int, total: int, mine: Any = mine, index: int = index) -> None:
                if mine.stopping:
                    raise StoppedError(f"{out}: was stopped; run the study again to resume")
                mine.note(stage=what, done=now, total=total, loss=None, rate=None)
                watcher.progress(index, what, now, total, math.nan)

            try:
                if not job.done and job.folder.name not in read_failures(out):
                    execute_encoder(job, config, corpus, tasks, progress=show, **options)
            except (ClaimLostError, StoppedError):
                raise
            except Exception as caught:
                if is_disk_full(caught):
                    raise SonoscaleError(f"{out}: the disk is full; make room, and run the study again") from caught
                name = job.entry.name
                note_failure(out, job.folder.name, name, 0, reason_of(caught), caught, retries=0)
            finally:
                mine.release()
            failure = read_failures(out, [job.folder.name]).get(job.folder.name)
            failures += [failure] if failure else []
            del waiting[index]
            done += 1
            watcher.finished(index, failure)
            left = (time.monotonic() - began) / done * len(waiting)
            watcher.going_on(done, 0, len(jobs), left)
        if waiting:
            time.sleep(LOOK_EVERY)
    return failures


def _floor(
    config: EncoderStudyConfig, tasks: Sequence[TaskKeys], out: Path, options: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Scores of log-mel statistics, read out alike, by key; kept in the folder `floors` of the study."""
    from sonoscale.encoders import load_encoder

    folder = out / "floors"
    make_folder(folder)
    statistics = load_encoder("logmel")
    for each in tasks:
        for readout in config.readouts:
            try:
                score_tasks(
                    statistics, "logmel",
                    TaskKeys(each.task, {pair: key for pair, key in each.keys.items() if pair[1] == readout}),
                    folder, [readout], (), progress=lambda *_: None, **options,
                )  # fmt: skip
            except SonoscaleError:  # such as a readout that statistics do not give, or audio at a rate of its own
                continue
    found = {key: read_score(folder, key) for each in tasks for key in each.keys.values()}
    return {key: score for key, score in found.items() if score is not None}


def _baseline(tasks: Sequence[TaskKeys], floor: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name of a score -> result of log-mel statistics."""
    from sonoscale.laws._ledger import score_names

    found = [(each.task.name, floor[key]) for each in tasks for key in each.keys.values() if key in floor]
    names = score_names([(task, one["protocol"], one["readout"]) for task, one in found])
    return {name: one for name, (_, one) in zip(names, found, strict=True)}
