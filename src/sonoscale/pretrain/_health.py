"""Signs that a training goes wrong."""

from __future__ import annotations

import math

from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._monitor import RankReading

SPIKE = 1.5
"""A smoothed loss so many times its lowest is said to have jumped."""

COLLAPSED = 1.5
"""A centred RankMe under this says that all clips lie on a line."""


def check_loss(loss: float, lowest: float, *, step: int, lr: float) -> str | None:
    """What is to be said of the smoothed loss, if anything.

    Raises:
        SonoscaleError: it is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise SonoscaleError(f"the loss became {loss} at step {step} (learning rate {lr:.2g}): lower train.lr")
    if lowest > 0 and loss > SPIKE * lowest:
        return f"the loss rose from {lowest:.3g} to {loss:.3g} by step {step}: train.lr may be too high"
    return None


def check_rank(reading: RankReading, *, step: int) -> str | None:
    """What is to be said of the rank, if anything."""
    rank = reading.centred.value
    if step and rank < COLLAPSED:
        return f"the embeddings have collapsed by step {step}: centred RankMe is {rank:.3g}"
    return None
