"""Rooms: reverberation times measured back from impulse responses; background noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._room import record, room_response

RATE = 16_000


def measured_rt60(response: np.ndarray, low: float, high: float) -> float:
    """Schroeder's backward integration (1965), extrapolated from the fall between -5 and -25 dB."""
    band = signal.sosfiltfilt(signal.butter(4, [low, high], "bandpass", fs=RATE, output="sos"), response)
    energy = np.cumsum(band[::-1] ** 2)[::-1]
    level = 10 * np.log10(energy / energy[0])
    start, stop = np.argmax(level < -5), np.argmax(level < -25)
    slope = np.polyfit(np.arange(start, stop) / RATE, level[start:stop], 1)[0]
    return -60.0 / slope


@pytest.mark.parametrize("rt60", [0.2, 0.45, 0.7, 1.1])
def test_reverberation_times_come_back(rt60: float) -> None:
    rooms = [room_response(np.random.default_rng(seed), rt60, tail_gain=0.9) for seed in range(5)]
    for room in rooms:  # the tail alone: the direct sound is no part of the decay
        room[:160] = 0.0
    middle = np.median([measured_rt60(room, 700.0, 1400.0) for room in rooms])
    high = np.median([measured_rt60(room, 4000.0, 7000.0) for room in rooms])
    low = np.median([measured_rt60(room, 80.0, 200.0) for room in rooms])
    assert middle == pytest.approx(rt60, rel=0.15)
    assert high == pytest.approx(0.5 * rt60, rel=0.2)
    assert low == pytest.approx(1.2 * rt60, rel=0.3)


def test_the_direct_sound_comes_first_and_reflections_are_weaker() -> None:
    room = room_response(np.random.default_rng(0), 0.5, tail_gain=0.3)
    assert room[0] == 1.0
    assert np.abs(room[1:]).max() < 1.0
    assert np.sum(room[1:] ** 2) == pytest.approx(2 * 0.3**2, rel=0.15)  # as much again in the diffuse tail


def test_a_recording_is_never_silent_and_within_range() -> None:
    click = np.zeros(8000)
    click[4000] = 1.0
    for seed in range(40):
        wave = record(Draw(np.random.default_rng(seed), test=seed % 2 == 1), click)
        assert wave.dtype == np.float32
        assert 0.05 < np.abs(wave).max() <= 1.0
        assert np.count_nonzero(wave[:3900]) > 3800
