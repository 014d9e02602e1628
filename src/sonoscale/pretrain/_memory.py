"""Memory that a run is expected to need."""

from __future__ import annotations

from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._flops import training_cost

__all__ = ["check_run_memory", "run_memory"]

PROCESS = 500 * 2**20
"""Bytes of a process with its libraries."""

COPIES = 12
"""Of the weights: gradients, two moments, the trunk while a branch is trained, and a checkpoint on its way to disk."""

PER_TOKEN = 68
"""Bytes that a block keeps of a token for the backward pass, by dimension of the width (Korthikanti et al., 2022,
equation 2, in float32)."""


def run_memory(config: RunConfig) -> int:
    """Bytes that the training of a run takes, roughly and rather too many."""
    cost = training_cost(config)
    params = cost.params_encoder + cost.params_decoder + cost.params_head + cost.params_teacher
    examples = config.train.batch_size // config.train.accumulate
    tokens = examples * config.patches
    blocks = config.encoder.depth + (config.objective.decoder_depth if config.objective.kind != "contrastive" else 0)
    return PROCESS + 4 * COPIES * params + PER_TOKEN * tokens * config.encoder.width * blocks


def check_run_memory(config: RunConfig, free: int, where: str) -> None:
    """Refuse a run whose weights, gradients and optimiser alone a device has no room for, before it is built.

    Arguments:
        config: the run.
        free: bytes that it has.
        where: the device is, for the message.

    Raises:
        SonoscaleError: it needs more, with how much.
    """
    cost = training_cost(config)
    trained = cost.params_encoder + cost.params_decoder + cost.params_head
    needed = 4 * (4 * trained + cost.params_teacher)  # bytes of float32; Adam has two moments
    if needed > free:
        raise SonoscaleError(
            f"encoder.width = {config.encoder.width} and encoder.depth = {config.encoder.depth}: the weights of "
            f"{trained:,} parameters with gradients and optimiser need {needed / 2**30:,.1f} GiB, and {where} has "
            f"{free / 2**30:,.1f} GiB free: lower one of them"
        )
