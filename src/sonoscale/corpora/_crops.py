"""Lengths of clips and parts of them, of any corpus, decoding no more than needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from sonoscale.corpora._base import Corpus, Joined, Subset
from sonoscale.errors import SonoscaleError


@runtime_checkable
class Croppable(Protocol):
    """A corpus that knows how long its clips are and reads parts of them."""

    def samples(self, indices: Sequence[int]) -> np.ndarray:
        """Length of the clips at `indices` at `sample_rate`, int64 `[len(indices)]`."""
        ...

    def crop(self, index: int, start: int, stop: int) -> np.ndarray:
        """`wave(index)[start:stop]`, to rounding where the clip is resampled (1e-6)."""
        ...


def clip_samples(corpus: Corpus, indices: Sequence[int]) -> np.ndarray:
    """Length of clips in samples at the corpus's rate, int64 `[len(indices)]`.

    Known from headers and indexes; clips of a corpus without them are decoded.

    Raises:
        SonoscaleError: the header of a clip cannot be read (named).
    """
    if isinstance(corpus, Croppable):
        return corpus.samples(indices)
    if isinstance(corpus, Subset):
        return clip_samples(corpus.corpus, [corpus.indices[i] for i in indices])
    if isinstance(corpus, Joined):
        located = [corpus.locate(i) for i in indices]
        return np.array([clip_samples(part, [i])[0] for part, i in located], dtype=np.int64)
    return np.array([len(corpus.wave(i)) for i in indices], dtype=np.int64)


def crop(corpus: Corpus, index: int, start: int, stop: int) -> np.ndarray:
    """Samples `start` to `stop` of a clip.

    Returns:
        float32 `[stop - start]`, mono.

    Raises:
        SonoscaleError: the clip is not there, cannot be decoded, or ends before `stop` (named).
    """
    if isinstance(corpus, Subset):
        return crop(corpus.corpus, corpus.indices[index], start, stop)
    if isinstance(corpus, Joined):
        part, i = corpus.locate(index)
        return crop(part, i, start, stop)
    try:
        part = corpus.crop(index, start, stop) if isinstance(corpus, Croppable) else corpus.wave(index)[start:stop]
    except SonoscaleError as error:
        name = corpus.name(index)
        raise error if name in str(error) else SonoscaleError(f"{name}: {error}") from error
    if len(part) != stop - start:
        raise SonoscaleError(
            f"{corpus.name(index)}: ends at sample {start + len(part)}, before its header says (sample {stop} was "
            "asked for); leave this file out, or decode it again"
        )
    return part
