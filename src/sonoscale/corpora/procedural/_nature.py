"""Water, air, fire and storm: sounds of many small sources.

After Farnell, "Designing Sound", MIT Press 2010 (rain, wind, fire, thunder), and van den Doel, "Physically
based models for liquid sounds", ACM TAP 2(4), 2005 (bubbles).
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
    convolve,
    decays,
    drift,
    normalise,
    onsets,
    phase,
    resonance,
    shaped_noise,
    time,
)

_BUBBLE = 720  # samples that one bubble may last


def _sparks(draw: Draw, samples: int, rate: float, tail: float = 1.6) -> Wave:
    """Impulses at random times, `rate` a second, with Pareto-distributed heights (a few loud, many soft)."""
    track = np.zeros(samples)
    count = max(1, int(draw.rng.poisson(rate * samples / SAMPLE_RATE)))
    heights = np.minimum(draw.rng.pareto(tail, count) + 0.3, 12.0) * draw.rng.choice([-1.0, 1.0], count)
    np.add.at(track, draw.rng.integers(0, samples, count), heights)
    return track


def _bubbles(draw: Draw, samples: int, count: int, low: float, high: float, rise: float) -> Wave:
    """Bubbles that ring at their Minnaert frequency, damped by 0.13 f + 0.0072 f^1.5, and rise in pitch."""
    f = np.exp(draw.uniforms(np.log(low), np.log(high), count))
    damping = 0.13 * f + 0.0072 * f**1.5
    t = np.arange(_BUBBLE) / SAMPLE_RATE
    slope = rise * damping * draw.uniforms(0.0, 1.0, count)
    cycles = f[:, None] * t + 0.5 * (f * slope)[:, None] * t**2
    height = draw.uniforms(0.05, 1.0, count) ** 2 * (low / f) ** 0.3
    rings = height[:, None] * np.sin(2 * np.pi * cycles) * np.exp(-damping[:, None] * t)
    rings[:, -80:] *= np.linspace(1.0, 0.0, 80)
    track = np.zeros(samples + _BUBBLE)
    starts = draw.rng.integers(0, samples, count)
    for start, ring in zip(starts, rings, strict=True):
        track[start : start + _BUBBLE] += ring
    return track[:samples]


@event("rain")
def rain(draw: Draw, samples: int) -> Wave:
    """Drops on a surface, each a resonant tick, over the hiss of the far ones."""
    rate = draw.span("rain.rate", 150.0, 900.0, test=(950.0, 1800.0), log=True)
    surface = draw.span("rain.surface", 1500.0, 4500.0, log=True)
    near = _sparks(draw, samples, rate)
    near = resonance(near, surface, 1.5) + 0.5 * resonance(near, 0.4 * surface, 3.0)
    hiss = shaped_noise(draw.rng, samples, [100, 600, 3000, 8000], [-26, -10, 0, -3])
    swell = 1.0 + 0.1 * drift(draw.rng, samples, 1.5)
    return normalise(near / np.std(near) + hiss * swell * draw.uniform(0.5, 1.6))


@event("wind")
def wind(draw: Draw, samples: int) -> Wave:
    """Gusts that raise the level and the brightness of a low roar, and at times a whistle over an edge."""
    speed = draw.span("wind.speed", 0.7, 1.1, test=(1.2, 1.6))
    gusts = np.clip(0.55 + 0.28 * drift(draw.rng, samples, draw.uniform(0.6, 2.0)), 0.05, 1.4)
    roar = shaped_noise(draw.rng, samples, [40, 150 * speed, 600, 2500], [-9, 0, -18, -42])
    rush = shaped_noise(draw.rng, samples, [100, 400 * speed, 1200, 5000], [-18, 0, -9, -36])
    wave = roar * gusts + 0.5 * rush * gusts**2.5
    if draw.chance(0.6):
        slow = draw.uniform(350.0, 900.0) * speed * np.exp2(0.5 * (gusts - 0.55))
        flutter = drift(draw.rng, samples, 25.0) + 1j * drift(draw.rng, samples, 25.0)
        tone = (flutter * np.exp(2j * np.pi * phase(slow, samples))).real
        wave += draw.uniform(0.15, 0.7) * tone * gusts**3
    return normalise(wave)


@event("thunder")
def thunder(draw: Draw, samples: int) -> Wave:
    """A crack of N-waves from along a crooked channel, and their rumble, duller the longer it lasts.

    Few, Dessler, Latham & Brook, "A dominant 200-hertz peak in the acoustic spectrum of thunder", JGR 72,
    1967.
    """
    seconds = samples / SAMPLE_RATE
    distance = draw.span("thunder.distance", 0.5, 2.5, test=(2.7, 4.0))
    at = draw.uniform(0.0, 0.25 * seconds)
    rest = samples - round(at * SAMPLE_RATE)
    fade = decays(rest, 0.02 * distance, draw.uniform(1.5, 4.5))
    strikes = _sparks(draw, rest, 40.0, 1.2) * fade
    width = max(12, int(0.004 * distance * SAMPLE_RATE))
    cracks = convolve(strikes, np.linspace(1.0, -1.0, width))
    rumble = shaped_noise(draw.rng, rest, [20, 60, 160, 500, 2000], [-12, 0, -2, -20, -40])
    rumble *= fade * np.clip(1.0 + 0.6 * drift(draw.rng, rest, 9.0), 0.05, 3.0)
    crackle = shaped_noise(draw.rng, rest, [200, 800, 4000], [-9, 0, -6]) * decays(rest, 0.01, 0.5 / distance)
    track = np.zeros(samples)
    add(track, cracks / (np.std(cracks) + 1e-9) + 1.6 * rumble + draw.uniform(0.3, 1.5) * crackle, at)
    return normalise(track)


@event("fire")
def fire(draw: Draw, samples: int) -> Wave:
    """Crackling of the wood, hissing of the sap, lapping of the flames."""
    rate = draw.span("fire.crackle", 6.0, 25.0, test=(28.0, 50.0), log=True)
    crackles = np.zeros(samples)
    for at in onsets(draw.rng, samples / SAMPLE_RATE, rate):
        n = int(draw.uniform(40.0, 500.0))
        grain = draw.rng.standard_normal(n) * np.linspace(1.0, 0.0, n) ** 3
        if draw.chance(0.6):
            grain = resonance(grain, draw.uniform(700.0, 6000.0), 2.0)
        add(crackles, grain, at, min(6.0, draw.rng.pareto(1.6) + 0.3))
    lapping = coloured_noise(draw.rng, samples, 1.6) * np.clip(0.6 + 0.4 * drift(draw.rng, samples, 6.0), 0.0, 2.0)
    hiss = shaped_noise(draw.rng, samples, [500, 3000, 8000], [-40, -6, 0])
    hiss *= np.clip(drift(draw.rng, samples, 3.0) - 0.2, 0.0, 2.0) ** 2
    wave = normalise(crackles) + draw.uniform(0.04, 0.12) * lapping + draw.uniform(0.01, 0.06) * hiss
    return normalise(wave)


@event("surf")
def surf(draw: Draw, samples: int) -> Wave:
    """A wave that rises, breaks bright, and draws back over the pebbles."""
    period = draw.span("surf.period", 1.6, 3.2, test=(3.5, 6.0))
    cycle = (time(samples) / period + draw.uniform(0.0, 1.0)) % 1.0
    rise = np.where(cycle < 0.4, (cycle / 0.4) ** 2.5, ((1.0 - cycle) / 0.6) ** 1.5)
    wash = shaped_noise(draw.rng, samples, [60, 250, 1500, 6000], [-10, 0, -9, -24])
    foam = shaped_noise(draw.rng, samples, [300, 1500, 5000, 8000], [-26, -2, 0, -5])
    pebbles = resonance(_sparks(draw, samples, 250.0), draw.uniform(2000.0, 4500.0), 2.0)
    back = np.where(cycle > 0.45, np.sin(np.pi * np.clip((cycle - 0.45) / 0.55, 0.0, 1.0)), 0.0)
    wave = (0.15 + 0.6 * rise) * wash + draw.uniform(0.4, 0.9) * rise**2 * foam
    wave += draw.uniform(0.0, 0.25) * back * pebbles / np.std(pebbles)
    return normalise(wave)


@event("creek")
def creek(draw: Draw, samples: int) -> Wave:
    """Running water: bubbles without number over a soft rush."""
    rate = draw.span("creek.rate", 60.0, 160.0, test=(180.0, 260.0))
    count = max(8, int(rate * samples / SAMPLE_RATE))
    wave = _bubbles(draw, samples, count, draw.uniform(350.0, 600.0), draw.uniform(1800.0, 3500.0), 0.4)
    rush = shaped_noise(draw.rng, samples, [100, 400, 1500, 6000], [-10, 0, -8, -24])
    return normalise(wave / np.std(wave) + draw.uniform(0.1, 0.35) * rush)


@event("drops")
def drops(draw: Draw, samples: int) -> Wave:
    """A dripping tap: the click of the impact, then one or two rising bubbles."""
    rate = draw.span("drops.rate", 1.2, 4.0, test=(4.5, 8.0))
    pitch = draw.span("drops.pitch", 500.0, 1600.0, log=True)
    track = np.zeros(samples)
    for at in onsets(draw.rng, samples / SAMPLE_RATE, rate, draw.pick("regular", (0.05, 0.3, 1.0))):
        level = draw.uniform(0.3, 1.0)
        add(track, draw.rng.standard_normal(60) * np.linspace(1.0, 0.0, 60) ** 3, at, 0.25 * level)
        for _ in range(int(draw.rng.integers(1, 4))):
            f = pitch * draw.uniform(0.7, 1.5)
            t = time(3200)
            glide = f * (1.0 + draw.uniform(2.0, 9.0) * t)
            ring = np.sin(2 * np.pi * phase(glide, t.size)) * np.exp(-t * draw.uniform(25.0, 70.0))
            ring[:16] *= np.linspace(0.0, 1.0, 16)
            add(track, ring, at + draw.uniform(0.004, 0.06), level * draw.uniform(0.2, 1.0))
    return normalise(track)
