"""Training examples out of a store of log-mels or of waveforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

Part = tuple[int, int, int]
"""Of a clip: its index, the first frame, and how many frames."""

Read = TypeVar("Read")
Read_co = TypeVar("Read_co", covariant=True)


class Store(Protocol[Read_co]):
    """Clips of known lengths, of which parts can be read: log-mels (`FeatureStore`) or waveforms (`WaveStore`)."""

    @property
    def hop_seconds(self) -> float:
        """From one frame to the next."""
        ...

    def __len__(self) -> int: ...

    def lengths(self, clips: int | None = None) -> np.ndarray:
        """Frames of the first `clips` clips (by default all), int64 `[clips]`."""
        ...

    def seconds(self, clips: int | None = None) -> float:
        """Audio in the first `clips` clips, as the frames cover it."""
        ...

    def statistics(self, clips: int | None = None) -> tuple[float, float]:
        """Mean and standard deviation of the log-mels of the first `clips` clips."""
        ...

    def read(self, rows: Sequence[Sequence[Part]]) -> Read_co:
        """One example a row, all of as many frames, each made of its parts one after the other."""
        ...


class Batches(Generic[Read]):
    """An endless stream of batches: clips in shuffled order, epoch after epoch, each cropped at random.

    A clip that is shorter than an example is followed by the next clips of the order until the example is full,
    so that nothing is padded. Of several processes, each draws the whole batch and reads its own rows of it.

    Arguments:
        store: log-mels or waveforms; both give the same clips and crops.
        clips: use the first `clips` clips.
        frames: length of an example.
        batch_size: examples in a batch, of all processes together.
        seed: of order and crops.
        rank, world: which process this is, of how many; `world` divides `batch_size`.
    """

    def __init__(
        self, store: Store[Read], *, clips: int, frames: int, batch_size: int, seed: int, rank: int = 0, world: int = 1
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

    def next(self) -> Read:
        """The rows of this process: of log-mels float32 `[batch / world, frames, mels]`, else `Waves` of them."""
        rows = [self._draw() for _ in range(self.batch_size)]
        return self.store.read(rows[self._mine])

    def state(self) -> dict[str, Any]:
        """Everything that decides the rest of the stream: tensors and plain values, not to be changed."""
        return {
            "rng": self._rng.bit_generator.state,
            "order": torch.from_numpy(self._order),  # shared: each epoch makes a new one
            "cursor": self._cursor,
            "clips_seen": self.clips_seen,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`.

        Raises:
            ValueError: it is no state of this stream.
        """
        order, cursor = state["order"], state["cursor"]
        if order.dtype != torch.int64 or order.layout != torch.strided or order.shape not in ((0,), (self.clips,)):
            raise ValueError("the order of clips is none")
        if len(order) and not torch.equal(order.sort().values, torch.arange(self.clips)):
            raise ValueError("the order of clips is none")
        if not 0 <= cursor <= len(order) or state["clips_seen"] < 0:
            raise ValueError("the place in the order of clips is none")
        self._rng.bit_generator.state = state["rng"]
        self._order = state["order"].numpy().copy()
        self._cursor = state["cursor"]
        self.clips_seen = state["clips_seen"]

    def _draw(self) -> list[Part]:
        """The parts of the next example."""
        parts: list[Part] = []
        left = self.frames
        while left:
            clip = self._next_clip()
            length = int(self._lengths[clip])
            first = int(self._rng.integers(length - left + 1)) if length > left else 0
            parts.append((clip, first, min(length, left)))
            left -= min(length, left)
        return parts

    def _next_clip(self) -> int:
        if self._cursor == len(self._order):
            self._order = self._rng.permutation(self.clips)
            self._cursor = 0
        self._cursor += 1
        self.clips_seen += 1
        return int(self._order[self._cursor - 1])
