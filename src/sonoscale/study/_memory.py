"""What memory a run is expected to need."""

from __future__ import annotations

from sonoscale.pretrain import RunConfig, training_cost

__all__ = ["run_memory"]

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
