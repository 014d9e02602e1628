"""Runs as tasks of a Ray cluster whose machines share the folder of the study and the cache of log-mels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.measure._ray import cluster_device, join_cluster
from sonoscale.processes import single_threaded
from sonoscale.study._worker import Attempt, Outcome, attempt

__all__ = ["RayExecutor"]

GRACE = 120.0
"""Seconds that tasks have for the end of a step and a checkpoint, when all is stopped."""


class RayExecutor:
    """Each attempt is a task of one core and, on GPUs, a share of one.

    A task that dies, with its worker or its machine, is not taken for one that fails; both are tried again as the
    driver decides, from the last checkpoint.

    Arguments:
        workers: tasks at once; None: as many as there are cores, or shares of GPUs.
        device: auto, cpu or cuda.
        address: of the cluster; None: `$RAY_ADDRESS`, the one that is running, or a new one on this machine.
        gpus: share of a GPU that a run takes.

    Raises:
        SonoscaleError: Ray is not installed, there is no cluster or no GPU in it, or the share is no number above 0.
    """

    name, detached = "ray", False

    def __init__(
        self, *, workers: int | None = None, device: str = "auto", address: str | None = None, gpus: float = 0.25
    ) -> None:
        if not 0 < gpus <= 1:
            raise SonoscaleError(f"gpus = {gpus}: give the share of a GPU that a run takes, above 0 and at most 1")
        self._ray = join_cluster(address)
        self.device = cluster_device(device)
        share = gpus if self.device == "cuda" else 0
        there = self._ray.cluster_resources()
        room = there.get("GPU", 0) / gpus if share else there.get("CPU", 1)
        self.slots = workers or max(1, int(room))
        self._remote = self._ray.remote(max_retries=0, num_cpus=1, num_gpus=share)(_task)
        self._running: dict[Any, int] = {}

    def takes(self, task: Attempt) -> bool:
        """Whether one more attempt can be begun now."""
        return len(self._running) < self.slots

    def start(self, index: int, task: Attempt, *, alone: bool = False) -> None:
        """Begin an attempt."""
        self._running[self._remote.remote(task, str(Path.cwd()))] = index

    def poll(self, timeout: float, progress: Callable[[int, str, int, int, float], None]) -> list[tuple[int, Outcome]]:
        """What has ended, after at most so many seconds."""
        if not self._running:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        return [(self._running.pop(each), self._outcome(each)) for each in ready]

    def _outcome(self, task: Any) -> Outcome:
        from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, RayTaskError

        try:
            return self._ray.get(task)
        except OutOfMemoryError as error:
            return Outcome("again", "out of memory", _line(error), recorded=False)
        except NodeDiedError as error:
            return Outcome("again", "lost", _line(error), recorded=False)
        except RayTaskError as error:
            return Outcome("again", "error", str(error).strip().splitlines()[-1], recorded=False)
        except RayError as error:
            return Outcome("again", "killed", f"its worker died ({_line(error)})", recorded=False)

    def stop(self) -> None:
        """Tasks see the driver's stop file, keep what they have and end."""
        self._ray.wait(list(self._running), num_returns=len(self._running), timeout=GRACE) if self._running else None

    def close(self) -> None:
        """No task is left running."""
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._running.clear()


def _task(task: Attempt, folder: str) -> Outcome:
    """In a worker of the cluster."""
    if Path(folder).is_dir():
        os.chdir(folder)
    single_threaded()
    try:
        return attempt(task)
    except SystemExit:
        return Outcome("stopped")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
