"""Rooms, background noise and level: what lies between a sound and its recording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._synthesis import (
    SAMPLE_RATE,
    Wave,
    add,
    coloured_noise,
    convolve,
    fft_size,
    phase,
    wave_table,
)

__all__ = ["record", "room_response"]

_SPEED_OF_SOUND = 343.0  # m/s
_CROSSOVERS = (350.0, 2500.0)  # Hz, between the low, middle and high decay


def _bands(noise: Wave) -> list[Wave]:
    """Split into low, middle and high bands that add up to the noise."""
    size = fft_size(noise.size)
    spectrum = np.fft.rfft(noise, size)
    frequency = np.linspace(0.0, SAMPLE_RATE / 2, spectrum.size)
    low, middle = (np.fft.irfft(spectrum / (1.0 + (frequency / f) ** 4), size)[: noise.size] for f in _CROSSOVERS)
    return [low, middle - low, noise - middle]


def _reflections(rng: np.random.Generator, dimensions: NDArray[np.float64], reflectance: float) -> Wave:
    """First- and second-order images of a source in a box: Allen & Berkley, JASA 65(4), 1979."""
    source, ear = (rng.uniform(0.15, 0.85, 3) * dimensions for _ in range(2))
    direct = np.linalg.norm(source - ear)
    grid = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    order = np.abs(grid).sum(axis=1)
    grid, order = grid[(order > 0) & (order <= 2)], order[(order > 0) & (order <= 2)]
    even = grid % 2 == 0
    image = np.where(even, source, dimensions - source) + grid * dimensions
    distance = np.sqrt(((image - ear) ** 2).sum(axis=1))
    delay = ((distance - direct) / _SPEED_OF_SOUND * SAMPLE_RATE).round().astype(int)
    response = np.zeros(int(delay.max(initial=1)) + 1)
    np.add.at(response, np.maximum(delay, 1), reflectance**order * direct / distance)
    return response


def room_response(
    rng: np.random.Generator,
    rt60: float,
    *,
    tail_gain: float = 0.3,
    low_ratio: float = 1.2,
    high_ratio: float = 0.5,
    size: float = 5.0,
) -> Wave:
    """Impulse response of a room: direct sound, early reflections, and a diffuse tail.

    The tail is Gaussian noise under an exponential decay (Schroeder's model of a diffuse field, 1962; Polack,
    1988), at its own rate in each of three bands.

    Arguments:
        rng: random stream.
        rt60: time in seconds in which the tail falls by 60 dB between 350 and 2,500 Hz.
        tail_gain: root of the tail's energy over the direct sound's; the early reflections have as much.
        low_ratio: low-frequency decay time over `rt60`.
        high_ratio: high-frequency decay time over `rt60`.
        size: longest side in metres.

    Returns:
        float64 [samples], the direct sound is the 1.0 at index 0.
    """
    samples = int(rt60 * max(1.0, low_ratio) * SAMPLE_RATE)
    t = np.arange(samples) / SAMPLE_RATE
    tail = np.zeros(samples)
    for band, ratio in zip(_bands(rng.standard_normal(samples)), (low_ratio, 1.0, high_ratio), strict=True):
        tail += band * np.exp(-np.log(1000.0) * t / (rt60 * ratio))
    onset = max(1, round(0.4 * size / _SPEED_OF_SOUND * SAMPLE_RATE))
    tail[:onset] *= np.linspace(0.0, 1.0, onset) ** 2
    tail *= tail_gain / np.sqrt(np.sum(tail**2) + 1e-12)
    dimensions = size * np.array([1.0, rng.uniform(0.5, 0.95), rng.uniform(0.35, 0.6)])
    early = _reflections(rng, dimensions, float(np.clip(0.9 - 0.06 / rt60, 0.2, 0.9)))
    response = np.zeros(max(samples, early.size))
    response[0] = 1.0
    response[: early.size] += early * (tail_gain / np.sqrt(np.sum(early**2)))
    add(response, tail, 0.0)
    return response


def _background(draw: Draw, samples: int) -> Wave:
    kind = draw.pick("noise", ("white", "pink", "brown", "hum"))
    if kind != "hum":
        return coloured_noise(draw.rng, samples, {"white": 0.0, "pink": 1.0, "brown": 2.0}[kind])
    harmonics = draw.uniforms(0.05, 1.0, 12) / np.arange(1, 13)
    mains = draw.pick("mains", (50.0, 60.0))
    hum = wave_table(phase(mains, samples, draw.uniform(0.0, 1.0)), harmonics)
    return hum / np.std(hum) + 0.5 * coloured_noise(draw.rng, samples, 0.5)


def record(draw: Draw, dry: Wave) -> NDArray[np.float32]:
    """Put a sound in a random room, with background noise, at a random level.

    Arguments:
        draw: the clip's parameters.
        dry: the sound, [samples].

    Returns:
        float32 [samples] within [-1, 1].
    """
    rt60 = draw.span("room.rt60", 0.12, 0.65, test=(0.7, 1.1), log=True)
    response = room_response(
        draw.rng,
        rt60,
        tail_gain=draw.span("room.tail_gain", 0.03, 0.5, log=True),
        low_ratio=draw.uniform(1.0, 1.4),
        high_ratio=draw.span("room.high_ratio", 0.4, 0.7, test=(0.75, 0.95)),
        size=draw.span("room.size", 2.5, 8.0, test=(8.5, 15.0)),
    )
    wet = convolve(dry, response)
    loudness = float(np.sqrt(np.mean(wet**2))) + 1e-9
    noise = _background(draw, dry.size)
    wet += noise * (loudness * 10.0 ** (-draw.uniform(12.0, 45.0) / 20.0))
    peak = float(np.max(np.abs(wet)))
    level = 10.0 ** (-draw.uniform(0.5, 20.0) / 20.0)
    return (wet * (level / peak)).astype(np.float32)
