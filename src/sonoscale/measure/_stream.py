"""Clips out of a corpus, decoded ahead by threads or processes, in its order; and batches of equal length of them."""

from __future__ import annotations

import pickle
import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.errors import SonoscaleError
from sonoscale.processes import WorkerPool, worker_pool


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


WORTH = 20.0
"""Seconds of decoding ahead from which processes, which need some to start, are worth it."""
TRIED = 64
"""Clips decoded by threads before that is asked."""
CHUNK_SECONDS = 64.0
"""About the audio that a process decodes at a time."""


def clips(
    corpus: AudioCorpus,
    indices: Sequence[int],
    *,
    workers: int,
    ahead_seconds: float = 256.0,
    processes: bool = True,
) -> Iterator[Clip]:
    """Decode clips ahead of their use, and give them in order.

    By threads at first: decoding and resampling happen in libraries that let go of the interpreter, and nothing has to
    be started or copied. What takes long is then handed to processes, as threads still wait for one another, and for
    the encoder, whenever they are in the interpreter. The bound on what waits is in seconds, for it to hold several
    batches of short clips, and little memory when they are long.

    Arguments:
        corpus: what to read from.
        indices: which clips.
        workers: threads, or processes.
        ahead_seconds: about the most audio decoded and not yet used; there are always clips enough for all workers.
        processes: whether processes may be started.
    """
    spent: list[float] = []  # seconds for each clip, of one thread

    def read(index: int) -> Clip:
        started = time.perf_counter()
        try:
            return Clip(index, corpus.wave(index))
        except SonoscaleError as error:
            return Clip(index, None, str(error))
        finally:
            spent.append(time.perf_counter() - started)

    waiting: deque[tuple[Future[Clip], float]] = deque()
    total, handed_over = 0.0, len(indices)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for place, index in enumerate(indices):
                if processes and place % TRIED == TRIED - 1 and len(spent) >= TRIED // 2:
                    if statistics.fmean(spent) * (len(indices) - place) > WORTH * workers and can_be_sent(corpus):
                        handed_over = place
                        break
                    processes = place < 8 * TRIED  # it was asked often enough
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
    if handed_over < len(indices):
        yield from _by_processes(corpus, indices[handed_over:], workers, ahead_seconds)


def can_be_sent(corpus: AudioCorpus) -> bool:
    """Whether a part of a corpus can be sent to another process."""
    try:
        pickle.dumps(corpus.part([0]))
    except Exception:  # whatever its class makes of it
        return False
    return True


def _by_processes(corpus: AudioCorpus, indices: Sequence[int], workers: int, ahead_seconds: float) -> Iterator[Clip]:
    """The same clips by other processes, several at a time."""
    most = min(CHUNK_SECONDS, ahead_seconds / (2 * workers))
    waiting: deque[tuple[list[int], Future[list[Clip]]]] = deque()
    with worker_pool(workers, doing="decoding audio") as pool:
        for chunk in _chunks(corpus, indices, most):
            waiting.append((chunk, pool.submit(_read_part, corpus.part(chunk))))
            while len(waiting) > 2 * workers:
                yield from _numbered(*waiting.popleft(), pool)
        while waiting:
            yield from _numbered(*waiting.popleft(), pool)


def _numbered(chunk: list[int], future: Future[list[Clip]], pool: WorkerPool) -> Iterator[Clip]:
    for index, clip in zip(chunk, pool.result(future), strict=True):
        yield Clip(index, clip.wave, clip.reason)


def _chunks(corpus: AudioCorpus, indices: Sequence[int], most: float) -> Iterator[list[int]]:
    """Clips of about `most` seconds together, at most 256 and at least one."""
    chunk: list[int] = []
    total = 0.0
    for index in indices:
        chunk.append(index)
        total += corpus.seconds(index) or UNKNOWN
        if total >= most or len(chunk) == 256:
            yield chunk
            chunk, total = [], 0.0
    if chunk:
        yield chunk


def _read_part(part: AudioCorpus) -> list[Clip]:
    found = []
    for index in range(len(part)):
        try:
            found.append(Clip(index, part.wave(index)))
        except SonoscaleError as error:
            found.append(Clip(index, None, str(error)))
    return found


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
