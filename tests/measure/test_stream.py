"""Clips come in order and the same, whoever decodes them."""

import multiprocessing
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_corpus, take
from sonoscale.encoders import load_encoder
from sonoscale.measure import _decoders, _stream, embed_corpus
from sonoscale.measure._stream import clips


@pytest.fixture
def corpus(tmp_path):
    """40 clips of different lengths, of which one cannot be read."""
    for i in range(40):
        wave = 0.1 * np.random.default_rng(i).standard_normal(4000 + 500 * (i % 5))
        soundfile.write(tmp_path / f"{i:02d}.wav", wave, 16_000, subtype="PCM_16")
    found = open_corpus(tmp_path)
    (tmp_path / "33.wav").write_bytes(b"damaged since")
    return found


@pytest.fixture
def handed_over(monkeypatch):
    """After eight clips, whatever they took."""
    monkeypatch.setattr(_stream, "TRIED", 8)
    monkeypatch.setattr(_stream, "MOST_AHEAD", 4)
    monkeypatch.setattr(_decoders, "CHUNK_SECONDS", 2.0)
    monkeypatch.setattr(_stream, "WORTH", 0.0)
    monkeypatch.setattr(_stream, "START", 0.0)


def no_process_is_left() -> bool:
    for _ in range(100):
        if not multiprocessing.active_children():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("indices", [range(40), [*range(39, -1, -1), 3, 3]])
def test_processes_give_what_threads_give(corpus, handed_over, indices):
    by_threads = list(clips(corpus, indices, workers=2, processes=False))
    seen = []
    for clip in clips(corpus, indices, workers=2):
        seen.append(clip)
        if len(seen) == len(indices) - 1:
            assert multiprocessing.active_children()  # it was they that read it
    assert [clip.index for clip in seen] == [clip.index for clip in by_threads] == list(indices)
    for mine, theirs in zip(seen, by_threads, strict=True):
        assert (mine.wave is None, mine.reason) == (theirs.wave is None, theirs.reason)
        if mine.wave is not None:
            np.testing.assert_array_equal(mine.wave, theirs.wave)
    assert sum(clip.wave is None for clip in seen) == 1
    assert no_process_is_left()


def test_a_reader_that_stops_leaves_no_process(corpus, handed_over):
    stream: Any = clips(corpus, range(40), workers=2)
    for _ in range(20):
        next(stream)
    assert multiprocessing.active_children()
    stream.close()
    assert no_process_is_left()


def test_short_work_starts_no_process(corpus):
    assert len(list(clips(corpus, range(40), workers=2))) == 40
    assert not multiprocessing.active_children()


def test_embeddings_are_the_same(corpus, handed_over, monkeypatch):
    encoder, whole = load_encoder("logmel:8"), take(corpus, [i for i in range(40) if i != 33])
    there = embed_corpus(encoder, whole, workers=2).rows
    monkeypatch.setattr(_stream, "WORTH", float("inf"))
    np.testing.assert_array_equal(there, embed_corpus(encoder, whole, workers=2).rows)


@pytest.mark.parametrize("room", [0, 1, 3])
def test_where_shared_memory_is_scarce_the_waves_come_through_the_pipe(corpus, handed_over, monkeypatch, room):
    """Blocks for no, one or some chunks at a time, as in a container with little of it."""
    reserved = []

    def reserve(memory, size):
        if len(reserved) == room:
            raise OSError(28, "No space left on device")
        reserved.append(memory.name)

    monkeypatch.setattr(_decoders, "_reserve", reserve)
    by_threads = list(clips(corpus, range(40), workers=2, processes=False))
    for mine, theirs in zip(clips(corpus, range(40), workers=2), by_threads, strict=True):
        assert (mine.index, mine.wave is None, mine.reason) == (theirs.index, theirs.wave is None, theirs.reason)
        if mine.wave is not None:
            np.testing.assert_array_equal(mine.wave, theirs.wave)
    assert len(reserved) == room
    assert not [name for name in reserved if Path("/dev/shm", name.lstrip("/")).exists()]


def test_waves_longer_than_the_header_says_do_not_leave_their_block(corpus, monkeypatch):
    """Two of three clips of a chunk fit into the block that the promised lengths ask for."""
    lengths = {i: corpus.seconds(i) for i in range(40)}
    monkeypatch.setattr(type(corpus), "seconds", lambda self, i: lengths[i] / 1.5)
    with _decoders.DecodingProcesses(corpus, range(30), workers=1, ahead_seconds=2.0) as decoded:
        found = list(decoded)
    assert [clip.index for clip in found] == list(range(30))
    for clip in found:
        np.testing.assert_array_equal(clip.wave, corpus.wave(clip.index))


def test_a_reader_that_stops_leaves_no_shared_memory(corpus):
    names = []

    def interrupted() -> None:
        with _decoders.DecodingProcesses(corpus, range(30), workers=2, ahead_seconds=2.0) as decoded:
            names.extend(memory.name for _, _, memory in decoded._waiting if memory)
            next(iter(decoded))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(names) == 4
    for name in names:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    assert no_process_is_left()
