"""An encoder on every clip of a corpus, each of which gets an embedding."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from sonoscale.corpora import Corpus, take
from sonoscale.corpora._base import Divisible
from sonoscale.encoders import Encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure._forward import Forward
from sonoscale.measure._stream import Clip, batches, clips


@dataclass(frozen=True)
class Embedded:
    """Every clip of a corpus.

    Attributes:
        rows: float32 `[layers, clips, dim]`; one layer, the output, unless all were asked for.
        padded: clips shorter than the encoder takes, with zeros at their end.
        cut: clips longer than it takes, embedded in equally long parts of which this is the mean.
        forward_seconds: spent in the encoder.
    """

    rows: np.ndarray
    padded: int
    cut: int
    forward_seconds: float


def embed_corpus(
    encoder: Encoder,
    corpus: Corpus,
    *,
    layers: bool = False,
    workers: int = 1,
    batch_seconds: float = 64.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Embedded:
    """Embed every clip, in batches of equal length.

    Arguments:
        encoder: see `Encoder`; the corpus is at its rate.
        corpus: what to embed.
        layers: with every layer.
        workers: threads, or processes, that decode.
        batch_seconds: about the audio in a batch.
        progress: called with how many clips are done with, and of how many.

    Returns:
        The embeddings of all clips, in the order of the corpus.

    Raises:
        SonoscaleError: a clip cannot be read, or the encoder refuses it (named).

    Example:
        >>> import numpy as np, soundfile, tempfile
        >>> from sonoscale.corpora import open_corpus
        >>> from sonoscale.encoders import load_encoder
        >>> encoder = load_encoder("logmel:")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for i in range(3):
        ...         soundfile.write(f"{folder}/{i}.wav", np.sin(np.arange(16_000) * 0.1 * (i + 1)), 16_000)
        ...     embedded = embed_corpus(encoder, open_corpus(folder, sample_rate=encoder.sample_rate))
        >>> embedded.rows.shape  # layers, clips, dim
        (1, 3, 128)
    """
    if corpus.sample_rate != encoder.sample_rate:
        raise SonoscaleError(
            f"{encoder.identity}: takes {encoder.sample_rate} Hz, and the audio is opened at {corpus.sample_rate} Hz"
        )
    pieces = _Pieces(corpus, encoder)
    rows = np.zeros((encoder.layers or 1 if layers else 1, len(corpus), encoder.dim))
    parts_done, forward_seconds, rate, done = np.zeros(len(corpus), dtype=np.int64), 0.0, encoder.sample_rate, 0
    decoded = clips(pieces, range(len(corpus)), workers=workers)
    with closing(decoded) as stream, Forward(encoder, pieces, layers) as run:
        for where, waves in batches(
            pieces.cut(stream), batch_samples=round(batch_seconds * rate), held_samples=round(4 * batch_seconds * rate)
        ):
            started = time.perf_counter()
            stack, failed = run(where, waves)
            forward_seconds += time.perf_counter() - started
            if failed:
                place, reason = failed[0]
                raise SonoscaleError(f"{pieces.name(int(where[place]))}: {reason}")
            run.check(waves, stack)
            which = where % len(corpus)
            for i, clip in enumerate(which):
                rows[:, clip] += stack[:, i] / pieces.parts[clip]
                parts_done[clip] += 1
            done += int((parts_done[np.unique(which)] == pieces.parts[np.unique(which)]).sum())
            progress(done, len(corpus))
    return Embedded(rows.astype(np.float32), pieces.padded, int((pieces.parts > 1).sum()), forward_seconds)


def readable_clips(corpus: Corpus, *, workers: int = 1) -> Generator[tuple[int, np.ndarray | None], None, None]:
    """Every clip with its wave, float32 `[samples]`, or None where it cannot be read; decoded ahead, in order."""
    with closing(clips(_Pieces(corpus), range(len(corpus)), workers=workers)) as stream:
        for clip in stream:
            yield clip.index, clip.wave


class _Pieces:
    """A corpus as an encoder can take it: no clip too short, and parts of those that are too long.

    Part p of clip i of n has the index `i + p * n`.
    """

    def __init__(self, corpus: Corpus, encoder: Encoder | None = None) -> None:
        self.corpus, self.sample_rate, self.identity = corpus, corpus.sample_rate, corpus.identity
        self.skipped: tuple[tuple[str, str], ...] = ()
        self.notes: tuple[tuple[str, str], ...] = ()
        self.parts = np.ones(len(corpus), dtype=np.int64)
        self.padded = 0
        self._shortest, self._longest = getattr(encoder, "min_samples", 1), getattr(encoder, "max_samples", None)

    def __len__(self) -> int:
        return len(self.corpus)

    def wave(self, index: int) -> np.ndarray:
        return self.corpus.wave(index)

    def name(self, index: int) -> str:
        return self.corpus.name(index % len(self.corpus))

    def seconds(self, index: int) -> float | None:
        seconds: Any = getattr(self.corpus, "seconds", None)  # one length for all clips of a procedural corpus
        found: Any = seconds(index) if callable(seconds) else seconds
        return found

    def group(self, index: int) -> str:
        return self.name(index)

    def row(self, index: int) -> dict[str, str]:
        return {}

    def part(self, indices: Sequence[int]) -> Any:
        """The clips themselves, to be read elsewhere."""
        return self.corpus.part(indices) if isinstance(self.corpus, Divisible) else take(self.corpus, indices)

    def cut(self, found: Iterator[Clip]) -> Iterator[Clip]:
        """Raises:
        SonoscaleError: a clip cannot be read (named).
        """
        for clip in found:
            if clip.wave is None:
                raise SonoscaleError(clip.reason)
            wave = clip.wave
            if len(wave) < self._shortest:
                wave = np.pad(wave, (0, self._shortest - len(wave)))
                self.padded += 1
            parts = math.ceil(len(wave) / self._longest) if self._longest else 1
            self.parts[clip.index] = parts
            size = len(wave) // parts
            if size < self._shortest:  # equal parts would be too short: they overlap
                size = self._longest or len(wave)
            for part, start in enumerate(np.linspace(0, len(wave) - size, parts).round().astype(int)):
                yield Clip(clip.index + part * len(self.corpus), wave[start : start + size])
