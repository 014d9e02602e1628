"""An isotropic ConvNeXt on patches of a log-mel."""

from __future__ import annotations

from typing import Any

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
        y = convolve_depthwise(x.permute(0, 3, 1, 2), self.conv).permute(
            0, 2, 3, 1
        )  # channels last in memory all along
        return x + self.fc2(F.gelu(self.fc1(self.norm(y))))


def convolve_depthwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """`conv(x)`, `[batch, width, time, mel]` -> the same, of a convolution that keeps sizes and has a group a channel.

    On the CPU it keeps the type of the kernel under autocast, and in training the gradient of the kernel is found
    twenty times faster than by PyTorch's.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return conv(x)
    with torch.autocast("cpu", enabled=False):
        if not (torch.is_grad_enabled() and conv.weight.requires_grad and conv.bias is not None):
            return conv(x.to(conv.weight.dtype))
        return _Depthwise.apply(x.to(conv.weight.dtype), conv.weight, conv.bias)


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution on a grid of a few hundred places at most.

    Gradient of the kernel: of each channel, the products of all places of the input with all places of the gradient,
    summed over the batch (one matrix product), of which each diagonal belongs to one offset.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(x, kernel)
        return F.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2, groups=len(kernel))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, kernel = ctx.saved_tensors
        (b, d, t, m), reach = x.shape, kernel.shape[-1] // 2
        into = None
        if ctx.needs_input_grad[0]:
            into = F.conv2d(gradient, kernel.flip(2, 3), padding=reach, groups=d)
        rows, columns = (each.permute(1, 2, 3, 0).reshape(d, t * m, b) for each in (gradient, x))
        products = torch.bmm(rows, columns.mT).view(d, t, m, t, m)  # [D, of the gradient, of the input]
        found = torch.zeros_like(kernel)
        for i in range(max(-reach, 1 - t), min(reach, t - 1) + 1):
            along = products.diagonal(i, 1, 3)  # [D, mel, mel, time]
            for j in range(max(-reach, 1 - m), min(reach, m - 1) + 1):
                found[:, 0, reach + i, reach + j] = along.diagonal(j, 1, 2).sum((1, 2))
        return into, found, gradient.sum((0, 2, 3))


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
