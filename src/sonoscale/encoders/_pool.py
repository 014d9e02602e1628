"""From tokens to one row per clip; carried into exports as it stands."""

from __future__ import annotations

import torch
from torch import Tensor


def pool(tokens: Tensor, mel_patches: int, name: str) -> Tensor:
    """A readout, by its name: tokens `[..., T * mel_patches, D]`, time-major -> `[..., R]`."""
    what, _, spread = name.partition("+")
    if what == "frequency":
        tokens = tokens.unflatten(-2, (-1, mel_patches)).flatten(-2)  # [..., T, M * D]
    mean = tokens.mean(dim=-2)
    return torch.cat([mean, tokens.std(dim=-2, correction=0)], dim=-1) if spread else mean


def pool_dim(dim: int, mel_patches: int, name: str) -> int:
    """How many numbers a readout has of tokens of width `dim`."""
    return dim * (mel_patches if name.startswith("frequency") else 1) * (2 if name.endswith("+std") else 1)
