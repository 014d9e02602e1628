"""Clips come in order and the same, whoever decodes them."""

import multiprocessing
import os
import pickle
import sys
import time
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_corpus, take
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure import _decoders, _stream, embed_corpus
from sonoscale.measure._stream import clips
from sonoscale.processes import worker_pool


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


def all_are_gone(names: list[str]) -> bool:
    """Blocks of shared memory."""
    for name in names:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    return True


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
    asked = []

    def reserve(memory, size):
        asked.append(memory.name)
        if len(asked) > room:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(_decoders, "_reserve", reserve)
    by_threads = list(clips(corpus, range(40), workers=2, processes=False))
    for mine, theirs in zip(clips(corpus, range(40), workers=2), by_threads, strict=True):
        assert (mine.index, mine.wave is None, mine.reason) == (theirs.index, theirs.wave is None, theirs.reason)
        if mine.wave is not None:
            np.testing.assert_array_equal(mine.wave, theirs.wave)
    assert len(asked) == room + 1  # and no further one after that which was refused
    assert all_are_gone(asked)


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
            names.extend(memory.name for *_, memory in decoded._waiting if memory)
            next(iter(decoded))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(names) == 4
    assert all_are_gone(names)
    assert no_process_is_left()


def test_an_encoder_that_fails_leaves_no_process_though_its_error_is_kept(corpus, handed_over):
    class Failing:
        sample_rate, dim, layers, min_samples, max_samples, identity = 16_000, 1, None, 1, None, "failing"
        batches = 0

        def embed(self, wave):
            self.batches += 1
            if self.batches > 12:
                assert multiprocessing.active_children()
                raise SonoscaleError("no more")
            return wave.mean(dim=1, keepdim=True)

    encoder: Any = Failing()
    with pytest.raises(SonoscaleError, match="no more") as kept:
        embed_corpus(encoder, take(corpus, range(33)), workers=2, batch_seconds=0.1)
    assert kept.tb is not None
    assert no_process_is_left()


def test_a_killed_process_is_named(corpus):
    def read() -> None:
        with _decoders.DecodingProcesses(corpus, range(33), workers=1, ahead_seconds=1.0) as decoded:
            for _ in decoded:
                for process in multiprocessing.active_children():
                    process.kill()

    with pytest.raises(SonoscaleError, match="a worker process was killed while decoding audio"):
        read()


@pytest.mark.parametrize(
    "wave", [np.arange(8.0), np.ones((1, 2), "f4"), np.ones(0, "f4"), np.arange(6, dtype="f4")[::2]]
)
def test_a_process_leaves_whatever_a_corpus_gives(wave):
    """Also what no corpus should: the encoder is to see it, and complain."""
    memory = SharedMemory(create=True, size=4096)
    try:
        part: Any = Given(wave)
        (left,) = _decoders._decode(part, memory.name)
        found = left.wave if left.place is None else _decoders._place(memory, *left.place).copy()
        assert found is not None
        assert found.dtype == wave.dtype
        np.testing.assert_array_equal(found, wave)
        _decoders._attached.pop(memory.name).close()
    finally:
        memory.close()
        memory.unlink()


class Given:
    """A corpus of one clip."""

    sample_rate = 16_000

    def __init__(self, wave: np.ndarray) -> None:
        self._wave = wave

    def __len__(self) -> int:
        return 1

    def wave(self, index: int) -> np.ndarray:
        return self._wave


def test_a_process_says_that_there_is_no_wave_though_the_reason_is_empty():
    class Silent(Given):
        def wave(self, index: int) -> np.ndarray:
            raise SonoscaleError("")

    part: Any = Silent(np.zeros(1))
    assert _decoders._decode(part, None) == [_decoders._Left()]


def test_processes_have_a_lower_priority():
    with worker_pool(1, doing="asking", setup=_decoders._yield_to_others) as pool:
        niceness = pool.result(pool.submit(os.getpriority, os.PRIO_PROCESS, 0))
    assert niceness == min(19, os.getpriority(os.PRIO_PROCESS, 0) + _decoders.NICENESS)


def test_a_class_of_a_script_stays_with_threads(corpus, handed_over, monkeypatch):
    """A new process would have to run the script, or the notebook, to find it."""
    monkeypatch.setattr(type(corpus), "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], type(corpus).__name__, type(corpus), raising=False)
    assert pickle.dumps(corpus)
    seen = []
    for clip in clips(corpus, range(40), workers=2):
        seen.append(clip.index)
        assert not multiprocessing.active_children()
    assert seen == list(range(40))


def test_where_processes_cannot_be_had_threads_go_on(corpus, handed_over, monkeypatch):
    asked = []

    def refuse(*arguments: object, **options: object) -> None:
        asked.append(arguments)
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(_decoders, "worker_pool", refuse)
    assert [clip.index for clip in clips(corpus, range(40), workers=2)] == list(range(40))
    assert len(asked) == 1
