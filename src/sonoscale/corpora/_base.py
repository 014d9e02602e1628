"""What every corpus can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sonoscale.errors import SonoscaleError


class Corpus(Protocol):
    """Clips by index. Picklable, so that workers can read in parallel."""

    @property
    def sample_rate(self) -> int:
        """Hz."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """JSON-able: equal for two corpora only if their audio is the same, wherever it lies."""
        ...

    def __len__(self) -> int: ...

    def wave(self, index: int) -> np.ndarray:
        """float32 `[samples]`, mono, nominally in [-1, 1]."""
        ...

    def name(self, index: int) -> str:
        """What to call clip `index` in a message: a path or a readable id."""
        ...


class AudioCorpus(Corpus, Protocol):
    """Clips by index, with what is known of each without decoding it. Picklable.

    `wave` raises `SonoscaleError` for a clip that turns out to be damaged; the others stay readable.
    """

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Name and reason of what was found and is not a clip here: broken headers, missing files, cut shards."""
        ...

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """Name of and remark on each clip that is there but not all of its recording: its header has no length."""
        ...

    def seconds(self, index: int) -> float | None:
        """Length of a clip by its header or manifest, at the rate it is stored in; None if they do not say."""
        ...

    def group(self, index: int) -> str:
        """The recording that a clip was cut from: clips of one group are not independent."""
        ...

    def row(self, index: int) -> Mapping[str, Any]:
        """What is said of a clip: columns of its manifest, its json, its labels. Chunks of a clip share it."""
        ...

    def part(self, indices: Sequence[int]) -> AudioCorpus:
        """The clips at `indices` alone, in that order, with nothing in `skipped`."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """A corpus that can give a part of itself, which is less to send to a worker."""

    def part(self, indices: Sequence[int]) -> Corpus:
        """The clips at `indices`, in that order."""
        ...


def sound_wave(corpus: Corpus, index: int) -> np.ndarray:
    """The wave of a clip that is all there.

    Raises:
        SonoscaleError: it cannot be read, holds no samples or NaN, or its file is known to be cut off.
    """
    cut_off = getattr(corpus, "cut_off", None)
    if cut_off is not None and (reason := cut_off(index)):
        raise SonoscaleError(reason)
    wave = corpus.wave(index)
    if not len(wave):
        raise SonoscaleError("holds no samples")
    if not np.isfinite(wave).all():
        raise SonoscaleError("NaN or infinite samples")
    return wave


@dataclass(frozen=True)
class Subset:
    """Some clips of a corpus, in a given order."""

    corpus: Corpus
    indices: tuple[int, ...]

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.corpus.sample_rate

    @property
    def identity(self) -> dict[str, Any]:
        """The corpus and which of its clips."""
        return {"subset_of": self.corpus.identity, "indices": list(self.indices)}

    def __len__(self) -> int:
        return len(self.indices)

    def part(self, indices: Sequence[int]) -> Corpus:
        """The clips at `indices` alone, as little of the whole as the corpus can do with."""
        chosen = [self.indices[i] for i in indices]
        whole = self.corpus
        return whole.part(chosen) if isinstance(whole, Divisible) else take(whole, chosen)

    def wave(self, index: int) -> np.ndarray:
        """See `Corpus.wave`."""
        return self.corpus.wave(self.indices[index])

    def name(self, index: int) -> str:
        """See `Corpus.name`."""
        return self.corpus.name(self.indices[index])


@dataclass(frozen=True)
class Joined:
    """Several corpora one after the other."""

    parts: tuple[Corpus, ...]

    @property
    def sample_rate(self) -> int:
        """Hz, the same for all parts."""
        return self.parts[0].sample_rate

    @property
    def identity(self) -> dict[str, Any]:
        """The parts, in order."""
        return {"joined": [part.identity for part in self.parts]}

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def wave(self, index: int) -> np.ndarray:
        """See `Corpus.wave`."""
        part, i = self.locate(index)
        return part.wave(i)

    def name(self, index: int) -> str:
        """See `Corpus.name`."""
        part, i = self.locate(index)
        return part.name(i)

    def locate(self, index: int) -> tuple[Corpus, int]:
        """The part that clip `index` is in, and its index there."""
        for part in self.parts:
            if index < len(part):
                return part, index
            index -= len(part)
        raise IndexError(index)


def take(corpus: Corpus, indices: Sequence[int]) -> Subset:
    """The clips of `corpus` at `indices`.

    Arguments:
        corpus: any corpus.
        indices: of clips, in the order wanted.

    Returns:
        The clips, read from `corpus` when they are needed.

    Example:
        >>> from sonoscale.corpora import open_corpus
        >>> len(take(open_corpus("procedural?clips=8&seconds=0.5"), [5, 0, 2]))
        3
    """
    return Subset(corpus, tuple(int(i) for i in indices))
