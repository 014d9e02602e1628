"""What every pre-training objective is, and how its model and optimiser are made."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sonoscale.encoders import AudioEncoder
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._initial import freeze_layers
from sonoscale.pretrain._optimiser import apply_parametrisation, make_optimiser


class Objective(nn.Module):
    """A model that gives a loss for training examples.

    All that is random in a step comes from `draw`, for the whole batch at once and on the CPU, so that the numbers
    do not depend on the device, on how many processes share the batch, or on how it is cut into micro-batches.
    Parameters with `requires_grad` all get a gradient in every step.

    Arguments:
        config: the run.
        mean, std: of the training log-mels, in natural-log units.

    Attributes:
        encoder: what is trained, measured and kept.
        floor: in words, the loss at which nothing is learnt.
    """

    floor: ClassVar[str]

    def __init__(self, config: RunConfig, *, mean: float, std: float) -> None:
        super().__init__()
        self.config = config
        self.encoder = AudioEncoder(config.encoder, mean=mean, std=std)

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """All randomness of a step: CPU tensors whose first axis is the batch."""
        raise NotImplementedError

    def forward(self, frames: Tensor, draw: dict[str, Tensor]) -> Tensor:
        """Mean loss of the examples, a scalar.

        Arguments:
            frames: log-mels `[B, frames, mels]`, not normalised.
            draw: the rows of `draw` that belong to these examples, on the device of `frames`.
        """
        raise NotImplementedError

    def take_encoder(self, weights: dict[str, Tensor]) -> None:
        """Begin with an encoder that was trained before, given by its `state_dict`."""
        self.encoder.load_state_dict(weights)

    def after_step(self, step: int) -> None:
        """Called after the optimiser's step `step` (counted from 0)."""


def make_objective(config: RunConfig, *, mean: float, std: float) -> Objective:
    """The model of a run, its weights drawn from torch's global generator, those of frozen layers fixed.

    Arguments:
        config: the run.
        mean, std: of the training log-mels, in natural-log units.
    """
    from sonoscale.pretrain._contrastive import Contrastive  # these build on the class above
    from sonoscale.pretrain._latent import LatentPrediction
    from sonoscale.pretrain._mae import MaskedAutoencoder

    kinds = {"mae": MaskedAutoencoder, "latent": LatentPrediction, "contrastive": Contrastive}
    objective = kinds[config.objective.kind](config, mean=mean, std=std)
    freeze_layers(objective.encoder, config.train.frozen_layers)
    return objective


def build_for_training(config: RunConfig, *, mean: float, std: float) -> tuple[Objective, torch.optim.AdamW]:
    """The objective of a run and its optimiser, for one process: see `build_objective`."""
    objective, base = build_objective(config, mean=mean, std=std)
    return objective, make_optimiser(objective, base, config.train)


class _NothingDrawn(TorchFunctionMode):
    """Leaves out `normal_`, which tensors without values do not need: for it torch would import its compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.init.normal_:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def build_objective(config: RunConfig, *, mean: float, std: float) -> tuple[Objective, Objective]:
    """The objective of a run, its weights drawn with the run's seed in its parametrisation, wherever it begins.

    Arguments:
        config: the run.
        mean, std: of the training log-mels, in natural-log units.

    Returns:
        the objective, and the same without weights at the width of the learning rate, for `make_optimiser`.

    Example:
        >>> objective, base = build_objective(RunConfig(), mean=-5.0, std=3.0)
        >>> type(objective).__name__, sum(p.numel() for p in objective.encoder.parameters())
        ('Contrastive', 98864)
    """
    torch.manual_seed(config.seed)
    objective = make_objective(config, mean=mean, std=std)
    with torch.device("meta"), _NothingDrawn():  # at the width of the learning rate, to see which sides grow with it
        encoder = config.encoder.model_copy(update={"width": config.train.lr_width})
        base = make_objective(config.model_copy(update={"encoder": encoder}), mean=0.0, std=1.0)
    apply_parametrisation(objective, base, config.train.parametrisation)
    return objective, base


def prepare_for_speed(objective: Objective, compiled: bool) -> None:
    """Compile each block of the encoder, as all of them have one shape."""
    if compiled:
        for block in objective.encoder.backbone.blocks:
            block.compile()
