"""Which audio it is, and which of its clips were heard."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np

from sonoscale.corpora import AudioCorpus


def identity_of(corpus: AudioCorpus) -> str:
    """A short name of what the audio is, wherever it lies."""
    told = corpus.identity
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return f"{told.get('kind', 'audio')}, {len(corpus)} clips, {digest}"


def clip_hashes(corpus: AudioCorpus, indices: np.ndarray) -> np.ndarray:
    """64 bits for each clip, ascending: the same for the same clip at the rates of different encoders.

    Over its name and its length to the millisecond, by its header: at the rate of an encoder it would be rounded
    another way.
    """

    def hashed(index: int) -> int:
        told = f"{corpus.name(index)}\0{round(1000 * (corpus.seconds(index) or 0.0))}"
        return int.from_bytes(hashlib.blake2b(os.fsencode(told), digest_size=8).digest(), "little")

    return np.sort(np.fromiter((hashed(int(i)) for i in indices), dtype=np.uint64, count=len(indices)))
