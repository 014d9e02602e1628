"""Music: pitches measured, decays, and families that can be distinguished."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from sonoscale.corpora.procedural._instruments import INSTRUMENTS, UNPITCHED
from sonoscale.corpora.procedural._music import PITCHES, perform, pitch_frequency
from sonoscale.corpora.procedural._random import Draw

RATE = 16_000
PITCHED = [name for name in INSTRUMENTS if name not in UNPITCHED]


def measured_pitch(wave: np.ndarray) -> float:
    """Fundamental in Hz: the first high peak of the normalised autocorrelation of the loudest half second."""
    power = signal.fftconvolve(wave**2, np.ones(8000), mode="valid")
    start = int(np.argmax(power))
    part = wave[start : start + 8000]
    spectrum = np.abs(np.fft.rfft(part, 32768)) ** 2
    correlation = np.fft.irfft(spectrum)[:8000] / np.linspace(1.0, 0.1, 8000).clip(0.1)
    correlation /= correlation[0]
    low, high = RATE // 700, RATE // 100
    peaks = signal.find_peaks(correlation[:high])[0]
    peaks = peaks[peaks >= low]
    best = correlation[peaks].max()
    lag = int(peaks[correlation[peaks] > 0.9 * best][0])
    a, b, c = correlation[lag - 1 : lag + 2]
    return RATE / (lag + 0.5 * (a - c) / (a - 2 * b + c))


def test_pitch_names_are_scientific_and_in_tune() -> None:
    assert pitch_frequency("A4") == pytest.approx(440.0)
    assert pitch_frequency("C4") == pytest.approx(261.6256, abs=1e-3)
    assert PITCHES[0] == "C3"
    assert PITCHES[-1] == "B4"


@pytest.mark.parametrize("instrument", PITCHED)
def test_single_notes_have_their_pitch(instrument: str) -> None:
    errors = []
    for n, pitch in enumerate(PITCHES[::3]):
        draw = Draw(np.random.default_rng([n, 7]), test=n % 2 == 1)
        wave = perform(draw, instrument, "note", pitch, 2 * RATE)
        errors.append(12 * np.log2(measured_pitch(wave) / pitch_frequency(pitch)))
    assert np.abs(errors).max() < 0.5, np.round(errors, 2)


def test_a_chord_holds_the_intervals_of_a_chord() -> None:
    draw = Draw(np.random.default_rng(3))
    wave = perform(draw, "organ", "chord", "", 2 * RATE)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size)))
    peaks = signal.find_peaks(spectrum, height=0.15 * spectrum.max(), distance=8)[0]
    tones = 12 * np.log2(peaks * RATE / wave.size / 440.0)
    assert np.abs(tones - np.round(tones)).max() < 0.35  # on the equal-tempered grid
    assert len(set(np.round(tones).astype(int) % 12)) >= 3


@pytest.mark.parametrize("material", ["melody", "rhythm"])
@pytest.mark.parametrize("instrument", list(INSTRUMENTS))
def test_figures_start_several_notes(instrument: str, material: str) -> None:
    if instrument in UNPITCHED and material == "melody":
        pytest.skip("drums play no melodies")
    counts = []
    for seed in range(4):
        wave = perform(Draw(np.random.default_rng(seed)), instrument, material, "", 3 * RATE)
        power = np.log(signal.spectrogram(wave, RATE, nperseg=1024, noverlap=768)[2] + 1e-7)
        flux = np.maximum(np.diff(power, axis=1), 0.0).mean(axis=0)
        counts.append(len(signal.find_peaks(flux, height=0.35 * flux.max(), distance=5)[0]))
    assert np.median(counts) >= 3, counts


def test_struck_sounds_decay_and_blown_ones_last() -> None:
    def fall(instrument: str) -> float:
        values = []
        for seed in range(4):
            note = INSTRUMENTS[instrument](Draw(np.random.default_rng(seed)))
            wave = note(330.0, 24000, 0.8)
            values.append(np.std(wave[12000:18000]) / np.std(wave[2000:8000]))
        return float(np.median(values))

    assert max(fall(name) for name in ("plucked", "piano", "mallet")) < 0.7
    assert min(fall(name) for name in ("bowed", "flute", "reed", "brass", "organ", "pad")) > 0.8


def test_inharmonicity_stretches_piano_partials() -> None:
    """Fletcher's law: partial k of a stiff string lies at k f0 sqrt(1 + B k^2)."""
    draw = Draw(np.random.default_rng(1), test=True)
    wave = INSTRUMENTS["piano"](draw)(261.63, 2 * RATE, 1.0)
    b = draw.trace["piano.inharmonicity"][0]
    assert isinstance(b, float)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size)))
    for k in (1, 4, 8):
        expected = k * 261.63 * np.sqrt(1 + b * k**2)
        near = slice(int((expected - 25) * 2), int((expected + 25) * 2))
        assert abs(np.argmax(spectrum[near]) / 2 + near.start / 2 - expected) < 4.0
