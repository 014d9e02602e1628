"""The labelled tasks: classes, balance, and what must not be predictable."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sonoscale.corpora.procedural import TASKS, ProceduralCorpus, _espeak, speech_available
from sonoscale.errors import SonoscaleError

NAMES = sorted(TASKS)


@pytest.fixture(autouse=True)
def _labels_without_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels can be tested where eSpeak NG is missing."""
    monkeypatch.setattr(_espeak, "speech_available", lambda: True)


def labels(corpus: ProceduralCorpus, column: str) -> list[str]:
    return [corpus.labels(i)[column] for i in range(len(corpus))]


def test_the_tasks_are_there() -> None:
    least = {"word": 12, "language": 8, "instrument": 8, "pitch": 24, "event": 18, "domain": 3}
    assert set(least) <= set(TASKS)
    for name, count in least.items():
        assert len(set(TASKS[name].classes)) == len(TASKS[name].classes) >= count
        assert TASKS[name].description


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["train", "heldout", "test"])
def test_every_prefix_has_its_classes_in_equal_shares(name: str, split: str) -> None:
    task = TASKS[name]
    found = labels(task.corpus(split, 200, 3), task.label)
    assert set(found) <= set(task.classes)
    for n in (1, 10, 77, 200):
        counts = Counter(found[:n])
        assert max(counts.values()) - min(counts[c] for c in task.classes) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_class_order_is_random_and_nested(name: str) -> None:
    task = TASKS[name]
    size = len(task.classes)
    found = labels(task.corpus("train", 20 * size), task.label)
    blocks = {tuple(found[n : n + size]) for n in range(0, len(found), size)}
    assert len(blocks) > min(4, size)  # not one order over and over
    assert labels(task.corpus("train", size + 1), task.label) == found[: size + 1]
    assert labels(task.corpus("heldout", 20 * size), task.label) != found
    assert labels(task.corpus("train", 20 * size, seed=1), task.label) != found


def test_pitch_does_not_tell_the_instrument() -> None:
    corpus = TASKS["pitch"].corpus("train", 1200)
    pitch = np.unique(labels(corpus, "pitch"), return_inverse=True)[1]
    instrument = np.unique(labels(corpus, "instrument"), return_inverse=True)[1]
    table = np.zeros((pitch.max() + 1, instrument.max() + 1))
    np.add.at(table, (pitch, instrument), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    chi_square = float(((table - expected) ** 2 / expected).sum())
    assert chi_square < freedom + 4 * np.sqrt(2 * freedom)


def test_word_and_language_tasks_say_what_they_claim() -> None:
    words = TASKS["word"].corpus("train", 50)
    assert set(labels(words, "language")) == {"en"}
    phrases = TASKS["language"].corpus("train", 50)
    assert set(labels(phrases, "word")) == {""}


@pytest.mark.parametrize("name", ["word", "language", "domain"])
def test_a_speech_task_without_speech_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_espeak, "speech_available", lambda: False)
    with pytest.raises(SonoscaleError, match=r'pip install "sonoscale\[procedural\]"'):
        TASKS[name].corpus("train", 10)


@pytest.mark.skipif(not speech_available(), reason="eSpeak NG is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_a_task_makes_sound(name: str) -> None:
    corpus = TASKS[name].corpus("test", 3, seconds=0.5)
    assert all(np.abs(corpus.wave(i)).max() > 0.05 for i in range(3))
