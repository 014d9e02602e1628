"""The interface of X-ARES (https://github.com/jimbozhang/xares)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sonoscale.encoders import AudioEncoder, EncoderConfig
from sonoscale.export._code.steps import at_least_one_patch, steps_in_pieces, tokens_in_pieces

CONFIG: dict[str, Any] = {}  # shape of the encoder
WEIGHTS = ""  # name of the file beside this one
READOUT = "mean"  # what the mean over frames is: mean, or frequency


class SonoscaleEncoder(nn.Module):
    """A frame per patch length. X-ARES caches by the name of this class, so it holds a hash of the weights.

    Attributes:
        sampling_rate: Hz.
        output_dim: width of a frame.
        hop_size_in_ms: from frame to frame.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = AudioEncoder(EncoderConfig(**CONFIG))
        weights = Path(__file__).with_name(WEIGHTS)
        self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        c = self.network.config
        self.sampling_rate, self.output_dim = self.network.sample_rate, self.network.dim
        if READOUT == "frequency":
            self.output_dim *= c.mel_patches
        self.hop_size_in_ms = 1000 * c.patch_frames * c.front_end.hop / c.front_end.sample_rate
        self.eval()

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor:
        """Mono clips at `sampling_rate`, `[samples]` or `[batch, samples]` -> float32 `[batch, frames, output_dim]`.

        A clip shorter than one patch is followed by silence; one of more than 30 s is taken in pieces of 30 s, whose
        frames follow one another. No frame stems from padding alone.
        """
        wave = audio[None] if audio.ndim == 1 else audio
        if wave.ndim != 2:
            raise ValueError(f"audio must be [samples] or [batch, samples], not {list(audio.shape)}")
        wave = at_least_one_patch(self.network, wave.float())
        if READOUT == "frequency":
            return tokens_in_pieces(self.network, wave).flatten(2)  # the patches of a step side by side
        return steps_in_pieces(self.network, wave)
