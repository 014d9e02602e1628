"""Measuring an encoder on audio: the sketches against all embeddings at once, however they were batched or cut."""

import json

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.corpora import open_corpus
from sonoscale.errors import SonoscaleError
from sonoscale.measure import EmbeddingWriter, Pass, measure_encoder
from sonoscale.measure._clips import block_of_each
from sonoscale.measure._encoder import compare_encoders
from sonoscale.measure._sketches import sketch_clips
from sonoscale.rank import open_embeddings
from sonoscale.rank._formulas import spectrum_rankme


class Bands:
    """An encoder by someone else: the energy in eight bands, and its logarithm, of two layers."""

    sample_rate, dim, layers, min_samples = 16_000, 8, 2, 400
    identity = "bands"

    def __init__(self):
        self.lengths = []

    def embed_layers(self, wave):
        self.lengths.append(tuple(wave.shape))
        power = torch.fft.rfft(wave).abs().square()
        bands = torch.stack([part.mean(dim=1) for part in power.tensor_split(8, dim=1)], dim=1)
        return torch.stack([bands, (bands + 1e-6).log()])

    def embed(self, wave):
        return self.embed_layers(wave)[-1]

    def embed_frames(self, wave):
        raise NotImplementedError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 clips of three lengths, with a manifest of their kinds."""
    root, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    lines = ["path,kind"]
    for i in range(60):
        seconds = (0.5, 0.75, 1.0)[i % 3]
        tone = np.sin(2 * np.pi * rng.uniform(100, 7000) * np.arange(int(16_000 * seconds)) / 16_000)
        wave = 0.3 * tone * rng.uniform(0.1, 1) + 0.01 * rng.standard_normal(len(tone))
        soundfile.write(root / f"{i:02d}.wav", wave, 16_000, subtype="FLOAT")
        lines.append(f"{i:02d}.wav,{'low' if i % 2 else 'high'}")
    (root / "clips.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def corpus(folder):
    return open_corpus(folder / "clips.csv")


@pytest.fixture(scope="module")
def embeddings(corpus):
    """All at once, one by one."""
    encoder = Bands()
    waves = [torch.from_numpy(corpus.wave(i))[None] for i in range(60)]
    return torch.cat([encoder.embed_layers(wave) for wave in waves], dim=1).double().numpy()


def svd_rank(rows):
    return spectrum_rankme(np.linalg.svd(rows, compute_uv=False))


@pytest.mark.parametrize("how", [Pass(), Pass(batch_seconds=0.1, workers=1), Pass(held_seconds=2, workers=4)])
def test_rank_of_everything_whatever_the_batches(corpus, embeddings, how):
    encoder = Bands()
    measured = measure_encoder(encoder, corpus, how=how)
    assert measured.sketch.n == 60
    assert measured.seconds == pytest.approx(45.0)
    assert measured.records[0].value == pytest.approx(svd_rank(embeddings[-1]), rel=1e-5)
    assert measured.records[0].mean_seconds == pytest.approx(0.75)
    assert measured.records[0].encoder == "bands"
    assert "60 clips" in measured.records[0].corpus
    alone = any(batch > 1 for batch, _ in encoder.lengths)  # one clip of a batch is embedded once more, alone
    assert sum(batch for batch, _ in encoder.lengths) == 60 + alone
    assert {length for _, length in encoder.lengths} == {8000, 12_000, 16_000}  # nothing is padded


def test_the_same_command_gives_the_same_number(corpus):
    values = [measure_encoder(Bands(), corpus, how=Pass(workers=n)).records[0] for n in (1, 3)]
    assert values[0] == values[1]


def test_layers_groups_and_durations(corpus, embeddings):
    measured = measure_encoder(Bands(), corpus, how=Pass(layers=True, group="kind"), durations=[0.25, 0.75])
    assert [record.layer for record in measured.layers] == [0, 1]
    for record, rows in zip(measured.layers, embeddings, strict=True):
        assert record.value == pytest.approx(svd_rank(rows), rel=1e-5)
    assert set(measured.groups) == {"high", "low"}
    assert measured.groups["low"].value == pytest.approx(svd_rank(embeddings[-1][1::2]), rel=1e-5)
    assert [record.n for record in measured.durations] == [40, 40]  # those of 0.75 s and more, for both
    assert [record.mean_seconds for record in measured.durations] == [0.25, 0.75]
    encoder = Bands()
    cut = [encoder.embed(torch.from_numpy(corpus.wave(i)[:4000])[None]) for i in range(60) if i % 3]
    assert measured.durations[0].value == pytest.approx(svd_rank(torch.cat(cut).double().numpy()), rel=1e-5)


def test_shards_merge_to_the_whole(corpus):
    how = Pass(layers=True, group="kind")
    assigned = block_of_each(corpus, how.blocks)
    whole = sketch_clips(Bands(), corpus, range(60), assigned, how)
    parts = [sketch_clips(Bands(), corpus, part.tolist(), assigned, how) for part in np.array_split(np.arange(60), 7)]
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    assert total.seconds == pytest.approx(whole.seconds)
    for a, b in (
        (total.whole, whole.whole),
        (total.layers[0], whole.layers[0]),
        (total.groups["low"], whole.groups["low"]),
    ):
        np.testing.assert_allclose(a.spectrum(), b.spectrum(), rtol=1e-6)
        assert [p.count for p in a.parts()] == [p.count for p in b.parts()]


def test_saved_embeddings_are_those_measured(corpus, embeddings, tmp_path):
    with EmbeddingWriter(tmp_path / "z.parquet", corpus, 8) as writer:
        measured = measure_encoder(Bands(), corpus, emit=writer)
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "z.parquet").to_pydict()
    order = [int(name.rsplit("/", 1)[-1][:2]) for name in table["name"]]
    assert sorted(order) == list(range(60))
    np.testing.assert_allclose(np.array(table["embedding"]), embeddings[-1][order], rtol=1e-4)
    assert open_embeddings(tmp_path / "z.parquet").n == measured.sketch.n


def test_embeddings_saved_for_numpy_can_be_mapped(corpus, embeddings, tmp_path):
    with EmbeddingWriter(tmp_path / "z.npy", corpus, 8) as writer:
        measure_encoder(Bands(), corpus, emit=writer, how=Pass(batch_seconds=2))
    mapped = np.load(tmp_path / "z.npy", mmap_mode="r")
    lines = (tmp_path / "z.csv").read_text().splitlines()
    assert lines[0] == "name,group"
    order = [int(line.split(",")[0].rsplit("/", 1)[-1][:2]) for line in lines[1:]]
    assert sorted(order) == list(range(60))
    np.testing.assert_allclose(mapped, embeddings[-1][order], rtol=1e-4)
    assert open_embeddings(tmp_path / "z.npy").n == 60


@pytest.mark.parametrize("suffix", [".parquet", ".npy"])
def test_an_interrupted_save_leaves_nothing(corpus, tmp_path, suffix):
    def interrupt():
        with EmbeddingWriter(tmp_path / f"z{suffix}", corpus, 8) as writer:
            writer(np.array([0]), np.zeros((1, 8)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert list(tmp_path.iterdir()) == []


def test_broken_clips_are_skipped_listed_and_counted(folder, tmp_path):
    for i in range(20):
        (tmp_path / f"{i:02d}.wav").write_bytes((folder / f"{i:02d}.wav").read_bytes())
    (tmp_path / "broken.wav").write_bytes(b"not audio")
    corpus = open_corpus(tmp_path)
    measured = measure_encoder(Bands(), corpus, max_skipped=0.05)
    assert measured.sketch.n == 20
    assert ["broken.wav" in name for name, _ in measured.skipped] == [True]
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    with pytest.raises(
        SonoscaleError, match=r"2 of 22 clips cannot be processed, more than the 5.0% allowed"
    ) as caught:
        measure_encoder(Bands(), open_corpus(tmp_path), max_skipped=0.05)
    assert "broken.wav" in str(caught.value)
    assert "shorter than the encoder's" in str(caught.value) or "the encoder needs" in str(caught.value)


def test_another_rate_a_missing_column_and_no_layers(corpus, folder):
    class Slow(Bands):
        sample_rate = 8000

    class Flat(Bands):
        layers = None

    with pytest.raises(SonoscaleError, match="the corpus is at 16000 Hz, and the encoder at 8000 Hz"):
        measure_encoder(Slow(), corpus)
    with pytest.raises(SonoscaleError, match=r"has no column 'speaker' to group by; it has .*kind"):
        measure_encoder(Bands(), corpus, how=Pass(group="speaker"))
    with pytest.raises(SonoscaleError, match="gives no layers to measure"):
        measure_encoder(Flat(), corpus, how=Pass(layers=True))
    with pytest.raises(SonoscaleError, match="0 clips are 5 s long or longer"):
        measure_encoder(Bands(), corpus, durations=[5])


def test_encoders_are_compared_clip_by_clip(corpus):
    class Flatter(Bands):
        identity = "flatter"

        def embed(self, wave):
            return super().embed(wave).tanh()

    first, second = measure_encoder(Bands(), corpus), measure_encoder(Flatter(), corpus)
    (found,) = compare_encoders([first, second], ["rankme"])
    assert found.difference is not None
    assert found.difference.paired
    assert found.difference.value == pytest.approx(second.records[0].value - first.records[0].value)


def test_it_is_json(corpus):
    measured = measure_encoder(Bands(), corpus, how=Pass(layers=True, group="kind", sample=20), durations=[0.5])
    assert json.loads(json.dumps(measured.as_dict(), allow_nan=False))["clips"] == 60
