"""Processes: cores, workers that do not outlive the command that started them, folders for one of them."""

from __future__ import annotations

import ctypes
import fcntl
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sonoscale.errors import SonoscaleError

__all__ = [
    "WorkerPool",
    "available_cores",
    "die_with_parent",
    "interrupt_held_back",
    "keep_freed_memory",
    "only_one_process",
    "remove_leftovers",
    "script_hidden",
    "share_cores",
    "single_threaded",
    "unfinished_folder",
    "worker_pool",
]

T = TypeVar("T")
R = TypeVar("R")


class WorkerPool:
    """Worker processes of one thread each; made by `worker_pool`.

    Attributes:
        workers: how many there are at most.
    """

    def __init__(self, workers: int, executor: ProcessPoolExecutor, doing: str) -> None:
        self.workers, self._executor, self._doing = workers, executor, doing
        self._needs_script: bool | None = None

    def submit(self, work: Callable[..., R], *arguments: Any) -> Future[R]:
        """Run `work(*arguments)` in a worker; both are sent there, so `work` must be importable."""
        if self._needs_script is None:
            self._needs_script = b"__main__" in pickle.dumps((work, arguments))
        script = nullcontext() if self._needs_script else script_hidden()
        with interrupt_held_back(), script, self._broken_named():  # a process may start here
            return self._executor.submit(work, *arguments)

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """`work` of each item, in order; only a few items per worker are under way or waiting.

        Raises:
            SonoscaleError: a worker was killed.
        """
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self.submit(work, item))
            if len(waiting) > 2 * self.workers:
                yield self.result(waiting.popleft())
        while waiting:
            yield self.result(waiting.popleft())

    def result(self, future: Future[R]) -> R:
        """What the work of a future returned.

        Raises:
            SonoscaleError: its worker was killed.
            Exception: what the work raised.
        """
        with self._broken_named():
            return future.result()

    @contextmanager
    def _broken_named(self) -> Iterator[None]:
        try:
            yield
        except BrokenProcessPool as error:
            why = "a script without `if __name__ == '__main__':`?" if self._needs_script else "out of memory?"
            raise SonoscaleError(
                f"a worker process was killed while {self._doing} ({why}): what is finished is kept; run it "
                "again, perhaps with fewer workers"
            ) from error


@contextmanager
def script_hidden() -> Iterator[None]:
    """Processes started in the block do not run the user's script again, as spawned ones do to find what it defines.

    A script without `if __name__ == "__main__":` would start its work in each of them.
    """
    main = sys.modules["__main__"]
    hidden = {name: vars(main)[name] for name in ("__spec__", "__file__") if name in vars(main)}
    vars(main).pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


@contextmanager
def worker_pool(
    workers: int, *, doing: str, setup: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[WorkerPool]:
    """Worker processes until the block ends, each of one thread.

    They are new interpreters (spawned), end with this process however it ends, and leave Ctrl-C to it. If the block
    raises, they are killed.

    Arguments:
        workers: at most so many processes.
        doing: what they do, for the message if one of them is killed: "computing log-mels".
        setup, arguments: called as `setup(*arguments)` first in each worker; queues can be handed over so.

    Example:
        >>> import math
        >>> with worker_pool(1, doing="taking roots") as pool:
        ...     list(pool.map(math.sqrt, [4.0, 9.0]))
        [2.0, 3.0]
    """
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (setup, arguments))
    try:
        yield WorkerPool(workers, executor, doing)
    except BaseException:
        _kill_workers(executor)
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _kill_workers(executor: ProcessPoolExecutor) -> None:
    """Kill the workers of a pool, any of which may be in the middle of sending a result.

    The pool waits for the rest of that result as long as somebody could still send it. The last who could is this
    process, which has a copy of the sending end.
    """
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        process.kill()
    sender = getattr(getattr(executor, "_result_queue", None), "_writer", None)
    if sender is not None:
        sender.close()


def _start_worker(setup: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    die_with_parent()
    single_threaded()
    if setup is not None:
        setup(*arguments)


def die_with_parent() -> None:
    """Call first in a worker process: it ends as soon as its parent does, however the parent ended.

    Also leaves Ctrl-C to the parent, which ends its workers itself.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def single_threaded() -> None:
    """Give torch and the BLAS libraries one thread each, whether they are loaded or not yet.

    Parallelism is over runs: small models gain nothing from threads, and threads of several processes that wait
    for one another on the same cores are many times slower. The numbers then do not depend on the cores either.
    """
    import threadpoolctl

    # Importing them for this would take a second, and perhaps nothing here uses them.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, where the C library is glibc: a tenth of a training step on the
    CPU, a fifth of a forward pass of a large batch.

    By default each large tensor goes back to the system and comes again as pages to be zeroed. The most memory that
    the process has had is then what it has to its end. Settings of the user (MALLOC_MMAP_THRESHOLD_ and its kin)
    and other allocators remain.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    set_option(_M_MMAP_THRESHOLD, 1 << 30)
    set_option(_M_TRIM_THRESHOLD, 2**31 - 1)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def share_cores() -> None:
    """Let threads of OpenMP sleep soon after they have nothing to do, so that others can have their cores.

    To be called before torch is imported. By default they wait for the next piece of work by counting, for some
    milliseconds, and decoding beside them has to wait for that.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        return os.cpu_count() or 1


def unfinished_folder(target: Path) -> Path:
    """Where this process writes what will become `target`: hidden, beside it, named by machine and process."""
    return target.with_name(f".{target.name}@{socket.gethostname()}@{os.getpid()}")


def remove_leftovers(folder: Path) -> None:
    """Remove unfinished folders of processes of this machine that are gone; of other machines one cannot know."""
    for unfinished in folder.glob(".*@*@*"):
        _, host, pid = unfinished.name.rsplit("@", 2)
        if host == socket.gethostname() and pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def interrupt_held_back(*others: signal.Signals) -> Iterator[None]:
    """Ctrl-C waits until the block ends, and processes started in it never see one.

    A process that is interrupted while it still imports would print a traceback of its own.

    Arguments:
        others: further signals that wait; in processes started in the block, until these unblock them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *others})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, but is not ours
        return True
    return True


@contextmanager
def only_one_process(folder: Path, doing: str) -> Iterator[None]:
    """Hold the folder for this process until the block ends; the lock of a process that was killed does not count.

    Raises:
        SonoscaleError: another process holds it.
    """
    lock = folder / ".lock"
    with lock.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SonoscaleError(f"{folder}: another process {doing} this folder; wait for it to end") from error
        if not lock.exists() or lock.stat().st_ino != os.fstat(stream.fileno()).st_ino:
            raise SonoscaleError(f"{folder}: another process has just ended with this folder; give the command again")
        yield
        lock.unlink(missing_ok=True)
