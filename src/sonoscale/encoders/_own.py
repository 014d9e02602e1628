"""Sonoscale's own encoder as a checked one."""

from __future__ import annotations

import torch
from torch import Tensor

from sonoscale.encoders._adapter import Adapter
from sonoscale.encoders._audio_encoder import AudioEncoder
from sonoscale.encoders._identity import identity


class OwnEncoder(Adapter):
    """An `AudioEncoder`, in eval mode and on its device.

    Its own frames are all its patches: only whole ones are made, nothing is padded, and there is no special token.
    Log-mels stay in float32 under any precision.
    """

    layer_tokens = True
    embed_is_token_mean = True

    def __init__(self, encoder: AudioEncoder, spec: str) -> None:
        self._encoder = encoder
        self.sample_rate, self.dim, self.layers = encoder.sample_rate, encoder.dim, encoder.layers
        self.min_samples, self.frequency_patches = encoder.min_samples, encoder.frequency_patches
        self.identity = identity(spec, encoder.identity)

    def _logmel(self, wave: Tensor) -> Tensor:
        with torch.autocast(wave.device.type, enabled=False):
            return self._encoder.front_end(wave).transpose(1, 2)

    def embed(self, wave: Tensor) -> Tensor:
        return self._encoder.tokens(self._logmel(wave)).float().mean(dim=1)

    def embed_layers(self, wave: Tensor) -> Tensor:
        return self.embed_layer_tokens(wave).mean(dim=2)

    def embed_layer_tokens(self, wave: Tensor) -> Tensor:
        return self._encoder.layer_tokens_of(self._logmel(wave)).float()

    def embed_tokens(self, wave: Tensor) -> Tensor:
        return self._encoder.tokens(self._logmel(wave)).float()

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.embed_tokens(wave)
        steps = tokens.unflatten(1, (-1, self._encoder.config.mel_patches)).mean(dim=2)
        return steps, self._encoder.centres(steps.shape[1])
