"""Clips out of a corpus, decoded ahead by threads or processes, in its order; and batches of equal length of them."""

from __future__ import annotations

import contextlib
import pickle
import statistics
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.errors import SonoscaleError
from sonoscale.measure._decoders import UNKNOWN, Clip, DecodingProcesses

MOST_AHEAD = 1024
"""Clips decoded ahead, however short."""
WORTH = 2.0
"""Seconds of decoding of each worker from which processes, which need some to start, are worth it."""
START = 1.0
"""Seconds that threads go on while processes start."""
TRIED = 64
"""Clips decoded by threads before that is asked."""


def clips(
    corpus: AudioCorpus,
    indices: Sequence[int],
    *,
    workers: int,
    ahead_seconds: float = 256.0,
    processes: bool = True,
) -> Generator[Clip, None, None]:
    """Decode clips ahead of their use, and give them in order.

    By threads at first: decoding and resampling happen in libraries that let go of the interpreter, and nothing has to
    be started or copied. What takes long is then left to processes of low priority. Threads would wait for one another
    and for the encoder whenever they are in the interpreter, and would take cores from the threads of the encoder,
    which stand still together when one of them does; such processes have what the encoder leaves. The bound on what
    waits is in seconds, for it to hold several batches of short clips, and little memory when they are long.

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
    total, by_threads = 0.0, len(indices)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="decode"))
        others: Iterable[Clip] = ()
        try:
            for place, index in enumerate(indices):
                if place == by_threads:
                    break
                if processes and place % TRIED == TRIED - 1 and len(spent) >= TRIED // 2:
                    mean = statistics.fmean(spent)
                    if mean * (len(indices) - place) > WORTH * workers and can_be_sent(corpus):
                        by_threads = place + 1 + round(START * workers / mean)
                        rest = indices[by_threads:]
                        try:
                            others = stack.enter_context(DecodingProcesses(corpus, rest, workers, ahead_seconds))
                        except (OSError, ImportError):  # this system cannot have processes that wait for one another
                            by_threads = len(indices)
                        processes = False
                    else:
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
            yield from others
        finally:
            for future, _ in waiting:
                future.cancel()


def can_be_sent(corpus: AudioCorpus) -> bool:
    """Whether a part of a corpus can be sent to a process, which has nothing that a script or a notebook defines."""
    try:
        return b"__main__" not in pickle.dumps(corpus.part([0]))
    except Exception:  # whatever its class makes of it
        return False


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
