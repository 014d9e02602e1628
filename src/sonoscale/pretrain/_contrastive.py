"""Contrast between two views of a clip and the other clips of the batch (SimCLR, arXiv 2002.05709)."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from sonoscale.encoders import init_weights
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._objective import Objective


class Contrastive(Objective):
    """Views -> mean of their tokens -> projector -> each view must find its twin among all others of the batch.

    Views are crops in time with a random fade (`draw_views`); the projector is thrown away after pre-training, as in
    SimCLR. Under `torch.distributed` the views of all processes are contrasted while the model is in training mode,
    so every process must run the same steps with equally many examples; the mean over processes of losses and of
    gradients is that of one process with the whole batch.
    """

    floor = "log(2 * train.batch_size - 1), what guessing scores"

    def __init__(self, config: RunConfig, *, mean: float, std: float) -> None:
        super().__init__(config, mean=mean, std=std)
        self.head = Projector(config.encoder.width, config.objective.projection_width)
        self._view_frames = config.view_frames
        for name, parameter in self.encoder.backbone.named_parameters():
            if name == "mask_token":  # of the convolutional backbone: nothing is masked, so it gets no gradient
                parameter.requires_grad_(False)

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """`starts` `[batch, 2]` and `fades` `[batch, 2, 2]`: see `draw_views`."""
        c = self.config
        return draw_views(batch, c.frames, c.view_frames, c.objective.fade_db, generator)

    def forward(self, frames: Tensor, draw: dict[str, Tensor]) -> Tensor:
        """See `Objective.forward`; the loss depends on how many examples there are."""
        views = cut_views(frames, draw["starts"], draw["fades"], self._view_frames)  # [2B, T, M]
        tokens = self.encoder.backbone(self.encoder.patches(views))  # [2B, n, D]
        projected = F.normalize(self.head(tokens.mean(dim=1)).float(), dim=1)  # [2B, P]
        if self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            everything, first = _AllGather.apply(projected), dist.get_rank() * len(projected)
        else:
            everything, first = projected, 0
        return nt_xent(projected, everything, first, self.config.objective.temperature)


class Projector(nn.Module):
    """Two layers with a ReLU between, the first as wide as the encoder."""

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


class _AllGather(torch.autograd.Function):
    """Rows of all processes, in the order of their ranks; gradients come back to the process they belong to."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        share = len(gradient) // dist.get_world_size()
        return gradient[dist.get_rank() * share :][:share]


NATS_PER_DB = math.log(10) / 10  # log-mels are natural logarithms of power


def draw_views(
    batch: int, frames: int, view_frames: int, fade_db: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Where two views of each example begin, and by how much their level changes.

    Arguments:
        batch: examples.
        frames: length of an example.
        view_frames: length of a view.
        fade_db: largest change of level, in dB.
        generator: of the draws.

    Returns:
        `starts` int64 `[batch, 2]`, in frames, uniform; `fades` float32 `[batch, 2, 2]`, in dB, uniform: the change
        of level at the first and at the last frame of a view.
    """
    starts = torch.randint(frames - view_frames + 1, (batch, 2), generator=generator)
    fades = (2 * torch.rand(batch, 2, 2, generator=generator) - 1) * fade_db
    return {"starts": starts, "fades": fades}


def cut_views(frames: Tensor, starts: Tensor, fades: Tensor, view_frames: int) -> Tensor:
    """The two views of each example.

    The level runs linearly in dB from one end to the other: the random linear fader of BYOL-A (Niizumi et al.,
    arXiv 2204.07402), in which a random gain is contained.

    Arguments:
        frames: log-mels `[B, frames, mels]`, not normalised.
        starts, fades: from `draw_views`.
        view_frames: length of a view.

    Returns:
        `[2B, view_frames, mels]`: the first views of all examples, then the second ones.
    """
    device = frames.device
    example = torch.arange(len(frames), device=device).repeat(2)[:, None]  # [2B, 1]
    time = starts.T.reshape(-1, 1) + torch.arange(view_frames, device=device)  # [2B, T]
    ends = fades.transpose(0, 1).reshape(-1, 2, 1) * NATS_PER_DB  # [2B, 2, 1]
    ramp = torch.linspace(0, 1, view_frames, device=device)  # [T]
    fade = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * ramp  # [2B, T]
    return frames[example, time] + fade[:, :, None]
