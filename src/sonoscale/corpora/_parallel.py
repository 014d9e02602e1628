"""The clips of a corpus through a function, in order, over worker processes, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from sonoscale.corpora._base import Corpus, Divisible, take
from sonoscale.processes import available_cores, worker_pool

__all__ = ["CHUNK", "map_chunks"]

R = TypeVar("R")
CHUNK = 16
"""Clips that a worker handles at a time."""
_WORTH = 20.0
"""Seconds of work from which worker processes, which need some to start, are worth it."""


def map_chunks(
    work: Callable[[Corpus], list[R]], corpus: Corpus, *, start: int = 0, workers: int | None = None
) -> Iterator[list[R]]:
    """Apply `work` to parts of `CHUNK` clips, in the order of the corpus.

    Only a few chunks per worker are under way or waiting, so memory does not grow with the corpus.

    Arguments:
        work: gets a part of the corpus and returns one result per clip; importable, so that it can be sent.
        corpus: the clips; those before `start` are left out.
        workers: processes; 1 means this one. By default one per core, if the first chunk shows that it is worth their
            start.

    Raises:
        SonoscaleError: a worker was killed, or `work` raised it.
    """
    chunks = (range(i, min(i + CHUNK, len(corpus))) for i in range(start, len(corpus), CHUNK))
    parts = (corpus.part(c) if isinstance(corpus, Divisible) else take(corpus, c) for c in chunks)
    left = -(-(len(corpus) - start) // CHUNK)
    if workers is None and left:
        began = time.monotonic()
        yield work(next(parts))
        left -= 1
        workers = available_cores() if left * (time.monotonic() - began) > _WORTH else 1
    workers = min(workers or 1, left)
    if workers <= 1:
        yield from map(work, parts)
        return
    with worker_pool(workers, doing="decoding audio") as pool:
        yield from pool.map(work, parts)
