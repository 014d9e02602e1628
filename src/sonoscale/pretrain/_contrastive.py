"""Contrast between two views of a clip and the other clips of the batch (SimCLR, arXiv 2002.05709)."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from sonoscale.encoders import init_weights
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._objective import Objective
from sonoscale.pretrain._views import cut_views, draw_views


class Contrastive(Objective):
    """Views -> their tokens, pooled -> projector -> each view must find its twin among all others of the batch.

    Views are augmented (`cut_views`). Of their tokens, those of all bands stand side by side, and their mean over time
    is added to their maximum, as in BYOL-A (Niizumi et al., arXiv 2204.07402). The projector is thrown away after
    pre-training, as in SimCLR. Under `torch.distributed` the views of all processes are mixed and contrasted while the
    model is in training mode, so every process must run the same steps with equally many examples; the mean over
    processes of losses and of gradients is that of one process with the whole batch.
    """

    floor = "log(2 * train.batch_size - 1), what guessing scores"

    def __init__(self, config: RunConfig, *, mean: float, std: float) -> None:
        super().__init__(config, mean=mean, std=std)
        self.head = Projector(config.encoder.width * config.encoder.mel_patches, config.objective.projection_width)
        self._view_frames = config.view_frames
        for name, parameter in self.encoder.backbone.named_parameters():
            if name == "mask_token":  # of the convolutional backbone: nothing is masked, so it gets no gradient
                parameter.requires_grad_(False)

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """See `draw_views`."""
        return draw_views(batch, self.config.frames, self.config.view_frames, self.config.objective, generator)

    def forward(self, frames: Tensor, draw: dict[str, Tensor]) -> Tensor:
        """See `Objective.forward`; the loss depends on how many examples there are."""
        many = self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        with torch.no_grad():
            views = cut_views(frames, _gathered(frames) if many else frames, draw, self._view_frames)  # [2B, T, M]
        tokens = self.encoder.backbone(self.encoder.patches(views))  # [2B, n, D]
        steps = tokens.unflatten(1, (-1, self.config.encoder.mel_patches)).flatten(2)  # [2B, T, M * D]
        projected = F.normalize(self.head(steps.mean(dim=1) + steps.amax(dim=1)).float(), dim=1)  # [2B, P]
        everything, first = (_AllGather.apply(projected), dist.get_rank() * len(projected)) if many else (projected, 0)
        return nt_xent(projected, everything, first, self.config.objective.temperature)


class Projector(nn.Module):
    """Two layers with a ReLU between, the first as wide as what it is given."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, outputs)
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, width]` -> `[B, outputs]`."""
        return self.fc2(F.relu(self.fc1(x)))


def nt_xent(views: Tensor, everything: Tensor, first: int, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy (Chen et al., arXiv 2002.05709, eq. 1), in float32.

    Arguments:
        views: unit vectors `[2B, P]`; the twin of row i is row i + B or i - B.
        everything: unit vectors `[n, P]`, `views` among them: what each view is compared with.
        first: row of `everything` at which `views` begin.
        temperature: cosines are divided by it.

    Returns:
        the mean over `views`, a scalar.

    Example:
        >>> views = torch.nn.functional.normalize(torch.eye(4).repeat(2, 1), dim=1)  # four pairs of equal views
        >>> bool(nt_xent(views, views, 0, 0.1) < 0.01)
        True
    """
    rows = torch.arange(len(views), device=views.device)
    with nullcontext() if views.is_meta else torch.autocast(views.device.type, enabled=False):
        logits = views @ everything.T / temperature  # [2B, n]
        itself = rows[:, None] + first == torch.arange(len(everything), device=views.device)
        logits = logits.masked_fill(itself, float("-inf"))
        twin = first + (rows + len(views) // 2) % len(views)
        return F.cross_entropy(logits, twin)


def _gathered(x: Tensor) -> Tensor:
    """Rows of all processes, in the order of their ranks, without gradients."""
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


class _AllGather(torch.autograd.Function):
    """Rows of all processes, in the order of their ranks; gradients come back to the process they belong to."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _gathered(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        share = len(gradient) // dist.get_world_size()
        return gradient[dist.get_rank() * share :][:share]
