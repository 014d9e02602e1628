"""Readouts: what a probe reads of an encoder's tokens, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
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
        tokens: `[B, T * mel_patches, D]`, time-major, as our own encoders give them.
        mel_patches: patches along frequency.
        name: `mean`, the mean over all tokens; `mean+std`, that and the standard deviation (of the population), `2 D`
            numbers; `frequency`, the mean over time of each patch along frequency, lowest first, `mel_patches * D`
            numbers; `frequency+std`, those means and then the deviations over time, `2 * mel_patches * D` numbers.

    Returns:
        `[B, R]`, in the dtype of the tokens.

    Raises:
        SonoscaleError: there is no such readout.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[1.0], [10.0], [3.0], [10.0]]])  # two steps of two patches along frequency
        >>> {name: readout(tokens, 2, name)[0].tolist() for name in ("mean", "frequency", "frequency+std")}
        {'mean': [6.0], 'frequency': [2.0, 10.0], 'frequency+std': [2.0, 10.0, 1.0, 0.0]}
    """
    import torch

    check_readout(name)
    what, _, spread = name.partition("+")
    if what == "frequency":
        tokens = tokens.unflatten(1, (-1, mel_patches)).flatten(2)  # [B, T, M * D]
    mean = tokens.mean(dim=1)
    return torch.cat([mean, tokens.std(dim=1, correction=0)], dim=1) if spread else mean


def readout_dim(dim: int, mel_patches: int, name: str) -> int:
    """How many numbers a readout has of tokens of width `dim`."""
    check_readout(name)
    return dim * (mel_patches if name.startswith("frequency") else 1) * (2 if name.endswith("+std") else 1)


def with_readout(encoder: Encoder, name: str) -> Encoder:
    """The encoder whose `embed` gives this readout: for `mean` the encoder itself, whose `embed` it is.

    Encoders with patches along frequency are read by their tokens, all others by the steps of `embed_frames`.

    Raises:
        SonoscaleError: there is no such readout, or the encoder does not give what it reads.
    """
    check_readout(name)
    return encoder if name == "mean" else ReadoutEncoder(encoder, name)


class ReadoutEncoder:
    """An encoder read out in another way than by `embed`; implements `Encoder`, without layers.

    Where clips are longer than the encoder takes, they are read part by part, and the parts averaged.
    """

    layers = None

    def __init__(self, encoder: Encoder, name: str) -> None:
        import torch

        self._encoder, self._name = encoder, name
        self._mel_patches: int | None = getattr(encoder, "frequency_patches", None)
        if name.startswith("frequency") and self._mel_patches is None:
            raise SonoscaleError(
                f"{encoder.identity}: readout {name} needs patches along frequency, which this encoder does not give; "
                "read mean or mean+std"
            )
        self.sample_rate, self.min_samples = encoder.sample_rate, encoder.min_samples
        self.max_samples: int | None = getattr(encoder, "max_samples", None)
        self.precision: Any = getattr(encoder, "precision", "fp32")
        self.identity = f"{encoder.identity} readout={name}"
        samples = max(self.sample_rate, self.min_samples)
        noise = 0.1 * torch.randn(
            1, min(samples, self.max_samples or samples), generator=torch.Generator().manual_seed(0)
        )
        try:
            with torch.inference_mode():
                self.dim = self.embed(noise).shape[1]
        except NotImplementedError as error:
            raise SonoscaleError(f"{encoder.identity}: gives no frames, which readout {name} reads") from error

    def embed(self, wave: Tensor) -> Tensor:
        """float32 `[batch, dim]`: the readout."""
        if self._mel_patches is None:
            return readout(self._encoder.embed_frames(wave)[0].float(), 1, self._name)
        encoder: Any = self._encoder
        return readout(encoder.embed_tokens(wave).float(), self._mel_patches, self._name)

    def embed_layers(self, wave: Tensor) -> Tensor:
        """Raises:
        SonoscaleError: always; layers are read by their token mean.
        """
        raise SonoscaleError(f"{self.identity}: gives no layers; every layer is read by its mean")

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the encoder."""
        return self._encoder.embed_frames(wave)
