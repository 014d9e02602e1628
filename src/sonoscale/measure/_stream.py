"""Clips out of a corpus, decoded ahead by threads, in the corpus's order, and batches of equal length out of those."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.errors import SonoscaleError


@dataclass(frozen=True)
class Clip:
    """One clip: its index in the corpus, and its wave or why there is none."""

    index: int
    wave: np.ndarray | None  # float32 [samples]
    reason: str = ""


UNKNOWN = 30.0
"""Seconds that a clip whose length is not known counts for."""
MOST_AHEAD = 1024
"""Clips decoded ahead, however short."""


def clips(corpus: AudioCorpus, indices: Sequence[int], *, workers: int, ahead_seconds: float = 256.0) -> Iterator[Clip]:
    """Decode clips ahead of their use, and give them in order.

    Threads, not processes: decoding and resampling happen in libraries that let go of the interpreter, and nothing
    has to be copied. The bound on what waits is in seconds, for it to hold several batches of short clips, and
    little memory when they are long.

    Arguments:
        corpus: what to read from.
        indices: which clips.
        workers: threads.
        ahead_seconds: about the most audio decoded and not yet used; there are always clips enough for all threads.
    """

    def read(index: int) -> Clip:
        try:
            return Clip(index, corpus.wave(index))
        except SonoscaleError as error:
            return Clip(index, None, str(error))

    waiting: deque[tuple[Future[Clip], float]] = deque()
    total = 0.0
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for index in indices:
                seconds = corpus.seconds(index) or UNKNOWN
                waiting.append((pool.submit(read, index), seconds))
                total += seconds
                while len(waiting) > workers and (total > ahead_seconds or len(waiting) > MOST_AHEAD):
                    future, seconds = waiting.popleft()
                    total -= seconds
                    yield future.result()
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()


def batches(found: Iterable[Clip], *, batch_samples: int, held_samples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of clips of exactly one length, so that nothing is padded.

    A batch is given out when it is full, or when too much waits for company: then the longest of those waiting. What
    is in which batch depends on the order of the clips alone.

    Arguments:
        found: clips with a wave.
        batch_samples: about the size of a batch, clips times samples (one clip at least).
        held_samples: most samples that wait.

    Yields:
        indices int64 `[batch]`, and waves float32 `[batch, samples]`.
    """
    waiting: dict[int, list[Clip]] = {}
    held = 0
    for clip in found:
        assert clip.wave is not None
        length = len(clip.wave)
        waiting.setdefault(length, []).append(clip)
        held += length
        if len(waiting[length]) * length >= batch_samples:
            held -= len(waiting[length]) * length
            yield _together(waiting.pop(length))
        elif held > held_samples:
            fullest = max(waiting, key=lambda size: (len(waiting[size]) * size, size))
            held -= len(waiting[fullest]) * fullest
            yield _together(waiting.pop(fullest))
    for length in sorted(waiting):
        yield _together(waiting[length])


def _together(group: list[Clip]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([clip.index for clip in group]), np.stack([clip.wave for clip in group if clip.wave is not None])
