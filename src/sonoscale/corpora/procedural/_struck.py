"""Instruments that are struck or plucked and then left to ring: sums of decaying modes."""

from __future__ import annotations

import numpy as np

from sonoscale.corpora.procedural._notes import Note, formants, harmonics, instrument, sustain
from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._synthesis import (
    SAMPLE_RATE,
    Wave,
    decays,
    modes,
    normalise,
    phase,
    shaped_noise,
    time,
)


@instrument("plucked")
def plucked(draw: Draw) -> Note:
    """A plucked string, by the modes of the Karplus-Strong loop.

    Karplus & Strong, "Digital synthesis of plucked-string and drum timbres", CMJ 7(2), 1983; Jaffe & Smith,
    "Extensions of the Karplus-Strong plucked-string algorithm", ibid. The loop's two-point mean damps a
    partial at frequency f by cos(pi f / fs) a period, and its noise burst gives the partials random
    amplitudes.
    """
    position = draw.span("plucked.position", 0.08, 0.25, test=(0.28, 0.48))
    damping = draw.span("plucked.damping", 0.2, 0.9, test=(1.0, 2.0), log=True)
    ring = draw.span("plucked.ring", 1.2, 6.0, log=True)
    brightness = draw.uniform(0.6, 1.3)
    stiffness = draw.span("plucked.stiffness", 1e-5, 2e-4, log=True)
    body = formants(draw, 3, 100.0, 1200.0)

    def note(frequency: float, samples: int, velocity: float) -> Wave:
        k = harmonics(frequency)
        f = k * frequency * np.sqrt(1.0 + stiffness * k**2)
        comb = np.abs(np.sin(np.pi * k * position)) + 0.02
        amplitude = comb * body(f) / k**brightness * draw.uniforms(0.6, 1.4, k.size)
        loss = -np.log(np.cos(np.minimum(np.pi * f / SAMPLE_RATE, 1.5)) + 1e-9) * frequency * damping * 4.0
        decay = 6.9 / (6.9 / (ring * (220.0 / frequency) ** 0.5) + loss)
        wave = modes(f, decay, amplitude, samples, draw.uniforms(-0.5, 0.5, k.size))
        n = min(samples, 400)
        wave[:n] += 0.1 * np.max(np.abs(wave)) * draw.rng.standard_normal(n) * np.linspace(1, 0, n) ** 2
        return velocity * normalise(wave) * sustain(samples, 0.001, 0.03)

    return note


@instrument("piano")
def piano(draw: Draw) -> Note:
    """A struck stiff string: stretched partials, two strings a note, two-stage decay, a thump.

    Fletcher, Blackham & Stratton, "Quality of piano tones", JASA 34, 1962 (inharmonicity); Weinreich,
    "Coupled piano strings", JASA 62, 1977 (double decay).
    """
    inharmonicity = draw.span("piano.inharmonicity", 1e-4, 6e-4, test=(7e-4, 1.5e-3), log=True)
    strike = draw.uniform(0.11, 0.14)
    hardness = draw.span("piano.hardness", 0.75, 1.1, test=(1.15, 1.5))
    ring = draw.span("piano.ring", 2.5, 8.0, log=True)
    detune = draw.span("piano.detune", 0.2, 1.6)
    thump = draw.uniform(0.05, 0.25)

    def note(frequency: float, samples: int, velocity: float) -> Wave:
        k = harmonics(frequency, 30)
        f = k * frequency * np.sqrt(1.0 + inharmonicity * k**2)
        tone = np.exp(-f / (2200.0 * hardness * (0.5 + velocity)))
        amplitude = (np.abs(np.sin(np.pi * k * strike)) + 0.05) * tone / k**0.5
        decay = ring * (220.0 / frequency) ** 0.4 / (1.0 + 0.12 * k)
        beat = f * 2.0 ** (detune / 1200.0)
        p = draw.uniforms(-0.6, 0.6, 2 * k.size)
        wave = modes(np.append(f, beat), np.append(decay, 0.25 * decay), np.append(amplitude, amplitude), samples, p)
        n = min(samples, 2400)
        knock = shaped_noise(draw.rng, n, [60, 120, 400, 2000], [-12, 0, -6, -40]) * decays(n, 0.002, 0.1)
        wave[:n] += thump * np.max(np.abs(wave)) * knock / 3.0
        return velocity * normalise(wave) * sustain(samples, 0.002, 0.05)

    return note


# Partials of tuned idiophones over the fundamental (Fletcher & Rossing, 1998, chapters 19 to 21).
_MALLETS = {
    "marimba": ((1.0, 3.92, 9.24), 0.5),
    "vibraphone": ((1.0, 4.0, 10.7), 3.5),
    "glockenspiel": ((1.0, 2.71, 5.15, 8.43), 2.5),
    "handbell": ((1.0, 3.0, 4.6, 6.8), 4.0),
    "celesta": ((1.0, 2.76, 5.4), 1.2),
}


@instrument("mallet")
def mallet(draw: Draw) -> Note:
    """A tuned bar or bell, struck: few inharmonic modes and a mallet's click; the vibraphone has its fan."""
    kind = draw.pick("mallet.kind", tuple(_MALLETS))
    ratios, ring = _MALLETS[kind]
    ratio = np.array(ratios)
    decay = ring * draw.span("mallet.decay", 0.6, 1.2, test=(1.3, 2.0))
    softness = draw.span("mallet.softness", 0.9, 1.6, test=(0.4, 0.8))
    click = draw.uniform(0.1, 0.4)
    fan = draw.uniform(3.0, 7.0), draw.uniform(0.2, 0.5) if kind == "vibraphone" else 0.0

    def note(frequency: float, samples: int, velocity: float) -> Wave:
        amplitude = (
            ratio**-softness
            * draw.uniforms(0.6, 1.0, ratio.size)
            * np.append(1.3, 0.4 + velocity * np.ones(ratio.size - 1))
        )
        wave = modes(frequency * ratio, decay * (220 / frequency) ** 0.3 / ratio**0.9, amplitude, samples)
        n = min(samples, 320)
        wave[:n] += click * velocity * draw.rng.standard_normal(n) * decays(n, 0.0005, 0.012)
        wave *= 1.0 - fan[1] * (0.5 - 0.5 * np.cos(2 * np.pi * fan[0] * time(samples)))
        return velocity * normalise(wave) * sustain(samples, 0.001, 0.03)

    return note


# Modes of an ideal circular membrane over its fundamental: zeros of Bessel functions.
_MEMBRANE = np.array([1.0, 1.593, 2.135, 2.295, 2.653, 2.917, 3.155, 3.5])


@instrument("drum")
def drum(draw: Draw) -> Note:
    """A drum kit: the frequency chooses the piece, low to high: bass drum, tom, snare, hi-hat, cymbal."""
    head = draw.span("drum.head", 0.8, 1.15, test=(1.25, 1.6))
    ring = draw.span("drum.ring", 0.6, 1.1, test=(1.2, 1.8))
    wires = draw.uniform(0.6, 1.6)
    metal = draw.uniforms(2500.0, 7500.0, 14) * draw.uniform(0.85, 1.05)

    def membrane(n: int, pitch: float, decay: float) -> Wave:
        amplitude = draw.uniforms(0.4, 1.0, 8) / _MEMBRANE**1.2
        return normalise(modes(pitch * _MEMBRANE, decay / _MEMBRANE, amplitude, n))

    def note(frequency: float, samples: int, velocity: float) -> Wave:
        n = samples
        piece = int(np.clip((np.log2(frequency / 130.0)) / 2.0 * 5.0, 0, 4))
        if piece == 0:
            glide = 48.0 * head * (1.0 + 3.0 * np.exp(-time(n) / 0.03))
            wave = np.sin(2 * np.pi * phase(glide, n)) * decays(n, 0.002, 0.5 * ring)
            wave += 0.3 * draw.rng.standard_normal(n) * decays(n, 0.0005, 0.02)
        elif piece == 1:
            wave = membrane(n, draw.uniform(80.0, 160.0) * head, 0.8 * ring)
            wave += 0.15 * draw.rng.standard_normal(n) * decays(n, 0.0005, 0.03)
        elif piece == 2:
            rattle = shaped_noise(draw.rng, n, [150, 900, 3000, 8000], [-24, -4, 0, -4])
            wave = membrane(n, 185.0 * head, 0.3 * ring) + 0.35 * wires * rattle * decays(n, 0.001, 0.35 * ring)
        else:
            decay = (0.12 if piece == 3 else 2.5) * ring * draw.uniform(0.7, 1.4)
            sizzle = shaped_noise(draw.rng, n, [800, 4000, 8000], [-36, -3, 0]) * decays(n, 0.001, decay)
            wave = 0.5 * sizzle + modes(metal, decay, 0.15, n, draw.uniforms(0.0, 6.28, metal.size))
        return velocity * normalise(wave) * sustain(n, 0.0005, 0.3)

    return note
