"""What an adapter of foreign code gives; `CheckedEncoder` makes an encoder of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sonoscale.errors import SonoscaleError


class Adapter:
    """Foreign code behind our names. Nothing is checked here: all of it is, once, in `CheckedEncoder`.

    Its methods are called in inference mode, with waves on the right device, and may return tensors or arrays.

    Attributes:
        sample_rate, dim, layers, identity, min_samples: as in `Encoder`.
        max_samples: longest clip that can be embedded, in samples; None if any length can be.
        frame_dim: width of a step of `embed_frames`, where it differs from `dim`.
        frequency_patches: tokens for each step in time, of which `embed_tokens` gives all; None if it gives none.
        layer_tokens: whether `embed_layer_tokens` gives the tokens of every layer.
        embed_is_token_mean: whether `embed` is the mean of the tokens, or of the frames where it gives no tokens.
    """

    sample_rate: int
    dim: int
    identity: str
    layers: int | None = None
    min_samples: int = 1
    max_samples: int | None = None
    frame_dim: int | None = None
    frequency_patches: int | None = None
    layer_tokens: bool = False
    embed_is_token_mean: bool = False
    why_no_layers: str = "its interface has none"
    why_no_frames: str = "its interface has none"

    def embed(self, wave: Tensor) -> Any:
        """`[batch, samples]` -> `[batch, dim]`."""
        raise NotImplementedError

    def embed_layers(self, wave: Tensor) -> Any:
        """`[batch, samples]` -> `[layers, batch, dim]`."""
        raise SonoscaleError(f"gives no layers: {self.why_no_layers}")

    def embed_frames(self, wave: Tensor) -> tuple[Any, Any]:
        """`[batch, samples]` -> `[batch, steps, frame_dim]` and their centres in ms, `[steps]`."""
        raise SonoscaleError(f"gives no frames: {self.why_no_frames}")

    def embed_tokens(self, wave: Tensor) -> Any:
        """`[batch, samples]` -> `[batch, steps * frequency_patches, frame_dim]`, time-major."""
        raise SonoscaleError("gives no tokens")

    def embed_layer_tokens(self, wave: Tensor) -> Any:
        """`[batch, samples]` -> `[layers, batch, tokens, dim]`: the tokens, or else the frames, of every layer."""
        raise SonoscaleError("gives no tokens of its layers")


def probe_wave(adapter: Adapter, device: torch.device) -> Tensor:
    """A second of noise, or the length nearest to that which the adapter takes: float32 `[1, samples]`."""
    samples = max(adapter.sample_rate, adapter.min_samples)
    samples = min(samples, adapter.max_samples or samples)
    noise = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    return (0.1 * noise).to(device)


def even_centres(steps: int, samples: int, sample_rate: int) -> Tensor:
    """Centres in ms of `steps` equal parts of a clip: for frames whose own times are not known. `[steps]`."""
    return (torch.arange(steps) + 0.5) * (1000 * samples / sample_rate / max(1, steps))
