"""Groups of clips by a column of the corpus, looked at before anything is embedded."""

from __future__ import annotations

from sonoscale.corpora import AudioCorpus
from sonoscale.errors import SonoscaleError
from sonoscale.rank._sketch import physical_memory

TOLD = 5
"""Most clips that a message names."""


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
        names = ", ".join(corpus.name(index) for index in without[:TOLD])
        more = f" and {len(without) - TOLD} more" if len(without) > TOLD else ""
        has = ", ".join(corpus.row(without[0])) or "none"
        raise SonoscaleError(f"{names}{more}: has no column '{column}' to group by; it has {has}")
    needed, there = len(values) * 8 * blocks * dim**2, physical_memory()
    if needed > there / 2:
        raise SonoscaleError(
            f"--by {column}: sketches of {len(values):,} groups of dim {dim} in {blocks} blocks need "
            f"{needed / 2**30:,.1f} GiB, more than half of the {there / 2**30:,.1f} GiB of this machine: group by a "
            "column of fewer values, or take fewer --blocks"
        )


def value_of(corpus: AudioCorpus, index: int, column: str) -> str:
    """The group of a clip, of a corpus that was checked."""
    return str(corpus.row(index)[column])
