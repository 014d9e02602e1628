"""Events: that classes can be distinguished, vary within, and show the physics that they claim."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import signal

from sonoscale.corpora.procedural import TASKS, _impacts
from sonoscale.corpora.procedural._environment import EVENTS
from sonoscale.corpora.procedural._random import Draw

RATE = 16_000


def features(wave: np.ndarray) -> np.ndarray:
    """Means, deviations and fast changes of the log energies in 20 bands: 60 numbers."""
    f, _, power = signal.spectrogram(wave, RATE, nperseg=512, noverlap=256)
    edges = np.geomspace(60.0, 8000.0, 21)
    bands = np.array([power[(f >= a) & (f < max(b, a + 32))].sum(axis=0) for a, b in pairwise(edges)])
    log = np.log(bands + 1e-9 * power.max() + 1e-12)
    log -= log.max()
    return np.concatenate([log.mean(1), log.std(1), np.abs(np.diff(log, axis=1)).mean(1)])


def accuracy(task: str, train_clips: int, test_clips: int, split: str) -> tuple[float, float]:
    """Accuracy of a linear discriminant on band energies, and chance."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    data = {}
    for name, clips in (("train", train_clips), (split, test_clips)):
        corpus = TASKS[task].corpus(name, clips, seed=1)
        x = np.array([features(corpus.wave(i)) for i in range(clips)])
        data[name] = x, [corpus.labels(i)[TASKS[task].label] for i in range(clips)]
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(*data["train"])
    return float(model.score(*data[split])), 1.0 / len(TASKS[task].classes)


@pytest.mark.parametrize(("task", "least"), [("event", 0.5), ("instrument", 0.4)])
def test_classes_can_be_told_apart_by_simple_features(task: str, least: float) -> None:
    classes = len(TASKS[task].classes)
    score, chance = accuracy(task, 8 * classes, 4 * classes, "heldout")
    assert score > least > 3 * chance


@pytest.mark.parametrize("event", list(EVENTS))
def test_clips_of_one_event_differ(event: str) -> None:
    waves = [EVENTS[event](Draw(np.random.default_rng(seed)), 16000) for seed in range(4)]
    for wave in waves:
        assert wave.shape == (16000,)
        assert np.isfinite(wave).all()
        assert np.abs(wave).max() == pytest.approx(1.0)
    described = np.array([features(wave) for wave in waves])
    assert np.linalg.norm(described[:, None] - described, axis=-1)[np.triu_indices(4, 1)].min() > 0.3


def beat(wave: np.ndarray, low: float, high: float) -> float:
    """The strongest rate in Hz at which the loudness changes, between two limits."""
    envelope = signal.resample_poly(np.abs(wave), 1, 64)  # 250 a second
    envelope = envelope - envelope.mean()
    spectrum = np.abs(np.fft.rfft(envelope * np.hanning(envelope.size), 8192))
    rates = np.fft.rfftfreq(8192, 1 / 250.0)
    inside = (rates >= low) & (rates <= high)
    return float(rates[inside][np.argmax(spectrum[inside])])


@pytest.mark.parametrize(
    ("event", "parameter", "low", "high"),
    [("helicopter", "helicopter.blades", 8.0, 30.0), ("clock", "clock.rate", 1.5, 9.0)],
)
def test_a_repeated_event_repeats_at_its_rate(event: str, parameter: str, low: float, high: float) -> None:
    hits = 0
    for seed in range(12):
        draw = Draw(np.random.default_rng(seed), test=seed % 2 == 1)
        wave = EVENTS[event](draw, 4 * RATE)
        rate = float(draw.trace[parameter][0])
        ratio = beat(wave, low, high) / rate
        hits += min(abs(ratio - n) for n in (0.5, 1.0, 2.0)) < 0.06
    assert hits >= 10


def test_metal_and_glass_ring_and_wood_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decay depends on the material (Klatzky, Pai & Krotkov 2000): energy after a tenth of a second."""
    monkeypatch.setattr(_impacts, "_bounces", lambda draw, seconds: [(0.0, 1.0)])

    def ring(event: str) -> float:
        waves = [EVENTS[event](Draw(np.random.default_rng(seed)), RATE) for seed in range(20)]
        return float(np.median([np.sum(wave[1600:] ** 2) / np.sum(wave**2) for wave in waves]))

    metal, glass, wood = ring("impact_metal"), ring("impact_glass"), ring("impact_wood")
    assert metal > 0.1
    assert min(metal, glass) > 20 * wood


@pytest.mark.parametrize(
    ("event", "low", "high"), [("thunder", 20, 1200), ("insects", 3000, 8000), ("engine", 10, 1000)]
)
def test_energy_lies_in_the_band_of_the_source(event: str, low: float, high: float) -> None:
    for seed in range(6):
        wave = EVENTS[event](Draw(np.random.default_rng(seed)), 2 * RATE)
        power = np.abs(np.fft.rfft(wave)) ** 2
        f = np.fft.rfftfreq(wave.size, 1 / RATE)
        assert power[(f > low) & (f < high)].sum() > 0.5 * power.sum(), seed


def test_a_drop_rises_in_pitch() -> None:
    wave = EVENTS["drops"](Draw(np.random.default_rng(4)), 2 * RATE)
    f, _, power = signal.spectrogram(wave, RATE, nperseg=256, noverlap=192)
    ridge = f[3:][np.argmax(power[3:], axis=0)]
    loud = power.max(axis=0) > 0.02 * power.max()
    steps = np.diff(ridge)[loud[1:] & loud[:-1]]
    assert np.sum(steps[np.abs(steps) < 200]) > 0.0
