"""Fixed sine-cosine positions on the time-frequency grid."""

from __future__ import annotations

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


def _sincos(length: int, dim: int) -> Tensor:
    rates = 10_000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
