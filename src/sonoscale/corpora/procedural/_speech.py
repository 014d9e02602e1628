"""Speech: words and phrases of the vocabulary in many languages and voices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import soxr
import yaml

from sonoscale.corpora.procedural._espeak import Voice, speak
from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._synthesis import SAMPLE_RATE, Wave, add, normalise

__all__ = ["Vocabulary", "say", "vocabulary"]


@dataclass(frozen=True)
class Vocabulary:
    """What can be said, and by whom.

    Arguments:
        concepts: word labels, in English.
        languages: eSpeak NG language code -> name.
        words: language code -> the words for `concepts`, in order.
        speakers: variants for training.
        test_speakers: variants for the test split.
    """

    concepts: tuple[str, ...]
    languages: dict[str, str]
    words: dict[str, tuple[str, ...]]
    speakers: tuple[str, ...]
    test_speakers: tuple[str, ...]


def _data(name: str) -> dict[str, Any]:
    return yaml.safe_load(resources.files("sonoscale.corpora.procedural").joinpath(name).read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The vocabulary and the voices that come with the package."""
    text, voices = _data("_vocabulary.yaml"), _data("_voices.yaml")
    return Vocabulary(
        concepts=tuple(text["concepts"]),
        languages=dict(text["languages"]),
        words={language: tuple(words) for language, words in text["words"].items()},
        speakers=tuple(voices["training"]),
        test_speakers=tuple(voices["test"]),
    )


def say(draw: Draw, language: str, concepts: Sequence[str], samples: int) -> Wave:
    """Speak a word or a phrase.

    Arguments:
        draw: the clip's parameters.
        language: a key of the vocabulary's languages.
        concepts: what to say, in order.
        samples: length of the clip; a phrase that is longer is cut off.

    Returns:
        float64 [samples], without a room.

    Raises:
        SonoscaleError: eSpeak NG is not installed.
    """
    known = vocabulary()
    words = [known.words[language][known.concepts.index(concept)] for concept in concepts]
    voice = Voice(
        language,
        draw.pick("speech.speaker", known.speakers, test=known.test_speakers),
        rate=int(draw.span("speech.rate", 130.0, 200.0, test=(201.0, 250.0))),
        pitch=int(draw.uniform(25.0, 75.0)),
        range=int(draw.uniform(20.0, 90.0)),
    )
    spoken, rate = speak(" ".join(words), voice, seed=int(draw.rng.integers(1, 2**31)))
    wave = soxr.resample(spoken.astype(np.float32), rate, SAMPLE_RATE).astype(np.float64)
    audible = np.flatnonzero(np.abs(wave) > 0.01 * np.max(np.abs(wave)))
    wave = normalise(wave[audible[0] : audible[-1] + 1])
    track = np.zeros(samples)
    add(track, wave, draw.uniform(0.0, max(0.05, (samples - wave.size) / SAMPLE_RATE)))
    return track
