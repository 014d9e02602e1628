"""What every encoder can do, ours or not."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Encoder(Protocol):
    """Waveform to embedding.

    All waveforms are float32 `[batch, samples]`, mono, in [-1, 1], at `sample_rate`; the clips of one call have
    one length, so nothing is padded and a clip's embedding does not depend on its neighbours.
    """

    @property
    def sample_rate(self) -> int:
        """Hz."""
        ...

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        ...

    @property
    def layers(self) -> int | None:
        """How many layers `embed_layers` gives; None for an encoder that gives none."""
        ...

    @property
    def identity(self) -> str:
        """What a record says of the encoder: where it came from, and hashes or versions of what it consists of."""
        ...

    @property
    def min_samples(self) -> int:
        """Shortest clip that can be embedded, in samples."""
        ...

    def embed(self, wave: Tensor) -> Tensor:
        """float32 `[batch, dim]`: the mean over non-special tokens after the final norm."""
        ...

    def embed_layers(self, wave: Tensor) -> Tensor:
        """float32 `[layers, batch, dim]`: the mean over tokens of each layer, the last equal to `embed`.

        Raises:
            SonoscaleError: the encoder gives no layers.
        """
        ...

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """float32 `[batch, steps, dim]`, and float32 `[steps]`: the centre of each step in ms.

        Raises:
            SonoscaleError: the encoder gives no frames.
        """
        ...
