"""Instruments that are blown, bowed or driven: periodic tones with a breath of noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sonoscale.corpora.procedural._notes import Note, formants, harmonics, instrument, sustain
from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._synthesis import (
    SAMPLE_RATE,
    Wave,
    coloured_noise,
    decays,
    drift,
    interpolate,
    normalise,
    phase,
    resonance,
    shaped_noise,
    time,
    wave_table,
)


def _vibrato(draw: Draw, frequency: float, samples: int, rate: float, depth: float, delay: float) -> Wave:
    """Phase in cycles of a note with vibrato of `depth` semitones that sets in after `delay` seconds."""
    t = np.linspace(0.0, samples / SAMPLE_RATE, samples // 64 + 2)  # control rate
    onset = np.clip((t - delay) / 0.3, 0.0, 1.0)
    wobble = depth * onset * np.sin(2 * np.pi * (rate * t + draw.uniform(0.0, 1.0)))
    wobble += 0.04 * interpolate(draw.rng.standard_normal(3 + round(6.0 * t[-1])), t.size)
    return phase(frequency * interpolate(np.exp2(wobble / 12.0), samples), samples, draw.uniform(0.0, 1.0))


def _blown(
    draw: Draw,
    tables: Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]],
    noise: Callable[[float, int], Wave],
    *,
    attack: float,
    release: float,
    vibrato: tuple[float, float],
    tremolo: float,
    swell: float,
) -> Note:
    """A sustained tone whose spectrum goes from a dark to a bright table with its loudness (Risset, 1966).

    Arguments:
        draw: the clip's parameters.
        tables: (harmonic frequencies in Hz, velocity) -> dark and bright amplitudes, [harmonics] each.
        noise: (frequency, samples) -> breath or bow noise.
        attack: seconds.
        release: seconds.
        vibrato: rate in Hz and depth in semitones.
        tremolo: depth of the loudness's wobble at the vibrato rate.
        swell: depth of slow random loudness changes.
    """
    rate, depth = vibrato
    delay = draw.uniform(0.0, 0.4)

    def note(frequency: float, samples: int, velocity: float) -> Wave:
        cycles = _vibrato(draw, frequency, samples, rate, depth, delay)
        f = harmonics(frequency) * frequency
        dark, bright = tables(f, velocity)
        p = draw.uniforms(0.0, 2 * np.pi, f.size)
        envelope = sustain(samples, attack, release)
        wobble = 1.0 + tremolo * np.sin(2 * np.pi * rate * time(samples)) + swell * drift(draw.rng, samples, 3.0)
        loudness = np.clip(envelope * wobble, 0.0, 1.5)
        mix = np.clip(loudness * (0.4 + 0.6 * velocity), 0.0, 1.0) ** 2
        dark_wave = wave_table(cycles, dark / np.sqrt(np.sum(dark**2)), p)
        bright_wave = wave_table(cycles, bright / np.sqrt(np.sum(bright**2)), p)
        wave = loudness * (dark_wave + mix * (bright_wave - dark_wave))
        wave += loudness**0.7 * noise(frequency, samples)
        return velocity * normalise(wave)

    return note


@instrument("bowed")
def bowed(draw: Draw) -> Note:
    """A bowed string: Helmholtz's sawtooth through a body's resonances, vibrato, bow noise."""
    slope = draw.span("bowed.slope", 0.85, 1.15, test=(1.2, 1.5))
    body = formants(draw, 5, 250.0, 4000.0)
    scrape = draw.span("bowed.scrape", 0.02, 0.08)
    centre = draw.uniform(1500.0, 4000.0)

    def tables(f: np.ndarray, _velocity: float) -> tuple[np.ndarray, np.ndarray]:
        k = np.arange(1, f.size + 1)
        saw = body(f) / k**slope
        return saw * np.exp(-f / 2500.0), saw

    def noise(_frequency: float, samples: int) -> Wave:
        return scrape * shaped_noise(draw.rng, samples, [200, centre / 2, centre, 7000], [-24, -6, 0, -12])

    vibrato = draw.uniform(4.5, 6.5), draw.span("bowed.vibrato", 0.1, 0.3, test=(0.33, 0.45))
    return _blown(
        draw, tables, noise, attack=draw.span("bowed.attack", 0.06, 0.2), release=draw.uniform(0.06, 0.2),
        vibrato=vibrato, tremolo=0.1, swell=0.12,
    )  # fmt: skip


@instrument("flute")
def flute(draw: Draw) -> Note:
    """A flute: few harmonics, breath noise around the resonances of the bore, and a loudness vibrato.

    Fletcher & Rossing, "The Physics of Musical Instruments", 1998, chapter 16.
    """
    falloff = draw.span("flute.falloff", 1.4, 2.2, test=(0.9, 1.3))
    second = draw.uniform(0.3, 1.2)
    breath = draw.span("flute.breath", 0.06, 0.2, test=(0.22, 0.35), log=True)

    def tables(f: np.ndarray, velocity: float) -> tuple[np.ndarray, np.ndarray]:
        k = np.arange(1, f.size + 1)
        amplitude = np.exp(-falloff * (k - 1.0))
        if k.size > 1:
            amplitude[1] *= 1.0 + second
        return amplitude * np.exp(-0.6 * (k - 1.0)), amplitude * (1.0 + 0.3 * velocity * (k > 2))

    def noise(frequency: float, samples: int) -> Wave:
        corners = frequency * np.array([0.5, 0.94, 1.0, 1.06, 1.9, 2.0, 2.1, 4.0])
        return breath * shaped_noise(draw.rng, samples, corners, [-20, -12, 0, -10, -14, -3, -12, -22])

    vibrato = draw.uniform(4.0, 6.0), draw.uniform(0.03, 0.12)
    return _blown(
        draw, tables, noise, attack=draw.uniform(0.04, 0.12), release=draw.uniform(0.05, 0.15),
        vibrato=vibrato, tremolo=draw.uniform(0.08, 0.3), swell=0.06,
    )  # fmt: skip


@instrument("reed")
def reed(draw: Draw) -> Note:
    """A reed pipe: cylindrical with weak even harmonics (clarinet), or conical with a formant (oboe,
    saxophone).

    Benade, "Fundamentals of Musical Acoustics", 1976, chapters 21 and 22.
    """
    conical = draw.chance(0.5)
    cutoff = draw.span("reed.cutoff", 1300.0, 2200.0, test=(2400.0, 3200.0))
    even = draw.uniform(0.02, 0.15)
    bell = formants(draw, 2, 900.0, 2800.0)
    breath = draw.span("reed.breath", 0.01, 0.04)

    def tables(f: np.ndarray, velocity: float) -> tuple[np.ndarray, np.ndarray]:
        k = np.arange(1, f.size + 1)
        lattice = 1.0 / np.sqrt(1.0 + (f / (cutoff * (0.7 + 0.6 * velocity))) ** 6)
        if conical:
            amplitude = bell(f) * lattice / k**0.5
        else:
            amplitude = np.where(k % 2 == 1, 1.0, even * k**0.6) * lattice / k**0.6
        return amplitude / k**0.7, amplitude

    def noise(_frequency: float, samples: int) -> Wave:
        return breath * shaped_noise(draw.rng, samples, [200, 1000, 4000, 8000], [-18, 0, -3, -20])

    vibrato = draw.uniform(4.5, 6.0), draw.span("reed.vibrato", 0.02, 0.1, test=(0.12, 0.2))
    return _blown(
        draw, tables, noise, attack=draw.uniform(0.02, 0.06), release=draw.uniform(0.03, 0.1),
        vibrato=vibrato, tremolo=0.05, swell=0.04,
    )  # fmt: skip


@instrument("brass")
def brass(draw: Draw) -> Note:
    """A brass instrument: the louder, the brighter, so that the attack opens like a filter.

    Risset & Mathews, "Analysis of musical-instrument tones", Physics Today 22(2), 1969.
    """
    edge = draw.span("brass.edge", 1400.0, 2600.0, test=(2800.0, 4000.0))
    mellow = draw.uniform(350.0, 600.0)
    formant = formants(draw, 1, 500.0, 1400.0)

    def tables(f: np.ndarray, velocity: float) -> tuple[np.ndarray, np.ndarray]:
        body = formant(f)
        return body * np.exp(-f / mellow), body * np.exp(-f / (edge * (0.4 + 0.8 * velocity)))

    def noise(_frequency: float, samples: int) -> Wave:
        return 0.006 * coloured_noise(draw.rng, samples, 0.5)

    vibrato = draw.uniform(4.0, 6.0), draw.span("brass.vibrato", 0.01, 0.1, test=(0.12, 0.2))
    return _blown(
        draw, tables, noise, attack=draw.span("brass.attack", 0.03, 0.12), release=draw.uniform(0.05, 0.15),
        vibrato=vibrato, tremolo=0.03, swell=0.08,
    )  # fmt: skip


@instrument("organ")
def organ(draw: Draw) -> Note:
    """A pipe or tone-wheel organ: ranks at fixed footages, even tone, chiff, at times a rotating speaker."""
    registers = np.array([1, 2, 3, 4, 6, 8])
    levels = draw.uniforms(0.0, 1.0, registers.size) ** 2 + 0.03
    levels[0] = 1.0
    slope = draw.span("organ.slope", 1.2, 2.5, test=(0.7, 1.1))
    chiff = draw.span("organ.chiff", 0.02, 0.12, test=(0.15, 0.25))
    rotor = draw.uniform(0.7, 7.0), draw.uniform(0.1, 0.4) if draw.chance(0.4) else 0.0
    attack = draw.uniform(0.008, 0.04)

    def note(frequency: float, samples: int, velocity: float) -> Wave:
        count = harmonics(frequency).size
        amplitude = np.zeros(count)
        pipe = np.arange(1, 7) ** -slope
        for register, level in zip(registers, levels, strict=True):
            for n, part in enumerate(pipe, start=1):
                if register * n <= count:
                    amplitude[register * n - 1] += level * part / np.sqrt(register)
        turn = rotor[1] * np.sin(2 * np.pi * rotor[0] * time(samples))
        cycles = phase(frequency, samples, draw.uniform(0.0, 1.0)) + 0.05 * turn
        wave = normalise(wave_table(cycles, amplitude, draw.uniforms(0.0, 2 * np.pi, count)))
        n = min(samples, 1600)
        puff = resonance(draw.rng.standard_normal(n), min(3.0 * frequency, 6000.0), 3.0) * decays(n, 0.01, 0.15)
        wave[:n] += chiff * puff / (np.std(puff) + 1e-9)
        return velocity * normalise(wave * (1.0 + turn)) * sustain(samples, attack, 0.04)

    return note


@instrument("pad")
def pad(draw: Draw) -> Note:
    """A synthesiser pad: detuned saw-tooth or square waves, a filter that opens slowly, a long attack."""
    voices = draw.pick("pad.voices", (3, 4, 5))
    spread = draw.span("pad.spread", 6.0, 16.0, test=(18.0, 26.0))
    square = draw.chance(0.3)
    low = draw.uniform(300.0, 700.0)
    high = draw.span("pad.cutoff", 1200.0, 3000.0, test=(3200.0, 5500.0))
    attack = draw.span("pad.attack", 0.25, 0.7)
    cents = np.linspace(-spread, spread, voices) + draw.uniforms(-1.5, 1.5, voices)

    def note(frequency: float, samples: int, velocity: float) -> Wave:
        k = harmonics(frequency * 1.03)
        saw = np.where(k % 2 == 1, 1.0, 0.05 if square else 1.0) / k
        f = k * frequency
        dark, bright = (saw / np.sqrt(1.0 + (f / corner) ** 6) for corner in (low, high))
        opening = sustain(samples, 1.6 * attack, 0.3)
        wave = np.zeros(samples)
        p = draw.uniforms(0.0, 0.3, k.size)
        for cent in cents:
            cycles = phase(frequency * 2.0 ** (cent / 1200.0), samples, draw.uniform(0.0, 1.0))
            below = wave_table(cycles, dark, p)
            wave += below + opening * (wave_table(cycles, bright, p) - below)
        return velocity * normalise(wave) * sustain(samples, attack, 0.3)

    return note
