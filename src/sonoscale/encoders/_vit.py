"""A pre-norm vision transformer on patches of a log-mel, without a class token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonoscale.encoders._attention import attend
from sonoscale.encoders._config import EncoderConfig
from sonoscale.encoders._positions import positions_like


def patchify(frames: Tensor, patch_frames: int, patch_mels: int) -> Tensor:
    """Cut log-mels into patches, dropping the frames after the last whole patch.

    Arguments:
        frames: `[batch, frames, mels]`, time first.
        patch_frames, patch_mels: size of a patch.

    Returns:
        `[batch, time_patches * mel_patches, patch_frames * patch_mels]`, time-major.

    Example:
        >>> patchify(torch.zeros(2, 35, 64), 16, 16).shape  # three frames are dropped
        torch.Size([2, 8, 256])
    """
    b, t, m = frames.shape
    tp, mp = t // patch_frames, m // patch_mels
    grid = frames[:, : tp * patch_frames].reshape(b, tp, patch_frames, mp, patch_mels)
    return grid.transpose(2, 3).reshape(b, tp * mp, patch_frames * patch_mels)


class Block(nn.Module):
    """Pre-norm transformer block: attention, then MLP, each with a residual."""

    def __init__(self, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, tokens, width]` -> the same."""
        x = x + self.out(attend(self.qkv(self.norm1(x)), self.heads))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class PatchViT(nn.Module):
    """Patches -> tokens. Hidden patches are dropped before the first block, as in MAE (arXiv 2111.06377)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.patch_size, config.width)
        self.blocks = nn.ModuleList(Block(config.width, config.n_heads, config.mlp_width) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.apply(init_weights)

    def forward(self, patches: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens after the final norm.

        Arguments:
            patches: `[B, N, P]`, in the order of `patchify`.
            visible: int64 `[B, k]`, the patches to see; None for all.

        Returns:
            `[B, k, width]`, in the order of `visible`, or `[B, N, width]`.
        """
        positions = self._positions(patches)  # [N, D]
        if visible is not None:
            patches, positions = gather_rows(patches, visible), positions[visible]  # [B, k, P], [B, k, D]
        x = self.embed(patches) + positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward_layers(self, patches: Tensor) -> Tensor:
        """Tokens after the patch embedding and after each block: `[B, N, P]` -> `[depth + 1, B, N, width]`.

        The last layer has the final norm, so it equals `forward`.
        """
        x = self.embed(patches) + self._positions(patches)
        layers = [x]
        for block in self.blocks:
            x = block(x)
            layers.append(x)
        layers[-1] = self.norm(x)
        return torch.stack(layers)

    def _positions(self, patches: Tensor) -> Tensor:
        return positions_like(self.embed.weight, patches.shape[1], self.config.mel_patches)


def gather_rows(rows: Tensor, index: Tensor) -> Tensor:
    """Rows `index` `[B, k]` of `rows` `[B, N, P]`: `[B, k, P]`, as one copy of whole rows."""
    b, n, p = rows.shape
    flat = (index + torch.arange(b, device=index.device)[:, None] * n).flatten()
    return rows.reshape(b * n, p).index_select(0, flat).view(b, -1, p)


def init_weights(module: nn.Module) -> None:
    """Xavier-uniform matrices, as in MAE (arXiv 2111.06377); kernels that keep the variance; zero biases."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
    elif isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
