"""Notes: the register of instrument families, and what several families share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._synthesis import SAMPLE_RATE, Wave, time

__all__ = ["REGISTER", "Instrument", "Note", "formants", "harmonics", "instrument", "sustain"]

# (frequency in Hz, samples, velocity in 0..1) -> float64 [samples], its peak at about the velocity.
Note = Callable[[float, int, float], Wave]

# Draws one player's timbre, and gives what plays notes in it.
Instrument = Callable[[Draw], Note]

REGISTER: dict[str, Instrument] = {}


def instrument(name: str) -> Callable[[Instrument], Instrument]:
    """Register a family of instruments under its class name."""

    def register(build: Instrument) -> Instrument:
        REGISTER[name] = build
        return build

    return register


def harmonics(frequency: float, limit: int = 40) -> np.ndarray:
    """Numbers of the harmonics below the Nyquist frequency."""
    return np.arange(1, max(1, min(limit, int(0.46 * SAMPLE_RATE / frequency))) + 1)


def sustain(samples: int, attack: float, release: float) -> Wave:
    """An envelope that rises, holds, and falls to the end."""
    t = time(samples)
    end = samples / SAMPLE_RATE
    attack, release = min(attack, 0.4 * end), min(release, 0.4 * end)
    rise = np.clip(t / attack, 0.0, 1.0)
    fall = np.clip((end - t) / release, 0.0, 1.0)
    return np.sin(0.5 * np.pi * rise) ** 2 * np.sin(0.5 * np.pi * fall) ** 2


def formants(draw: Draw, count: int, low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """A body's or bell's fixed resonances, as a gain over frequency."""
    centres = np.exp(draw.uniforms(np.log(low), np.log(high), count))
    gains = draw.uniforms(1.0, 4.0, count)
    widths = draw.uniforms(0.1, 0.35, count)

    def gain(frequency: np.ndarray) -> np.ndarray:
        distance = (np.log(frequency)[:, None] - np.log(centres)) / widths
        return 0.5 + (gains * np.exp(-0.5 * distance**2)).sum(axis=1)

    return gain
