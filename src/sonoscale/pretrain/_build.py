"""Model and optimiser, ready to be trained."""

from __future__ import annotations

import torch

from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._objective import Objective, make_objective
from sonoscale.pretrain._optimiser import apply_parametrisation, make_optimiser


def build_for_training(config: RunConfig, *, mean: float, std: float) -> tuple[Objective, torch.optim.AdamW]:
    """The objective of a run and its optimiser, for one process: see `build_objective`."""
    objective, base = build_objective(config, mean=mean, std=std)
    return objective, make_optimiser(objective, base, config.train)


def build_objective(config: RunConfig, *, mean: float, std: float) -> tuple[Objective, Objective]:
    """The objective of a run, its weights drawn with the run's seed in its parametrisation.

    Arguments:
        config: the run.
        mean, std: of the training log-mels, in natural-log units.

    Returns:
        the objective, and the same without weights at the width of the learning rate, for `make_optimiser`.
    """
    torch.manual_seed(config.seed)
    objective = make_objective(config, mean=mean, std=std)
    with torch.device("meta"):  # the same at the width of the learning rate, to see which sides grow with it
        encoder = config.encoder.model_copy(update={"width": config.train.lr_width})
        base = make_objective(config.model_copy(update={"encoder": encoder}), mean=0.0, std=1.0)
    apply_parametrisation(objective, base, config.train.parametrisation)
    return objective, base


def prepare_for_speed(objective: Objective, compiled: bool) -> None:
    """Compile each block of the encoder, as all of them have one shape."""
    if compiled:
        for block in objective.encoder.backbone.blocks:
            block.compile()
