"""Parts of a waveform at another rate than it is stored in, without resampling the whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import soxr

_MARGIN = 0.05  # seconds on either side, beyond which soxr's filter hears nothing


Count = TypeVar("Count", int, np.ndarray)


def resampled_length(samples: Count, rate: int, sample_rate: int) -> Count:
    """Samples that soxr makes of `samples` at `rate` Hz: the nearest whole number, halves up."""
    return (2 * samples * sample_rate + rate) // (2 * rate)


def resampled_crop(
    read: Callable[[int, int], np.ndarray], samples: int, rate: int, sample_rate: int, start: int, stop: int
) -> np.ndarray:
    """Samples `start` to `stop` of what resampling a whole clip gives, to rounding (1e-6).

    Arguments:
        read: gives samples `a` to `b` of the clip as it is stored, float32 `[b - a]`.
        samples, rate: length of the clip and its rate in Hz, as stored.
        sample_rate: the wanted rate in Hz, at which `start` and `stop` count.

    Returns:
        float32 `[stop - start]`; fewer where the clip ends before.
    """
    if rate == sample_rate:
        return read(start, min(stop, samples))
    step = rate // math.gcd(rate, sample_rate)  # multiples of it fall on a sample at both rates
    first = max(0, int((start / sample_rate - _MARGIN) * rate)) // step * step
    last = min(samples, math.ceil((stop / sample_rate + _MARGIN) * rate))
    wave = soxr.resample(read(first, last), rate, sample_rate, quality="HQ")
    at = start - first * sample_rate // rate
    return np.ascontiguousarray(wave[at : at + stop - start], dtype=np.float32)
