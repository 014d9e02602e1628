"""LiDAR of an encoder: random parts of a clip are its views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import torch

from sonoscale.corpora import AudioCorpus
from sonoscale.encoders import Encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure._sketches import Pass
from sonoscale.measure._stream import Clip, batches, clips
from sonoscale.rank import LidarSketch, RankRecord

CLIPS = 512
VIEWS = 6


def measure_lidar(
    encoder: Encoder,
    corpus: AudioCorpus,
    *,
    how: Pass,
    level: float = 0.95,
    encoder_name: str = "",
    corpus_name: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> RankRecord:
    """LiDAR (see `LidarSketch`) over views that are random halves of clips.

    One clip is taken from each of up to 512 recordings, evenly spaced over the corpus, and six parts of it, each half
    as long as the clip, drawn with a seed of 0. What LiDAR counts as noise is then what changes within a recording.

    Arguments:
        encoder, corpus: as for `measure_encoder`.
        how: workers and size of batches.
        level: coverage of the interval.
        encoder_name, corpus_name: kept in the record.
        progress: called with what is being done, how many clips are done with, and of how many.

    Raises:
        SonoscaleError: fewer than 2 clips have halves that the encoder takes, or what the encoder raises.
    """
    first: dict[str, int] = {}
    for index in range(len(corpus)):
        first.setdefault(corpus.group(index), index)
    recordings = list(first.values())
    chosen = [recordings[i] for i in np.unique(np.linspace(0, len(recordings) - 1, CLIPS).round().astype(int))]
    rng = np.random.default_rng(0)
    sketch, done = LidarSketch(encoder.dim, blocks=how.blocks), 0

    def long_enough(stream: Iterator[Clip]) -> Iterator[Clip]:
        for clip in stream:
            if clip.wave is not None and len(clip.wave) // 2 >= encoder.min_samples:
                yield clip

    samples = round(how.batch_seconds * encoder.sample_rate)
    held = round(how.held_seconds * encoder.sample_rate)
    with closing(clips(corpus, chosen, workers=how.workers, processes=how.processes)) as stream:
        for _, waves in batches(long_enough(stream), batch_samples=2 * samples // VIEWS, held_samples=held):
            half = waves.shape[1] // 2
            starts = rng.integers(0, waves.shape[1] - half + 1, size=(len(waves), VIEWS))
            views = np.stack([wave[at : at + half] for wave, row in zip(waves, starts, strict=True) for at in row])
            rows = encoder.embed(torch.from_numpy(views)).float().cpu().numpy()
            sketch.update(rows.reshape(len(waves), VIEWS, -1))
            done += len(waves)
            if progress:
                progress("views", done, len(chosen))
    if sketch.n < 2:
        raise SonoscaleError(f"LiDAR needs halves of at least 2 recordings, and {sketch.n} are long enough")
    return sketch.measure(level=level, encoder=encoder_name, corpus=corpus_name)
