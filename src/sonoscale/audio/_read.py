"""Decode one file to a mono waveform at the wanted rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from sonoscale.errors import SonoscaleError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au")


def read_audio(path: str | Path, *, sample_rate: int = 16_000) -> np.ndarray:
    """Read a whole audio file as mono at `sample_rate`.

    Channels are averaged; the rate is changed with soxr's high-quality setting (band-limited, linear phase).
    WAV, FLAC, OGG (Vorbis or Opus), MP3 and whatever else libsndfile decodes, at any rate and channel count.

    Arguments:
        path: the file.
        sample_rate: the wanted rate in Hz.

    Returns:
        float32 `[samples]`, nominally in [-1, 1] (a float file that exceeds full scale is not clipped).

    Raises:
        SonoscaleError: the file is missing, is not audio that can be decoded, holds no samples, or holds
            NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise SonoscaleError(f"{path}: no such audio file")
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)  # [samples, channels]
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
        raise SonoscaleError(f"{path}: cannot be decoded as audio ({reason})") from error
    if wave.shape[0] == 0:
        raise SonoscaleError(f"{path}: holds no audio samples")
    mono = wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1)
    if not np.isfinite(mono).all():
        bad = int(np.flatnonzero(~np.isfinite(mono))[0])
        raise SonoscaleError(f"{path}: NaN or infinite samples, the first at sample {bad} ({bad / rate:.3f} s)")
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
        if mono.shape[0] == 0:
            raise SonoscaleError(f"{path}: too short to resample from {rate} to {sample_rate} Hz")
    return np.ascontiguousarray(mono, dtype=np.float32)
