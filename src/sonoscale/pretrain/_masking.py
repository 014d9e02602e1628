"""Which patches an encoder sees: masks of one training step, by strategy.

The patches of an example form a grid of `time_patches` columns by `mel_patches` bands, numbered time-major:
patch = column * mel_patches + band. Every example of a batch has the same number of visible patches, `kept`.

- `random`: patches are hidden uniformly (MAE, He et al., arXiv 2111.06377).
- `time`, `frequency`: whole columns, or whole bands, are hidden (Audio-MAE, Huang et al., arXiv 2207.06405).
- `time-frequency`: some columns and some bands are hidden; what neither hides is visible (Audio-MAE).
- `block`: overlapping rectangles are hidden (SSAST, Gong et al., arXiv 2110.09784, with squares of a random size).
- `inverse-block`: overlapping rectangles stay visible (data2vec 2.0, Baevski et al., arXiv 2212.07525; EAT, Chen et
  al., arXiv 2401.03497).
- `grouped`: tiles of 2 x 2 patches, smaller at the far edges, are hidden uniformly (SimMIM, Xie et al., arXiv
  2111.09886).

Rectangles are 5 x 5 as in EAT, but no longer than two thirds of the grid along either axis (rounded down): 5 x 2 on
12 x 4. Up to half of one may lie beyond the edge, where it is cut off; fewer reach the ends of the grid than its
middle (on 12 x 4 with 3 of 4 patches hidden, `block` shows the first column twice as often as the sixth). Rectangles
and tiles are drawn without repetition until the count is reached. Of the last one only a part is taken, patch by patch
and column after column from one of its corners, drawn per example, so that the part holds together.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sonoscale.pretrain._objective_config import GROUP, block_shape, check_mask, columns_and_bands


def draw_masks(
    strategy: str, batch: int, time_patches: int, mel_patches: int, kept: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Masks of a batch, each example's independent of the others'.

    How much is drawn from the generator depends on the other arguments alone.

    Arguments:
        strategy: one of `MASKS`.
        batch: number of examples.
        time_patches, mel_patches: columns and bands of the grid of patches.
        kept: visible patches of an example, a number that the strategy can give; see `kept_patches`.
        generator: on the CPU.

    Returns:
        int64 `[batch, kept]` and `[batch, patches - kept]`: the visible and the hidden patches of each example,
        each in increasing order.

    Raises:
        ValueError: as `check_mask`.
    """
    check_mask(strategy, time_patches, mel_patches, kept)
    if strategy in ("time", "frequency", "time-frequency"):
        r, c = columns_and_bands(strategy, time_patches, mel_patches, kept)
        columns = _some(batch, time_patches, r, generator)  # [B, T]
        bands = _some(batch, mel_patches, c, generator)  # [B, F]
        seen = (columns[:, :, None] & bands[:, None, :]).flatten(1)  # [B, N]
        return seen.nonzero()[:, 1].view(batch, kept), (~seen).nonzero()[:, 1].view(batch, -1)
    if strategy == "random":
        order = torch.rand(batch, time_patches * mel_patches, generator=generator).argsort(dim=1)
    else:
        turn = _group_turns if strategy == "grouped" else _block_turns
        order = _in_turn(turn(batch, time_patches, mel_patches, generator), generator)  # [B, N]
        if strategy != "inverse-block":
            order = order.flip(1)  # first come, first hidden
    return order[:, :kept].sort(dim=1).values, order[:, kept:].sort(dim=1).values


def _some(batch: int, n: int, k: int, generator: torch.Generator) -> Tensor:
    """bool `[batch, n]`, with `k` true in each row."""
    order = torch.rand(batch, n, generator=generator).argsort(dim=1)
    return torch.zeros(batch, n, dtype=torch.bool).scatter_(1, order[:, :k], True)


def _ranks(batch: int, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """float32 `[batch, rows, columns]`: each example holds 0, 1, 2, ... in random order."""
    order = torch.rand(batch, rows * columns, generator=generator).argsort(dim=1)
    places = torch.arange(rows * columns, dtype=torch.float32).expand_as(order)
    return torch.empty(order.shape).scatter_(1, order, places).view(batch, rows, columns)


def _block_turns(batch: int, time_patches: int, mel_patches: int, generator: torch.Generator) -> Tensor:
    """`[B, T, F]`: how many blocks are drawn before the first that covers each patch."""
    h, w = block_shape(time_patches, mel_patches)
    over_h, over_w = h // 2, w // 2  # how far a block may lie beyond the edge
    ranks = _ranks(batch, time_patches - h + 2 * over_h + 1, mel_patches - w + 2 * over_w + 1, generator)
    pad_h, pad_w = h - 1 - over_h, w - 1 - over_w
    places = F.pad(-ranks, (pad_w, pad_w, pad_h, pad_h), value=-math.inf)  # [B, T + h - 1, F + w - 1]
    return -F.max_pool2d(places[:, None], (h, w), stride=1)[:, 0]


def _group_turns(batch: int, time_patches: int, mel_patches: int, generator: torch.Generator) -> Tensor:
    """`[B, T, F]`: how many tiles are drawn before that of each patch."""
    ranks = _ranks(batch, -(-time_patches // GROUP), -(-mel_patches // GROUP), generator)
    cells = ranks.repeat_interleave(GROUP, dim=1).repeat_interleave(GROUP, dim=2)
    return cells[:, :time_patches, :mel_patches]


def _in_turn(turns: Tensor, generator: torch.Generator) -> Tensor:
    """int64 `[B, N]`: patches by turn `[B, T, F]`; of one turn, column by column from a corner of the example's own."""
    b, t, f = turns.shape
    from_far = torch.rand(b, 2, generator=generator) < 0.5
    column = torch.where(from_far[:, :1], torch.arange(t - 1, -1, -1), torch.arange(t))  # [B, T]
    band = torch.where(from_far[:, 1:], torch.arange(f - 1, -1, -1), torch.arange(f))  # [B, F]
    place = column[:, :, None] * f + band[:, None, :]
    return (turns.long() * (t * f) + place).flatten(1).argsort(dim=1)
