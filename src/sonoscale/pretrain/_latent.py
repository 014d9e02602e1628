"""Prediction of a teacher's representations of hidden patches (data2vec, EAT, M2D)."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sonoscale.encoders import gather_rows
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._mae import Decoder, masks_of_step
from sonoscale.pretrain._objective import Objective
from sonoscale.pretrain._objective_config import ObjectiveConfig


class LatentPrediction(Objective):
    """Student on the visible patches; a predictor guesses what the teacher makes of the hidden ones.

    The teacher is a moving average of the student's backbone, `teacher <- d * teacher + (1 - d) * student` after each
    step. Its memory 1 / (1 - d) grows with the steps done, as a part of them (`teacher_decay_of`), and not with those
    of the whole run, so that a shorter budget is the beginning of a longer one. It sees either the whole example, as in
    data2vec (Baevski et al., arXiv 2202.03555) and EAT (Chen et al., arXiv 2401.03497), or only the hidden patches, as
    in M2D (Niizumi et al., arXiv 2210.14648).

    A target is the mean of the teacher's last layers, each brought to mean 0 and deviation 1 in every feature over the
    patches that the teacher sees of the clip, and then normalised over its features, both without weights; the loss is
    the mean squared error. So does EAT, after data2vec 2.0 (Baevski et al., arXiv 2212.07525) on speech. Normalised
    over features alone, as there on images, targets are mostly what all patches have in common: it is learnt at once,
    and the rank falls below that of an untrained encoder.

    The loss falls to 0 too where all representations become one: watch the rank beside it.
    """

    floor = "1.0, what predicting zeros scores; near 0 with a falling rank, the representations collapse"

    def __init__(self, config: RunConfig, *, mean: float, std: float) -> None:
        super().__init__(config, mean=mean, std=std)
        self.decoder = Decoder(config, config.encoder.width)
        self.teacher = copy.deepcopy(self.encoder.backbone).requires_grad_(False)

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """`visible` `[batch, kept]` and `hidden` `[batch, patches - kept]`, int64."""
        return masks_of_step(self.config, batch, generator)

    def forward(self, frames: Tensor, draw: dict[str, Tensor]) -> Tensor:
        """See `Objective.forward`."""
        visible, hidden = draw["visible"], draw["hidden"]
        patches = self.encoder.patches(frames)  # [B, N, P]
        tokens = self.encoder.backbone(patches, visible)  # [B, kept, D]
        predicted = self.decoder(tokens, visible, hidden)  # [B, hidden, D]
        return (predicted.float() - self.targets(patches, hidden)).square().mean()

    @torch.no_grad()
    def targets(self, patches: Tensor, hidden: Tensor) -> Tensor:
        """What is to be predicted: patches `[B, N, P]` and indices `[B, h]` -> `[B, h, D]`."""
        if self.config.objective.teacher_sees == "hidden":
            mean = _over_patches(self.teacher(patches, hidden))  # [B, h, D]
        else:
            layers = self.teacher.forward_layers(patches)[-self.config.teacher_layers :]  # [layers, B, N, D]
            mean = gather_rows(_over_patches(layers).mean(dim=0), hidden)  # [B, h, D]
        return F.layer_norm(mean, mean.shape[-1:])

    def take_encoder(self, weights: dict[str, Tensor]) -> None:
        """See `Objective.take_encoder`; the teacher is a copy again."""
        super().take_encoder(weights)
        self.teacher.load_state_dict(self.encoder.backbone.state_dict())

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the teacher."""
        average = get_ema_multi_avg_fn(teacher_decay_of(self.config.objective, step))
        average(list(self.teacher.parameters()), list(self.encoder.backbone.parameters()), step)


def teacher_decay_of(config: ObjectiveConfig, step: int) -> float:
    """Share of the old teacher that step `step` (counted from 0) leaves.

    Example:
        >>> from sonoscale.pretrain import ObjectiveConfig
        >>> config = ObjectiveConfig(kind="latent", teacher_memory=0.2, teacher_decay=0.999)
        >>> [round(teacher_decay_of(config, step), 4) for step in (0, 45, 495, 100_000)]
        [0.0, 0.9, 0.99, 0.999]
    """
    if config.teacher_memory == 0:
        return config.teacher_decay
    return min(config.teacher_decay, 1 - 1 / max(1.0, config.teacher_memory * (step + 5)))


def _over_patches(x: Tensor) -> Tensor:
    """Mean 0 and deviation 1 of each feature over the patches of a clip, `[..., patches, D]`, in float32."""
    centred = x.float() - x.float().mean(dim=-2, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(dim=-2, keepdim=True) + 1e-5)
