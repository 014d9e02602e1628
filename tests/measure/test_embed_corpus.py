"""Every clip of a corpus gets its embedding, also one that is too short or too long for the encoder."""

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.corpora import FileCorpus, open_corpus
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure import embed_corpus, readable_clips

RATE = 16_000


class Picky:
    """Mean and mean square of 0.5 to 1.5 s."""

    sample_rate, dim, layers, identity = RATE, 2, None, "picky"
    min_samples, max_samples = RATE // 2, 3 * RATE // 2

    def embed(self, wave):
        assert self.min_samples <= wave.shape[1] <= self.max_samples
        return torch.stack([wave.mean(dim=1), wave.square().mean(dim=1)], dim=1)

    def embed_layers(self, wave):
        raise NotImplementedError

    def embed_frames(self, wave):
        raise NotImplementedError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for i, seconds in enumerate([1.0, 0.25, 4.0, 1.0, 1.5, 0.8, 3.1]):
        wave = 0.1 * rng.standard_normal(int(seconds * RATE)) + i / 50
        soundfile.write(root / f"{i}.wav", wave, RATE, subtype="FLOAT")
    return open_corpus(root, max_seconds=None)


def test_short_clips_are_padded_and_long_ones_are_means_of_equal_parts(corpus):
    progress = []
    made = embed_corpus(Picky(), corpus, batch_seconds=2.0, workers=2, progress=lambda *done: progress.append(done))
    assert made.rows.shape == (1, 7, 2)
    assert (made.padded, made.cut) == (1, 2)
    for i in range(7):
        wave = corpus.wave(i).astype(np.float64)
        wave = np.pad(wave, (0, max(0, RATE // 2 - len(wave))))
        parts = np.array_split(wave, -(-len(wave) // (3 * RATE // 2)))
        expected = np.mean([[part.mean(), np.square(part).mean()] for part in parts], axis=0)
        np.testing.assert_allclose(made.rows[0, i], expected, rtol=2e-4)  # equal parts leave a sample or two out
    assert progress[-1] == (7, 7)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


def test_what_is_in_a_batch_makes_no_difference(corpus):
    encoder = load_encoder("logmel:")
    one, other = (embed_corpus(encoder, corpus, batch_seconds=seconds).rows for seconds in (0.01, 60.0))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_clip_that_cannot_be_processed_is_named(tmp_path):
    for name, content in (("a.wav", np.ones(RATE)), ("b.wav", np.ones(RATE))):
        soundfile.write(tmp_path / name, 0.1 * content, RATE)
    damaged = FileCorpus.from_folder(tmp_path)
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    with pytest.raises(SonoscaleError, match=r"b\.wav"):
        embed_corpus(Picky(), damaged)
    assert [wave is not None for _, wave in readable_clips(damaged)] == [True, False]
    with pytest.raises(SonoscaleError, match="takes 16000 Hz, and the audio is opened at 8000 Hz"):
        embed_corpus(Picky(), FileCorpus.from_folder(tmp_path, sample_rate=8000))
