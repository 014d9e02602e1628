"""A convolutional network that halves the log-mel until a patch is a place."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonoscale.encoders._config import EncoderConfig
from sonoscale.encoders._positions import grid_length
from sonoscale.encoders._vit import gather_rows, init_weights


class Halving(nn.Module):
    """3 x 3 convolution with a stride, norm over the clip, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm = nn.GroupNorm(1, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, inputs, time, mel]` -> `[batch, outputs, time / stride, mel / stride]`."""
        return F.relu(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    """Norm over the clip, ReLU and a 3 x 3 convolution, twice, with one residual (He et al., arXiv 1603.05027)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(1, width), nn.GroupNorm(1, width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, width, time, mel]` -> the same; beyond the edges there are zeros."""
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class PatchCNN(nn.Module):
    """Log-mel -> tokens, by strided convolutions that end where each patch is one place, and residual blocks there.

    Of the kind of BYOL-A's encoder (Niizumi et al., arXiv 2204.07402) and CNN14 (Kong et al., arXiv 1912.10211): few
    channels where places are many. Norms are over all places and channels of a clip (a group norm of one group), so
    a clip does not depend on its batch, as it would with batch norms, and keeps what tells its places apart, which a
    norm at each place takes away. A token's first convolutions reach over the edges of its patch. Hidden patches are
    set to the mean of the training log-mels.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        pairs = itertools.pairwise([1, *config.stem_channels])
        self.stem = nn.ModuleList(
            Halving(*channels, stride) for channels, stride in zip(pairs, config.stem_strides, strict=True)
        )
        self.blocks = nn.ModuleList(ResidualBlock(config.width) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.apply(init_weights)

    def forward(self, patches: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens after the final norm; arguments and result as in `PatchViT.forward`."""
        if visible is not None:
            seen = torch.zeros(patches.shape[:2], dtype=torch.bool, device=patches.device).scatter(1, visible, True)
            patches = torch.where(seen[:, :, None], patches, 0.0)
        x = self._stem(patches)  # [B, D, T, M]
        for block in self.blocks:
            x = block(x)
        x = _tokens(x)  # [B, N, D]
        return self.norm(x if visible is None else gather_rows(x, visible))

    def forward_layers(self, patches: Tensor) -> Tensor:
        """Tokens after the strided convolutions and each block: `[B, N, P]` -> `[depth + 1, B, N, width]`."""
        x = self._stem(patches)
        layers = [_tokens(x)]
        for block in self.blocks:
            x = block(x)
            layers.append(_tokens(x))
        layers[-1] = self.norm(layers[-1])
        return torch.stack(layers)

    def _stem(self, patches: Tensor) -> Tensor:
        c = self.config
        steps = grid_length(patches.shape[1], c.mel_patches)
        grid = patches.unflatten(2, (c.patch_frames, c.patch_mels)).unflatten(1, (steps, c.mel_patches))
        x = grid.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # [B, T * frames, M * mels]
        x = x[:, None].contiguous(memory_format=torch.channels_last)  # channels stay last in memory all along
        for halving in self.stem:
            x = halving(x)
        return x


def _tokens(x: Tensor) -> Tensor:
    """`[B, D, T, M]` -> `[B, T * M, D]`."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)
