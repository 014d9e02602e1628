"""Decode every clip of a corpus once and note what there is to know about each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sonoscale.audio._slice import FileSlice
from sonoscale.corpora._base import Corpus, sound_wave
from sonoscale.corpora._files_corpus import Segments
from sonoscale.corpora._folder import FileCorpus
from sonoscale.corpora._parallel import map_chunks
from sonoscale.errors import SonoscaleError
from sonoscale.memory import check_memory

__all__ = ["FULL_SCALE", "RUN", "SILENT_DB", "Scan", "clip_facts", "decibels", "scan_corpus"]

SILENT_DB = -60.0
"""RMS below which a clip or a frame counts as silent, dB relative to an RMS of full scale."""
FULL_SCALE = 32766 / 32768
"""Amplitude from which a sample counts as full scale: the highest values of 16 bits, and whatever is above."""
RUN = 3
"""Samples at full scale in a row that count as clipping; single ones occur in sound that is merely normalised."""
_FRAME_SECONDS = 0.01

FACTS = np.dtype(
    [
        ("ok", "?"), ("seconds", "f4"), ("source_rate", "i4"), ("channels", "i4"), ("rms", "f4"), ("peak", "f4"),
        ("leading", "f4"), ("trailing", "f4"), ("clipped_samples", "i8"), ("clipped_runs", "i4"),
        ("searched_samples", "i8"), ("content", "u8"),
    ]
)  # fmt: skip
"""Per clip: whether it can be read; length; rate in Hz and channels of its file, 0 where there is none; RMS and
largest amplitude, 1 = full scale; seconds of silence before and after; samples in runs at full scale, such runs, and
the samples of all channels they were looked for in; 64 bits of a hash of the samples."""


@dataclass(frozen=True)
class Scan:
    """What `scan_corpus` found."""

    corpus: Corpus
    facts: np.ndarray  # FACTS [clips]
    broken: list[tuple[str, str]]  # (name, reason), those the corpus itself had skipped first

    @property
    def total(self) -> int:
        """Clips, with those that the corpus had skipped."""
        return len(self.broken) + int(self.facts["ok"].sum())


def scan_corpus(
    corpus: Corpus, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Scan:
    """Decode every clip. Memory grows by some 60 bytes per clip.

    Arguments:
        corpus: what to look at.
        workers: processes that decode; by default one per core if it is worth their start.
        progress: called with (clips done, clips in all).
    """
    check_memory(len(corpus) * FACTS.itemsize, f"facts of {len(corpus):,} clips")
    facts = np.zeros(len(corpus), FACTS)
    broken = [(str(name), str(reason)) for name, reason in getattr(corpus, "skipped", ())]
    done = 0
    for results in map_chunks(_chunk, corpus, workers=workers):
        for index, result in enumerate(results, start=done):
            if isinstance(result, str):
                broken.append((corpus.name(index), result))
            else:
                facts[index] = result
        done += len(results)
        if progress:
            progress(done, len(corpus))
    return Scan(corpus, facts, broken)


def decibels(amplitude: Any) -> Any:
    """20 log10 of an amplitude or an array of them, at least -200."""
    return 20 * np.log10(np.maximum(amplitude, 1e-10))


@dataclass(frozen=True)
class _Origin:
    """The file of a clip: its rate and channels, 0 if there is none, and its own samples where they are others."""

    rate: int = 0
    channels: int = 0
    samples: np.ndarray | None = None  # float32 [samples, channels]


def clip_facts(wave: np.ndarray, rate: int, origin: _Origin = _Origin()) -> tuple[Any, ...]:
    """One record of `FACTS`.

    Arguments:
        wave: float `[samples]`.
        rate: its rate in Hz.
        origin: clipping is looked for in the file's own samples, before mixing and resampling blur it.
    """
    frame = max(1, round(rate * _FRAME_SECONDS))
    frames = np.add.reduceat(np.square(wave, dtype=np.float64), np.arange(0, len(wave), frame))
    lengths = np.minimum(frame, len(wave) - np.arange(0, len(wave), frame))
    sounding = np.flatnonzero(decibels(np.sqrt(frames / lengths)) >= SILENT_DB)
    seconds = len(wave) / rate
    leading = sounding[0] * frame / rate if len(sounding) else seconds
    trailing = (len(wave) - min(len(wave), (sounding[-1] + 1) * frame)) / rate if len(sounding) else seconds
    rms = float(np.sqrt(frames.sum() / len(wave)))
    searched = wave[:, None] if origin.samples is None else origin.samples
    clipped_samples, clipped_runs = clipping(searched)
    content = hashlib.blake2b(np.ascontiguousarray(wave, dtype="<f4").tobytes(), digest_size=8).digest()
    return (
        True, seconds, origin.rate, origin.channels, rms, float(np.abs(wave).max()), leading, trailing, clipped_samples,
        clipped_runs, searched.size, int.from_bytes(content, "little"),
    )  # fmt: skip


def clipping(samples: np.ndarray) -> tuple[int, int]:
    """Samples `[samples, channels]` in runs of at least `RUN` at full scale of one sign, and the runs."""
    in_runs = runs = 0
    for channel in samples.T:
        for full in (channel >= FULL_SCALE, channel <= -FULL_SCALE):
            edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(np.int8)))
            lengths = edges[1::2] - edges[::2]
            in_runs += int(lengths[lengths >= RUN].sum())
            runs += int((lengths >= RUN).sum())
    return in_runs, runs


def _chunk(corpus: Corpus) -> list[tuple[Any, ...] | str]:
    results: list[tuple[Any, ...] | str] = []
    for index in range(len(corpus)):
        try:
            wave = sound_wave(corpus, index)
            results.append(clip_facts(wave, corpus.sample_rate, _origin(corpus, index)))
        except SonoscaleError as error:
            results.append(str(error))
    return results


def _origin(corpus: Corpus, index: int) -> _Origin:
    source: Path | FileSlice | int | None = None
    if isinstance(corpus, Segments):
        clip = corpus.clips[index]
        rate, channels = clip.recording.header.rate, clip.recording.header.channels
        source = None if clip.cut else clip.recording.source
    elif isinstance(corpus, FileCorpus):
        source = corpus.root / corpus.paths[index]
        info = soundfile.info(str(source))
        rate, channels = info.samplerate, info.channels
    else:
        return _Origin()
    if (rate, channels) == (corpus.sample_rate, 1) or not isinstance(source, Path | FileSlice):
        return _Origin(rate, channels)
    try:
        with source.open("rb") if isinstance(source, Path) else source.open() as stream:
            return _Origin(rate, channels, soundfile.read(stream, dtype="float32", always_2d=True)[0])
    except (OSError, soundfile.LibsndfileError, RuntimeError):  # libsndfile reads it from a path, not from a stream
        return _Origin(rate, channels)
