"""Tokens of visible patches -> predictions for hidden ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonoscale.encoders import Block, init_weights, sincos_positions
from sonoscale.pretrain._config import RunConfig


class Decoder(nn.Module):
    """Light transformer over the visible tokens and one mask token for each hidden patch.

    Whatever the backbone, it takes only the tokens of visible patches.

    Arguments:
        config: the run; its objective gives depth and width.
        outputs: numbers to predict for a hidden patch.
    """

    positions: Tensor

    def __init__(self, config: RunConfig, outputs: int) -> None:
        super().__init__()
        enc, width = config.encoder, config.decoder_width
        self.embed = nn.Linear(enc.width, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(
            Block(width, config.decoder_heads, config.decoder_mlp_width) for _ in range(config.objective.decoder_depth)
        )
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, outputs)
        positions = sincos_positions(config.time_patches, enc.mel_patches, width)
        self.register_buffer("positions", positions, persistent=False)  # [patches, width]
        self.apply(init_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """`[B, kept, encoder width]`, and indices `[B, kept]` and `[B, hidden]` -> `[B, hidden, outputs]`."""
        x = self.embed(tokens)  # [B, kept, D]
        masked = self.mask_token.to(x.dtype).expand(x.shape[0], hidden.shape[1], -1)
        x = torch.cat([x, masked], dim=1)
        x = x + self.positions[torch.cat([visible, hidden], dim=1)]  # attention has no order, so none is restored
        for block in self.blocks:
            x = block(x)
        return self.predict(self.norm(x[:, visible.shape[1] :]))
