"""Mel spectrograms by another library, which needs no compilation: what the front end is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from transformers.audio_utils import mel_filter_bank, spectrogram


def filters(n_fft: int, bands: int, rate: int) -> NDArray[np.float64]:
    """Slaney's filters [n_fft / 2 + 1, bands]."""
    return mel_filter_bank(n_fft // 2 + 1, bands, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")


def power_mels(
    wave: NDArray[np.floating], bands: int, *, rate: int = 16_000, n_fft: int = 512, window: int = 400, hop: int = 160
) -> NDArray[np.float64]:
    """Energies [bands, frames] of windows (Hann, periodic) that lie in the middle of `n_fft` samples."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    before = (n_fft - window) // 2
    return spectrogram(
        wave.astype(np.float64), np.pad(hann, (before, n_fft - window - before)), n_fft, hop, fft_length=n_fft,
        power=2.0, center=False, mel_filters=filters(n_fft, bands, rate), mel_floor=0.0, dtype=np.dtype(np.float64),
    )  # fmt: skip
