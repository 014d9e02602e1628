"""An isotropic ConvNeXt on patches of a log-mel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonoscale.encoders._config import EncoderConfig
from sonoscale.encoders._positions import grid_length
from sonoscale.encoders._vit import gather_rows, init_weights


class ConvBlock(nn.Module):
    """Depthwise convolution over the grid, norm, MLP at each place, with one residual (arXiv 2201.03545, figure 4).

    Without layer scale, as in the paper's isotropic models of 18 blocks.
    """

    def __init__(self, width: int, kernel: int, mlp_width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, time, mel, width]` -> the same; beyond the edges there are zeros."""
        y = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # channels last in memory all along
        return x + self.fc2(F.gelu(self.fc1(self.norm(y))))


class PatchConvNeXt(nn.Module):
    """Patches -> tokens, by the isotropic ConvNeXt of Liu et al. (arXiv 2201.03545, section 3.3).

    A token takes the place of each hidden patch from after the patch embedding on, learned and the same for all,
    as in SimMIM (Xie et al., arXiv 2111.09886): the convolutions run over the whole grid. There are no position
    codes; places differ by their neighbourhood and by the zeros beyond the edges.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.patch_size, config.width)
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.blocks = nn.ModuleList(
            ConvBlock(config.width, config.kernel, config.mlp_width) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.apply(init_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, patches: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens after the final norm; arguments and result as in `PatchViT.forward`."""
        if visible is None:
            x = self.embed(patches)  # [B, N, D]
        else:
            seen = self.embed(gather_rows(patches, visible))  # [B, k, D]
            places = visible[:, :, None].expand_as(seen)
            empty = self.mask_token.to(seen.dtype).expand(*patches.shape[:2], -1)  # [B, N, D]
            x = empty.scatter(1, places, seen)
        x = self._grid(x)
        for block in self.blocks:
            x = block(x)
        x = x.flatten(1, 2)  # [B, N, D]
        return self.norm(x if visible is None else gather_rows(x, visible))

    def forward_layers(self, patches: Tensor) -> Tensor:
        """Tokens after each layer, as in `PatchViT.forward_layers`: `[B, N, P]` -> `[depth + 1, B, N, width]`."""
        x = self._grid(self.embed(patches))
        layers = [x]
        for block in self.blocks:
            x = block(x)
            layers.append(x)
        layers[-1] = self.norm(x)
        return torch.stack(layers).flatten(2, 3)

    def _grid(self, x: Tensor) -> Tensor:
        bands = self.config.mel_patches
        return x.unflatten(1, (grid_length(x.shape[1], bands), bands))  # [B, T, M, D]
