"""What is to be known of an encoder without keeping it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from torch import Tensor

from sonoscale.encoders import Encoder
from sonoscale.encoders._checked import Precision, identity_at
from sonoscale.errors import SonoscaleError


@dataclass(frozen=True)
class EncoderFacts:
    """An `Encoder` that is described but not loaded: the model is elsewhere.

    Attributes:
        sample_rate, dim, layers, identity, min_samples: as in `Encoder`.
        max_samples: longest clip, in samples; None if any length can be.
    """

    sample_rate: int
    dim: int
    layers: int | None
    identity: str
    min_samples: int
    max_samples: int | None

    @classmethod
    def of(cls, encoder: Encoder, *, precision: Precision | None = None) -> EncoderFacts:
        """What an encoder says of itself.

        Arguments:
            encoder: loaded.
            precision: that it will have where it runs, if it was loaded here in fp32 for its numbers alone.
        """
        return cls(
            encoder.sample_rate, encoder.dim, getattr(encoder, "layers", None),
            identity_at(encoder.identity, precision or "fp32"),
            encoder.min_samples, getattr(encoder, "max_samples", None),
        )  # fmt: skip

    def embed(self, wave: Tensor) -> NoReturn:
        """There is no model here."""
        raise SonoscaleError(f"{self.identity}: is not loaded here")

    def embed_layers(self, wave: Tensor) -> NoReturn:
        """There is no model here."""
        self.embed(wave)

    def embed_frames(self, wave: Tensor) -> NoReturn:
        """There is no model here."""
        self.embed(wave)


def lengths_for_all(encoders: Sequence[EncoderFacts], max_seconds: float) -> tuple[float, float]:
    """The longest and the shortest clip, in seconds, that every encoder takes, the first at most `max_seconds`.

    Raises:
        SonoscaleError: no clip suits all.
    """
    most, least = max_seconds, 0.0
    for each in encoders:
        most = min(most, each.max_samples / each.sample_rate) if each.max_samples else most
        least = max(least, each.min_samples / each.sample_rate)
    if least > most:
        shortest = [f"{each.identity} from {each.min_samples / each.sample_rate:.3f} s" for each in encoders]
        raise SonoscaleError(
            f"no clip of up to {most:.3f} s is long enough for all encoders: they take {', '.join(shortest)}"
        )
    return most, least
