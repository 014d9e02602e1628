"""What one pass of an encoder over clips leaves: sketches, and an account of the clips."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from sonoscale.corpora import AudioCorpus
from sonoscale.encoders import Encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure._stream import Clip, batches, clips
from sonoscale.rank import SpectralSketch

Emit = Callable[[np.ndarray, np.ndarray], None]

ALONE, ALONE_HALF = 1e-3, 5e-2
"""Largest difference between a clip's embedding in a batch and alone that is rounding, in float32 and in half
precision, relative to the embedding's RMS or, where it is larger, the value itself."""
AUDIBLE = 1e-6
"""Standard deviation of a wave above which it is no silence."""


@dataclass(frozen=True)
class Pass:
    """How to go over the clips.

    Attributes:
        blocks: jackknife groups of the sketches.
        layers: sketch every layer, not the output alone.
        by: a column of the corpus's rows: one sketch per value, besides the whole.
        crop_seconds: embed only so much of the beginning of each clip; None for all of it.
        workers: threads that decode.
        batch_seconds: seconds of audio in a batch.
        held_seconds: most seconds of audio that wait for a batch of their length.
        sample: keep about so many embeddings, evenly spaced, for what needs pairs of them.
    """

    blocks: int = 16
    layers: bool = False
    by: str | None = None
    crop_seconds: float | None = None
    workers: int = 2
    batch_seconds: float = 64.0
    held_seconds: float = 256.0
    sample: int = 0


@dataclass
class Sketches:
    """Sketches of one encoder on some clips, mergeable.

    Attributes:
        whole: of the embeddings.
        layers: of each layer, if asked for; the last is the output.
        by: of the clips of each value of a column, if asked for.
        seconds: of audio heard.
        skipped: name and reason of clips that could not be heard.
        forward_seconds: spent in the encoder.
        sample: some of the embeddings, float32 `[k, dim]` each.
    """

    whole: SpectralSketch
    layers: list[SpectralSketch] = field(default_factory=list)
    by: dict[str, SpectralSketch] = field(default_factory=dict)
    seconds: float = 0.0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    forward_seconds: float = 0.0
    sample: list[np.ndarray] = field(default_factory=list)

    def merge(self, other: Sketches) -> Sketches:
        """Of the clips of both."""
        values = sorted(set(self.by) | set(other.by))
        mine, theirs = self.by, other.by
        return Sketches(
            self.whole.merge(other.whole),
            [a.merge(b) for a, b in zip(self.layers, other.layers, strict=True)],
            {v: mine[v].merge(theirs[v]) if v in mine and v in theirs else (mine.get(v) or theirs[v]) for v in values},
            self.seconds + other.seconds,
            [*self.skipped, *other.skipped],
            self.forward_seconds + other.forward_seconds,
            [*self.sample, *other.sample],
        )


def block_of_each(corpus: AudioCorpus, blocks: int) -> np.ndarray:
    """The jackknife block of each clip, int64 `[clips]`: recordings are dealt in turn, with all their clips."""
    order: dict[str, int] = {}
    return np.array(
        [order.setdefault(corpus.group(i), len(order)) % blocks for i in range(len(corpus))], dtype=np.int64
    )


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

    Arguments:
        encoder: see `Encoder`; its rate is the corpus's.
        corpus: what to hear.
        indices: which of its clips.
        assigned: the block of each clip of the corpus, from `block_of_each`.
        how: see `Pass`.
        progress: told how many clips were done with.
        emit: given indices and embeddings `[batch, dim]`, to save them.

    Raises:
        SonoscaleError: the encoder refuses or returns what is no embedding, or mixes the clips of a batch; it gives
            no layers.
    """
    if how.layers and not encoder.layers:
        raise SonoscaleError(f"{encoder.identity}: gives no layers to measure; measure its output alone")
    rate, dim = encoder.sample_rate, encoder.dim
    made = Sketches(
        SpectralSketch(dim, blocks=how.blocks),
        [SpectralSketch(dim, blocks=how.blocks) for _ in range(encoder.layers or 0)] if how.layers else [],
    )

    def heard() -> Iterator[Clip]:
        for clip in clips(corpus, indices, workers=how.workers):
            clip = _prepared(clip, encoder, rate, how.crop_seconds)
            if clip.wave is None:
                made.skipped.append((corpus.name(clip.index), clip.reason))
                if progress:
                    progress(1)
            else:
                yield clip

    checked = False
    for where, waves in batches(
        heard(), batch_samples=round(how.batch_seconds * rate), held_samples=round(how.held_seconds * rate)
    ):
        started = time.perf_counter()
        try:
            stack = _forward(encoder, waves, how.layers)
        except SonoscaleError as error:
            raise _with_clip(error, encoder, corpus, where, waves, how.layers) from error
        made.forward_seconds += time.perf_counter() - started
        checked = checked or _check_alone(encoder, waves, stack, how.layers)
        _take(made, corpus, where, assigned[where], stack, how)
        made.seconds += waves.size / rate
        if emit:
            emit(where, stack[-1])
        if progress:
            progress(len(where))
    return made


def _prepared(clip: Clip, encoder: Encoder, rate: int, crop_seconds: float | None) -> Clip:
    """A clip as the encoder takes it, or why it cannot."""
    if clip.wave is None:
        return clip
    wave = clip.wave
    if crop_seconds is not None:
        wanted = round(crop_seconds * rate)
        if len(wave) < wanted:
            return Clip(clip.index, None, f"shorter than {crop_seconds:g} s")
        wave = wave[:wanted]
    if len(wave) < encoder.min_samples:
        return Clip(
            clip.index,
            None,
            f"{len(wave) / rate:.3f} s is shorter than the encoder's {encoder.min_samples / rate:.3f} s",
        )
    longest = getattr(encoder, "max_samples", None)
    if longest is not None and len(wave) > longest:
        reason = f"{len(wave) / rate:.3f} s is longer than the encoder's {longest / rate:.3f} s: cut recordings"
        return Clip(clip.index, None, f"{reason} (--max-seconds)")
    return Clip(clip.index, wave)


def _forward(encoder: Encoder, waves: np.ndarray, layers: bool) -> np.ndarray:
    """The embeddings of every layer, or of the output as the only one: float32 `[layers, batch, dim]`."""
    wave = torch.from_numpy(waves.copy())  # which the encoder may overwrite
    out = encoder.embed_layers(wave) if layers else encoder.embed(wave)[None]
    return out.float().cpu().numpy().copy()  # nor is it the encoder's to overwrite later


def _with_clip(
    error: SonoscaleError, encoder: Encoder, corpus: AudioCorpus, where: np.ndarray, waves: np.ndarray, layers: bool
) -> SonoscaleError:
    """The error, with the name of the first clip that raises one by itself."""
    for i, index in enumerate(where):
        try:
            _forward(encoder, waves[i : i + 1], layers)
        except SonoscaleError as alone:
            return SonoscaleError(f"{alone} (hearing {corpus.name(int(index))})")
    return error


def _check_alone(encoder: Encoder, waves: np.ndarray, stack: np.ndarray, layers: bool) -> bool:
    """Embed one clip of a batch by itself too; False if the batch has no two clips that are not silent.

    Silence is no test, as its embedding may be rounding errors alone. Nor is the loudest clip, which an encoder that
    scales the batch by its peak leaves as it is. So it is a clip of middling loudness.

    Raises:
        SonoscaleError: the embedding is another than in the batch.
    """
    loudness = waves.std(axis=1)
    order = np.argsort(loudness, kind="stable")
    audible = order[loudness[order] > AUDIBLE]
    if len(audible) < 2:
        return False
    clip = int(audible[(len(audible) - 1) // 2])
    try:
        alone = _forward(encoder, waves[clip : clip + 1], layers)[:, 0].astype(np.float64)
    except SonoscaleError as error:
        raise SonoscaleError(f"{error}; it took {len(waves)} clips at once: put the encoder into eval mode") from error
    together = stack[:, clip].astype(np.float64)
    rms = np.sqrt(np.square(together).mean(axis=1, keepdims=True))
    difference = float((np.abs(alone - together) / np.maximum(np.abs(together), np.maximum(rms, 1e-12))).max())
    if difference > (ALONE if getattr(encoder, "precision", "fp32") == "fp32" else ALONE_HALF):
        raise SonoscaleError(
            f"{encoder.identity}: a clip's embedding depends on the other clips in its batch (alone it differs by "
            f"{difference:.1%}): put the encoder into eval mode"
        )
    return True


def _take(
    made: Sketches, corpus: AudioCorpus, where: np.ndarray, blocks: np.ndarray, stack: np.ndarray, how: Pass
) -> None:
    rows = stack[-1]
    made.whole.update_blocks(rows, blocks, dtype="float32")
    for sketch, layer in zip(made.layers, stack, strict=False):
        sketch.update_blocks(layer, blocks, dtype="float32")
    if how.sample:
        made.sample.append(rows[where % -(-len(corpus) // how.sample) == 0])
    if how.by is not None:
        values = np.array([_value(corpus, int(i), how.by) for i in where])
        for value in np.unique(values):
            mine = values == value
            sketch = made.by.setdefault(str(value), SpectralSketch(rows.shape[1], blocks=how.blocks))
            sketch.update_blocks(rows[mine], blocks[mine], dtype="float32")


def _value(corpus: AudioCorpus, index: int, column: str) -> str:
    row = corpus.row(index)
    if column not in row:
        raise SonoscaleError(
            f"{corpus.name(index)}: has no column '{column}' to group by; it has {', '.join(row) or 'none'}"
        )
    return str(row[column])
