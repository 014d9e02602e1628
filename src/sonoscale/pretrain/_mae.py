"""The masked autoencoder (He et al., arXiv 2111.06377; on log-mels, Huang et al., arXiv 2207.06405) and its decoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonoscale.encoders import Block, gather_rows, init_weights, sincos_positions
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._masking import draw_masks
from sonoscale.pretrain._objective import Objective


def normalise_patches(patches: Tensor) -> Tensor:
    """Each patch minus its mean over its deviation (the variance is raised by 1e-6)."""
    return F.layer_norm(patches, patches.shape[-1:], eps=1e-6)


class MaskedAutoencoder(Objective):
    """Encoder on the visible patches, decoder for the hidden ones.

    The loss is the mean squared error on the hidden patches, each normalised by its own mean and deviation.
    """

    floor = "1.0, what predicting each patch's mean scores"

    def __init__(self, config: RunConfig, *, mean: float, std: float) -> None:
        super().__init__(config, mean=mean, std=std)
        self.decoder = Decoder(config, config.encoder.patch_size)

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """`visible` `[batch, kept]` and `hidden` `[batch, patches - kept]`, int64."""
        return masks_of_step(self.config, batch, generator)

    def forward(self, frames: Tensor, draw: dict[str, Tensor]) -> Tensor:
        """See `Objective.forward`."""
        visible, hidden = draw["visible"], draw["hidden"]
        patches = self.encoder.patches(frames)  # [B, N, P]
        tokens = self.encoder.backbone(patches, visible)  # [B, kept, D]
        predicted = self.decoder(tokens, visible, hidden)  # [B, hidden, P]
        return F.mse_loss(predicted.float(), normalise_patches(gather_rows(patches, hidden)))


def masks_of_step(config: RunConfig, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The masks of a batch, as `Objective.draw` gives them."""
    visible, hidden = draw_masks(
        config.objective.mask, batch, config.time_patches, config.encoder.mel_patches, config.kept, generator
    )
    return {"visible": visible, "hidden": hidden}


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
