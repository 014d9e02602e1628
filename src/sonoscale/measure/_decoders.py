"""Clips decoded by other processes, which leave the waves in memory that both see."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from types import TracebackType

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.errors import SonoscaleError
from sonoscale.processes import WorkerPool, worker_pool

UNKNOWN = 30.0
"""Seconds that a clip whose length is not known counts for."""
CHUNK_SECONDS = 64.0
"""About the audio that a process decodes at a time."""
MOST_BYTES = 256_000_000
"""Of shared memory."""
NICENESS = 10
"""By how much decoding yields to the encoder, whose threads would wait for one another on a core that it holds."""


@dataclass(frozen=True)
class Clip:
    """One clip: its index in the corpus, and its wave or why there is none."""

    index: int
    wave: np.ndarray | None  # float32 [samples]
    reason: str = ""


@dataclass(frozen=True)
class _Left:
    """What a process has left of one clip: a place in the memory, or the wave or, where there is none, why."""

    place: tuple[int, int] | None = None  # first sample, and samples
    wave: np.ndarray | None = None
    reason: str = ""


class DecodingProcesses:
    """Clips of a corpus by processes of low priority, in order; they begin at once, and end with the block.

    The waves come through shared memory: a pipe would take as long as decoding does. Where there is too little of it
    (containers often have 64 MB), the rest comes through the pipe.

    Arguments:
        corpus: what to read from; can be pickled.
        indices: which clips.
        workers: processes.
        ahead_seconds: about the most audio decoded and not yet used.

    Raises:
        SonoscaleError: while iterating, a process was killed.
        OSError, ImportError: entering it, there is nothing here by which processes could be synchronised.
    """

    def __init__(self, corpus: AudioCorpus, indices: Sequence[int], workers: int, ahead_seconds: float) -> None:
        self._corpus, self._workers, self._ahead = corpus, workers, ahead_seconds
        most = min(CHUNK_SECONDS, ahead_seconds / (2 * workers))
        self._chunks = deque(_chunks(corpus, indices, most))
        seconds = max((length for _, length in self._chunks), default=0.0)
        samples = round(seconds * corpus.sample_rate) + 64  # rates that do not divide
        self._bytes = samples * np.dtype(np.float32).itemsize
        self._waiting: deque[tuple[list[int], float, Future[list[_Left]], SharedMemory | None]] = deque()
        self._free: list[SharedMemory] = []
        self._stack = contextlib.ExitStack()
        self._pool: WorkerPool | None = None

    def __enter__(self) -> DecodingProcesses:
        with contextlib.ExitStack() as stack:
            # Outermost, so that it is removed when no process uses it any more.
            count = min(2 * self._workers + 1, MOST_BYTES // self._bytes)
            self._free = stack.enter_context(_shared_memory(count, self._bytes))
            pool = worker_pool(self._workers, doing="decoding audio", setup=_yield_to_others)
            self._pool = stack.enter_context(pool)
            self._submit()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Clip]:
        assert self._pool is not None
        while self._waiting:
            self._submit()
            chunk, _, future, memory = self._waiting.popleft()
            for index, left in zip(chunk, self._pool.result(future), strict=True):
                wave = left.wave if memory is None or left.place is None else _place(memory, *left.place).copy()
                yield Clip(index, wave, left.reason)
            if memory is not None:
                self._free.append(memory)

    def _submit(self) -> None:
        """Hand out chunks: one for each process, and more as long as they are short."""
        assert self._pool is not None
        while self._chunks and len(self._waiting) <= 2 * self._workers:
            chunk, seconds = self._chunks[0]
            ahead = seconds + sum(length for _, length, _, _ in self._waiting)
            if len(self._waiting) >= self._workers and ahead > self._ahead * (1 + 1 / self._workers):
                break
            self._chunks.popleft()
            memory = self._free.pop() if self._free else None
            name = None if memory is None else memory.name
            future = self._pool.submit(_decode, self._corpus.part(chunk), name)
            self._waiting.append((chunk, seconds, future, memory))


@contextlib.contextmanager
def _shared_memory(count: int, size: int) -> Iterator[list[SharedMemory]]:
    """So many blocks of so many bytes, or as many as there is room for."""
    made: list[SharedMemory] = []
    usable: list[SharedMemory] = []
    try:
        with contextlib.suppress(OSError):
            for _ in range(count):
                made.append(SharedMemory(create=True, size=size))
                _reserve(made[-1], size)
                usable.append(made[-1])
        yield usable
    finally:
        for memory in made:
            memory.close()
            memory.unlink()


def _reserve(memory: SharedMemory, size: int) -> None:
    """Take the memory now: who writes to what is not there is killed.

    Raises:
        OSError: there is not as much.
    """
    descriptor = getattr(memory, "_fd", -1)
    if hasattr(os, "posix_fallocate") and descriptor >= 0:
        os.posix_fallocate(descriptor, 0, size)


def _place(memory: SharedMemory, start: int, samples: int) -> np.ndarray:
    return np.ndarray((samples,), np.float32, memory.buf, start * np.dtype(np.float32).itemsize)


def _yield_to_others() -> None:
    os.nice(NICENESS)


_attached: dict[str, SharedMemory] = {}
"""Of this process, by name."""


def _decode(part: AudioCorpus, name: str | None) -> list[_Left]:
    """All clips of `part`, into the shared memory of that name as long as they fit."""
    memory = None
    if name is not None:
        memory = _attached.get(name) or _attached.setdefault(name, SharedMemory(name))
    room = 0 if memory is None else memory.size // np.dtype(np.float32).itemsize
    found, at = [], 0
    for index in range(len(part)):
        try:
            wave = part.wave(index)
        except SonoscaleError as error:
            found.append(_Left(reason=str(error)))
            continue
        if memory is None or at + len(wave) > room or wave.dtype != np.float32 or wave.ndim != 1:
            found.append(_Left(wave=wave))
            continue
        _place(memory, at, len(wave))[:] = wave
        found.append(_Left((at, len(wave))))
        at += len(wave)
    return found


def _chunks(corpus: AudioCorpus, indices: Sequence[int], most: float) -> Iterator[tuple[list[int], float]]:
    """Clips of about `most` seconds together, at most 256 and at least one; and their seconds."""
    chunk: list[int] = []
    total = 0.0
    for index in indices:
        chunk.append(index)
        total += corpus.seconds(index) or UNKNOWN
        if total >= most or len(chunk) == 256:
            yield chunk, total
            chunk, total = [], 0.0
    if chunk:
        yield chunk, total
