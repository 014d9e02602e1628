"""Log-mels on disk are the log-mels of the corpus, whoever computed them."""

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.audio import LogMel, LogMelConfig
from sonoscale.corpora import FeatureStore, FileCorpus, build_features, feature_pool, open_corpus
from sonoscale.errors import SonoscaleError, SonoscaleWarning
from sonoscale.memory import check_memory

LENGTHS = [512, 1000, 16_000, 33_333, 8_000]


@pytest.fixture
def corpus(tmp_path):
    for i in range(70):
        wave = 0.1 * np.random.default_rng(i).standard_normal(LENGTHS[i % 5])
        soundfile.write(tmp_path / f"{i:02d}.wav", wave, 16_000, subtype="FLOAT")
    return FileCorpus.from_folder(tmp_path)


def direct(corpus, index):
    return LogMel(LogMelConfig())(torch.from_numpy(corpus.wave(index))[None])[0].T.numpy()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("float16", 0.005)])
def test_clips_come_back_in_order(corpus, tmp_path, dtype, tolerance):
    store = build_features(corpus, LogMelConfig(), tmp_path / "cache", dtype=dtype)
    assert len(store) == 70
    for i in range(70):
        np.testing.assert_allclose(store.clip(i), direct(corpus, i), rtol=0, atol=tolerance)
    assert store.lengths(5).tolist() == [LogMelConfig().frames(n) for n in LENGTHS]


def test_workers_change_nothing_and_a_second_call_computes_nothing(corpus, tmp_path):
    one = build_features(corpus, LogMelConfig(), tmp_path / "one")
    with feature_pool(2) as pool:
        two = build_features(corpus, LogMelConfig(), tmp_path / "two", pool=pool)
    np.testing.assert_array_equal(one.frames, two.frames)
    calls = []
    build_features(corpus, LogMelConfig(), tmp_path / "one", progress=lambda done, total: calls.append(done))
    assert calls == []
    assert len(list((tmp_path / "one").iterdir())) == 1


def test_statistics_are_numpys(corpus, tmp_path):
    store = build_features(corpus, LogMelConfig(), tmp_path / "cache")
    rows = np.concatenate([direct(corpus, i) for i in range(30)])
    mean, std = store.statistics(30)
    assert mean == pytest.approx(rows.mean(dtype=np.float64), rel=1e-5)
    assert std == pytest.approx(rows.std(dtype=np.float64), rel=1e-5)


def test_seconds_are_those_of_the_audio_within_a_hop(corpus, tmp_path):
    store = build_features(corpus, LogMelConfig(), tmp_path / "cache")
    audio = sum(LENGTHS) / 16_000
    assert audio - 5 * 0.01 <= store.seconds(5) <= audio


@pytest.mark.parametrize("parallel", [False, True])
def test_a_clip_that_cannot_be_used_is_named_and_nothing_is_left(corpus, tmp_path, parallel):
    with feature_pool(2 if parallel else 1) as pool:
        (tmp_path / "33.wav").write_bytes(b"broken")
        with pytest.raises(SonoscaleError, match=r"33\.wav: cannot be decoded"):
            build_features(corpus, LogMelConfig(), tmp_path / "cache", pool=pool)
        soundfile.write(tmp_path / "33.wav", np.zeros(100), 16_000)
        with pytest.raises(SonoscaleError, match=r"33\.wav: a clip of 100 samples is shorter than one analysis window"):
            build_features(corpus, LogMelConfig(), tmp_path / "cache", pool=pool)
    assert list((tmp_path / "cache").iterdir()) == []


def zero_half(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    file.write_bytes(content)


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("name", ["frames.npy", "offsets.npy", "meta.json"])
@pytest.mark.parametrize(
    "damage", [zero_half, flip, empty, lambda file: file.unlink()], ids=["zero half", "flip", "empty", "gone"]
)
def test_damaged_log_mels_are_never_used(corpus, tmp_path, name, damage):
    corpus = corpus.part(range(20))
    store = build_features(corpus, LogMelConfig(), tmp_path / "cache")
    whole = np.array(store.frames)
    damage(store.folder / name)
    with pytest.raises(SonoscaleError, match=r"logmel-\w+: damaged log-mels"):
        FeatureStore.open(store.folder)
    if (store.folder / "meta.json").exists():
        with pytest.warns(SonoscaleWarning, match=r"logmel-\w+: damaged log-mels .*computed anew"):
            again = build_features(corpus, LogMelConfig(), tmp_path / "cache")
    else:
        again = build_features(corpus, LogMelConfig(), tmp_path / "cache")
    np.testing.assert_array_equal(again.frames, whole)


def test_the_same_log_mels_are_read_whole_once(corpus, tmp_path):
    store = build_features(corpus, LogMelConfig(), tmp_path / "cache")
    before = bytes_read()
    FeatureStore.open(store.folder)
    assert bytes_read() - before < store.frames.nbytes / 10


def bytes_read() -> int:
    """By this process so far."""
    with open("/proc/self/io") as stream:  # noqa: PTH123
        return int(stream.readline().split()[1])


class Endless:
    """So many clips that no disk holds their log-mels."""

    sample_rate, identity = 16_000, {"kind": "endless"}

    def __len__(self):
        return 10**9

    def wave(self, index):
        return np.zeros(16_000, np.float32)

    def name(self, index):
        return str(index)


def test_log_mels_that_the_disk_has_no_room_for_are_refused_after_the_first(tmp_path):
    with pytest.raises(SonoscaleError, match=r"log-mels of 1,000,000,000 clips need about [\d,.]+ GB of disk"):
        build_features(Endless(), LogMelConfig(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_more_clips_than_can_be_are_refused_at_once():
    with pytest.raises(SonoscaleError, match=r"clips=1000000000: at most 10,000,000"):
        open_corpus("procedural?clips=1000000000")
    with pytest.raises(SonoscaleError, match=r"facts need [\d,.]+ GiB of memory, and [\d,.]+ GiB are free"):
        check_memory(1 << 60, "facts")
    check_memory(1, "a byte")
