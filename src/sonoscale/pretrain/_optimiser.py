"""AdamW with weight decay on matrices only, and a warm-up, constant, decay schedule."""

from __future__ import annotations

import torch
from torch import nn

from sonoscale.pretrain._config import TrainConfig


def make_optimiser(model: nn.Module, config: TrainConfig, width: int) -> torch.optim.AdamW:
    """AdamW over three groups: hidden matrices, other matrices, and everything without weight decay.

    With `lr_rule = "inverse_width"` the learning rate of hidden matrices (those inside transformer blocks, whose
    two sides both grow with the width) falls as 1 / width, as the maximal-update parametrisation prescribes for
    Adam (Yang et al., arXiv 2203.03466); the rest of that parametrisation is not applied.
    """
    hidden, matrices, vectors = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            vectors.append(parameter)
        elif ".blocks." in name:
            hidden.append(parameter)
        else:
            matrices.append(parameter)
    factor = config.hidden_lr_factor(width)
    groups = [
        {"params": hidden, "weight_decay": config.weight_decay, "factor": factor},
        {"params": matrices, "weight_decay": config.weight_decay, "factor": 1.0},
        {"params": vectors, "weight_decay": 0.0, "factor": 1.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def set_lr(optimiser: torch.optim.Optimizer, config: TrainConfig, step: int, budget: int | None) -> float:
    """Set the learning rate for a step (0-based) and return its value before the groups' factors.

    `budget` is None on the trunk, where the rate stays constant after the warm-up; on a branch it falls linearly
    from the step where the branch leaves the trunk to 0 at the budget.
    """
    lr = config.lr * min(1.0, (step + 1) / max(1, config.warmup_steps))
    if budget is not None:
        lr *= (budget - step) / (budget - config.decay_start(budget) + 1)
    for group in optimiser.param_groups:
        group["lr"] = lr * group["factor"]
    return lr
