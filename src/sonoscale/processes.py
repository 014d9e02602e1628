"""Processes: cores, workers that do not outlive the command that started them, folders for one of them."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import threadpoolctl
import torch

from sonoscale.errors import SonoscaleError

__all__ = [
    "available_cores",
    "die_with_parent",
    "interrupt_held_back",
    "only_one_process",
    "remove_leftovers",
    "single_threaded",
    "unfinished_folder",
]


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
    """Give torch and the BLAS libraries loaded so far one thread each.

    Parallelism is over runs: small models gain nothing from threads, and threads of several processes that wait
    for one another on the same cores are many times slower. The numbers then do not depend on the cores either.
    """
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)


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
def interrupt_held_back() -> Iterator[None]:
    """Ctrl-C waits until the block ends, and processes started in it never see one.

    A process that is interrupted while it still imports would print a traceback of its own.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
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
