"""Training examples as waveforms, whose log-mels are computed on the device."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonoscale.audio import LogMel, LogMelConfig
from sonoscale.config import config_hash
from sonoscale.corpora import Corpus
from sonoscale.corpora._crops import clip_samples, crop
from sonoscale.errors import SonoscaleError
from sonoscale.files import write_json
from sonoscale.pretrain._batches import Part
from sonoscale.processes import available_cores

MEASURED_CLIPS = 1000
"""Mean and deviation are measured on so many clips at most."""

MEASURED_SECONDS = 30.0
"""And on so much of the middle of each."""

_THREADS = 4  # at most, to decode a batch
_ROWS = 8  # that a thread decodes at a time
_ON_CPU, _ON_GPU = 1 << 18, 1 << 24  # numbers, in float64, in the windows whose spectra are computed together


@dataclass(frozen=True)
class Waves:
    """Examples as waveforms.

    Attributes:
        samples: float32 `[batch, samples]`; where an example is made of several clips, zeros between them.
        frames: int64 `[batch, frames]`: which frames of their log-mels are the example's, those that touch no zeros
            and no two clips; None for all.
    """

    samples: Tensor
    frames: Tensor | None

    def pin_memory(self) -> Waves:
        """The same in pinned memory."""
        return Waves(self.samples.pin_memory(), None if self.frames is None else self.frames.pin_memory())

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Waves:
        """The same on a device."""
        frames = None if self.frames is None else self.frames.to(device, non_blocking=non_blocking)
        return Waves(self.samples.to(device, non_blocking=non_blocking), frames)

    @torch.no_grad()
    def log_mels(self, front_end: LogMel) -> Tensor:
        """float32 `[batch, frames, mels]`, on the device of the samples; nothing waits for the device."""
        windows = front_end.config.frames(self.samples.shape[1]) * front_end.config.n_fft
        at_once = _ON_CPU if self.samples.device.type == "cpu" else _ON_GPU  # what stays in a cache; what fits beside
        parts = self.samples.split(max(1, at_once // windows))
        mels = torch.cat([front_end(part).transpose(1, 2) for part in parts])  # [B, T, M]
        if self.frames is None:
            return mels
        return mels.gather(1, self.frames[:, :, None].expand(-1, -1, mels.shape[2]))


def as_log_mels(batch: Tensor | Waves, front_end: LogMel) -> Tensor:
    """A batch of either kind of store as log-mels, float32 `[batch, frames, mels]`, where the batch is."""
    return batch.log_mels(front_end) if isinstance(batch, Waves) else batch


class WaveStore:
    """Clips to train on as waveforms: what `FeatureStore` is for log-mels, of which it takes no disk.

    Frames are counted as those of whole clips, so parts of clips are the same as there, and the log-mels of a part
    equal these frames of the log-mels of its clip.

    Arguments:
        corpus: at the rate of the front end.
        front_end: of the encoder.
        cache: folder in which mean and deviation are kept; by default they are not.
        threads: that decode a batch; by default one per core, four at most.

    Raises:
        SonoscaleError: a clip is shorter than one analysis window, a header cannot be read (named), or the corpus has
            another rate.
    """

    def __init__(
        self, corpus: Corpus, front_end: LogMelConfig, *, cache: Path | None = None, threads: int | None = None
    ) -> None:
        if corpus.sample_rate != front_end.sample_rate:
            raise SonoscaleError(
                f"audio at {corpus.sample_rate} Hz for a front end at {front_end.sample_rate} Hz: open it at that rate"
            )
        self.corpus, self.front_end, self.cache = corpus, front_end, cache
        self.threads = threads or min(_THREADS, available_cores())
        samples = clip_samples(corpus, range(len(corpus)))
        short = np.flatnonzero(samples < front_end.n_fft)
        if len(short):
            raise SonoscaleError(
                f"{corpus.name(int(short[0]))}: a clip of {samples[short[0]]} samples is shorter than one analysis "
                f"window ({front_end.n_fft} samples, {1000 * front_end.n_fft / front_end.sample_rate:.0f} ms)"
            )
        self._lengths = 1 + (samples - front_end.n_fft) // front_end.hop
        self._statistics: dict[int, tuple[float, float]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def hop_seconds(self) -> float:
        """From one frame to the next."""
        return self.front_end.hop / self.front_end.sample_rate

    def lengths(self, clips: int | None = None) -> np.ndarray:
        """Frames of the first `clips` clips (by default all), int64 `[clips]`."""
        return self._lengths[:clips]

    def seconds(self, clips: int | None = None) -> float:
        """Audio in the first `clips` clips, in seconds, as the frames cover it."""
        c, lengths = self.front_end, self.lengths(clips)
        return float((lengths * c.hop + c.n_fft - c.hop).sum() / c.sample_rate)

    def read(self, rows: Sequence[Sequence[Part]]) -> Waves:
        """Examples made of parts of clips, decoded by several threads.

        Arguments:
            rows: of each example its parts, as (clip, first frame, frames); all examples have equally many frames.

        Raises:
            SonoscaleError: a clip is gone, cannot be decoded, or ends too early (named).
        """
        c = self.front_end
        gap = max(0, math.ceil((c.n_fft - c.hop) / c.hop))  # frames after a part that would touch the next one
        most, count = max(len(parts) for parts in rows), sum(part[2] for part in rows[0])
        samples = np.zeros((len(rows), c.samples(count + (most - 1) * gap)), dtype=np.float32)
        frames = np.empty((len(rows), count), dtype=np.int64)

        def fill(start: int) -> None:
            for row in range(start, min(start + _ROWS, len(rows))):
                filled = 0
                for part, (clip, first, length) in enumerate(rows[row]):
                    at = filled + part * gap
                    samples[row, at * c.hop :][: c.samples(length)] = self._crop(clip, first, length)
                    frames[row, filled : filled + length] = np.arange(at, at + length)
                    filled += length

        if self.threads > 1:
            self._pool = self._pool or ThreadPoolExecutor(self.threads, "decode")
        spread = map if self._pool is None else self._pool.map
        list(spread(fill, range(0, len(rows), _ROWS)))
        return Waves(torch.from_numpy(samples), torch.from_numpy(frames) if most > 1 else None)

    def statistics(
        self, clips: int | None = None, *, progress: Callable[[int, int], None] | None = None
    ) -> tuple[float, float]:
        """Mean and standard deviation of the log-mels of the first `clips` clips.

        Measured on at most 1,000 of them, evenly spread, and on at most the middle 30 seconds of each.

        Arguments:
            clips: by default all.
            progress: called with (clips done, clips in all), if they are to be measured.

        Raises:
            SonoscaleError: a clip cannot be decoded (named).
        """
        clips = len(self) if clips is None else clips
        if clips not in self._statistics:
            self._statistics[clips] = self._kept(clips) or self._measure(clips, progress or (lambda done, total: None))
            self._keep(clips)
        return self._statistics[clips]

    def _crop(self, clip: int, first: int, frames: int) -> np.ndarray:
        start = first * self.front_end.hop
        return crop(self.corpus, clip, start, start + self.front_end.samples(frames))

    def _measure(self, clips: int, progress: Callable[[int, int], None]) -> tuple[float, float]:
        front, most = LogMel(self.front_end), max(1, round(MEASURED_SECONDS / self.hop_seconds))
        chosen = np.unique(np.linspace(0, clips - 1, min(clips, MEASURED_CLIPS)).round().astype(int)).tolist()
        count, total, square = 0, 0.0, 0.0
        for done, clip in enumerate(chosen, start=1):
            length = min(int(self._lengths[clip]), most)
            wave = self._crop(clip, (int(self._lengths[clip]) - length) // 2, length)
            values = front(torch.from_numpy(wave)[None]).numpy().astype(np.float64)
            count, total, square = count + values.size, total + values.sum(), square + np.square(values).sum()
            progress(done, len(chosen))
        mean = total / count
        return float(mean), float(max(square / count - mean**2, 1e-12) ** 0.5)

    def _kept(self, clips: int) -> tuple[float, float] | None:
        """Statistics that were measured before."""
        try:
            found = json.loads(self._file(clips).read_text()) if self.cache else None
            return None if found is None else (float(found["mean"]), float(found["std"]))
        except (OSError, ValueError, KeyError):
            return None

    def _keep(self, clips: int) -> None:
        if self.cache is None:
            return
        file, (mean, std) = self._file(clips), self._statistics[clips]
        write_json(file, {"mean": mean, "std": std})

    def _file(self, clips: int) -> Path:
        assert self.cache is not None
        settings = [self.corpus.identity, self.front_end.model_dump(), clips, MEASURED_CLIPS, MEASURED_SECONDS]
        return self.cache / f"statistics-{config_hash(settings, 16)}.json"
