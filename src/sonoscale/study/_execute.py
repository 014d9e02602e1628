"""Run jobs in local processes: progress, failures kept apart, nothing lost on the way out."""

from __future__ import annotations

import errno
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from queue import Empty
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import training_cost
from sonoscale.processes import WorkerPool, worker_pool
from sonoscale.study._prepare import RunJob
from sonoscale.study._watch import Failure, Watcher
from sonoscale.study._worker import execute

__all__ = ["run_jobs"]


def run_jobs(jobs: Sequence[RunJob], workers: int, watcher: Watcher) -> list[Failure]:
    """Execute all jobs, the longest first.

    A run that fails by itself (its loss diverges, say) is reported and the others continue; what concerns all runs (a
    full disk, a worker that was killed, Ctrl-C) ends the whole, and finished runs stay.

    Raises:
        SonoscaleError: the disk is full, or a worker process died.
    """
    if not jobs:
        return []
    messages = multiprocessing.get_context("spawn").Queue()
    order = sorted(range(len(jobs)), key=lambda i: -_work(jobs[i]))
    failures: list[Failure] = []
    try:
        with worker_pool(min(workers, len(jobs)), doing="training", setup=_keep, arguments=(messages,)) as pool:
            futures = {pool.submit(_run, i, jobs[i]): i for i in order}
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                _drain(messages, watcher)
                for future in done:
                    index = futures[future]
                    failure = _outcome(pool, future, jobs[index])
                    if failure:
                        failures.append(failure)
                    watcher.finished(index, failure)
    finally:
        messages.close()
    return failures


def _outcome(pool: WorkerPool, future: Future[None], job: RunJob) -> Failure | None:
    error = future.exception()
    if isinstance(error, SonoscaleError):
        return Failure(job.plan.label, job.plan.config.seed, str(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise SonoscaleError(
            f"no space left on the disk of {job.folder.parent}: finished runs are kept; free some space and run the "
            "study again"
        ) from error
    pool.result(future)
    return None


def _work(job: RunJob) -> int:
    config = job.plan.config
    return training_cost(config).flops * config.train.batch_size * config.budgets[-1]


_messages: Any = None


def _keep(messages: Any) -> None:
    global _messages
    _messages = messages


def _run(index: int, job: RunJob) -> None:
    def progress(stage: str, done: int, total: int, loss: float) -> None:
        if done % 5 == 0 or done == total:
            _messages.put((index, stage, done, total, loss))

    execute(job, progress)


def _drain(messages: Any, watcher: Watcher) -> None:
    while True:
        try:
            watcher.progress(*messages.get_nowait())
        except Empty:
            return
