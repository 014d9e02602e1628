"""Runs as jobs of Slurm, in arrays, through submitit; the machines share the folder of the study and the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.processes import single_threaded
from sonoscale.study._worker import Attempt, Outcome, attempt

__all__ = ["SlurmExecutor"]

GRACE = 120.0
"""Seconds that jobs on this machine have for the end of a step and a checkpoint, when all is stopped."""

MOST_TIMES = 1000
"""How often a job whose time was up puts itself in the queue again."""


class SlurmExecutor:
    """Each attempt is an element of a job array.

    Before its time is up, Slurm sends a signal; the run keeps its state at the end of the step, and the job puts itself
    in the queue again. Jobs outlive their driver: a study that is interrupted continues in them, and the next driver
    takes their results. `stop` ends them.

    Arguments:
        folder: of the study; scripts and logs are in `slurm/` in it.
        workers: elements of an array that run at once; None: 64.
        device: auto (cpu here), cpu or cuda, of which each job gets one.
        minutes: time limit of a job.
        cluster: slurm, or local for processes of this machine in place of it, for trials.
        slurm: further parameters, by submitit's names (`slurm_partition`, `cpus_per_task`, ...).

    Raises:
        SonoscaleError: submitit is not installed, there is no Slurm here, or no such parameter.
    """

    name = "slurm"

    def __init__(
        self, folder: Path, *, workers: int | None = None, device: str = "auto", minutes: float = 60,
        cluster: str = "slurm", slurm: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        submitit: Any = need("submitit", extra="slurm", what="executor slurm")
        if device not in ("auto", "cpu", "cuda"):
            raise SonoscaleError(f"device = {device!r}: must be auto, cpu or cuda")
        if cluster not in ("slurm", "local"):
            raise SonoscaleError(f"cluster = {cluster!r}: must be slurm or local")
        if minutes <= 0:
            raise SonoscaleError(f"minutes = {minutes}: give the time limit of a job, above 0")
        self.device = "cuda" if device == "cuda" else "cpu"
        self.detached = cluster == "slurm"
        self.slots = workers or (64 if self.detached else 2)
        try:
            place = folder / "slurm"
            given: dict[str, Any] = {"timeout_min": minutes, "gpus_per_node": int(device == "cuda")}
            if self.detached:
                self._executor = submitit.AutoExecutor(place, cluster=cluster, slurm_max_num_timeout=MOST_TIMES)
                given |= {"timeout_min": max(1, round(minutes)), "name": f"sonoscale-{folder.name}", "cpus_per_task": 1}
                given |= {"slurm_array_parallelism": self.slots, "slurm_signal_delay_s": 120}
            else:
                self._executor = submitit.LocalExecutor(place, max_num_timeout=MOST_TIMES)
            self._executor.update_parameters(**given, **(slurm or {}))
        except (RuntimeError, ValueError, NameError, TypeError, FileNotFoundError) as error:
            raise SonoscaleError(f"executor slurm: {str(error).splitlines()[0]}") from error
        self._waiting: list[tuple[int, Attempt]] = []
        self._jobs: dict[int, Any] = {}

    def takes(self, task: Attempt) -> bool:
        """Whether one more attempt can be begun now: the queue of a cluster takes all."""
        return self.detached or len(self._jobs) + len(self._waiting) < self.slots

    def start(self, index: int, task: Attempt, *, alone: bool = False) -> None:
        """Put an attempt into the next array."""
        self._waiting.append((index, task))

    def poll(self, timeout: float, progress: Callable[[int, str, int, int, float], None]) -> list[tuple[int, Outcome]]:
        """Submit what waits, as one array; what has ended, after at most so many seconds."""
        if self._waiting:
            with self._executor.batch():
                jobs = [(index, self._executor.submit(OneRun(task))) for index, task in self._waiting]
            self._jobs |= dict(jobs)
            self._waiting.clear()
        ended = [(index, job) for index, job in self._jobs.items() if job.done()]
        if not ended:
            time.sleep(timeout)
        for index, _ in ended:
            del self._jobs[index]
        return [(index, _outcome(job)) for index, job in ended]

    def stop(self) -> None:
        """On this machine, runs see the driver's stop file, keep what they have and end; jobs of Slurm go on."""
        deadline = time.monotonic() + GRACE
        while not self.detached and time.monotonic() < deadline and not all(job.done() for job in self._jobs.values()):
            time.sleep(0.2)

    def close(self) -> None:
        """On this machine, nothing is left running."""
        if not self.detached:
            for job in self._jobs.values():
                if not job.done():
                    job.cancel()
        self._jobs.clear()


class OneRun:
    """What a job does; submitit puts it in the queue again, as it is, when its time was up."""

    def __init__(self, task: Attempt) -> None:
        self.task = task

    def __call__(self) -> Outcome:
        single_threaded()
        return attempt(self.task)

    def checkpoint(self) -> Any:
        """Called when the time is nearly up; the run has kept its state by then."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _outcome(job: Any) -> Outcome:
    try:
        found = job.result()
        return found if isinstance(found, Outcome) else Outcome("again", "error", f"no outcome but {found!r}", False)
    except Exception as error:  # the job ended without a result: cancelled, killed, its machine gone
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        stopped = "bypass" in said.lower() or "143" in said
        return Outcome("stopped") if stopped else Outcome("again", "lost", said, recorded=False)
