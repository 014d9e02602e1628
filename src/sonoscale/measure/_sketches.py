"""What one pass of an encoder over clips leaves: sketches, and an account of the clips."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.encoders import Encoder
from sonoscale.measure._clips import value_of
from sonoscale.measure._forward import Forward
from sonoscale.measure._stream import Clip, batches, clips
from sonoscale.rank import SpectralSketch

Emit = Callable[[np.ndarray, np.ndarray], None]

SLACK = 2e-4
"""Seconds that cutting at whole samples, of 8 kHz and more, may take from a clip of just the least length."""


@dataclass(frozen=True)
class Pass:
    """How to go over the clips.

    Attributes:
        blocks: jackknife groups of the sketches.
        layers: sketch every layer, not the output alone.
        group: a column of the corpus's rows: one sketch per value, besides the whole.
        crop_seconds: embed only so much of the beginning of each clip; None for all of it.
        workers: threads that decode, or processes of low priority where it takes long.
        processes: whether decoding may be left to processes, where it takes long.
        equal_n: measure groups on equally many clips each, of the larger ones on a random part.
        group_clips: which clips those are, bool `[clips]` of the corpus; None for all.
        batch_seconds: seconds of audio in a batch.
        held_seconds: most seconds of audio that wait for a batch of their length.
        sample: keep about so many embeddings, evenly spaced, for what needs pairs of them.
        min_seconds: leave out shorter clips, as where encoders are compared and one of them takes none shorter.
        most_skipped: stop as soon as more clips than so many could not be processed; None to carry on.
    """

    blocks: int = 16
    layers: bool = False
    group: str | None = None
    crop_seconds: float | None = None
    workers: int = 2
    batch_seconds: float = 64.0
    held_seconds: float = 256.0
    sample: int = 0
    min_seconds: float = 0.0
    most_skipped: int | None = None
    processes: bool = True
    equal_n: bool = False
    group_clips: np.ndarray | None = None


@dataclass
class Sketches:
    """Sketches of one encoder on clips of a corpus, mergeable.

    Attributes:
        whole: of the embeddings.
        layers: of each layer, if asked for; the last is the output.
        groups: of the clips of each value of a column, if asked for.
        seconds: of audio processed.
        skipped: name and reason of clips that could not be processed.
        forward_seconds: spent in the encoder.
        sample: a sample of the embeddings, float32 `[k, dim]` each.
        processed: indices of the clips, int64 `[batch]` each.
        group_seconds: of audio of each value of the column.
    """

    whole: SpectralSketch
    layers: list[SpectralSketch] = field(default_factory=list)
    groups: dict[str, SpectralSketch] = field(default_factory=dict)
    seconds: float = 0.0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    forward_seconds: float = 0.0
    sample: list[np.ndarray] = field(default_factory=list)
    processed: list[np.ndarray] = field(default_factory=list)
    group_seconds: dict[str, float] = field(default_factory=dict)

    def merge(self, other: Sketches) -> Sketches:
        """Of the clips of both."""
        values = sorted(set(self.groups) | set(other.groups))
        mine, theirs = self.groups, other.groups
        return Sketches(
            self.whole.merge(other.whole),
            [a.merge(b) for a, b in zip(self.layers, other.layers, strict=True)],
            {v: mine[v].merge(theirs[v]) if v in mine and v in theirs else (mine.get(v) or theirs[v]) for v in values},
            self.seconds + other.seconds,
            [*self.skipped, *other.skipped],
            self.forward_seconds + other.forward_seconds,
            [*self.sample, *other.sample],
            [*self.processed, *other.processed],
            {v: self.group_seconds.get(v, 0.0) + other.group_seconds.get(v, 0.0) for v in values},
        )

    def too_many_skipped(self, how: Pass) -> bool:
        """Whether the rest need not be tried."""
        return how.most_skipped is not None and len(self.skipped) > how.most_skipped


def sketch_clips(
    encoder: Encoder,
    corpus: AudioCorpus,
    indices: Sequence[int],
    assigned: np.ndarray,
    how: Pass,
    *,
    progress: Callable[[int], None] | None = None,
    emit: Emit | None = None,
) -> Sketches:
    """Embed clips and sketch the embeddings; none are kept.

    Of a batch that the encoder refuses, each clip is tried alone, and those that it refuses then are skipped. With
    more than `how.most_skipped` of any kind the rest of the clips is left.

    Arguments:
        encoder: see `Encoder`; its rate is the corpus's.
        corpus: what to embed.
        indices: which of its clips.
        assigned: the block of each clip of the corpus, from `block_of_each`.
        how: see `Pass`.
        progress: called with how many clips are done with.
        emit: called with indices and embeddings `[batch, dim]`, to save them.

    Raises:
        SonoscaleError: the encoder refuses all clips of a batch, returns what is no embedding, mixes the clips of a
            batch, gives no layers, or layers of which the last is not the output.
    """
    rate, dim = encoder.sample_rate, encoder.dim
    made = Sketches(
        SpectralSketch(dim, blocks=how.blocks),
        [SpectralSketch(dim, blocks=how.blocks) for _ in range(encoder.layers or 0)] if how.layers else [],
    )

    def skip(index: int, reason: str) -> None:
        made.skipped.append((corpus.name(index), reason))
        if progress:
            progress(1)

    def prepared(stream: Iterator[Clip]) -> Iterator[Clip]:
        for clip in stream:
            if made.too_many_skipped(how):
                return
            clip = _prepared(clip, encoder, corpus, how)
            if clip.wave is None:
                skip(clip.index, clip.reason)
            else:
                yield clip

    decoded = clips(corpus, indices, workers=how.workers, processes=how.processes)
    with closing(decoded) as stream, Forward(encoder, corpus, how.layers) as run:
        for where, waves in batches(
            prepared(stream), batch_samples=round(how.batch_seconds * rate), held_samples=round(how.held_seconds * rate)
        ):
            if made.too_many_skipped(how):
                break
            started = time.perf_counter()
            stack, failed = run(where, waves)
            made.forward_seconds += time.perf_counter() - started
            if failed:
                for i, reason in failed:
                    skip(int(where[i]), reason)
                where, waves = (np.delete(each, [i for i, _ in failed], axis=0) for each in (where, waves))
                if not len(where):
                    continue
            else:
                run.check(waves, stack)
            _take(made, corpus, where, assigned[where], stack, how, waves.shape[1] / rate)
            if emit:
                emit(where, stack[-1])
            if progress:
                progress(len(where))
    return made


def _prepared(clip: Clip, encoder: Encoder, corpus: AudioCorpus, how: Pass) -> Clip:
    """A clip as the encoder takes it, or why it cannot."""
    if clip.wave is None:
        return clip
    wave, rate = clip.wave, encoder.sample_rate

    def without(reason: str) -> Clip:
        return Clip(clip.index, None, reason)

    # By its header, which says the same at the rate of every encoder.
    seconds = corpus.seconds(clip.index) or len(wave) / rate
    if how.crop_seconds is not None:
        wanted = round(how.crop_seconds * rate)
        if len(wave) < wanted:
            return without(f"shorter than {how.crop_seconds:g} s")
        wave = wave[:wanted]
    if len(wave) < encoder.min_samples:
        return without(f"{len(wave) / rate:.3f} s is shorter than the encoder's {encoder.min_samples / rate:.3f} s")
    if seconds < how.min_seconds - SLACK:
        return without(f"{seconds:.3f} s is shorter than the {how.min_seconds:.3f} s that every encoder here takes")
    longest = getattr(encoder, "max_samples", None)
    if longest is not None and len(wave) > longest:
        reason = f"{len(wave) / rate:.3f} s is longer than the encoder's {longest / rate:.3f} s"
        return without(f"{reason}: cut recordings (max_seconds)")
    return Clip(clip.index, wave)


def _take(
    made: Sketches, corpus: AudioCorpus, where: np.ndarray, blocks: np.ndarray, stack: np.ndarray, how: Pass,
    seconds: float,
) -> None:  # fmt: skip
    """Add the embeddings of clips of so many seconds each."""
    rows = stack[-1]
    made.whole.update_blocks(rows, blocks, dtype="float32")
    made.processed.append(where)
    made.seconds += len(where) * seconds
    for sketch, layer in zip(made.layers, stack, strict=False):
        sketch.update_blocks(layer, blocks, dtype="float32")
    if how.sample:
        made.sample.append(rows[where % -(-len(corpus) // how.sample) == 0])
    if how.group is not None:
        values = np.array([value_of(corpus, int(i), how.group) for i in where])
        for value in np.unique(values):
            mine = values == value
            if how.group_clips is not None:
                mine &= how.group_clips[where]
                if not mine.any():
                    continue
            sketch = made.groups.setdefault(str(value), SpectralSketch(rows.shape[1], blocks=how.blocks))
            sketch.update_blocks(rows[mine], blocks[mine], dtype="float32")
            made.group_seconds[str(value)] = made.group_seconds.get(str(value), 0.0) + int(mine.sum()) * seconds
