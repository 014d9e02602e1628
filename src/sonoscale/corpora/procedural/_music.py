"""Music: notes, chords, melodies and rhythms on one instrument."""

from __future__ import annotations

import numpy as np

from sonoscale.corpora.procedural._instruments import INSTRUMENTS, UNPITCHED
from sonoscale.corpora.procedural._notes import Note
from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._synthesis import SAMPLE_RATE, Wave, add

__all__ = ["LOWEST", "MATERIALS", "PITCHES", "perform", "pitch_frequency"]

# What is played. Unpitched instruments play single hits ('note') and rhythms only.
MATERIALS = ("note", "chord", "melody", "rhythm")

LOWEST = 48  # MIDI number of the first pitch
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

# Two octaves of pitch names in scientific notation, C3 to B4; the single notes of the corpus lie in them.
PITCHES = tuple(f"{_NAMES[midi % 12]}{midi // 12 - 1}" for midi in range(LOWEST, LOWEST + 24))

_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 10), (0, 3, 7, 10), (0, 5, 7), (0, 4, 8), (0, 7, 16))
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))


def pitch_frequency(pitch: str) -> float:
    """Frequency in Hz of one of `PITCHES`, in equal temperament with A4 at 440 Hz."""
    return _frequency(LOWEST + PITCHES.index(pitch))


def _frequency(midi: float) -> float:
    return 440.0 * 2.0 ** ((midi - 69.0) / 12.0)


def _beats(draw: Draw, seconds: float) -> list[tuple[float, float]]:
    """Onset and length in seconds of a melody's notes."""
    step = 60.0 / draw.span("music.tempo", 80.0, 150.0, test=(155.0, 190.0)) / 2.0
    at, notes = draw.uniform(0.0, 0.2), []
    while at < seconds - 0.1 or not notes:
        length = step * draw.pick("length", (1, 1, 2, 2, 3, 4))
        if not notes or not draw.chance(0.12):
            notes.append((at, min(length, seconds - at) * draw.uniform(0.8, 1.1)))
        at += length
    return notes


def _samples(seconds: float) -> int:
    return max(800, round(seconds * SAMPLE_RATE))


def _chord(draw: Draw, note: Note, root: float, samples: int, strum: float, velocity: float) -> Wave:
    track = np.zeros(samples)
    for voice, interval in enumerate(draw.pick("chord", _CHORDS)):
        add(track, note(_frequency(root + interval), samples, velocity), voice * strum, 0.5)
    return track


def _melody(draw: Draw, note: Note, track: Wave, seconds: float) -> None:
    scale = draw.pick("scale", _SCALES)
    root, degree = int(draw.rng.integers(LOWEST, LOWEST + 12)), int(draw.rng.integers(len(scale)))
    for at, length in _beats(draw, seconds):
        octave, step = divmod(degree, len(scale))
        midi = float(np.clip(root + 12 * octave + scale[step], LOWEST - 5, LOWEST + 30))
        add(track, note(_frequency(midi), _samples(length + 0.08), draw.uniform(0.5, 1.0)), at)
        degree += int(draw.rng.integers(-2, 4 if degree < 4 else 3))


def _rhythm(draw: Draw, note: Note, track: Wave, seconds: float, pitched: bool) -> None:
    step = 60.0 / draw.span("music.tempo", 80.0, 150.0, test=(155.0, 190.0)) / 4.0
    density = draw.uniform(0.35, 0.8)
    pattern = draw.rng.random(8) < density
    pattern[0] = True
    root = float(draw.rng.integers(LOWEST, LOWEST + 16))
    pieces = [root, root + float(draw.pick("interval", (3, 5, 7, 12)))] if pitched else [45.0, 57.0, 62.0, 65.0, 71.0]
    order = draw.rng.integers(len(pieces), size=8)
    hits = {
        piece: note(_frequency(pieces[piece]), _samples(step * 2.2 + 0.1), 1.0)
        for piece in sorted(set(order[pattern].tolist()))
    }
    at, beat = draw.uniform(0.0, 0.15), 0
    while at < seconds:
        if pattern[beat % 8]:
            add(
                track,
                hits[int(order[beat % 8])],
                at,
                draw.uniform(0.5, 1.0) * (1.2 if beat % 4 == 0 else 0.8),
            )
        at, beat = at + step, beat + 1


def perform(draw: Draw, instrument: str, material: str, pitch: str, samples: int) -> Wave:
    """Play.

    Arguments:
        draw: the clip's parameters.
        instrument: a key of `INSTRUMENTS`.
        material: one of `MATERIALS`.
        pitch: one of `PITCHES` for a single note of a pitched instrument, else ''.
        samples: length of the clip.

    Returns:
        float64 [samples], without a room.
    """
    note = INSTRUMENTS[instrument](draw)
    seconds = samples / SAMPLE_RATE
    track = np.zeros(samples)
    if material == "note":
        at = draw.uniform(0.0, 0.25 * seconds)
        length = draw.uniform(0.45, 1.0) * (seconds - at)
        frequency = pitch_frequency(pitch) if pitch else _frequency(draw.uniform(44.0, 72.0))
        add(track, note(frequency, _samples(length), draw.uniform(0.5, 1.0)), at)
    elif material == "chord":
        at, strum = draw.uniform(0.0, 0.2 * seconds), draw.uniform(0.0, 0.05) * draw.chance(0.6)
        root = float(draw.rng.integers(LOWEST - 2, LOWEST + 13))
        add(track, _chord(draw, note, root, _samples(seconds - at), strum, draw.uniform(0.5, 1.0)), at)
    elif material == "melody":
        _melody(draw, note, track, seconds)
    else:
        _rhythm(draw, note, track, seconds, instrument not in UNPITCHED)
    return track
