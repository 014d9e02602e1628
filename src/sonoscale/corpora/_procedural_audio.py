"""The procedural corpus under the protocol of `open_corpus`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self
from urllib.parse import parse_qsl

import numpy as np
import soxr

from sonoscale.audio._crop import resampled_length
from sonoscale.corpora.procedural import ProceduralCorpus
from sonoscale.errors import SonoscaleError

_MOST = 10_000_000  # clips that one spec may ask for
_NUMBERS = {"clips": int, "seed": int, "seconds": float}


@dataclass(frozen=True)
class ProceduralAudio:
    """Synthesised clips; each is its own recording, and its row holds its labels."""

    split: str
    clips: int
    seed: int
    length: float
    domains: tuple[str, ...]
    indices: Sequence[int]
    sample_rate: int

    @classmethod
    def parse(cls, spec: str, *, sample_rate: int) -> ProceduralAudio:
        """From `procedural[:split][?clips=1024&seed=0&seconds=2&domains=speech,music,environment]`.

        Without a split it is the held-out one, which no pre-training here uses.

        Raises:
            SonoscaleError: an option is unknown or out of its range.
        """
        head, _, query = spec.partition("?")
        options: dict[str, Any] = {}
        for key, text in parse_qsl(query, keep_blank_values=True):
            if key == "domains":
                options[key] = tuple(text.split(","))
            elif key in _NUMBERS:
                try:
                    options[key] = _NUMBERS[key](text)
                except ValueError:
                    raise SonoscaleError(f"{spec}: {key}={text}: a number is needed") from None
            else:
                raise SonoscaleError(f"{spec}: no option '{key}'; there are clips, seed, seconds and domains")
        clips, seconds = options.get("clips", 1024), options.get("seconds", 2.0)
        if clips > _MOST:
            raise SonoscaleError(f"{spec}: clips={clips}: at most {_MOST:,}")
        split = head.partition(":")[2] or "heldout"
        corpus = ProceduralCorpus(split, clips, options.get("seed", 0), seconds, **_only(options, "domains"))
        return cls(split, clips, corpus.seed, seconds, tuple(corpus.domains), range(clips), sample_rate)

    @cached_property
    def _corpus(self) -> ProceduralCorpus:
        return ProceduralCorpus(self.split, self.clips, self.seed, self.length, self.domains)

    @property
    def identity(self) -> dict[str, Any]:
        """See `Corpus.identity`."""
        whole = len(self.indices) == self.clips and all(i == index for i, index in enumerate(self.indices))
        chosen = {} if whole else {"indices": list(self.indices)}
        return {"kind": "procedural", "of": self._corpus.identity, "rate": self.sample_rate, **chosen}

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Nothing."""
        return ()

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """None."""
        return ()

    def __len__(self) -> int:
        return len(self.indices)

    def part(self, indices: Sequence[int]) -> Self:
        """See `AudioCorpus.part`."""
        return replace(self, indices=tuple(self.indices[i] for i in indices))

    def wave(self, index: int) -> np.ndarray:
        """See `Corpus.wave`."""
        wave = self._corpus.wave(self.indices[index])
        rate = self._corpus.sample_rate
        return wave if rate == self.sample_rate else soxr.resample(wave, rate, self.sample_rate, quality="HQ")

    def samples(self, indices: Sequence[int]) -> np.ndarray:
        """See `Croppable.samples`."""
        length = round(self.length * self._corpus.sample_rate)
        return np.full(len(indices), resampled_length(length, self._corpus.sample_rate, self.sample_rate), np.int64)

    def crop(self, index: int, start: int, stop: int) -> np.ndarray:
        """See `Croppable.crop`; the whole clip is synthesised."""
        return self.wave(index)[start:stop]

    def name(self, index: int) -> str:
        """See `Corpus.name`."""
        return self._corpus.name(self.indices[index])

    def seconds(self, index: int) -> float | None:
        """See `AudioCorpus.seconds`."""
        return round(self.length * self._corpus.sample_rate) / self._corpus.sample_rate

    def group(self, index: int) -> str:
        """The clip's own name."""
        return self.name(index)

    def row(self, index: int) -> Mapping[str, Any]:
        """Domain, language, word, instrument, material, pitch and event, where they apply."""
        return {key: value for key, value in self._corpus.labels(self.indices[index]).items() if value}


def _only(options: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: options[key] for key in keys if key in options}
