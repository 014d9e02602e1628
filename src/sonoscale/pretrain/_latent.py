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


class LatentPrediction(Objective):
    """Student on the visible patches; a predictor guesses what the teacher makes of the hidden ones.

    The teacher is the exponential moving average of the student's backbone, `teacher <- d * teacher +
    (1 - d) * student` after each step with a constant d: a schedule over the run would make a shorter budget
    anything but the beginning of a longer one. It sees either the whole example, as in data2vec (Baevski et al.,
    arXiv 2202.03555) and EAT (Chen et al., arXiv 2401.03497), or only the hidden patches, as in M2D (Niizumi et
    al., arXiv 2210.14648).

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
        self._average = get_ema_multi_avg_fn(config.objective.teacher_decay)

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

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the teacher."""
        self._average(list(self.teacher.parameters()), list(self.encoder.backbone.parameters()), step)


def _over_patches(x: Tensor) -> Tensor:
    """Mean 0 and deviation 1 of each feature over the patches of a clip, `[..., patches, D]`, in float32."""
    centred = x.float() - x.float().mean(dim=-2, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(dim=-2, keepdim=True) + 1e-5)
