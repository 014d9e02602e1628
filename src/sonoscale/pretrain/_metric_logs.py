"""Where the metrics of a training go besides its own folder."""

from __future__ import annotations

import queue
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError, SonoscaleWarning
from sonoscale.extras import available, need

__all__ = ["LOGGERS", "check_logger", "metric_log"]

LOGGERS = {
    "none": (),
    "tensorboard": ("tensorboardX",),
    "mlflow": ("lightning", "mlflow"),
    "wandb": ("lightning", "wandb"),
}
"""Name of a logger -> the packages that it needs."""


def check_logger(logger: str) -> None:
    """Whether there is such a logger, and its packages are installed.

    Raises:
        SonoscaleError: no such logger, or a package is missing.
    """
    if logger not in LOGGERS:
        raise SonoscaleError(f"logger = {logger!r}: must be one of {', '.join(LOGGERS)}")
    for name in LOGGERS[logger]:
        if not available(name):
            need(name, extra="train" if logger == "tensorboard" else logger, what=f"logger = {logger!r}")


@contextmanager
def metric_log(logger: str, out: Path, name: str, *, first: bool) -> Iterator[Callable[[dict[str, float], int], None]]:
    """Takes metrics by name, and the step; opened at the first of them, when the run is this process's own.

    A logger never stops or delays a training: once it fails, it is dropped with a warning.

    Arguments:
        logger: a key of `LOGGERS`.
        out: folder of runs.
        name: of the run.
        first: whether this process logs.
    """
    if logger == "none" or not first:
        yield lambda metrics, step: None
        return
    guarded = _Guarded(logger, lambda: _open(logger, out, name))
    status = "failed"
    try:
        yield guarded.log
        status = "success"
    finally:
        guarded.finish(status)


class _Guarded:
    """A logger that cannot stop a training, nor slow it down: it works in a thread, and is dropped once it fails."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self._name, self._make = name, make
        self._waiting: queue.Queue[tuple[dict[str, float], int] | str] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None
        self._dropped = False

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Hand metrics over."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="metrics", daemon=True)
            self._thread.start()
        if self._failed is not None:
            self._drop(f"{type(self._failed).__name__}: {self._failed}")
        if not self._dropped:
            try:
                self._waiting.put_nowait((dict(metrics), step))
            except queue.Full:
                self._drop(f"it has not taken {_WAITING:,} readings")

    def finish(self, status: str) -> None:
        """Wait until all is written, but not for ever."""
        if self._thread is None:
            return
        with suppress(queue.Full):
            self._waiting.put(status, timeout=0.0 if self._dropped else _PATIENCE)
        self._thread.join(0.1 if self._dropped else _PATIENCE)
        if self._failed is not None:
            self._drop(f"{type(self._failed).__name__}: {self._failed}")
        elif self._thread.is_alive():
            self._drop(f"it has not finished in {_PATIENCE:g} s")

    def _work(self) -> None:
        try:
            logger = self._make()
            while not isinstance(item := self._waiting.get(), str):
                logger.log_metrics(*item)
            logger.finalize(item)
        except BaseException as error:
            self._failed = error

    def _drop(self, reason: str) -> None:
        if not self._dropped:
            self._dropped = True
            said = " ".join(reason.split())[:300]
            warnings.warn(
                f"{self._name} takes no more metrics ({said}); the training goes on, and metrics.parquet has them all",
                SonoscaleWarning,
                stacklevel=3,
            )


_WAITING = 10_000
"""Readings that wait for a logger before it is dropped."""
_PATIENCE = 60.0
"""Seconds that a logger has at the end of a training."""


class _TensorBoard:
    """An event file of one run, begun anew: a resumed run logs again all that still holds.

    Written here and not by the thread of tensorboardX, which dies in silence on a full disk and then blocks.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"))

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.summary import scalar

        for name, value in metrics.items():
            self._writer.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
        self._writer.flush()

    def finalize(self, status: str) -> None:
        self._writer.close()


def _open(logger: str, out: Path, name: str) -> Any:
    if logger == "tensorboard":
        return _TensorBoard(out / "tensorboard" / name)
    from lightning.pytorch import loggers

    if logger == "mlflow":
        return loggers.MLFlowLogger(experiment_name="sonoscale", run_name=name)
    return loggers.WandbLogger(project="sonoscale", name=name)
