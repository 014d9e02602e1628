"""The masked autoencoder (He et al., arXiv 2111.06377; on log-mels, Huang et al., arXiv 2207.06405)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonoscale.encoders import AudioEncoder, Block, init_weights, sincos_positions
from sonoscale.pretrain._config import RunConfig


def random_masks(batch: int, patches: int, kept: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Independent uniformly random masks.

    Returns:
        int64 `[batch, kept]` and `[batch, patches - kept]`: the visible and the hidden patches of each example,
        each in increasing order.
    """
    order = torch.rand(batch, patches, generator=generator).argsort(dim=1)
    return order[:, :kept].sort(dim=1).values, order[:, kept:].sort(dim=1).values


def normalise_patches(patches: Tensor) -> Tensor:
    """Each patch minus its mean over its deviation (the variance is raised by 1e-6)."""
    centred = patches - patches.mean(dim=-1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + 1e-6)


class Decoder(nn.Module):
    """Light transformer: tokens of visible patches -> predictions of hidden ones."""

    positions: Tensor

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        enc, width = config.encoder, config.decoder_width
        heads = next(h for h in range(max(1, width // 32), 0, -1) if width % h == 0)
        self.embed = nn.Linear(enc.width, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(
            Block(width, heads, round(width * enc.mlp_ratio)) for _ in range(config.objective.decoder_depth)
        )
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, enc.patch_size)
        positions = sincos_positions(config.time_patches, enc.mel_patches, width)
        self.register_buffer("positions", positions, persistent=False)  # [patches, width]
        self.apply(init_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """`[B, kept, encoder width]` -> `[B, hidden, patch]`."""
        x = self.embed(tokens)  # [B, kept, D]
        x = torch.cat([x, self.mask_token.expand(x.shape[0], hidden.shape[1], -1)], dim=1)
        x = x + self.positions[torch.cat([visible, hidden], dim=1)]  # attention has no order, so none is restored
        for block in self.blocks:
            x = block(x)
        return self.predict(self.norm(x[:, visible.shape[1] :]))


class MaskedAutoencoder(nn.Module):
    """Encoder on the visible patches, decoder for the hidden ones.

    Arguments:
        config: the run.
        mean, std: of the training log-mels.
    """

    positions: Tensor

    def __init__(self, config: RunConfig, *, mean: float, std: float) -> None:
        super().__init__()
        self.config = config
        self.encoder = AudioEncoder(config.encoder, mean=mean, std=std)
        self.decoder = Decoder(config)
        self.register_buffer("positions", self.encoder.positions(config.patches), persistent=False)

    def forward(self, frames: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Mean squared error on the hidden patches.

        Arguments:
            frames: log-mels `[B, frames, mels]`, not normalised.
            visible, hidden: from `random_masks`.

        Returns:
            a scalar; 1 is what predicting each patch's mean scores.
        """
        patches = self.encoder.patches(frames)  # [B, N, P]
        tokens = self.encoder.backbone(_gather(patches, visible), self.positions[visible])  # [B, kept, D]
        predicted = self.decoder(tokens, visible, hidden)  # [B, hidden, P]
        return (predicted - normalise_patches(_gather(patches, hidden))).square().mean()


def _gather(patches: Tensor, index: Tensor) -> Tensor:
    """Rows `index` `[B, k]` of `patches` `[B, N, P]`: `[B, k, P]`, as one copy of whole rows."""
    b, n, p = patches.shape
    rows = (index + torch.arange(b, device=index.device)[:, None] * n).flatten()
    return patches.reshape(b * n, p).index_select(0, rows).view(b, -1, p)
