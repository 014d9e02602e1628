"""A convolutional network that halves the log-mel until a patch is a place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonoscale.encoders._config import EncoderConfig
from sonoscale.encoders._positions import grid_length
from sonoscale.encoders._vit import gather_rows, init_weights


class Halving(nn.Module):
    """3 x 3 convolution with a stride, norm of the channels at each place, GELU."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, time, mel, inputs]` -> `[batch, time / stride, mel / stride, outputs]`."""
        return F.gelu(self.norm(_convolve(self.conv, x)))


class ResidualBlock(nn.Module):
    """Norm, GELU and a 3 x 3 convolution, twice, with one residual (He et al., arXiv 1603.05027)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, time, mel, width]` -> the same; beyond the edges there are zeros."""
        y = _convolve(self.conv1, F.gelu(self.norm1(x)))
        return x + _convolve(self.conv2, F.gelu(self.norm2(y)))


def _convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`[B, T, M, C]` -> the same with other channels; channels stay last in memory."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class PatchCNN(nn.Module):
    """Log-mel -> tokens, by strided convolutions that end where each patch is one place, and residual blocks there.

    Of the kind of BYOL-A's encoder (Niizumi et al., arXiv 2204.07402) and CNN14 (Kong et al., arXiv 1912.10211): few
    channels where places are many. Unlike the tokens of the other backbones, neighbouring ones share what lies between
    them: a token's first convolutions reach over the edges of its patch. Hidden patches are silenced: they are set to
    the mean of the training log-mels.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = (1, *config.stem_channels)
        self.stem = nn.ModuleList(
            Halving(*pair, stride) for *pair, stride in zip(channels, channels[1:], config.stem_strides, strict=False)
        )
        self.blocks = nn.ModuleList(ResidualBlock(config.width) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.apply(init_weights)

    def forward(self, patches: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens after the final norm; arguments and result as in `PatchViT.forward`."""
        if visible is not None:
            seen = torch.zeros(patches.shape[:2], dtype=torch.bool, device=patches.device).scatter(1, visible, True)
            patches = torch.where(seen[:, :, None], patches, 0.0)
        x = self._stem(patches)  # [B, T, M, D]
        for block in self.blocks:
            x = block(x)
        x = x.flatten(1, 2)  # [B, N, D]
        return self.norm(x if visible is None else gather_rows(x, visible))

    def forward_layers(self, patches: Tensor) -> Tensor:
        """Tokens after the strided convolutions and each block: `[B, N, P]` -> `[depth + 1, B, N, width]`."""
        x = self._stem(patches)
        layers = [x]
        for block in self.blocks:
            x = block(x)
            layers.append(x)
        layers[-1] = self.norm(x)
        return torch.stack(layers).flatten(2, 3)

    def _stem(self, patches: Tensor) -> Tensor:
        c = self.config
        steps = grid_length(patches.shape[1], c.mel_patches)
        grid = patches.unflatten(2, (c.patch_frames, c.patch_mels)).unflatten(1, (steps, c.mel_patches))
        x = grid.transpose(2, 3).flatten(3, 4).flatten(1, 2)[..., None]  # [B, T * frames, M * mels, 1]
        for halving in self.stem:
            x = halving(x)
        return x
