"""The clips of a corpus: which audio they are, their jackknife blocks, and their groups by a column."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.errors import SonoscaleError
from sonoscale.rank._sketch import physical_memory

NAMED = 5
"""Most clips that a message names."""


def identity_of(corpus: AudioCorpus) -> str:
    """A short name of what the audio is, wherever it lies."""
    content = corpus.identity
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return f"{content.get('kind', 'audio')}, {len(corpus)} clips, {digest}"


def clip_hashes(corpus: AudioCorpus, indices: np.ndarray) -> np.ndarray:
    """64 bits for each clip, ascending: the same for the same clip at the rates of different encoders.

    Over its name and its length to the millisecond, by its header: at the rate of an encoder it would be rounded
    another way.
    """

    def hashed(index: int) -> int:
        text = f"{corpus.name(index)}\0{round(1000 * (corpus.seconds(index) or 0.0))}"
        return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest(), "little")

    return np.sort(np.fromiter((hashed(int(i)) for i in indices), dtype=np.uint64, count=len(indices)))


def block_of_each(corpus: AudioCorpus, blocks: int) -> np.ndarray:
    """The jackknife block of each clip, int64 `[clips]`: recordings are dealt in turn, with all their clips."""
    order: dict[str, int] = {}
    return np.array(
        [order.setdefault(corpus.group(i), len(order)) % blocks for i in range(len(corpus))], dtype=np.int64
    )


def check_groups(corpus: AudioCorpus, column: str, *, dim: int, blocks: int) -> None:
    """Check that every clip has a value, and that there is memory for a sketch of each.

    Arguments:
        corpus: all of whose rows are read.
        column: of the rows.
        dim, blocks: of the sketches.

    Raises:
        SonoscaleError: a row has no such column (up to five clips are named), or there are too many values.
    """
    values: set[str] = set()
    without: list[int] = []
    for index in range(len(corpus)):
        row = corpus.row(index)
        if column in row:
            values.add(str(row[column]))
        else:
            without.append(index)
    if without:
        names = ", ".join(corpus.name(index) for index in without[:NAMED])
        more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
        has = ", ".join(corpus.row(without[0])) or "none"
        raise SonoscaleError(f"{names}{more}: has no column '{column}' to group by; it has {has}")
    needed, there = len(values) * 8 * blocks * dim**2, physical_memory()
    if needed > there / 2:
        raise SonoscaleError(
            f"group {column}: sketches of {len(values):,} groups of dim {dim} in {blocks} blocks need "
            f"{needed / 2**30:,.1f} GiB, more than half of the {there / 2**30:,.1f} GiB of this machine: group by a "
            "column of fewer values, or take fewer blocks"
        )


def equal_groups(corpus: AudioCorpus, column: str) -> np.ndarray:
    """Which clips to measure groups on, bool `[clips]`: of each as many as the smallest has, at random."""
    values = np.array([value_of(corpus, index, column) for index in range(len(corpus))])
    names, counts = np.unique(values, return_counts=True)
    chosen, rng = np.zeros(len(corpus), dtype=bool), np.random.default_rng(0)
    for name in names:
        chosen[rng.choice(np.flatnonzero(values == name), counts.min(), replace=False)] = True
    return chosen


def value_of(corpus: AudioCorpus, index: int, column: str) -> str:
    """The group of a clip, of a corpus that was checked."""
    return str(corpus.row(index)[column])
