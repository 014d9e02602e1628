"""The elements of synthesis against direct formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from sonoscale.corpora.procedural._random import stream
from sonoscale.corpora.procedural._synthesis import (
    SAMPLE_RATE,
    add,
    coloured_noise,
    convolve,
    modes,
    onsets,
    phase,
    resonance,
    wave_table,
)


@pytest.mark.parametrize("samples", [1, 255, 256, 5000])
def test_modes_are_decaying_sinusoids(samples: int) -> None:
    t = np.arange(samples) / SAMPLE_RATE
    expected = 0.7 * np.sin(2 * np.pi * 440 * t + 0.3) * 10 ** (-3 * t / 0.2)
    expected += 0.2 * np.sin(2 * np.pi * 3000 * t - 1.0) * 10 ** (-3 * t / 2.0)
    got = modes([440, 3000, 7990], [0.2, 2.0, 1.0], [0.7, 0.2, 9.0], samples, [0.3, -1.0, 0.0])
    np.testing.assert_allclose(got, expected, atol=1e-9)


def test_a_wave_table_is_a_sum_of_harmonics() -> None:
    cycles = phase(np.linspace(200.0, 260.0, 4000), 4000, 0.2)
    expected = np.sin(2 * np.pi * cycles) + 0.5 * np.sin(2 * np.pi * 3 * cycles)
    np.testing.assert_allclose(wave_table(cycles, np.array([1.0, 0.0, 0.5])), expected, atol=2e-5)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_has_its_colour(exponent: float) -> None:
    noise = coloured_noise(np.random.default_rng(0), 160_000, exponent)
    f, power = signal.welch(noise, SAMPLE_RATE, nperseg=2048)
    inside = (f > 100) & (f < 6000)
    slope = np.polyfit(np.log10(f[inside]), np.log10(power[inside]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.12)
    assert np.std(noise) == pytest.approx(1.0, abs=1e-6)


def test_convolution_is_linear_not_circular() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(1000), rng.standard_normal(700)
    np.testing.assert_allclose(convolve(a, b), np.convolve(a, b)[:1000], atol=2e-4)


def test_a_resonator_has_unit_gain_at_its_frequency() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / SAMPLE_RATE)
    assert np.abs(resonance(tone, 1000.0, 5.0)[8000:]).max() == pytest.approx(1.0, abs=0.01)
    assert np.abs(resonance(tone, 3000.0, 5.0)[8000:]).max() < 0.15


@pytest.mark.parametrize("at", [-0.5, -0.01, 0.0, 0.09, 0.2])
def test_mixing_cuts_what_falls_outside(at: float) -> None:
    track, piece = np.zeros(1600), np.ones(400)
    add(track, piece, at, 2.0)
    start = round(at * SAMPLE_RATE)
    inside = max(0, min(1600, start + 400) - max(0, start))
    assert track.sum() == 2.0 * inside


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_happenings_come_at_their_rate(jitter: float) -> None:
    times = onsets(np.random.default_rng(1), 200.0, 5.0, jitter)
    assert len(times) == pytest.approx(1000, rel=0.1)
    assert len(onsets(np.random.default_rng(1), 0.05, 0.1, jitter)) >= 1


def test_streams_differ_by_key_and_repeat_by_key() -> None:
    keys = [("a", 1), ("a", 2), ("b", 1), (1, "a"), ("a", 1, 0), ("a1",), ("a", 11)]
    firsts = [int(stream(*key).integers(2**60)) for key in keys]
    assert len(set(firsts)) == len(keys)
    assert firsts == [int(stream(*key).integers(2**60)) for key in keys]
