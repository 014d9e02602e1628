"""Fixed sine-cosine positions on the time-frequency grid."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from sonoscale.errors import SonoscaleError


def sincos_positions(time_patches: int, mel_patches: int, dim: int) -> Tensor:
    """2-D sine-cosine positions: half of the dimensions encode time, half frequency.

    Each half is the 1-D code of Vaswani et al. (arXiv 1706.03762) of the patch's index on its axis, as in MAE
    (He et al., arXiv 2111.06377). Rows follow the order of `patchify`: time-major, so row `t * mel_patches + f`
    stands at time t and band f, and a longer clip only adds rows.

    Arguments:
        time_patches, mel_patches: size of the grid.
        dim: width of a position, a multiple of 4.

    Returns:
        float32 `[time_patches * mel_patches, dim]`.
    """
    if dim % 4:
        raise SonoscaleError(f"2-D sine-cosine positions need a dimension divisible by 4, not {dim}")
    time = _sincos(time_patches, dim // 2)[:, None, :].expand(-1, mel_patches, -1)
    band = _sincos(mel_patches, dim // 2)[None, :, :].expand(time_patches, -1, -1)
    return torch.cat([time, band], dim=-1).reshape(time_patches * mel_patches, dim)


def positions_like(weight: Tensor, patches: int, mel_patches: int) -> Tensor:
    """The positions of the first `patches` patches, on the device and of the type of a weight.

    Kept between calls, outside of any module: they are in no state dict and follow the weights to any device.

    Arguments:
        weight: `[width, ...]`, of which a position takes width, device and type.
        patches: a multiple of `mel_patches`.
        mel_patches: patches along the mel axis.

    Returns:
        `[patches, width]`.

    Raises:
        SonoscaleError: `patches` is no multiple of `mel_patches`.
    """
    time_patches = grid_length(patches, mel_patches)
    rows = 1 << (time_patches - 1).bit_length()  # a power of two, so that clips of many lengths share few grids
    return _grid(rows, mel_patches, weight.shape[0], weight.device, weight.dtype)[:patches]


def grid_length(patches: int, mel_patches: int) -> int:
    """Patches along time of a grid of `patches` patches; it must be whole."""
    if patches % mel_patches:
        raise SonoscaleError(f"{patches} patches are no whole number of columns of {mel_patches} patches")
    return patches // mel_patches


@lru_cache(maxsize=64)
def _grid(time_patches: int, mel_patches: int, dim: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # a tensor made in inference mode could not be used in training
        return sincos_positions(time_patches, mel_patches, dim).to(device, dtype)


def _sincos(length: int, dim: int) -> Tensor:
    # On the CPU also where models are made on no device, whose tensors of numbers take seconds of imports.
    rates = 10_000.0 ** -(torch.arange(dim // 2, dtype=torch.float64, device="cpu") / (dim // 2))
    angles = torch.arange(length, dtype=torch.float64, device="cpu")[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
