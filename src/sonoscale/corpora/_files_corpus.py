"""Clips cut from recordings that lie in files: the base of every kind of `open_corpus` that reads real audio."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from sonoscale.audio import AUDIO_SUFFIXES, read_audio
from sonoscale.audio._crop import resampled_crop, resampled_length
from sonoscale.audio._read import AudioHeader, Source, read_header
from sonoscale.audio._slice import FileSlice
from sonoscale.digests import file_digests
from sonoscale.errors import SonoscaleError

_SHORTEST_REST = 0.5  # seconds; what is left after the last whole chunk is a clip if it is not shorter
_THREADS = 8  # that wait for headers

Skipped = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recording:
    """Something that can be decoded, and what its header says."""

    name: str  # relative to the corpus: part of its identity
    source: Path | FileSlice | int  # int: a row, for corpora that keep their audio in a table
    header: AudioHeader


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames `start` to `stop` of a recording; `cut` if that is not all of it."""

    recording: Recording
    start: int
    stop: int | None  # None: to the end, of unknown place
    cut: bool
    row: Mapping[str, Any]
    note: str = ""  # what else there is to know of it

    @property
    def cut_off(self) -> str:
        """What shows that its recording ends too early, if something does and this is its last clip."""
        header = self.recording.header
        return header.cut_off if self.stop in (None, header.frames) else ""

    @property
    def span(self) -> str:
        """Such as '@30.0-60.0s'; empty for a whole recording."""
        if not self.cut:
            return ""
        rate = self.recording.header.rate
        return f"@{_short(self.start / rate)}-{'' if self.stop is None else _short(self.stop / rate)}s"


def _short(seconds: float) -> str:
    text = f"{seconds:.3f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


@dataclass(frozen=True)
class Segments:
    """Clips of recordings, read when asked for: by seeking, never the whole of a long recording."""

    kind: str
    place: str  # what names are relative to
    clips: tuple[Clip, ...]
    sample_rate: int
    max_seconds: float | None
    skipped: tuple[Skipped, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """Content, wherever it lies: see `Corpus.identity`. Computed at the first call."""
        return {
            "kind": self.kind,
            "clips": len(self.clips),
            "sha256": self._digest,
            "rate": self.sample_rate,
            "max_seconds": self.max_seconds,
        }

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(self._content())
        for clip in self.clips:
            digest.update(os.fsencode(f"{clip.recording.name}\0{clip.start}\0{clip.stop}\0"))
        return digest.hexdigest()

    @property
    def notes(self) -> tuple[Skipped, ...]:
        """See `AudioCorpus.notes`."""
        said = [(i, clip.note or clip.cut_off) for i, clip in enumerate(self.clips)]
        return tuple((self.name(i), note) for i, note in said if note)

    def cut_off(self, index: int) -> str:
        """What shows that the file of clip `index` ends before its audio does; empty if nothing does."""
        return self.clips[index].cut_off

    def _recordings(self) -> list[Recording]:
        return list({clip.recording.name: clip.recording for clip in self.clips}.values())

    def _content(self) -> bytes:
        """What stands for the audio of all recordings: here each one's name and content."""
        digest, recordings = hashlib.sha256(), self._recordings()
        files = [recording.source for recording in recordings if isinstance(recording.source, Path)]
        for recording, content in zip(recordings, contents(files), strict=True):
            digest.update(os.fsencode(recording.name) + b"\0" + content)
        return digest.digest()

    def _source(self, recording: Recording) -> Source:
        assert not isinstance(recording.source, int)
        return recording.source

    def _called(self, recording: Recording) -> str:
        return str(Path(self.place, recording.name))

    def __len__(self) -> int:
        return len(self.clips)

    def part(self, indices: Sequence[int]) -> Self:
        """See `AudioCorpus.part`."""
        return replace(self, clips=tuple(self.clips[i] for i in indices), skipped=())

    def wave(self, index: int) -> np.ndarray:
        """See `Corpus.wave`."""
        clip = self.clips[index]
        rate = clip.recording.header.rate
        start, stop = clip.start / rate, None if clip.stop is None else clip.stop / rate
        name = self._called(clip.recording)
        source = self._source(clip.recording)
        if not clip.cut:
            return read_audio(source, sample_rate=self.sample_rate, name=name)
        return read_audio(source, sample_rate=self.sample_rate, start=start, stop=stop, name=name)

    def samples(self, indices: Sequence[int]) -> np.ndarray:
        """See `Croppable.samples`; a clip whose header holds no length is decoded."""
        clips = [(i, self.clips[i]) for i in indices]
        return np.array(
            [
                len(self.wave(i)) if clip.recording.header.frames is None or clip.stop is None
                else resampled_length(clip.stop - clip.start, clip.recording.header.rate, self.sample_rate)
                for i, clip in clips
            ],
            dtype=np.int64,
        )  # fmt: skip

    def crop(self, index: int, start: int, stop: int) -> np.ndarray:
        """See `Croppable.crop`."""
        clip = self.clips[index]
        if clip.recording.header.frames is None or clip.stop is None:
            return self.wave(index)[start:stop]
        rate, source, name = clip.recording.header.rate, self._source(clip.recording), self._called(clip.recording)

        def read(first: int, last: int) -> np.ndarray:
            first, last = clip.start + first, clip.start + last
            return read_audio(source, sample_rate=rate, start=first / rate, stop=last / rate, name=name)

        return resampled_crop(read, clip.stop - clip.start, rate, self.sample_rate, start, stop)

    def name(self, index: int) -> str:
        """See `Corpus.name`."""
        clip = self.clips[index]
        return self._called(clip.recording) + clip.span

    def seconds(self, index: int) -> float | None:
        """See `AudioCorpus.seconds`."""
        clip = self.clips[index]
        return None if clip.stop is None else (clip.stop - clip.start) / clip.recording.header.rate

    def group(self, index: int) -> str:
        """See `AudioCorpus.group`."""
        return self.clips[index].recording.name

    def row(self, index: int) -> Mapping[str, Any]:
        """See `AudioCorpus.row`."""
        return self.clips[index].row


def cut(
    recording: Recording,
    row: Mapping[str, Any],
    max_seconds: float | None,
    start: float = 0.0,
    stop: float | None = None,
) -> list[Clip]:
    """Consecutive clips of at most `max_seconds` from `start` to `stop`, in seconds.

    What is left at the end is left out if it is shorter than 0.5 s and not the only clip. Where the header does
    not say how long the recording is, there is one clip, with a note of what is left out.

    Raises:
        SonoscaleError: there is no audio between start and stop.
    """
    rate, frames = recording.header.rate, recording.header.frames
    first = round(start * rate)
    last = frames if stop is None else round(stop * rate) if frames is None else min(frames, round(stop * rate))
    size = None if max_seconds is None else max(1, math.floor(max_seconds * rate))
    if last is None:
        if size is None:
            return [Clip(recording, first, None, first > 0, row)]
        note = f"its header does not say how long it is; nothing after {_short((first + size) / rate)} s is used"
        return [Clip(recording, first, first + size, True, row, note)]
    if last <= first:
        length = "" if frames is None else f" (it is {_short(frames / rate)} s long)"
        where = f" from {start:g} s to {'its end' if stop is None else f'{stop:g} s'}{length}" if first or stop else ""
        raise SonoscaleError(f"holds no audio samples{where}")
    starts = range(first, last, size or last - first)
    return [
        Clip(recording, a, b, (a, b) != (0, frames), row)
        for a in starts
        for b in (min(last, a + size) if size else last,)
        if a == first or b - a == size or b - a >= _SHORTEST_REST * rate
    ]


def headers(sources: Iterable[Source]) -> list[AudioHeader | str]:
    """The header of each source, or why it cannot be read. Several at a time: most of it is waiting for a disk."""
    sources = list(sources)
    batches = [sources[i : i + 64] for i in range(0, len(sources), 64)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return [header for batch in pool.map(lambda batch: [header_of(s) for s in batch], batches) for header in batch]


def header_of(source: Source) -> AudioHeader | str:
    """The header of one source, or why it cannot be read."""
    try:
        return read_header(source, name="")
    except SonoscaleError as error:
        return str(error).removeprefix(": ")


def cut_all(
    found: Sequence[tuple[str, Path | FileSlice | int]],
    read: Sequence[AudioHeader | str],
    rows: Callable[[int], Mapping[str, Any]],
    max_seconds: float | None,
) -> tuple[list[Clip], list[Skipped]]:
    """The clips of whole recordings, given their names, sources, headers and rows; and those without any."""
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    for i, ((name, source), header) in enumerate(zip(found, read, strict=True)):
        if isinstance(header, str):
            skipped.append((name, header))
            continue
        try:
            clips += cut(Recording(name, source, header), rows(i), max_seconds)
        except SonoscaleError as error:
            skipped.append((name, str(error)))
    return clips, skipped


def contents(files: Sequence[Path]) -> list[bytes]:
    """SHA-256 of the content of each file; for one that cannot be read, of a word for that.

    A file may be listed and go, or be closed to this user: its clips then count as broken when they are read.
    """
    missing = hashlib.sha256(b"cannot be read").digest()
    return [missing if digest is None else bytes.fromhex(digest) for digest in file_digests(files)]


def need_clips(clips: Sequence[Clip], skipped: Sequence[Skipped], place: str, hint: str = "") -> None:
    """Check that there are clips at all.

    Raises:
        SonoscaleError: there are none.
    """
    if clips:
        return
    if skipped:
        name, reason = skipped[0]
        raise SonoscaleError(f"{place}: no readable audio; {len(skipped)} skipped, the first: {name}: {reason}{hint}")
    raise SonoscaleError(f"{place}: no audio files here (looked for {' '.join(AUDIO_SUFFIXES)}){hint}")
