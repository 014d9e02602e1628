"""Training examples out of a feature store."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonoscale.corpora import FeatureStore


class Batches:
    """An endless stream of batches: clips in shuffled order, epoch after epoch, each cropped at random.

    A clip that is shorter than an example is followed by the next clips of the order until the example is full,
    so that nothing is padded.

    Arguments:
        store: log-mels.
        clips: use the first `clips` clips.
        frames: length of an example.
        batch_size: examples in a batch.
        seed: of order and crops.
    """

    def __init__(self, store: FeatureStore, *, clips: int, frames: int, batch_size: int, seed: int) -> None:
        self.store = store
        self.clips = clips
        self.frames = frames
        self.batch_size = batch_size
        self.clips_seen = 0
        self._rng = np.random.default_rng([seed, 0xBA7C])
        self._order = np.empty(0, dtype=np.int64)
        self._cursor = 0

    def next(self) -> Tensor:
        """float32 `[batch, frames, mels]`."""
        stored = self.store.frames
        out = np.empty((self.batch_size, self.frames, stored.shape[1]), dtype=stored.dtype)
        for row in out:
            filled = 0
            while filled < self.frames:
                clip = self.store.clip(self._next_clip())
                spare = len(clip) - (self.frames - filled)
                start = int(self._rng.integers(spare + 1)) if spare > 0 else 0
                piece = clip[start : start + self.frames - filled]
                row[filled : filled + len(piece)] = piece
                filled += len(piece)
        return torch.from_numpy(out).float()  # torch widens float16 several times faster than NumPy

    def state(self) -> dict[str, Any]:
        """Everything that decides the rest of the stream."""
        return {
            "rng": self._rng.bit_generator.state,
            "order": self._order,
            "cursor": self._cursor,
            "clips_seen": self.clips_seen,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._rng.bit_generator.state = state["rng"]
        self._order = state["order"]
        self._cursor = state["cursor"]
        self.clips_seen = state["clips_seen"]

    def _next_clip(self) -> int:
        if self._cursor == len(self._order):
            self._order = self._rng.permutation(self.clips)
            self._cursor = 0
        self._cursor += 1
        self.clips_seen += 1
        return int(self._order[self._cursor - 1])
