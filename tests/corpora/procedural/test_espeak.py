"""eSpeak NG: the same bits whatever came before, and what its parameters do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from sonoscale.corpora.procedural import speech_available
from sonoscale.corpora.procedural._espeak import Voice, speak, version
from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._speech import say, vocabulary
from sonoscale.errors import SonoscaleError

pytestmark = pytest.mark.skipif(not speech_available(), reason="eSpeak NG is not installed")

SPEAKERS = [*vocabulary().speakers, *vocabulary().test_speakers]


def test_an_utterance_does_not_depend_on_the_one_before() -> None:
    for speaker in SPEAKERS:
        first, _ = speak("seven", Voice("en", speaker))
        other, _ = speak("una casa", Voice("es", "klatt2", rate=140, pitch=80))
        again, _ = speak("seven", Voice("en", speaker))
        assert np.array_equal(first, again), speaker
        assert not np.array_equal(first[: other.size], other[: first.size])


def test_rate_and_pitch_do_what_they_say() -> None:
    slow, rate = speak("window garden", Voice("en", "m3", rate=130))
    fast, _ = speak("window garden", Voice("en", "m3", rate=250))
    assert fast.size < 0.75 * slow.size

    def fundamental(pitch: int) -> float:
        wave = speak("moon", Voice("en", "m3", pitch=pitch, range=10))[0].astype(float)
        middle = wave[wave.size // 4 : wave.size // 2]
        lags = signal.correlate(middle, middle)[middle.size - 1 :]
        lowest, highest = rate // 400, rate // 50
        return rate / (lowest + int(np.argmax(lags[lowest:highest])))

    assert fundamental(20) < 0.85 * fundamental(50) < 0.85**2 * fundamental(90)


@pytest.mark.parametrize("language", sorted(vocabulary().languages))
def test_the_words_of_a_language_are_all_there_and_sound_different(language: str) -> None:
    known = vocabulary()
    words = known.words[language]
    assert len(words) == len(set(words)) == len(known.concepts) >= 12
    envelopes = []
    for word in words[:12]:
        wave = speak(word, Voice(language, "m1"))[0].astype(float)
        power = signal.spectrogram(wave, 22050, nperseg=512)[2]
        envelopes.append(np.log(power[:, : power.shape[1]].mean(axis=1) + 1e-3))
    distance = np.linalg.norm(np.array(envelopes)[:, None] - np.array(envelopes), axis=-1)
    assert distance[~np.eye(12, dtype=bool)].min() > 3.0


def test_languages_and_speakers_are_many_and_splits_have_different_speakers() -> None:
    known = vocabulary()
    assert len(known.languages) >= 8
    assert set(known.words) == set(known.languages)
    assert not set(known.speakers) & set(known.test_speakers)


def test_a_word_fits_into_a_clip_and_a_long_phrase_is_cut() -> None:
    word = say(Draw(np.random.default_rng(0)), "en", ["garden"], 32000)
    assert np.abs(word).max() == pytest.approx(1.0)
    audible = np.flatnonzero(np.abs(word) > 0.02)
    assert 0.15 < (audible[-1] - audible[0]) / 16000 < 1.3
    phrase = say(Draw(np.random.default_rng(0)), "en", ["garden"] * 12, 16000)
    assert phrase.shape == (16000,)
    assert np.abs(phrase[-4000:]).max() > 0.0


def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(SonoscaleError, match="xx-nowhere"):
        speak("one", Voice("xx-nowhere"))


def test_version_is_a_number() -> None:
    assert version().split(".")[0].isdigit()
