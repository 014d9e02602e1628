"""Animals: chirps, stridulation, barks and croaks.

After Farnell, "Designing Sound", MIT Press 2010 (birds, insects), and Fletcher, "Acoustic Systems in
Biology", Oxford 1992 (syrinx, wing stridulation, vocal tracts).
"""

from __future__ import annotations

import numpy as np

from sonoscale.corpora.procedural._events import event
from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._synthesis import (
    SAMPLE_RATE,
    Wave,
    add,
    coloured_noise,
    drift,
    interpolate,
    normalise,
    phase,
    resonance,
    shaped_noise,
    time,
    wave_table,
)


def _swell(samples: int, skew: float = 0.4) -> Wave:
    """A smooth envelope from 0 to 0 whose peak lies at the fraction `skew` of its length."""
    x = np.linspace(0.0, 1.0, samples)
    return np.sin(np.pi * x ** (np.log(0.5) / np.log(skew)))


@event("bird")
def bird(draw: Draw, samples: int) -> Wave:
    """Song of one bird: a few kinds of syllable (sweeps, trills, whistles), repeated in phrases."""
    centre = draw.span("bird.centre", 2000.0, 4200.0, test=(4400.0, 6000.0))
    tempo = draw.span("bird.tempo", 3.0, 9.0)

    def syllable() -> Wave:
        n = max(400, int(draw.uniform(0.4, 0.9) / tempo * SAMPLE_RATE))
        contour = centre * np.exp2(draw.uniform(0.1, 0.6) * draw.rng.standard_normal(4))
        f = np.clip(interpolate(contour, n), 900.0, 7500.0)
        if draw.chance(0.4):
            f = f * (1.0 + draw.uniform(0.02, 0.12) * np.sin(2 * np.pi * draw.uniform(25.0, 90.0) * time(n)))
        wave = wave_table(phase(np.minimum(f, 7600.0), n), np.array([1.0]))
        second = wave_table(phase(np.minimum(2 * f, 7800.0), n), np.array([1.0])) * (2 * f < 7600.0)
        return (wave + draw.uniform(0.0, 0.25) * second) * _swell(n, draw.uniform(0.2, 0.7)) * draw.uniform(0.5, 1.0)

    repertoire = [syllable() for _ in range(int(draw.rng.integers(1, 4)))]
    track, at = np.zeros(samples), draw.uniform(0.0, 0.4)
    while at < samples / SAMPLE_RATE - 0.05:
        wave = repertoire[int(draw.rng.integers(len(repertoire)))]
        for _ in range(int(draw.rng.integers(1, 6))):
            add(track, wave, at, draw.uniform(0.8, 1.0))
            at += wave.size / SAMPLE_RATE + draw.uniform(0.01, 0.4) / tempo
        at += draw.uniform(0.05, 0.5)
    return normalise(track)


@event("insects")
def insects(draw: Draw, samples: int) -> Wave:
    """Crickets that chirp in pulse groups, or a cicada's steady buzz."""
    carrier = draw.span("insects.carrier", 3800.0, 5200.0, test=(5400.0, 7000.0))
    t = time(samples)
    track = np.zeros(samples)
    if draw.chance(0.3):
        buzz = shaped_noise(draw.rng, samples, [0.5 * carrier, carrier, 7900.0], [-40, 0, -16])
        pulses = 0.5 + 0.5 * np.sin(2 * np.pi * draw.uniform(90.0, 240.0) * t)
        return normalise(buzz * (0.2 + pulses) * np.clip(0.8 + 0.3 * drift(draw.rng, samples, 1.5), 0.1, 2.0))
    for _ in range(int(draw.rng.integers(1, 4))):
        f = carrier * draw.uniform(0.93, 1.05)
        chirp = (t * draw.uniform(1.6, 4.0) + draw.uniform(0.0, 1.0)) % 1.0
        duty = draw.uniform(0.3, 0.6)
        pulses = np.clip(np.sin(2 * np.pi * draw.uniform(22.0, 42.0) * t), 0.0, 1.0)
        gate = np.where(chirp < duty, np.sin(np.pi * np.clip(chirp / duty, 0.0, 1.0)) ** 0.4, 0.0)
        if draw.chance(0.3):
            gate = np.ones(samples)
        tone = np.sin(2 * np.pi * phase(f, samples) + 0.4 * drift(draw.rng, samples, 80.0))
        track += draw.uniform(0.2, 1.0) * tone * pulses * gate
    return normalise(track + 0.01 * coloured_noise(draw.rng, samples, 0.0))


def _voiced(draw: Draw, f: Wave, formants: list[float], roughness: float, breath: float) -> Wave:
    """A source of harmonics and noise through a vocal tract of formants in Hz."""
    n = f.size
    k = np.arange(1, max(2, int(7000.0 / float(f.max()))))
    jitter = 1.0 + roughness * drift(draw.rng, n, 120.0)
    source = normalise(wave_table(phase(f * jitter, n), 1.0 / k**0.8, draw.uniforms(0.0, 1.0, k.size)))
    source += breath * draw.rng.standard_normal(n)
    return normalise(sum((resonance(source, g, 4.0) for g in formants), start=0.15 * source))


@event("dog_bark")
def dog_bark(draw: Draw, samples: int) -> Wave:
    """A dog: short, rough, voiced bursts whose pitch rises and falls; the mouth opens and closes."""
    size = draw.span("dog.size", 0.7, 1.3, test=(1.4, 2.0))  # small body, high voice
    tract = draw.uniform(0.85, 1.2)
    formants = [650.0 * size * tract, 1300.0 * size * tract, 2500.0 * size**0.5 * tract]

    def bark() -> Wave:
        n = int(draw.uniform(0.11, 0.26) / size**0.5 * SAMPLE_RATE)
        peak = 430.0 * size * draw.uniform(0.85, 1.2)
        f = interpolate([0.55 * peak, peak, 0.9 * peak, 0.5 * peak], n)
        return _voiced(draw, f, formants, draw.uniform(0.03, 0.12), 0.12) * _swell(n, draw.uniform(0.2, 0.4)) ** 0.7

    barks = [bark() for _ in range(2)]
    track, at = np.zeros(samples), draw.uniform(0.0, 0.5)
    while at < samples / SAMPLE_RATE - 0.1:
        for _ in range(int(draw.rng.integers(1, 4))):
            wave = barks[int(draw.rng.integers(2))]
            add(track, wave, at, draw.uniform(0.6, 1.0))
            at += wave.size / SAMPLE_RATE + draw.uniform(0.06, 0.25)
        at += draw.uniform(0.1, 0.8)
    return normalise(track)


@event("frog")
def frog(draw: Draw, samples: int) -> Wave:
    """Frogs: croaks, each a train of glottal pulses that ring in the vocal sac."""
    pulse_rate = draw.span("frog.pulses", 28.0, 60.0, test=(65.0, 100.0))
    sac = draw.span("frog.sac", 500.0, 1500.0, log=True)
    track = np.zeros(samples)
    for _ in range(int(draw.rng.integers(1, 4))):
        pitch = sac * draw.uniform(0.8, 1.25)
        rate = pulse_rate * draw.uniform(0.9, 1.1)
        n = int(draw.uniform(0.2, 0.5) * SAMPLE_RATE)
        train = np.zeros(n)
        beats = np.cumsum(1.0 / (rate * np.linspace(0.85, 1.2, int(rate * n / SAMPLE_RATE))))
        places = (beats * SAMPLE_RATE).astype(int)
        train[places[places < n]] = 1.0
        ring = resonance(train, pitch, 9.0) + 0.5 * resonance(train, 2.3 * pitch, 10.0)
        croak = normalise(ring * _swell(n, 0.6))
        gap = draw.uniform(0.1, 0.6) + n / SAMPLE_RATE
        at = draw.uniform(0.0, 0.5)
        level = draw.uniform(0.3, 1.0)
        while at < samples / SAMPLE_RATE:
            add(track, croak, at, level * draw.uniform(0.8, 1.0))
            at += gap * draw.uniform(0.95, 1.05)
    return normalise(track)
