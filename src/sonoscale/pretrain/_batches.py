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
    so that nothing is padded. Of several processes, each draws the whole batch and reads its own rows of it.

    Arguments:
        store: log-mels.
        clips: use the first `clips` clips.
        frames: length of an example.
        batch_size: examples in a batch, of all processes together.
        seed: of order and crops.
        rank, world: which process this is, of how many; `world` divides `batch_size`.
    """

    def __init__(
        self, store: FeatureStore, *, clips: int, frames: int, batch_size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self.store = store
        self.clips = clips
        self.frames = frames
        self.batch_size = batch_size
        self.clips_seen = 0
        share = batch_size // world
        self._mine = slice(rank * share, (rank + 1) * share)
        self._lengths = store.lengths(clips)
        self._rng = np.random.default_rng([seed, 0xBA7C])
        self._order = np.empty(0, dtype=np.int64)
        self._cursor = 0

    def next(self) -> Tensor:
        """float32 `[batch / world, frames, mels]`: the rows of this process."""
        stored = self.store.frames
        start, stop = self._mine.start, self._mine.stop
        out = np.empty((stop - start, self.frames, stored.shape[1]), dtype=stored.dtype)
        for index in range(self.batch_size):
            row = out[index - start] if start <= index < stop else None
            filled = 0
            while filled < self.frames:
                clip = self._next_clip()
                length = int(self._lengths[clip])
                spare = length - (self.frames - filled)
                first = int(self._rng.integers(spare + 1)) if spare > 0 else 0
                taken = min(length - first, self.frames - filled)
                if row is not None:
                    row[filled : filled + taken] = self.store.clip(clip)[first : first + taken]
                filled += taken
        return torch.from_numpy(out).float()  # torch widens float16 several times faster than NumPy

    def state(self) -> dict[str, Any]:
        """Everything that decides the rest of the stream: tensors and plain values."""
        return {
            "rng": self._rng.bit_generator.state,
            "order": torch.from_numpy(self._order.copy()),
            "cursor": self._cursor,
            "clips_seen": self.clips_seen,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._rng.bit_generator.state = state["rng"]
        self._order = state["order"].numpy().copy()
        self._cursor = state["cursor"]
        self.clips_seen = state["clips_seen"]

    def _next_clip(self) -> int:
        if self._cursor == len(self._order):
            self._order = self._rng.permutation(self.clips)
            self._cursor = 0
        self._cursor += 1
        self.clips_seen += 1
        return int(self._order[self._cursor - 1])
