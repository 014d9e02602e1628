"""Two views of a clip: crops in time whose level is faded."""

from __future__ import annotations

import math

import torch
from torch import Tensor

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
