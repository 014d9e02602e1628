"""Readouts: what a probe reads of an encoder's tokens, by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from sonoscale.encoders._protocol import Encoder

Readout = Literal["mean", "mean+std", "frequency", "frequency+std"]
READOUTS: tuple[str, ...] = get_args(Readout)


def check_readout(name: str) -> None:
    """Raises:
    SonoscaleError: there is no readout of this name.
    """
    if name not in READOUTS:
        raise SonoscaleError(f"readouts: there is no {name!r}; there are {', '.join(READOUTS)}")


def readout(tokens: Tensor, mel_patches: int, name: str) -> Tensor:
    """What a probe reads of tokens, none of which is padding.

    Arguments:
        tokens: `[..., T * mel_patches, D]`, time-major, as our own encoders give them: of a batch `[B, N, D]`, of all
            layers `[L, B, N, D]`.
        mel_patches: patches along frequency.
        name: `mean`, the mean over all tokens; `mean+std`, that and the standard deviation (of the population), `2 D`
            numbers; `frequency`, the mean over time of each patch along frequency, lowest first, `mel_patches * D`
            numbers; `frequency+std`, those means and then the deviations over time, `2 * mel_patches * D` numbers.

    Returns:
        `[..., R]`, in the dtype of the tokens.

    Raises:
        SonoscaleError: there is no such readout.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[1.0], [10.0], [3.0], [10.0]]])  # two steps of two patches along frequency
        >>> {name: readout(tokens, 2, name)[0].tolist() for name in ("mean", "frequency", "frequency+std")}
        {'mean': [6.0], 'frequency': [2.0, 10.0], 'frequency+std': [2.0, 10.0, 1.0, 0.0]}
    """
    from sonoscale.encoders._pool import pool

    check_readout(name)
    return pool(tokens, mel_patches, name)


def readout_dim(dim: int, mel_patches: int, name: str) -> int:
    """How many numbers a readout has of tokens of width `dim`."""
    from sonoscale.encoders._pool import pool_dim

    check_readout(name)
    return pool_dim(dim, mel_patches, name)


def with_readouts(encoder: Encoder, names: Sequence[str]) -> Encoder:
    """The encoder whose `embed` gives these readouts side by side, in one forward pass.

    For `mean` alone it is the encoder itself, whose `embed` it is. Encoders with patches along frequency are read by
    their tokens, all others by the steps of `embed_frames`.

    Raises:
        SonoscaleError: there is no such readout, or the encoder does not give what it reads.
    """
    for name in names:
        check_readout(name)
    return encoder if list(names) == ["mean"] else ReadoutEncoder(encoder, names)


class ReadoutEncoder:
    """An encoder read out otherwise than by `embed`, in one way or several; implements `Encoder`.

    Layers are read out alike, where the encoder gives the tokens of each. Where clips are longer than the encoder
    takes, they are read part by part, and the parts averaged.

    Attributes:
        widths: readout -> how many numbers it has; they lie side by side in this order.
    """

    def __init__(self, encoder: Encoder, names: Sequence[str]) -> None:
        import torch

        self._encoder: Any = encoder
        self._names = tuple(dict.fromkeys(names))
        self._mel_patches: int | None = getattr(encoder, "frequency_patches", None)
        by_frequency = next((name for name in self._names if name.startswith("frequency")), None)
        if by_frequency and self._mel_patches is None:
            raise SonoscaleError(
                f"{encoder.identity}: readout {by_frequency} needs patches along frequency, which this encoder does "
                "not give; read mean or mean+std"
            )
        self.layers: int | None = encoder.layers if getattr(encoder, "layer_tokens", False) else None
        self.sample_rate, self.min_samples = encoder.sample_rate, encoder.min_samples
        self.max_samples: int | None = getattr(encoder, "max_samples", None)
        self.precision: Any = getattr(encoder, "precision", "fp32")
        self.identity = f"{encoder.identity} readout={','.join(self._names)}"
        samples = max(self.sample_rate, self.min_samples)
        noise = 0.1 * torch.randn(
            1, min(samples, self.max_samples or samples), generator=torch.Generator().manual_seed(0)
        )
        try:
            with torch.inference_mode():
                self.widths = {name: part.shape[1] for name, part in self._read(noise).items()}
        except NotImplementedError as error:
            raise SonoscaleError(
                f"{encoder.identity}: gives no frames, which readout {self._names[-1]} reads"
            ) from error
        self.dim = sum(self.widths.values())

    def embed(self, wave: Tensor) -> Tensor:
        """float32 `[batch, dim]`: the readouts side by side."""
        import torch

        return torch.cat(list(self._read(wave).values()), dim=1)

    def embed_layers(self, wave: Tensor) -> Tensor:
        """float32 `[layers, batch, dim]`: the readouts of each layer side by side.

        Raises:
            SonoscaleError: the encoder does not give the tokens of its layers.
        """
        import torch

        if self.layers is None:
            raise SonoscaleError(f"{self.identity}: gives no tokens of its layers; these are read by their mean")
        tokens = self._encoder.embed_layer_tokens(wave).float()
        return torch.cat([readout(tokens, self._mel_patches or 1, name) for name in self._names], dim=2)

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the encoder."""
        return self._encoder.embed_frames(wave)

    def split(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Rows `[..., dim]` as this encoder embeds them -> `[..., R]` of each readout."""
        ends = list(itertools.accumulate(self.widths.values()))
        return {
            name: rows[..., end - width : end] for (name, width), end in zip(self.widths.items(), ends, strict=True)
        }

    def _read(self, wave: Tensor) -> dict[str, Tensor]:
        """Every readout; the tokens are made once."""
        tokens = (
            self._encoder.embed_frames(wave)[0] if self._mel_patches is None else self._encoder.embed_tokens(wave)
        ).float()
        own_mean = not getattr(self._encoder, "embed_is_token_mean", False)
        return {
            name: self._encoder.embed(wave).float()
            if name == "mean" and own_mean
            else readout(tokens, self._mel_patches or 1, name)
            for name in self._names
        }
