"""Where the metrics of a training go besides its own folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError
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

    Arguments:
        logger: a key of `LOGGERS`.
        out: folder of runs.
        name: of the run.
        first: whether this process logs.
    """
    opened: list[Any] = []

    def log(metrics: dict[str, float], step: int) -> None:
        if first and not opened:
            opened.extend(_open(logger, out, name))
        for each in opened:
            each.log_metrics(metrics, step)

    status = "failed"
    try:
        yield log
        status = "success"
    finally:
        for each in opened:
            each.finalize(status)


class _TensorBoard:
    """Event files of one run, begun anew: a resumed run logs again all that still holds."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        self._writer = SummaryWriter(logdir=str(folder))

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def finalize(self, status: str) -> None:
        self._writer.close()


def _open(logger: str, out: Path, name: str) -> list[Any]:
    if logger == "none":
        return []
    if logger == "tensorboard":
        return [_TensorBoard(out / "tensorboard" / name)]
    from lightning.pytorch import loggers

    if logger == "mlflow":
        return [loggers.MLFlowLogger(experiment_name="sonoscale", run_name=name)]
    return [loggers.WandbLogger(project="sonoscale", name=name)]
