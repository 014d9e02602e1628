"""What every pre-training objective is: an encoder, the draws of a step, and a loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from sonoscale.encoders import AudioEncoder
from sonoscale.pretrain._config import RunConfig


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

    def after_step(self, step: int) -> None:
        """Called after the optimiser's step `step` (counted from 0)."""


def make_objective(config: RunConfig, *, mean: float, std: float) -> Objective:
    """The model of a run, its weights drawn from torch's global generator.

    Arguments:
        config: the run.
        mean, std: of the training log-mels, in natural-log units.
    """
    from sonoscale.pretrain._contrastive import Contrastive  # these build on the class above
    from sonoscale.pretrain._latent import LatentPrediction
    from sonoscale.pretrain._mae import MaskedAutoencoder

    kinds = {"mae": MaskedAutoencoder, "latent": LatentPrediction, "contrastive": Contrastive}
    return kinds[config.objective.kind](config, mean=mean, std=std)
