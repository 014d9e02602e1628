"""Elements of sound that instruments and events are built of: noise, modes, wave tables, grains, envelopes.

All waveforms here are float64 [samples] at `SAMPLE_RATE`. Nothing calls BLAS, whose sums may change with the
number of threads: a clip must have the same bits everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import next_fast_len

__all__ = [
    "SAMPLE_RATE",
    "Wave",
    "add",
    "coloured_noise",
    "convolve",
    "decays",
    "drift",
    "fft_size",
    "interpolate",
    "modes",
    "normalise",
    "onsets",
    "phase",
    "resonance",
    "shaped_noise",
    "time",
    "wave_table",
]

SAMPLE_RATE = 16_000

Wave = NDArray[np.float64]

_TABLE = 2048
_BLOCK = 256


def time(samples: int) -> Wave:
    """Time in seconds of each sample."""
    return np.arange(samples) / SAMPLE_RATE


def normalise(wave: Wave) -> Wave:
    """Scale to a peak of 1; silence stays silence."""
    peak = float(np.max(np.abs(wave), initial=0.0))
    return wave / peak if peak > 0.0 else wave


def add(track: Wave, piece: Wave, at: float, gain: float = 1.0) -> None:
    """Mix a piece into a track in place, from `at` seconds on; what falls outside the track is cut off."""
    start = round(at * SAMPLE_RATE)
    skip = max(0, -start)
    start = max(0, start)
    count = min(piece.size - skip, track.size - start)
    if count > 0:
        track[start : start + count] += gain * piece[skip : skip + count]


def interpolate(values: ArrayLike, samples: int) -> Wave:
    """A curve through equally spaced values, linear between them, `samples` long."""
    values = np.asarray(values, dtype=np.float64)
    return np.interp(np.linspace(0.0, values.size - 1.0, samples), np.arange(values.size), values)


def drift(rng: np.random.Generator, samples: int, rate: float) -> Wave:
    """A slow random curve of mean 0 and unit deviation, with about `rate` independent values a second."""
    count = max(4, round(rate * samples / SAMPLE_RATE) + 3)
    values = rng.standard_normal(count)
    knots = np.linspace(0.0, count - 1.0, samples)
    whole = np.minimum(knots.astype(np.int64), count - 2)
    x = knots - whole
    x = x * x * (3.0 - 2.0 * x)
    return values[whole] * (1.0 - x) + values[whole + 1] * x


def phase(frequency: Wave | float, samples: int, start: float = 0.0) -> Wave:
    """Phase in cycles of an oscillator whose frequency, in Hz, may change from sample to sample."""
    if isinstance(frequency, np.ndarray):
        return start + np.cumsum(frequency, dtype=np.float64) / SAMPLE_RATE
    return start + time(samples) * frequency


def fft_size(samples: int) -> int:
    """A length of at least `samples` whose real Fourier transform is fast."""
    return int(next_fast_len(samples, real=True))  # pyright: ignore[reportArgumentType] (its stub says None)


def wave_table(cycles: Wave, amplitudes: NDArray[Any], phases: Wave | None = None) -> Wave:
    """A periodic sound by table look-up.

    Arguments:
        cycles: phase in cycles, [samples].
        amplitudes: amplitude of each harmonic, the fundamental first, [harmonics]; the caller keeps them
            below the Nyquist frequency.
        phases: phase of each harmonic in radians; default: all sines.
    """
    count = min(amplitudes.size, _TABLE // 2 - 1)
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=np.complex128)
    turn = -1j if phases is None else -1j * np.exp(1j * phases[:count])
    spectrum[1 : count + 1] = 0.5 * _TABLE * amplitudes[:count] * turn
    table = np.fft.irfft(spectrum, _TABLE)
    table = np.append(table, table[0])
    position = (cycles - np.floor(cycles)) * _TABLE
    whole = np.minimum(position.astype(np.intp), _TABLE - 1)
    fraction = position - whole
    below = table[whole]
    return below + fraction * (table[whole + 1] - below)


def modes(
    frequencies: ArrayLike,
    decay_times: ArrayLike,
    amplitudes: ArrayLike,
    samples: int,
    phases: ArrayLike = 0.0,
) -> Wave:
    """Modal synthesis: a sum of exponentially decaying sinusoids.

    The model of a struck or plucked linear object: van den Doel & Pai, "The sounds of physical shapes",
    Presence 7(4), 1998. Each mode z^n is factored into z^(256 b) z^k, so a mode costs two outer products.

    Arguments:
        frequencies: in Hz, [modes]; those above 0.48 of the sample rate are left out.
        decay_times: seconds in which a mode falls by 60 dB, [modes] or one for all.
        amplitudes: [modes] or one for all.
        samples: length of the result.
        phases: initial phases in radians, [modes] or one for all; 0 is a sine.
    """
    f, d, a, p = np.broadcast_arrays(
        *(np.asarray(x, dtype=np.float64) for x in (frequencies, decay_times, amplitudes, phases))
    )
    f, d, a, p = (np.atleast_1d(x) for x in (f, d, a, p))
    keep = (f < 0.48 * SAMPLE_RATE) & (f > 0.0) & (a != 0.0)
    f, d, a, p = f[keep], np.maximum(d[keep], 1e-3), a[keep], p[keep]
    blocks = -(-samples // _BLOCK)
    exponent = (2j * np.pi * f - np.log(1000.0) / d) / SAMPLE_RATE  # [modes]
    slow = np.exp(_BLOCK * np.arange(blocks)[:, None] * exponent) * (-1j * a * np.exp(1j * p))  # [blocks, modes]
    fast = np.exp(exponent[:, None] * np.arange(_BLOCK))  # [modes, block]
    left = np.concatenate([slow.real, -slow.imag], axis=1)  # [blocks, 2 modes]
    right = np.concatenate([fast.real, fast.imag], axis=0)  # [2 modes, block]
    out = np.einsum("bm,mk->bk", left, right)
    return out.reshape(-1)[:samples]


def decays(samples: int, attack: float, decay: float) -> Wave:
    """An envelope that rises in `attack` seconds and then falls by 60 dB in `decay` seconds."""
    t = time(samples)
    rise = np.minimum(1.0, t / max(attack, 1.0 / SAMPLE_RATE))
    return rise * np.exp(-np.log(1000.0) * np.maximum(0.0, t - attack) / max(decay, 1e-3))


def coloured_noise(rng: np.random.Generator, samples: int, exponent: float) -> Wave:
    """Noise whose power falls as f^-exponent (0 white, 1 pink, 2 brown) above 20 Hz, unit deviation."""
    frequencies = np.array([20.0, SAMPLE_RATE / 2])
    return shaped_noise(rng, samples, frequencies, -10.0 * exponent * np.log10(frequencies / 20.0))


def shaped_noise(rng: np.random.Generator, samples: int, frequencies: ArrayLike, gains: ArrayLike) -> Wave:
    """Gaussian noise with a given spectrum, unit deviation.

    Arguments:
        rng: random stream.
        samples: length.
        frequencies: rising corner frequencies in Hz.
        gains: gains in dB at the corners; linear in the logarithm of frequency between them, constant beyond.
    """
    size = fft_size(samples)
    bins = size // 2 + 1
    spectrum = rng.standard_normal(2 * bins, dtype=np.float32).view(np.complex64)
    coarse = np.linspace(0.0, SAMPLE_RATE / 2, 513)
    corners = np.log(np.asarray(frequencies, dtype=np.float64))
    level = np.interp(np.log(np.maximum(coarse, 1.0)), corners, np.asarray(gains, dtype=np.float64))
    gain = interpolate(10.0 ** (level / 20.0), bins).astype(np.float32)
    gain[0] = 0.0
    noise = np.fft.irfft(spectrum * gain, size)[:samples].astype(np.float64)
    return noise / (float(np.std(noise)) + 1e-12)


def resonance(wave: Wave, frequency: float, quality: float) -> Wave:
    """The wave through a two-pole resonator of unit peak gain at `frequency` Hz."""
    frequency = min(frequency, 0.48 * SAMPLE_RATE)
    from scipy import signal  # a second and more, which not every command should wait for

    b, a = signal.iirpeak(frequency, max(quality, 0.3), fs=SAMPLE_RATE)
    return np.asarray(signal.lfilter(b, a, wave))


def convolve(wave: Wave, response: Wave) -> Wave:
    """Linear convolution cut to the length of the wave."""
    size = fft_size(wave.size + response.size - 1)
    spectrum = np.fft.rfft(wave.astype(np.float32), size) * np.fft.rfft(response.astype(np.float32), size)
    return np.fft.irfft(spectrum, size)[: wave.size].astype(np.float64)


def onsets(rng: np.random.Generator, seconds: float, rate: float, jitter: float = 1.0) -> Sequence[float]:
    """Times of repeated happenings, in seconds, at least one.

    Arguments:
        rng: random stream.
        seconds: the time to fill.
        rate: happenings a second.
        jitter: 0 for a regular beat from a random start; 1 for a Poisson process.
    """
    if jitter >= 1.0:
        count = max(1, int(rng.poisson(rate * seconds)))
        return sorted(rng.uniform(0.0, seconds * (1.0 if count > 1 else 0.6), count).tolist())
    start = rng.uniform(0.0, min(1.0 / rate, 0.6 * seconds))
    beats = np.arange(start, seconds, 1.0 / rate)
    if beats.size == 0:
        beats = np.array([start])
    return (beats + jitter * rng.standard_normal(beats.size) / (2.0 * rate)).clip(0.0, seconds).tolist()
