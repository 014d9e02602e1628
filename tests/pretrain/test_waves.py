"""Training from waveforms: the same clips, crops and log-mels as from the cache, out of files and packed shards."""

import json
import pickle

import numpy as np
import pytest
import soundfile
import torch

from mels import power_mels
from sonoscale.audio import LogMel, LogMelConfig
from sonoscale.config import validate
from sonoscale.corpora import FeatureStore, FileCorpus, ProceduralData, build_features, open_corpus, take
from sonoscale.corpora._crops import clip_samples, crop
from sonoscale.corpora._pack import pack_corpus
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import Batches, RunConfig, Waves, WaveStore, as_log_mels, prepare_run, train_run

RATE = 16_000
FRONT_END = LogMelConfig(n_mels=32)
FORMS = [
    ("wav", RATE, 1, "PCM_16"), ("wav", 44_100, 2, "PCM_24"), ("wav", 8_000, 1, "FLOAT"), ("flac", 22_050, 1, "PCM_16"),
    ("flac", RATE, 2, "PCM_16"), ("mp3", 48_000, 1, None), ("ogg", 44_100, 1, "VORBIS"), ("ogg", 48_000, 2, "OPUS"),
]  # fmt: skip


def sound(rng, seconds, rate, channels):
    """A glide, a burst and noise 60 dB below: every moment sounds different."""
    time = np.arange(round(seconds * rate)) / rate
    glide = np.sin(2 * np.pi * (rng.uniform(200, 900) * time + rng.uniform(50, 300) * time**2))
    burst = np.exp(-(((time - rng.uniform(0, seconds)) / 0.05) ** 2)) * rng.standard_normal(len(time))
    wave = 0.3 * glide + 0.2 * burst + 3e-4 * rng.standard_normal(len(time))
    return np.stack([wave * (1 - 0.3 * c) for c in range(channels)], axis=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """32 files of 0.3 to 3.2 s, of all kinds, rates and channel counts."""
    root, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    for i in range(32):
        suffix, rate, channels, subtype = FORMS[i % len(FORMS)]
        wave = sound(rng, rng.uniform(0.3, 3.2), rate, channels)
        soundfile.write(root / f"{i:02}.{suffix}", wave, rate, subtype=subtype)
    return root


@pytest.fixture(scope="module")
def corpora(folder, tmp_path_factory):
    """The same audio in every kind of corpus that reads parts of clips in a way of its own."""
    packs = tmp_path_factory.mktemp("packs")
    pack_corpus(open_corpus(folder, max_seconds=None), packs / "16k")
    pack_corpus(open_corpus(folder, max_seconds=None, sample_rate=22_050), packs / "22k")
    files = FileCorpus.from_folder(folder)
    return {
        "files": files,
        "some files": take(files, [5, 3, 14, 11, 2, 30, 21, 4, 7]),
        "recordings cut": open_corpus(folder, max_seconds=1.0),
        "packed": open_corpus(packs / "16k"),
        "packed at another rate": open_corpus(packs / "22k"),
        "procedural": validate(ProceduralData, {"clips": 8, "seconds": 0.5, "domains": ["environment"]}).training(),
        "procedural, opened": open_corpus("procedural?clips=4&seconds=0.5&domains=environment", sample_rate=11_025),
    }


KINDS = (
    "files", "some files", "recordings cut", "packed", "packed at another rate", "procedural", "procedural, opened",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_and_parts_are_those_of_the_whole_clip(corpora, kind):
    corpus, rng = corpora[kind], np.random.default_rng(1)
    waves = [corpus.wave(i) for i in range(len(corpus))]
    assert clip_samples(corpus, range(len(corpus))).tolist() == [len(wave) for wave in waves]
    for index, wave in enumerate(waves):
        start, stop = sorted(rng.choice(len(wave) + 1, 2, replace=False))
        for a, b in ((start, stop), (0, len(wave)), (len(wave) - 100, len(wave))):
            np.testing.assert_allclose(crop(corpus, index, int(a), int(b)), wave[a:b], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """The store of log-mels of a corpus."""
    folder = tmp_path_factory.mktemp("cache")
    return lambda corpus: build_features(corpus, FRONT_END, folder, dtype="float32")


@pytest.mark.parametrize("kind", ["files", "recordings cut", "packed", "packed at another rate"])
@pytest.mark.parametrize("frames", [20, 96])
def test_batches_are_those_of_the_cache(corpora, kind, frames, cached):
    """Also where an example is made of several short clips, through two epochs."""
    corpus = corpora[kind]
    clips = len(corpus) - 3
    stores = cached(corpus), WaveStore(corpus, FRONT_END)
    assert stores[1].lengths(clips).tolist() == stores[0].lengths(clips).tolist()
    assert stores[1].seconds(clips) == pytest.approx(stores[0].seconds(clips))
    assert stores[1].hop_seconds == stores[0].hop_seconds
    expected, ours = (Batches(store, clips=clips, frames=frames, batch_size=12, seed=3) for store in stores)
    front_end, joined = LogMel(FRONT_END), 0
    while ours.clips_seen < 2 * clips:
        batch = ours.next()
        assert isinstance(batch, Waves)
        joined += batch.frames is not None
        difference = (batch.log_mels(front_end) - as_log_mels(expected.next(), front_end)).abs()
        # Resampling rounds to float32, of which bins 70 dB under the loudest get their share.
        assert difference.max() < (1e-4 if kind == "packed" else 3e-3)
        assert difference.mean() < 1e-4
        assert ours.clips_seen == expected.clips_seen
    assert joined > 0 or frames == 20


def test_log_mels_agree_with_another_library(folder):
    """Of one stretch in the middle of a file, at the file's own place."""
    corpus = FileCorpus(folder, ("00.wav",))
    wave, _ = soundfile.read(folder / "00.wav", dtype="float32")
    store = WaveStore(corpus, FRONT_END)
    length = int(store.lengths()[0])
    (ours,) = store.read([[(0, 17, length - 20)]]).log_mels(LogMel(FRONT_END))
    power = power_mels(wave, 32, rate=RATE)
    np.testing.assert_allclose(ours.T, np.log(power + 1e-8)[:, 17 : length - 3], rtol=0, atol=1e-4)


def test_mean_and_deviation_are_those_of_the_log_mels(corpora, cached, tmp_path, monkeypatch):
    corpus, reported = corpora["files"], []
    store = WaveStore(corpus, FRONT_END, cache=tmp_path / "cache")
    assert store.statistics(30, progress=lambda *done: reported.append(done)) == pytest.approx(
        cached(corpus).statistics(30), rel=1e-5
    )
    assert reported[-1] == (30, 30)
    assert store.statistics(30) != pytest.approx(store.statistics(10), rel=1e-3)
    monkeypatch.setattr(WaveStore, "_measure", lambda *args: pytest.fail("measured again"))
    again = WaveStore(corpus, FRONT_END, cache=tmp_path / "cache")
    assert again.statistics(30) == store.statistics(30)
    with pytest.raises(pytest.fail.Exception):
        WaveStore(corpus, FRONT_END.model_copy(update={"n_mels": 48}), cache=tmp_path / "cache").statistics(30)


def test_of_many_clips_some_are_measured_all_along(tmp_path, monkeypatch):
    """A thousand, evenly spread: here 10 of 100, of which the later ones are louder."""
    monkeypatch.setattr("sonoscale.pretrain._waves.MEASURED_CLIPS", 10)
    monkeypatch.setattr("sonoscale.pretrain._waves.MEASURED_SECONDS", 0.2)
    rng = np.random.default_rng(0)
    for i in range(100):
        noise = 10 ** (-4 + 3 * i / 99) * rng.standard_normal(RATE)
        noise[: RATE // 4] = noise[-RATE // 4 :] = 0  # only the middle sounds
        soundfile.write(tmp_path / f"{i:02}.wav", noise, RATE, subtype="FLOAT")
    reported = []
    mean, _ = WaveStore(FileCorpus.from_folder(tmp_path), FRONT_END).statistics(progress=lambda *d: reported.append(d))
    assert reported[-1] == (10, 10)
    front = LogMel(FRONT_END)
    loudness = [front(torch.randn(1, RATE) * 10 ** (-4 + 3 * i / 99)).mean() for i in range(0, 100, 11)]
    assert mean == pytest.approx(float(np.mean(loudness)), abs=0.1)


class Watched:
    """A corpus that counts what is read of it."""

    def __init__(self, corpus):
        self.corpus, self.crops, self.samples = corpus, 0, corpus.samples
        self.sample_rate, self.identity, self.name = corpus.sample_rate, corpus.identity, corpus.name

    def __len__(self):
        return len(self.corpus)

    def wave(self, index):
        raise AssertionError("a whole clip was decoded")

    def crop(self, index, start, stop):
        self.crops += 1
        return self.corpus.crop(index, start, stop)


def test_processes_read_their_own_rows_of_the_same_batch(corpora):
    def read(rank, world):
        corpus = Watched(corpora["files"])
        store = WaveStore(corpus, FRONT_END, threads=1)
        batches = Batches(store, clips=32, frames=30, batch_size=8, seed=0, rank=rank, world=world)
        return [as_log_mels(batches.next(), LogMel(FRONT_END)) for _ in range(3)], corpus.crops

    whole, parts = read(0, 1)
    (first, few), (second, others) = read(0, 2), read(1, 2)
    assert min(few, others) >= 12
    assert few + others == parts
    for one, a, b in zip(whole, first, second, strict=True):
        torch.testing.assert_close(torch.cat([a, b]), one, rtol=0, atol=1e-5)


def test_a_store_can_be_sent_to_a_worker(corpora):
    store = WaveStore(corpora["packed"], FRONT_END)
    rows = [[(1, 0, 10)], [(2, 3, 10)]]
    expected = store.read(rows)  # its threads have started
    assert torch.equal(pickle.loads(pickle.dumps(store)).read(rows).samples, expected.samples)


def test_what_is_too_short_or_at_another_rate_is_said(tmp_path, corpora):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "b.wav", np.zeros(500), RATE)
    with pytest.raises(SonoscaleError, match=r"b\.wav: a clip of 500 samples is shorter .* \(512 samples, 32 ms\)"):
        WaveStore(FileCorpus.from_folder(tmp_path), FRONT_END)
    with pytest.raises(SonoscaleError, match="audio at 11025 Hz for a front end at 16000 Hz"):
        WaveStore(corpora["procedural, opened"], FRONT_END)


@pytest.mark.parametrize(
    ("damage", "reported"),
    [
        (lambda file: file.unlink(), "no such audio file"),
        (lambda file: file.write_bytes(b"not audio"), "cannot be decoded as audio"),
        (lambda file: soundfile.write(file, np.zeros(20_000), RATE), "ends at sample .*, before its header says"),
    ],
)
def test_a_file_that_changes_in_mid_run_is_named(tmp_path, damage, reported):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * np.ones(2 * RATE), RATE)
    store = WaveStore(FileCorpus.from_folder(tmp_path), FRONT_END)
    store.read([[(1, 100, 50)]])
    damage(tmp_path / "b.wav")
    store.read([[(0, 100, 50)]])
    with pytest.raises(SonoscaleError, match=rf"b\.wav: {reported}"):
        store.read([[(1, 100, 50)]])


def run_config(source, **train):
    return validate(
        RunConfig,
        {
            "data": {"kind": "corpus", "source": str(source), "heldout_clips": 32},
            "encoder": {"backbone": "vit", "width": 16, "depth": 1},
            "objective": {"kind": "mae"},
            "train": {
                "batch_size": 8, "budgets": [4, 8], "warmup_steps": 1, "clip_seconds": 0.6, "checkpoint_minutes": 0,
                **train,
            },
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """44 clips of 0.8 s."""
    place, rng = tmp_path_factory.mktemp("pack"), np.random.default_rng(0)
    (place / "audio").mkdir()
    for i in range(44):
        soundfile.write(place / "audio" / f"{i:02}.flac", sound(rng, 0.8, RATE, 1), RATE)
    pack_corpus(open_corpus(place / "audio"), place / "pack")
    return place / "pack"


class StopError(Exception):
    """From within, as a kill would be."""


def train(config, cache, folder, stop_at=None):
    reported = []

    def progress(done, total, loss):
        if done == stop_at and not folder.exists():
            raise StopError

    prepared = prepare_run(config, cache, workers=1, report=lambda what, done, total: reported.append(what))
    torch.set_num_threads(1)
    train_run(config, prepared.train, prepared.heldout, folder, identity=prepared.identity, progress=progress)
    return prepared, set(reported)


def weights(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)["objective"]


def test_a_run_from_waveforms(pack, tmp_path):
    """It caches held-out log-mels only, is another run than the cached one, and ends close to it."""
    ours, reported = train(run_config(pack, log_mels="on_device"), tmp_path / "cache", tmp_path / "ours")
    assert isinstance(ours.train, WaveStore)
    assert reported == {"mean and deviation", "held-out audio"}
    assert len(list((tmp_path / "cache").glob("logmel-*"))) == 1
    theirs, _ = train(run_config(pack), tmp_path / "cache", tmp_path / "theirs")
    assert isinstance(theirs.train, FeatureStore)
    assert ours.name != theirs.name
    assert {**ours.identity, "run": 0} == {**theirs.identity, "run": 0}
    assert "log_mels" not in theirs.identity["run"]["train"]  # named as before there was a choice
    one, other = (
        torch.cat([value.flatten() for value in weights(tmp_path / run).values()]) for run in ("ours", "theirs")
    )
    assert 0 < (one - other).norm() < 1e-3 * other.norm()  # the cache is rounded to float16
    losses = [
        [budget["loss"] for budget in json.loads((tmp_path / run / "record.json").read_text())["budgets"]]
        for run in ("ours", "theirs")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_stopped_and_resumed_is_bitwise_the_same(pack, tmp_path):
    config = run_config(pack, log_mels="on_device")
    train(config, tmp_path / "cache", tmp_path / "undisturbed")
    for stop_at in (2, 4, 6):  # on the trunk, in a branch, on the trunk again
        with pytest.raises(StopError):
            train(config, tmp_path / "cache", tmp_path / "stopped", stop_at)
    train(config, tmp_path / "cache", tmp_path / "stopped")
    for name, value in weights(tmp_path / "undisturbed").items():
        assert torch.equal(weights(tmp_path / "stopped")[name], value), name


def test_long_batches_are_cut_to_save_memory(corpora, monkeypatch):
    store = WaveStore(corpora["packed"], FRONT_END)
    batch = store.read([[(i, 0, 20)] for i in range(8)])
    whole = batch.log_mels(LogMel(FRONT_END))
    monkeypatch.setattr("sonoscale.pretrain._waves._ON_CPU", 3 * 20 * 512)
    torch.testing.assert_close(batch.log_mels(LogMel(FRONT_END)), whole, rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_log_mels_on_a_gpu_wait_for_nothing(corpora):
    store = WaveStore(corpora["packed"], FRONT_END)
    batch = Batches(store, clips=32, frames=150, batch_size=8, seed=0).next()
    device, front_end = torch.device("cuda"), LogMel(FRONT_END).cuda()
    there = batch.pin_memory().to(device, non_blocking=True)
    there.log_mels(front_end)  # the first use places the window and plans the FFT
    torch.cuda.set_sync_debug_mode("error")
    try:
        ours = there.log_mels(front_end)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(ours.cpu(), batch.log_mels(LogMel(FRONT_END)), rtol=0, atol=1e-4)
