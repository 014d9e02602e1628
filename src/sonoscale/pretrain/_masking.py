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

MASKS: tuple[str, ...] = ("random", "time", "frequency", "time-frequency", "block", "inverse-block", "grouped")
"""Names of the strategies."""

_BLOCK = 5  # patches; longest side of a rectangle
_GROUP = 2  # patches; side of a tile


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
        r, c = _columns_and_bands(strategy, time_patches, mel_patches, kept)
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


def kept_patches(strategy: str, time_patches: int, mel_patches: int, ratio: float) -> int:
    """Visible patches of an example: of the numbers that a strategy can give exactly, the nearest to a mask ratio.

    Whole columns or bands are rounded so that at least one is visible and one hidden. `time-frequency` takes the
    product of a number of columns and one of bands; of two equally near, the one that hides more alike shares of
    the columns and of the bands. All other strategies round to the nearest integer, which may be 0 or all patches,
    and so may any strategy on a grid that it cannot work on: `check_mask` refuses these.

    Arguments:
        strategy: one of `MASKS`.
        time_patches, mel_patches: columns and bands of the grid of patches.
        ratio: share of the patches to hide.

    Raises:
        ValueError: no such strategy.
    """
    _check_name(strategy)
    patches = time_patches * mel_patches
    if strategy == "time" and time_patches > 1:
        return min(max(round(time_patches * (1 - ratio)), 1), time_patches - 1) * mel_patches
    if strategy == "frequency" and mel_patches > 1:
        return min(max(round(mel_patches * (1 - ratio)), 1), mel_patches - 1) * time_patches
    target = patches * (1 - ratio)
    if strategy == "time-frequency" and min(time_patches, mel_patches) > 1:
        pairs = [
            (min(max(r, 1), time_patches - 1), c)
            for c in range(1, mel_patches)
            for r in (math.floor(target / c), math.ceil(target / c))
        ]
        r, c = min(pairs, key=lambda p: (round(abs(p[0] * p[1] - target), 6), _unlike(p, time_patches, mel_patches), p))
        return r * c
    return round(target)


def check_mask(strategy: str, time_patches: int, mel_patches: int, kept: int) -> None:
    """Refuse a mask that cannot be drawn.

    Arguments:
        strategy: one of `MASKS`.
        time_patches, mel_patches: columns and bands of the grid of patches.
        kept: visible patches of an example.

    Raises:
        ValueError: no such strategy, a grid too small for it, or a number of visible patches that it cannot give.
            The message names the keys of the run at fault, and what to change.
    """
    _check_name(strategy)
    longer, finer = "lengthen train.clip_seconds", "lower encoder.patch_mels"
    patches = time_patches * mel_patches
    if "time" in strategy and time_patches < 2:
        raise ValueError(
            f"objective.mask = {strategy} hides some columns of patches and leaves some, but a training example has "
            f"{time_patches}: {longer}, or choose another mask"
        )
    if "frequency" in strategy and mel_patches < 2:
        raise ValueError(
            f"objective.mask = {strategy} hides some bands of patches and leaves some, but the spectrogram has "
            f"{mel_patches}: {finer}, or choose another mask"
        )
    if "block" in strategy and max(_block_shape(time_patches, mel_patches)) < 2:
        raise ValueError(
            f"objective.mask = {strategy}: a block on a grid of {time_patches} x {mel_patches} patches would be a "
            f"single patch: {longer}, {finer}, or choose objective.mask = random"
        )
    if strategy == "grouped" and max(time_patches, mel_patches) <= _GROUP:
        raise ValueError(
            f"objective.mask = grouped hides some {_GROUP} x {_GROUP} groups of patches and leaves some, but a grid of "
            f"{time_patches} x {mel_patches} is one group: {longer}, {finer}, or choose objective.mask = random"
        )
    if not 1 <= kept < patches:
        raise ValueError(
            f"objective.mask_ratio leaves {kept} of {patches} patches visible; at least one must be visible and one "
            f"hidden: move it away from {1 if kept < 1 else 0}, or {longer}"
        )
    if strategy in ("time", "frequency", "time-frequency"):
        _columns_and_bands(strategy, time_patches, mel_patches, kept)


def _check_name(strategy: str) -> None:
    if strategy not in MASKS:
        raise ValueError(f"objective.mask = {strategy!r}: choose one of {', '.join(MASKS)}")


def _columns_and_bands(strategy: str, time_patches: int, mel_patches: int, kept: int) -> tuple[int, int]:
    """How many columns and how many bands are visible."""
    pairs = {
        "time": [(kept // mel_patches, mel_patches)],
        "frequency": [(time_patches, kept // time_patches)],
        "time-frequency": [(kept // c, c) for c in range(1, mel_patches) if 1 <= kept // c < time_patches],
    }[strategy]
    pairs = [(r, c) for r, c in pairs if r * c == kept]
    if not pairs:
        patches = time_patches * mel_patches
        near = kept_patches(strategy, time_patches, mel_patches, 1 - kept / patches)
        raise ValueError(
            f"objective.mask = {strategy} cannot leave {kept} patches visible on a grid of {time_patches} x "
            f"{mel_patches}: the nearest is {near}, at objective.mask_ratio = {1 - near / patches:.4g}"
        )
    return min(pairs, key=lambda p: (_unlike(p, time_patches, mel_patches), p))


def _unlike(pair: tuple[int, int], time_patches: int, mel_patches: int) -> int:
    """How far the visible share of the columns is from that of the bands, times the number of patches."""
    return abs(pair[0] * mel_patches - pair[1] * time_patches)


def _some(batch: int, n: int, k: int, generator: torch.Generator) -> Tensor:
    """bool `[batch, n]`, with `k` true in each row."""
    order = torch.rand(batch, n, generator=generator).argsort(dim=1)
    return torch.zeros(batch, n, dtype=torch.bool).scatter_(1, order[:, :k], True)


def _ranks(batch: int, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """float32 `[batch, rows, columns]`: each example holds 0, 1, 2, ... in random order."""
    order = torch.rand(batch, rows * columns, generator=generator).argsort(dim=1)
    places = torch.arange(rows * columns, dtype=torch.float32).expand_as(order)
    return torch.empty(order.shape).scatter_(1, order, places).view(batch, rows, columns)


def _block_shape(time_patches: int, mel_patches: int) -> tuple[int, int]:
    """Columns and bands of a block."""
    h, w = (max(1, min(_BLOCK, 2 * n // 3)) for n in (time_patches, mel_patches))
    return h, w


def _block_turns(batch: int, time_patches: int, mel_patches: int, generator: torch.Generator) -> Tensor:
    """`[B, T, F]`: how many blocks are drawn before the first that covers each patch."""
    h, w = _block_shape(time_patches, mel_patches)
    over_h, over_w = h // 2, w // 2  # how far a block may lie beyond the edge
    ranks = _ranks(batch, time_patches - h + 2 * over_h + 1, mel_patches - w + 2 * over_w + 1, generator)
    pad_h, pad_w = h - 1 - over_h, w - 1 - over_w
    places = F.pad(-ranks, (pad_w, pad_w, pad_h, pad_h), value=-math.inf)  # [B, T + h - 1, F + w - 1]
    return -F.max_pool2d(places[:, None], (h, w), stride=1)[:, 0]


def _group_turns(batch: int, time_patches: int, mel_patches: int, generator: torch.Generator) -> Tensor:
    """`[B, T, F]`: how many tiles are drawn before that of each patch."""
    ranks = _ranks(batch, -(-time_patches // _GROUP), -(-mel_patches // _GROUP), generator)
    cells = ranks.repeat_interleave(_GROUP, dim=1).repeat_interleave(_GROUP, dim=2)
    return cells[:, :time_patches, :mel_patches]


def _in_turn(turns: Tensor, generator: torch.Generator) -> Tensor:
    """int64 `[B, N]`: patches by turn `[B, T, F]`; of one turn, column by column from a corner of the example's own."""
    b, t, f = turns.shape
    from_far = torch.rand(b, 2, generator=generator) < 0.5
    column = torch.where(from_far[:, :1], torch.arange(t - 1, -1, -1), torch.arange(t))  # [B, T]
    band = torch.where(from_far[:, 1:], torch.arange(f - 1, -1, -1), torch.arange(f))  # [B, F]
    place = column[:, :, None] * f + band[:, None, :]
    return (turns.long() * (t * f) + place).flatten(1).argsort(dim=1)
