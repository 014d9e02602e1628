"""Batches read ahead: the same ones, from any state, and no thread that stays."""

import gc
import threading
import time

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.audio import LogMelConfig
from sonoscale.corpora import FileCorpus, build_features
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import Batches, Prefetch, WaveStore

CPU = torch.device("cpu")
FRONT_END = LogMelConfig(n_mels=32)


@pytest.fixture
def corpus(tmp_path):
    """10 files of 0.5 s."""
    rng = np.random.default_rng(0)
    for i in range(10):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(8_000), 16_000)
    return FileCorpus.from_folder(tmp_path)


def batches(corpus, **more):
    return Batches(WaveStore(corpus, FRONT_END), clips=10, frames=20, batch_size=4, seed=0, **more)


def take(stream, count):
    return [stream.next().samples for _ in range(count)]


def check_same(ours, theirs):
    assert len(ours) == len(theirs)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_it_gives_what_the_stream_gives_and_counts_what_it_gave(corpus, ahead):
    plain, stream = batches(corpus), Prefetch(batches(corpus), CPU, ahead=ahead)
    for _ in range(8):  # three epochs
        check_same(take(stream, 1), take(plain, 1))
        assert stream.clips_seen == plain.clips_seen
        ours, theirs = stream.state(), plain.state()
        assert torch.equal(ours.pop("order"), theirs.pop("order"))
        assert ours == theirs
    stream.close()


@pytest.mark.parametrize("ahead", [0, 2])
def test_it_goes_on_from_a_state_whatever_was_prepared(corpus, ahead):
    stream = Prefetch(batches(corpus), CPU, ahead=ahead)
    begin = stream.state()
    take(stream, 3)
    middle = stream.state()  # the fourth batch is of two epochs
    expected = take(stream, 7)
    for state, skipped in ((middle, 0), (begin, 3), (middle, 0)):
        stream.restore(state)
        check_same(take(stream, skipped + 2)[skipped:], expected[:2])
    other = Prefetch(batches(corpus), CPU, ahead=ahead)
    other.restore(middle)
    assert other.clips_seen == 12
    check_same(take(other, 7), expected)
    stream.close()
    other.close()


def test_what_is_given_comes_from_log_mels_too(corpus, tmp_path):
    store = build_features(corpus, FRONT_END, tmp_path / "cache")
    plain = Batches(store, clips=10, frames=20, batch_size=4, seed=0)
    stream = Prefetch(Batches(store, clips=10, frames=20, batch_size=4, seed=0), CPU)
    check_same([stream.next() for _ in range(4)], [plain.next() for _ in range(4)])
    stream.close()


class Slow(WaveStore):
    """A store that takes its time, and counts its reads."""

    reads = 0

    def read(self, rows):
        self.reads += 1
        time.sleep(0.02)
        return super().read(rows)


def wait_until(true):
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert true()


def test_the_next_batches_are_prepared_meanwhile_and_no_more(corpus):
    store = Slow(corpus, FRONT_END)
    stream = Prefetch(Batches(store, clips=10, frames=20, batch_size=4, seed=0), CPU, ahead=2)
    time.sleep(0.05)
    assert store.reads == 0  # before anything is asked for
    stream.next()
    wait_until(lambda: store.reads == 3)
    time.sleep(0.05)
    assert store.reads == 3
    stream.restore(stream.state())
    stream.close()
    assert store.reads == 3


def test_what_the_thread_meets_is_raised_until_it_is_mended(corpus):
    stream = Prefetch(batches(corpus), CPU)
    first = stream.state()
    take(stream, 1)
    state, gone = stream.state(), corpus.root / "3.wav"
    content = gone.read_bytes()
    gone.unlink()
    stream.restore(first)
    for _ in range(2):
        with pytest.raises(SonoscaleError, match=r"3\.wav: no such audio file"):
            take(stream, 4)
    gone.write_bytes(content)
    stream.restore(state)
    plain = batches(corpus)
    plain.restore(state)
    check_same(take(stream, 3), take(plain, 3))
    stream.close()


@pytest.mark.parametrize("end", ["closed", "garbage"])
def test_the_thread_ends(corpus, end):
    def readers():
        return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]

    before = len(readers())
    stream = Prefetch(batches(corpus), CPU)
    take(stream, 1)
    assert len(readers()) == before + 1
    if end == "closed":
        stream.close()
        with pytest.raises(RuntimeError, match="after shutdown"):
            stream.next()
    else:
        del stream
        gc.collect()
    wait_until(lambda: len(readers()) == before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_come_to_the_gpu(corpus):
    plain, stream = batches(corpus), Prefetch(batches(corpus), torch.device("cuda", 0))
    ours = take(stream, 8)
    assert all(batch.is_cuda for batch in ours)
    check_same([batch.cpu() for batch in ours], take(plain, 8))
    stream.close()
