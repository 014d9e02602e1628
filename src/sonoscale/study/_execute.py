"""Run jobs in local processes: progress, failures kept apart, nothing lost on the way out."""

from __future__ import annotations

import errno
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from queue import Empty
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import training_cost
from sonoscale.processes import die_with_parent, interrupt_held_back, single_threaded
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
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _start, (messages,))
    order = sorted(range(len(jobs)), key=lambda i: -_work(jobs[i]))
    failures: list[Failure] = []
    try:
        with interrupt_held_back():  # the processes start here
            futures: dict[Future[None], int] = {pool.submit(_run, i, jobs[i]): i for i in order}
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            _drain(messages, watcher)
            for future in done:
                index = futures[future]
                failure = _outcome(future, jobs[index])
                if failure:
                    failures.append(failure)
                watcher.finished(index, failure)
    except BaseException:
        _kill(pool)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        messages.close()
    return failures


def _outcome(future: Future[None], job: RunJob) -> Failure | None:
    try:
        future.result()
    except SonoscaleError as error:
        return Failure(job.plan.label, job.plan.config.seed, str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SonoscaleError(
                f"no space left on the disk of {job.folder.parent}: finished runs are kept; free some space and give "
                "the same command again"
            ) from error
        raise
    except BrokenProcessPool as error:
        raise SonoscaleError(
            "a worker process was killed (out of memory?): finished runs are kept; give the same command again, "
            "perhaps with fewer workers"
        ) from error
    return None


def _work(job: RunJob) -> int:
    config = job.plan.config
    return training_cost(config).flops * config.train.batch_size * config.budgets[-1]


_messages: Any = None


def _start(messages: Any) -> None:
    global _messages
    die_with_parent()
    single_threaded()
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


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.kill()
