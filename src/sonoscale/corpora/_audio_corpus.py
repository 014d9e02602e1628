"""What `open_corpus` gives: a corpus that knows its clips' lengths, origins and descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sonoscale.corpora._base import Corpus


class AudioCorpus(Corpus, Protocol):
    """Clips by index, with what is known of each without decoding it. Picklable.

    `wave` raises `SonoscaleError` for a clip that turns out to be damaged; the others stay readable.
    """

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Name and reason of what was found and is not a clip here: broken headers, missing files, cut shards."""
        ...

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """Name of and remark on each clip that is there but not all of its recording: its header has no length."""
        ...

    def seconds(self, index: int) -> float | None:
        """Length of a clip by its header or manifest, at the rate it is stored in; None if they do not say."""
        ...

    def group(self, index: int) -> str:
        """The recording that a clip was cut from: clips of one group are not independent."""
        ...

    def row(self, index: int) -> Mapping[str, Any]:
        """What is said of a clip: columns of its manifest, its json, its labels. Chunks of a clip share it."""
        ...

    def part(self, indices: Sequence[int]) -> AudioCorpus:
        """The clips at `indices` alone, in that order, with nothing in `skipped`."""
        ...
