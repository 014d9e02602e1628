"""Runs in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from sonoscale.memory import available_memory
from sonoscale.pretrain._memory import run_memory
from sonoscale.processes import available_cores, die_with_parent, interrupt_held_back, script_hidden, single_threaded
from sonoscale.study._worker import Attempt, Outcome, attempt

__all__ = ["LocalExecutor", "local_devices"]

GRACE = 120.0
"""Seconds that workers have for the end of a step and a checkpoint, when all is stopped."""


class LocalExecutor:
    """As many processes as there are slots; each does one run after another, and only one that dies is started anew.

    A run is begun only where the memory that it needs is there, unless nothing else runs.

    Arguments:
        devices: of each slot: `cpu`, or `cuda:1`.
    """

    name, detached = "local", False

    def __init__(self, devices: Sequence[str]) -> None:
        self._slots = [_Slot(device) for device in devices]
        self.device = devices[0].partition(":")[0]

    @property
    def slots(self) -> int:
        """How many runs at most are done at once."""
        return len(self._slots)

    def takes(self, task: Attempt) -> bool:
        """Whether one more attempt can be begun now."""
        busy = [slot for slot in self._slots if slot.index is not None]
        if len(busy) == len(self._slots):
            return False
        if not busy or self._slots[0].device != "cpu":
            return True
        if any(slot.alone for slot in busy):
            return False
        growing = sum(slot.needs for slot in busy if time.monotonic() - slot.since < 20)  # what they have not yet taken
        there = available_memory()
        return there is None or run_memory(task.job.plan.config) + growing <= there

    def start(self, index: int, task: Attempt, *, alone: bool = False) -> None:
        """Begin an attempt in a free slot.

        Arguments:
            index: by which `poll` names it.
            task: what is to be done.
            alone: begin nothing beside it: it has run out of memory before.
        """
        slot = next(slot for slot in self._slots if slot.index is None)
        slot.begin(index, task, alone)

    def poll(self, timeout: float, progress: Callable[[int, str, int, int, float], None]) -> list[tuple[int, Outcome]]:
        """What has ended, after at most `timeout` seconds."""
        pipes = {slot.pipe: slot for slot in self._slots if slot.index is not None and slot.pipe is not None}
        if not pipes:
            time.sleep(timeout)
            return []
        ended = []
        for pipe in wait(list(pipes), timeout):
            slot = pipes[pipe]  # pyright: ignore[reportArgumentType]
            index = slot.index
            assert index is not None
            outcome = slot.read(lambda *said, index=index: progress(index, *said))
            if outcome is not None:
                ended.append((index, outcome))
        return ended

    def stop(self) -> None:
        """Every run keeps what it has and ends; those that do not are killed after a while."""
        for slot in self._slots:
            slot.signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for slot in self._slots:
            slot.join(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """No process is left."""
        for slot in self._slots:
            slot.close()


class _Slot:
    def __init__(self, device: str) -> None:
        self.device = device
        self.index: int | None = None
        self.alone, self.needs, self.since = False, 0, 0.0
        self.pipe: Connection | None = None
        self._process: Any = None

    def begin(self, index: int, task: Attempt, alone: bool) -> None:
        self.index, self.alone = index, alone
        self.needs, self.since = run_memory(task.job.plan.config), time.monotonic()
        for _ in range(2):
            if self._process is None or not self._process.is_alive():
                self._spawn()
            assert self.pipe is not None
            with suppress(OSError):  # it has died since it was last heard of
                self.pipe.send(task)
                return
            self.close()

    def _spawn(self) -> None:
        self.close(keep=True)
        context = _context()
        self.pipe, theirs = context.Pipe()
        kind, _, number = self.device.partition(":")
        self._process = context.Process(target=_serve, args=(theirs, number, dict(os.environ)), name=f"study on {kind}")
        with interrupt_held_back(signal.SIGTERM), script_hidden():
            self._process.start()
        theirs.close()

    def read(self, progress: Callable[[str, int, int, float], None]) -> Outcome | None:
        """What the worker says; its outcome once there is one, also if it died."""
        assert self.pipe is not None
        try:
            while self.pipe.poll():
                said = self.pipe.recv()
                if isinstance(said, Outcome):
                    self.index = None
                    if said.reason == "out of memory":
                        self.close()  # the next run finds a process of its own
                    return said
                progress(*said)
        except (EOFError, OSError):
            self._process.join(10)
            status = self._process.exitcode
            self.close()
            if status in _STOPPED:
                return Outcome("stopped")
            how = _death(status)
            return Outcome("again", "killed", f"its process {how}", recorded=False)
        return None

    def signal(self, number: int) -> None:
        if self._process is not None and self._process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def join(self, timeout: float) -> None:
        if self._process is not None:
            self._process.join(timeout)

    def close(self, *, keep: bool = False) -> None:
        """The process is gone; `keep`: its slot is not free yet."""
        if not keep:
            self.index = None
        if self._process is not None:
            if self._process.is_alive():
                self._process.kill()
            self._process.join()
            self._process = None
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None


def _context() -> Any:
    """New processes are forked from one that has imported all, and has done and started nothing else.

    To import takes several seconds of processor time, which each worker would otherwise spend for itself. That process
    ends with this one, not by signals to the group of both: the exit statuses of the workers come by way of it.
    """
    if sys.platform != "linux":  # libraries of macOS must not be forked
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)  # of no effect once it runs
    return context


PRELOAD = [
    "torch._dynamo",  # which torch's optimisers import
    "sonoscale.study._local", "sonoscale.pretrain._loop", "sonoscale.pretrain._prepare", "sonoscale.pretrain._runtime",
    "sonoscale.probe", "sonoscale.corpora.procedural._tasks",
]  # fmt: skip


_STOPPED = {-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM}
"""Exit statuses of a worker that was asked to end, and kept what it had."""


def _death(status: int | None) -> str:
    if status == -signal.SIGKILL:
        return "was killed (out of memory?)"
    if status is not None and status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _serve(pipe: Connection, gpu: str, environment: dict[str, str]) -> None:
    """A worker: one run after another, until its driver is gone."""
    os.environ.clear()  # of the process that it was forked from, as that was started
    os.environ.update(environment)
    if gpu:  # before torch looks
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    die_with_parent()
    signal.signal(signal.SIGTERM, _end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    single_threaded()
    last = 0.0

    def progress(stage: str, done: int, total: int, loss: float) -> None:
        nonlocal last
        if time.monotonic() - last > 0.1 or done == total:
            last = time.monotonic()
            with suppress(OSError):
                pipe.send((stage, done, total, loss))

    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        outcome = attempt(task, progress)
        with suppress(OSError):
            pipe.send(outcome)


def _end(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def local_devices(device: str, workers: int | None) -> list[str]:
    """A device for each slot: cores, or GPUs in turn.

    Arguments:
        device: cpu, cuda for all GPUs that there are, or one of them, cuda:1.
        workers: slots; by default one per core, or so many to a GPU as there are cores for it, four at most.
    """
    if device == "cpu":
        return ["cpu"] * (workers or available_cores())
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = [name for name in visible.split(",") if name] or [str(i) for i in range(torch.cuda.device_count())]
    if device != "cuda":
        gpus = [gpus[int(device.partition(":")[2])]]
    workers = workers or len(gpus) * max(1, min(4, available_cores() // len(gpus)))
    return [f"cuda:{gpus[i % len(gpus)]}" for i in range(workers)]
