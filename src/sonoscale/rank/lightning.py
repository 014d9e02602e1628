"""A callback for Lightning that reads the rank of a fixed probe set during training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sonoscale.errors import SonoscaleError
from sonoscale.rank._monitor import RankMonitor
from sonoscale.rank._record import RankRecord

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback
        except ImportError as error:
            raise SonoscaleError("Lightning cannot be imported: pip install 'sonoscale[lightning]'") from error

__all__ = ["RankMonitorCallback"]


class RankMonitorCallback(Callback):
    """Reads the rank before training and then each time `every_n_steps` optimiser steps have been made.

    A reading goes to every logger of the trainer, whatever its `log_every_n_steps`, as `rank/<estimator>` with `_low`
    and `_high` of its interval, at `trainer.global_step`; and to `trainer.callback_metrics`, for early stopping or
    checkpoints. In a distributed run every process takes part, each with its share of the probe, by `RankMonitor`,
    which also says what a reading leaves untouched. The readings are kept in checkpoints and resume from there.

    Arguments:
        probe: a tensor `[n, ...]` or batches; see `RankMonitor`.
        every_n_steps: optimiser steps between readings. Batches that only accumulate gradients are not steps; where
            a batch makes several steps, the first batch end at or after a multiple counts.
        prefix: `rank` of `rank/<estimator>`; make it another one for a second probe.
        settings: of `RankMonitor`: `embed` ((module, batch) -> `[b, dim]`, the module's `forward` if None),
            `batch_size`, `estimators`, `interval`, ...

    Raises:
        SonoscaleError: as for `RankMonitor`.
    """

    def __init__(self, probe: Any, *, every_n_steps: int = 100, prefix: str = "rank", **settings: Any) -> None:
        if every_n_steps < 1:
            raise SonoscaleError(f"every_n_steps must be at least 1, not {every_n_steps}")
        self.monitor = RankMonitor(probe, every=1, **settings)
        self.every_n_steps = every_n_steps
        self.prefix = prefix

    @property
    def history(self) -> list[tuple[int, RankRecord]]:
        """(global step, record) of every reading, in order."""
        return self.monitor.history

    @property
    def state_key(self) -> str:
        """Each set of numbers is kept under its own names."""
        return self._generate_state_key(name=" ".join(f"{self.prefix}/{name}" for name in self.monitor.names))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the untrained model, or one resumed from a checkpoint that knows of no reading."""
        if trainer.global_step == 0 or not self.history:
            self._read(trainer, pl_module)  # Lightning takes no `log` here

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Read where the optimiser steps have passed a multiple of `every_n_steps` since the last reading."""
        if trainer.global_step // self.every_n_steps > self.history[-1][0] // self.every_n_steps:
            for name, value in self._read(trainer, pl_module).items():
                pl_module.log(name, value, on_step=True, on_epoch=False, logger=False)

    def state_dict(self) -> dict[str, Any]:
        """The readings, as plain Python objects."""
        return {"history": [[step, record.as_dict()] for step, record in self.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from the readings of a checkpoint."""
        self.monitor.history[:] = [(step, RankRecord.from_dict(record)) for step, record in state_dict["history"]]

    def _read(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        """Read, and log what was read."""
        self.monitor(pl_module, trainer.global_step)  # every step is due to the monitor itself
        found: dict[str, float] = {}
        for _, record in self.history[-len(self.monitor.names) :]:
            name = f"{self.prefix}/{record.estimator}"
            found |= {name: record.value, f"{name}_low": record.low, f"{name}_high": record.high}
        found = {name: value for name, value in found.items() if not math.isnan(value)}
        for logger in trainer.loggers:
            logger.log_metrics(found, step=trainer.global_step)
        return found
