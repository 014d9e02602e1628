"""Two views of every clip: what a contrast is to find alike."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sonoscale.pretrain._objective_config import ObjectiveConfig

NATS_PER_DB = math.log(10) / 10  # log-mels are natural logarithms of power


def draw_views(
    batch: int, frames: int, view_frames: int, config: ObjectiveConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """All that is random in two views of each example, every number uniform in its range.

    How much is drawn from the generator does not depend on the configuration.

    Arguments:
        batch: examples.
        frames: length of an example.
        view_frames: length of a view.
        config: `fade_db`, `mixup`, `resize_time` and `resize_mels`.
        generator: on the CPU.

    Returns:
        `starts` int64 `[batch, 2]`: first frame of a view. `fades` float32 `[batch, 2, 2]`: change of level at its
        first and at its last frame, in dB. `partners` int64 `[batch, 2]`: example that is mixed into it, never
        itself. `shares` float32 `[batch, 2]`: the share of the other's power. `windows` float32 `[batch, 2, 4]`: how
        long a stretch of time and how wide a band become the view, as parts of it, and where their middles lie
        between the first and last at which they fit, from -1 to 1.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, 2, generator=generator)

    starts = torch.randint(frames - view_frames + 1, (batch, 2), generator=generator)
    fades = torch.stack([uniform(-config.fade_db, config.fade_db) for _ in range(2)], dim=-1)
    others = torch.randint(1, max(2, batch), (batch, 2), generator=generator)
    partners = (torch.arange(batch)[:, None] + others) % batch
    sizes = uniform(config.resize_time, 1 / config.resize_time), uniform(config.resize_mels, 1)
    windows = torch.stack([*sizes, uniform(-1, 1), uniform(-1, 1)], dim=-1)
    shares = uniform(0, config.mixup)
    return {"starts": starts, "fades": fades, "partners": partners, "shares": shares, "windows": windows}


def cut_views(frames: Tensor, everything: Tensor, draw: dict[str, Tensor], view_frames: int) -> Tensor:
    """The two views of each example.

    They are made as in BYOL-A (Niizumi et al., arXiv 2204.07402), each of its own draws: a stretch of the example;
    another example mixed into it, as the sum of their powers; a window of it resized in time and in frequency; and a
    level that runs linearly in dB from one end to the other, in which a random gain is contained. A window that is
    longer than the view begins and ends with the frames at its edges, repeated.

    Arguments:
        frames: log-mels `[B, frames, mels]`, not normalised.
        everything: the examples `[n, frames, mels]` that `partners` count.
        draw: from `draw_views`.
        view_frames: length of a view.

    Returns:
        `[2B, view_frames, mels]`: the first views of all examples, then the second ones.
    """
    drawn = {name: rows.transpose(0, 1).flatten(0, 1) for name, rows in draw.items()}  # [2B, ...]
    example = torch.arange(len(frames), device=frames.device).repeat(2)[:, None]  # [2B, 1]
    time = drawn["starts"][:, None] + torch.arange(view_frames, device=frames.device)  # [2B, T]
    views, share = frames[example, time], drawn["shares"][:, None, None]  # [2B, T, M], [2B, 1, 1]
    other = everything[drawn["partners"][:, None] % len(everything), time]  # fewer where only a part is at hand
    views = torch.logaddexp(views + torch.log1p(-share), other + torch.log(share))
    views = _resized(views, drawn["windows"])
    first, last = (drawn["fades"] * NATS_PER_DB)[:, :, None].unbind(1)  # [2B, 1] each
    return views + (first + (last - first) * torch.linspace(0, 1, view_frames, device=frames.device))[:, :, None]


def _resized(views: Tensor, windows: Tensor) -> Tensor:
    """Windows of `[B, T, M]`, resized to it by bilinear interpolation."""
    size, place = windows.view(-1, 2, 2).unbind(1)  # [B, 2] each, time and mel
    middle = place * (1 - size).abs()
    (time, mels) = (
        torch.linspace(-1, 1, length, device=views.device) * size[:, axis, None] + middle[:, axis, None]
        for axis, length in enumerate(views.shape[1:])
    )  # [B, T], [B, M]; -1 and 1 are the first and the last
    grid = torch.stack([mels[:, None, :].expand_as(views), time[:, :, None].expand_as(views)], dim=-1)  # [B, T, M, 2]
    return F.grid_sample(views[:, None], grid, padding_mode="border", align_corners=True)[:, 0]
