"""Things that strike, tick, step and click.

Struck bodies are sums of decaying modes whose decay time falls with frequency as 1/(pi f tan phi), the
material's internal friction: van den Doel & Pai, "The sounds of physical shapes", Presence 7(4), 1998;
Klatzky, Pai & Krotkov, "Perception of material from contact sounds", Presence 9(4), 2000.
"""

from __future__ import annotations

import numpy as np

from sonoscale.corpora.procedural._events import event
from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._synthesis import (
    SAMPLE_RATE,
    Wave,
    add,
    decays,
    modes,
    normalise,
    onsets,
    resonance,
    shaped_noise,
)


def _body(
    draw: Draw, lowest: float, count: int, crowding: float, friction: float, ring: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mode frequencies in Hz and decay times in seconds of a random object.

    Arguments:
        draw: the clip's parameters.
        lowest: frequency of the first mode in Hz.
        count: number of modes.
        crowding: exponent of the mode frequencies: 1 for a plate, 2 for a bar.
        friction: tan phi of the material.
        ring: the longest decay time in seconds, set by the mounting.
    """
    order = np.arange(1, count + 1)
    f = lowest * order**crowding * np.exp(0.12 * draw.rng.standard_normal(count))
    internal = np.log(1000.0) / (np.pi * f * friction)
    return f, 1.0 / (1.0 / internal + 1.0 / ring)


def _strike(draw: Draw, body: tuple[np.ndarray, np.ndarray], samples: int, hardness: float, click: float) -> Wave:
    """One blow at a random place: a contact of finite hardness is a low-pass, with a click of its own."""
    f, decay = body
    amplitude = draw.uniforms(0.15, 1.0, f.size) * np.exp(-f / hardness)
    wave = modes(f, decay, amplitude, samples, draw.uniforms(-0.4, 0.4, f.size))
    n = min(samples, 160)
    wave[:n] += click * np.max(np.abs(wave)) * draw.rng.standard_normal(n) * decays(n, 0.0003, 0.008)
    return normalise(wave)


def _bounces(draw: Draw, seconds: float) -> list[tuple[float, float]]:
    """Times and levels of blows: one, several apart, or a thing that bounces to rest."""
    at = draw.uniform(0.0, 0.25 * seconds)
    manner = draw.pick("manner", ("once", "several", "bounce"))
    if manner == "once":
        return [(at, 1.0)]
    if manner == "several":
        return [(t, draw.uniform(0.4, 1.0)) for t in onsets(draw.rng, seconds, draw.uniform(1.0, 4.0), 0.4)]
    gap, level, blows = draw.uniform(0.2, 0.45), 1.0, []
    restitution = draw.uniform(0.55, 0.8)
    while gap > 0.02 and at < seconds:
        blows.append((at, level))
        at, gap, level = at + gap, gap * restitution, level * restitution
    return blows


def _blows(draw: Draw, samples: int, body: tuple[np.ndarray, np.ndarray], hardness: float, click: float) -> Wave:
    longest = min(samples, int(1.2 * SAMPLE_RATE * float(np.max(body[1]))) + 800)
    takes = [_strike(draw, body, longest, hardness, click) for _ in range(2)]
    track = np.zeros(samples)
    for n, (at, level) in enumerate(_bounces(draw, samples / SAMPLE_RATE)):
        add(track, takes[n % 2], at, level)
    return normalise(track)


@event("impact_metal")
def impact_metal(draw: Draw, samples: int) -> Wave:
    """A pan, a pipe or a sheet: many modes that ring long."""
    friction = draw.span("metal.friction", 6e-4, 2.5e-3, test=(2e-4, 5e-4), log=True)
    crowding = draw.uniform(0.8, 1.7)
    body = _body(draw, draw.uniform(250.0, 900.0), 22, crowding, friction, draw.span("metal.ring", 0.8, 3.0))
    return _blows(draw, samples, body, draw.uniform(2500.0, 7000.0), 0.3)


@event("impact_wood")
def impact_wood(draw: Draw, samples: int) -> Wave:
    """A block or a board: few low modes that die at once."""
    friction = draw.span("wood.friction", 0.02, 0.045, test=(0.05, 0.08), log=True)
    body = _body(draw, draw.uniform(180.0, 700.0), 10, draw.uniform(0.9, 1.6), friction, 0.25)
    return _blows(draw, samples, body, draw.uniform(800.0, 2500.0), 0.2)


@event("impact_glass")
def impact_glass(draw: Draw, samples: int) -> Wave:
    """A glass struck, or one that breaks into shards."""
    friction = draw.span("glass.friction", 1.5e-3, 4e-3, test=(4.5e-3, 8e-3), log=True)
    if draw.chance(0.5):
        body = _body(draw, draw.uniform(1100.0, 2600.0), 7, draw.uniform(1.1, 1.6), friction, 0.9)
        return _blows(draw, samples, body, draw.uniform(4000.0, 9000.0), 0.15)
    seconds = samples / SAMPLE_RATE
    at = draw.uniform(0.0, 0.4 * seconds)
    track = np.zeros(samples)
    n = 4000
    add(track, shaped_noise(draw.rng, n, [300, 2500, 8000], [-24, -3, 0]) * decays(n, 0.001, 0.15), at, 0.35)
    for _ in range(int(draw.rng.integers(12, 26))):
        shard = _body(draw, draw.uniform(1600.0, 5000.0), 3, 1.2, friction, 0.4)
        delay = draw.rng.exponential(0.18)
        add(
            track,
            _strike(draw, shard, 5000, 8000.0, 0.1),
            at + delay,
            draw.uniform(0.1, 0.7) * np.exp(-1.5 * delay),
        )
    return normalise(track)


@event("door_knock")
def door_knock(draw: Draw, samples: int) -> Wave:
    """Knuckles on a door: groups of low, dull, hollow knocks."""
    panel = draw.span("knock.panel", 90.0, 170.0, test=(185.0, 260.0))
    body = _body(draw, panel, 8, 0.9, 0.06, 0.18)
    takes = [_strike(draw, body, 4000, 500.0, 0.08) for _ in range(2)]
    track, at = np.zeros(samples), draw.uniform(0.0, 0.4)
    gap = draw.uniform(0.13, 0.3)
    while at < samples / SAMPLE_RATE - 0.05:
        for knock in range(int(draw.rng.integers(2, 5))):
            add(track, takes[knock % 2], at, draw.uniform(0.6, 1.0))
            at += gap * draw.uniform(0.9, 1.1)
        at += draw.uniform(0.5, 1.2)
    return normalise(track)


@event("footsteps")
def footsteps(draw: Draw, samples: int) -> Wave:
    """Heel and toe on wood, gravel, or stone, at a walk or a run (Farnell, 2010, practical 18)."""
    pace = draw.span("steps.pace", 1.5, 2.4, test=(2.6, 3.4))
    ground = draw.pick("ground", ("wood", "gravel", "stone"))
    low = draw.uniform(70.0, 140.0)

    def contact(level: float) -> Wave:
        n = 3200
        thud = resonance(draw.rng.standard_normal(n) * decays(n, 0.002, 0.05), low, 2.0)
        wave = 0.8 * normalise(thud) * (0.3 if ground == "stone" else 1.0)
        if ground == "gravel":
            grains = np.zeros(n)
            at = np.minimum(draw.rng.exponential(500.0, 45).astype(int), n - 1)
            np.add.at(grains, at, draw.uniforms(-1.0, 1.0, 45))
            wave += normalise(resonance(grains, draw.uniform(1800.0, 3500.0), 1.2))
        elif ground == "stone":
            tap = shaped_noise(draw.rng, n, [300, 1500, 5000], [-18, 0, -12]) * decays(n, 0.001, 0.035)
            wave += 0.8 * normalise(tap)
        else:
            creak = _strike(draw, _body(draw, 2.0 * low, 6, 1.0, 0.08, 0.12), n, 900.0, 0.05)
            wave += 0.6 * creak
        return level * wave

    track = np.zeros(samples)
    roll = draw.uniform(0.05, 0.11)
    for n, at in enumerate(onsets(draw.rng, samples / SAMPLE_RATE, pace, 0.06)):
        level = draw.uniform(0.7, 1.0) * (1.0 if n % 2 else 0.85)
        add(track, contact(level), at)
        add(track, contact(0.45 * level), at + roll)
    return normalise(track)


@event("clock")
def clock(draw: Draw, samples: int) -> Wave:
    """The escapement of a clock or a watch: tick and tock, high, dry and even."""
    rate = draw.span("clock.rate", 2.0, 4.2, test=(4.6, 8.0))
    body = _body(draw, draw.uniform(1500.0, 3200.0), 6, 0.8, 0.01, draw.uniform(0.02, 0.08))
    sides = []
    for _ in range(2):
        click = _strike(draw, body, 1600, 6000.0, 0.5)
        tick = np.zeros(2400)
        for delay, level in ((0.0, 0.5), (draw.uniform(0.004, 0.012), 1.0), (draw.uniform(0.015, 0.03), 0.4)):
            add(tick, click, delay, level)
        sides.append(tick * draw.uniform(0.6, 1.0))
    track = np.zeros(samples)
    for n, at in enumerate(onsets(draw.rng, samples / SAMPLE_RATE, rate, 0.0)):
        add(track, sides[n % 2], at)
    return normalise(track)


@event("keyboard")
def keyboard(draw: Draw, samples: int) -> Wave:
    """Typing: each key goes down with a clack and comes up with a softer one; bursts and pauses."""
    speed = draw.span("keyboard.speed", 5.0, 9.0, test=(10.0, 14.0))
    plate = draw.uniform(350.0, 800.0)
    track, at = np.zeros(samples), draw.uniform(0.0, 0.2)

    def clack(level: float) -> Wave:
        n = 700
        click = resonance(draw.rng.standard_normal(n) * decays(n, 0.0004, 0.015), draw.uniform(2200.0, 4800.0), 1.2)
        thock = modes(plate * draw.uniforms(0.9, 1.1, 3) * [1.0, 1.9, 3.1], 0.05, [1.0, 0.6, 0.4], n)
        return level * (normalise(click) + 0.5 * normalise(thock))

    keys = [clack(draw.uniform(0.6, 1.0)) for _ in range(6)]
    while at < samples / SAMPLE_RATE:
        down, up = draw.rng.integers(len(keys), size=2)
        level = draw.uniform(0.5, 1.0)
        add(track, keys[down], at, level)
        add(track, keys[up], at + draw.uniform(0.05, 0.1), 0.4 * level)
        at += draw.rng.gamma(4.0, 0.25 / speed) + (draw.uniform(0.2, 0.5) if draw.chance(0.1) else 0.0)
    return normalise(track)


@event("applause")
def applause(draw: Draw, samples: int) -> Wave:
    """Hands: each clapper has a pitch, a beat and a distance (Peltola et al., IEEE TASLP 15(3), 2007)."""
    crowd = draw.pick("applause.crowd", (1, 2, 4, 8, 16), test=(24, 32, 40))
    track = np.zeros(samples)
    seconds = samples / SAMPLE_RATE
    for _ in range(crowd):
        n = 480
        clap = draw.rng.standard_normal(n) * decays(n, 0.001, draw.uniform(0.02, 0.05))
        clap = normalise(resonance(clap, draw.uniform(700.0, 2200.0), draw.uniform(0.9, 2.5)))
        level = draw.uniform(0.3, 1.0) if crowd > 1 else 1.0
        for at in onsets(draw.rng, seconds, draw.uniform(2.5, 5.0), 0.12):
            add(track, clap, at, level * draw.uniform(0.7, 1.0))
    return normalise(track)
