"""Engines, signals and tools.

After Farnell, "Designing Sound", MIT Press 2010 (engine, helicopter, alarms, sirens, telephone bell).
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
    modes,
    normalise,
    onsets,
    phase,
    resonance,
    shaped_noise,
    time,
    wave_table,
)


@event("engine")
def engine(draw: Draw, samples: int) -> Wave:
    """A four-stroke engine: uneven firing, each cylinder once in two turns, through an exhaust."""
    cylinders = draw.pick("cylinders", (1, 2, 4, 4, 6, 8))
    idle = draw.span("engine.speed", 11.0, 32.0, test=(35.0, 60.0), log=True)  # crank turns a second
    revs = np.clip(draw.uniform(-0.4, 0.8) * np.linspace(0.0, 1.0, samples) + 1.0, 0.5, 2.0)
    revs *= 1.0 + 0.02 * drift(draw.rng, samples, 12.0)
    cycle = phase(0.5 * idle * revs, samples, draw.uniform(0.0, 1.0))  # one four-stroke cycle is two turns
    k = np.arange(1, int(min(400.0, 3600.0 / (0.5 * idle * float(revs.max())))) + 1)
    firing = np.arange(cylinders) / cylinders + 0.01 * draw.rng.standard_normal(cylinders)
    strength = draw.uniforms(0.75, 1.0, cylinders)
    pulse = (strength[:, None] * np.exp(-2j * np.pi * firing[:, None] * k)).sum(axis=0)
    spectrum = pulse / (1.0 + (k * 0.5 * idle / draw.uniform(150.0, 400.0)) ** 1.3)
    wave = wave_table(cycle, np.abs(spectrum), np.angle(spectrum))
    pipe = draw.uniform(60.0, 160.0)
    exhaust = sum(resonance(wave, pipe * n, 3.0) / n for n in (1, 3, 5))
    wave = normalise(wave) + 0.8 * normalise(np.asarray(exhaust))
    clatter = shaped_noise(draw.rng, samples, [200, 1200, 5000], [-20, 0, -12])
    gate = 0.3 + np.clip(np.cos(2 * np.pi * cylinders * cycle), 0.0, 1.0) ** 2
    return normalise(wave + draw.uniform(0.03, 0.15) * clatter * gate)


@event("helicopter")
def helicopter(draw: Draw, samples: int) -> Wave:
    """Rotor slap at the blade-passing rate over a turbine's whine and broadband wash."""
    rate = draw.span("helicopter.blades", 10.0, 17.0, test=(18.0, 25.0))
    cycle = phase(rate * (1.0 + 0.01 * drift(draw.rng, samples, 1.0)), samples, draw.uniform(0.0, 1.0)) % 1.0
    width = draw.uniform(0.08, 0.2)
    slap = np.exp(-0.5 * ((cycle - 0.5) / width) ** 2)
    low = shaped_noise(draw.rng, samples, [30, 80, 250, 900, 3000], [-6, 0, -5, -18, -36])
    blade = np.gradient(slap)
    wash = shaped_noise(draw.rng, samples, [200, 900, 4000], [-12, 0, -18])
    whine = np.sin(2 * np.pi * phase(draw.uniform(1800.0, 4200.0), samples) + 0.3 * drift(draw.rng, samples, 4.0))
    wave = low * slap + draw.uniform(0.8, 2.0) * blade / np.max(np.abs(blade))
    wave += draw.uniform(0.1, 0.3) * wash * (0.4 + slap) + draw.uniform(0.01, 0.08) * whine
    return normalise(wave * (1.0 + 0.15 * drift(draw.rng, samples, 0.7)))


@event("siren")
def siren(draw: Draw, samples: int) -> Wave:
    """Wail, yelp, or two tones, from a horn."""
    t = time(samples)
    manner = draw.pick("siren.manner", ("wail", "yelp", "two-tone"))
    low = draw.span("siren.low", 400.0, 640.0, test=(660.0, 800.0))
    ratio = draw.uniform(1.7, 2.3)
    start = draw.uniform(0.0, 1.0)
    if manner == "two-tone":
        f = np.where(
            (t * draw.uniform(0.8, 1.6) + start) % 1.0 < 0.5,
            low,
            low * draw.pick("interval", (1.26, 1.33, 1.5)),
        )
    else:
        sweep = (t * (draw.uniform(0.25, 0.6) if manner == "wail" else draw.uniform(2.2, 4.5)) + start) % 1.0
        rise = draw.uniform(0.4, 0.7)
        triangle = np.where(sweep < rise, sweep / rise, (1.0 - sweep) / (1.0 - rise))
        f = low * ratio**triangle
    k = np.arange(1, 7)
    amplitude = draw.uniforms(0.3, 1.0, k.size) / k ** draw.uniform(0.6, 1.4)
    wave = wave_table(phase(f, samples), amplitude)
    wave = normalise(wave) + 0.7 * normalise(resonance(wave, draw.uniform(900.0, 1800.0), 1.5))
    return normalise(wave * (1.0 + 0.12 * drift(draw.rng, samples, 2.0)))


@event("alarm")
def alarm(draw: Draw, samples: int) -> Wave:
    """An electronic alarm: groups of short beeps of one or two steady tones."""
    tone = draw.span("alarm.tone", 1900.0, 3000.0, test=(3050.0, 3800.0))
    second = tone * draw.pick("second", (1.0, 1.0, 0.8, 0.75))
    t = time(samples)
    rate = draw.uniform(3.0, 9.0)
    duty = draw.uniform(0.4, 0.65)
    beat = t * rate + draw.uniform(0.0, 1.0)
    group = draw.pick("group", (1, 2, 3, 4, 1000))
    on = (beat % 1.0 < duty) & ((np.floor(beat) % (group + 2) < group) | (group == 1))
    edge = np.convolve(on.astype(float), np.ones(40) / 40.0, mode="same")
    f = np.where(np.floor(beat) % 2 == 0, tone, second)
    square = wave_table(phase(f, samples), np.array([1.0, 0.05, draw.uniform(0.0, 0.33)]))
    return normalise(square * edge)


@event("phone_ring")
def phone_ring(draw: Draw, samples: int) -> Wave:
    """A mechanical telephone: a clapper between two bells, some twenty strokes a second."""
    rate = draw.span("phone.rate", 18.0, 24.0, test=(25.0, 32.0))
    base = draw.uniform(900.0, 1500.0)
    ratios = np.array([1.0, 1.52, 2.31, 3.34, 4.2])
    bells = [
        modes(base * shift * ratios, draw.uniform(0.5, 1.2), draw.uniforms(0.3, 1.0, 5), 9600)
        for shift in (1.0, draw.uniform(1.15, 1.3))
    ]
    strokes = onsets(draw.rng, samples / SAMPLE_RATE, rate, 0.03)
    cut = draw.uniform(0.6, 1.6)  # seconds of ringing, then a pause
    first = draw.uniform(0.0, 0.3)
    track = np.zeros(samples)
    for n, at in enumerate(strokes):
        if (at - first) % (cut + 0.5) < cut and at >= first:
            add(track, bells[n % 2], at, draw.uniform(0.85, 1.0))
    return normalise(track)


@event("vacuum")
def vacuum(draw: Draw, samples: int) -> Wave:
    """A vacuum cleaner or fan: a motor's whine and its harmonics in a steady rush of air."""
    speed = draw.span("vacuum.speed", 160.0, 360.0, test=(380.0, 520.0))
    t = time(samples)
    rise = 1.0 - draw.uniform(0.0, 0.4) * np.exp(-t / draw.uniform(0.2, 0.6)) if draw.chance(0.4) else np.ones(samples)
    f = speed * rise * (1.0 + 0.003 * drift(draw.rng, samples, 5.0))
    k = np.arange(1, int(7000.0 / speed))
    amplitude = draw.uniforms(0.1, 1.0, k.size) ** 2 / k**0.7
    whine = wave_table(phase(f, samples), amplitude, draw.uniforms(0.0, 6.28, k.size))
    mouth = draw.uniform(500.0, 1500.0)
    air = shaped_noise(draw.rng, samples, [80, 250, mouth, 3000, 8000], [-20, -6, 0, -6, -18])
    wave = draw.uniform(0.3, 1.0) * whine / np.std(whine) + air
    return normalise(wave * rise**2 * (1.0 + 0.05 * drift(draw.rng, samples, 1.5)))


@event("sawing")
def sawing(draw: Draw, samples: int) -> Wave:
    """A hand saw: strokes of teeth over wood, the push louder and higher than the pull."""
    rate = draw.span("sawing.rate", 1.3, 2.2, test=(2.4, 3.4))  # push and pull, a second
    stroke = phase(rate * (1.0 + 0.05 * drift(draw.rng, samples, 2.0)), samples, draw.uniform(0.0, 1.0)) % 1.0
    push = stroke < 0.5
    speed = np.abs(np.sin(2 * np.pi * stroke)) * np.where(push, 1.0, 0.65)
    teeth = draw.uniform(150.0, 330.0)
    cycles = phase(teeth * (0.2 + speed), samples)
    rasp = shaped_noise(draw.rng, samples, [200, 900, 3500, 8000], [-18, -4, 0, -9])
    bite = (0.25 + np.clip(np.sin(2 * np.pi * cycles), 0.0, 1.0) ** 2) * (1.0 + 0.3 * drift(draw.rng, samples, 60.0))
    wave = rasp * bite * speed**1.5
    board = resonance(wave, draw.uniform(250.0, 700.0), 4.0)
    dust = 0.02 * coloured_noise(draw.rng, samples, 1.0)
    return normalise(normalise(wave) + 0.6 * normalise(board) + dust * speed)
