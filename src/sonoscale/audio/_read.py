"""Decode a file, or a piece of one, to a mono waveform at the wanted rate."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from sonoscale.audio._cut_off import cut_off
from sonoscale.audio._slice import FileSlice
from sonoscale.errors import SonoscaleError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au")

_BLOCK = 1 << 18  # values decoded at a time, over all channels
_AT_ONCE = 1 << 24  # mono frames that are decoded into one array, whatever a damaged header may promise
_LONGEST = 1 << 48  # frames; libsndfile says 2^63 - 1 where the header holds no length
# What libsndfile seeks in to the sample. It does not in MP3 (frames after a seek miss the bits they borrow from
# earlier ones), Ogg Vorbis (the last page, libsndfile issue 885) and Opus (its state converges over seconds).
_SEEKABLE = {"ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32", "ALAW", "DOUBLE", "FLOAT", "ULAW"}
# Where 16-bit samples lie as they are.
_PLAIN = {"AIFF", "AU", "CAF", "RF64", "W64", "WAV", "WAVEX"}

Source = str | Path | FileSlice | bytes | BinaryIO


@dataclass(frozen=True, slots=True)
class AudioHeader:
    """What the header of an audio file says. `frames` is None where it does not say how long the file is."""

    rate: int  # Hz
    frames: int | None
    channels: int
    cut_off: str = ""  # what shows that the file ends before its audio does, if something does


class _Decoder(soundfile.SoundFile):
    _owned: BinaryIO | None = None

    @classmethod
    def over(cls, stream: BinaryIO) -> _Decoder:
        """A decoder that closes its stream."""
        decoder = cls(stream)
        decoder._owned = stream
        return decoder

    def close(self) -> None:
        super().close()
        if self._owned is not None:
            self._owned.close()

    def seekable(self) -> bool:
        """Never: soundfile would seek after every read, which in MP3 changes what the next read finds."""
        return False

    @property
    def dtype(self) -> type[np.int16] | type[np.float32]:
        """What to read it as: libsndfile takes several times as long to make floats of 16-bit samples as NumPy does."""
        return np.int16 if self.subtype == "PCM_16" and self.format in _PLAIN else np.float32

    @property
    def length(self) -> int | None:
        return self.frames if 0 <= self.frames < _LONGEST else None

    @property
    def exact(self) -> bool:
        """Whether a seek leads to the very sample."""
        return self.length is not None and (self.subtype.startswith("PCM_") or self.subtype in _SEEKABLE)


def read_header(source: Source, *, name: str | None = None) -> AudioHeader:
    """Rate, length and channels of an audio file, without decoding it.

    Arguments:
        source: as for `read_audio`.
        name: what to call it in messages; by default its path.

    Raises:
        SonoscaleError: it is missing or not audio that can be decoded.
    """
    name = _name(source, name)
    with _translated(name), _open(source, name) as file:
        header = AudioHeader(file.samplerate, file.length, file.channels)
    return replace(header, cut_off=_cut_off(source, name))


def _cut_off(source: Source, name: str) -> str:
    with _translated(name):
        if isinstance(source, bytes):
            return cut_off(io.BytesIO(source), len(source))
        if isinstance(source, FileSlice):
            with source.open() as stream:
                return cut_off(stream, source.size)
        if isinstance(source, str | Path):
            with Path(source).open("rb") as stream:
                return cut_off(stream, os.fstat(stream.fileno()).st_size)
        if source.seekable():
            return cut_off(source, source.seek(0, io.SEEK_END))
    return ""


def read_audio(
    source: Source,
    *,
    sample_rate: int = 16_000,
    start: float = 0.0,
    stop: float | None = None,
    name: str | None = None,
) -> np.ndarray:
    """Read an audio file, or a piece of one, as mono at `sample_rate`.

    Channels are averaged; the rate is changed with soxr's high-quality setting (band-limited, linear phase).
    WAV, FLAC, OGG (Vorbis or Opus), MP3 and whatever else libsndfile decodes, at any rate and channel count,
    known by its content and not by its suffix (an MP3 file that begins with something else is found by its
    suffix, so not from a stream).

    Memory is that of the piece, not that of the file. A piece is what a reading of the whole file holds there:
    to the sample for PCM and FLAC, where it is found by seeking, and to rounding for MP3, Vorbis and Opus, which
    are decoded from their start because libsndfile does not seek in them exactly. So that pieces in order cost
    no more than one reading, the decoder of the last such file stays open, one for each thread.

    Arguments:
        source: path, slice of a file, encoded bytes, or a binary stream (read from its beginning).
        sample_rate: the wanted rate in Hz.
        start: where to begin, in seconds.
        stop: where to end, in seconds; by default, and at most, the end of the file.
        name: what to call the source in messages; by default its path.

    Returns:
        float32 `[samples]`, nominally in [-1, 1] (a float file that exceeds full scale is not clipped).

    Raises:
        SonoscaleError: the source is missing, is not audio that can be decoded, holds no samples (between start
            and stop), or holds NaN or infinity there.

    Example:
        >>> import io, wave
        >>> file = io.BytesIO()
        >>> with wave.open(file, "wb") as out:  # a second of silence in stereo
        ...     out.setparams((2, 2, 8000, 0, "NONE", ""))
        ...     out.writeframes(bytes(4 * 8000))
        >>> read_audio(file.getvalue(), sample_rate=16_000).shape
        (16000,)
    """
    name = _name(source, name)
    with _translated(name):
        mono, rate, first = _decode(source, name, start, stop)
    if mono.shape[0] == 0:
        where = f" from {start:g} s to {'its end' if stop is None else f'{stop:g} s'}" if start or stop else ""
        raise SonoscaleError(f"{name}: holds no audio samples{where}")
    if not np.isfinite(mono).all():
        bad = first + int(np.flatnonzero(~np.isfinite(mono))[0])
        raise SonoscaleError(f"{name}: NaN or infinite samples, the first at sample {bad} ({bad / rate:.3f} s)")
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
        if mono.shape[0] == 0:
            raise SonoscaleError(f"{name}: too short to resample from {rate} to {sample_rate} Hz")
    return np.ascontiguousarray(mono, dtype=np.float32)


def _name(source: Source, name: str | None) -> str:
    if name is not None:
        return name
    return str(source) if isinstance(source, str | Path | FileSlice) else "audio"


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """libsndfile's errors in our words."""
    try:
        yield
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(error).rsplit(": ", 1)[-1].rstrip(".") or "damaged or cut off"
        raise SonoscaleError(f"{name}: cannot be decoded as audio ({reason})") from error
    except OSError as error:
        raise SonoscaleError(f"{name}: cannot be read ({error.strerror or error})") from error


def _open(source: Source, name: str) -> _Decoder:
    if isinstance(source, bytes):
        return _Decoder(io.BytesIO(source))
    if isinstance(source, FileSlice):
        return _Decoder.over(source.open())
    if not isinstance(source, str | Path):
        if not source.seekable():
            return _Decoder(io.BytesIO(source.read()))
        source.seek(0)
        return _Decoder(source)
    path = Path(source)
    if not path.is_file():
        raise SonoscaleError(f"{name}: no such audio file")
    if path.suffix.lower() == ".raw":  # soundfile would ask what is in it
        return _Decoder.over(FileSlice(path, 0, path.stat().st_size).open())
    return _Decoder(os.fsencode(path))  # pyright: ignore[reportArgumentType] - names need not be UTF-8


def _decode(source: Source, name: str, start: float, stop: float | None) -> tuple[np.ndarray, int, int]:
    """Mono at the file's own rate, float32 `[frames]`; that rate; the index of its first frame in the file."""
    key = _key(source)
    file, at = _forward.take(key, start) if start > 0 else (None, 0)
    file = file or _open(source, name)
    try:
        rate, length = file.samplerate, file.length
        first = round(start * rate)
        last = None if stop is None else round(stop * rate)
        if length is not None:
            last = length if last is None else min(last, length)
            first = min(first, length)
        if file.exact:
            if first:
                file.seek(first)
        else:
            _skip(file, first - at)
        mono = _read(file, None if last is None else max(0, last - first))
        if key is not None and not file.exact and last not in (None, length) and len(mono) == last - first:
            _forward.keep(key, file, last)
            file = None
    finally:
        if file is not None:
            file.close()
    return mono, rate, first


def _skip(file: _Decoder, frames: int) -> None:
    block = np.empty((max(1, _BLOCK // file.channels), file.channels), np.float32)
    while frames > 0 and (got := file.read(out=block[:frames]).shape[0]):
        frames -= got


def _read(file: _Decoder, frames: int | None) -> np.ndarray:
    """The next `frames` frames, or all that follow, as mono float32 `[frames]`."""
    if file.channels == 1 and frames is not None and frames <= _AT_ONCE:
        return _as_float(file.read(out=np.empty(frames, file.dtype)))
    block = np.empty((max(1, _BLOCK // file.channels), file.channels), file.dtype)
    parts, left = [np.empty(0, np.float32)], frames
    while left is None or left > 0:
        got = file.read(out=block[:left])
        if got.shape[0] == 0:
            break
        parts.append(_mono(_as_float(got)))
        left = None if left is None else left - got.shape[0]
    return np.concatenate(parts)


def _as_float(samples: np.ndarray) -> np.ndarray:
    """float32 as libsndfile would give it: for 16-bit samples multiplied by 2^-15, which is exact."""
    return samples.astype(np.float32) * np.float32(2.0**-15) if samples.dtype == np.int16 else samples


def _mono(block: np.ndarray) -> np.ndarray:
    """The mean over the channels of `[frames, channels]`, in an array of its own."""
    channels = block.shape[1]
    if channels >= 8:  # NumPy adds so many in another order
        return block.mean(axis=1)
    mono = block[:, 0] + np.float32(0)
    for channel in range(1, channels):  # the same sums as in `mean(axis=1)`, and 20 times as quick
        mono += block[:, channel]
    mono /= np.float32(channels)
    return mono


_Key = tuple[int, str, int, int, int, int]


def _key(source: Source) -> _Key | None:
    """What says that an open decoder is still the right one, for the process that opened it."""
    if not isinstance(source, str | Path | FileSlice):
        return None
    part = source if isinstance(source, FileSlice) else FileSlice(Path(source), 0, -1)
    try:
        found = os.stat(part.path)  # noqa: PTH116 (quicker, and once per clip)
    except OSError:
        return None
    return os.getpid(), str(part.path), part.offset, part.size, found.st_size, found.st_mtime_ns


class _Forward(threading.local):
    """The last file that was decoded in part and cannot be sought in, and the frame it stands at."""

    _held: tuple[_Key, _Decoder, int] | None = None

    def take(self, key: _Key | None, start: float) -> tuple[_Decoder | None, int]:
        """The decoder if it is of that file and has not gone past `start` seconds; and where it stands."""
        held, self._held = self._held, None
        if held is None:
            return None, 0
        if held[0] == key and held[2] <= round(start * held[1].samplerate):
            return held[1], held[2]
        held[1].close()
        return None, 0

    def keep(self, key: _Key, file: _Decoder, at: int) -> None:
        """Hold `file`, which stands at frame `at`."""
        if self._held is not None:
            self._held[1].close()
        self._held = key, file, at


_forward = _Forward()
