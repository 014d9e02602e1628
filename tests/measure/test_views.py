"""LiDAR of an encoder, over random halves of clips."""

import math

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.corpora import open_corpus
from sonoscale.measure import Pass, measure_encoder


class Spectrum:
    """Energy in eight bands, and a part that depends on where in the clip one listens."""

    sample_rate, dim, layers, min_samples = 16_000, 8, None, 100
    identity = "spectrum"

    def __init__(self, restless=0.0):
        self.restless = restless

    def embed(self, wave):
        parts = torch.fft.rfft(wave).abs().square().tensor_split(8, dim=1)
        bands = torch.stack([part.mean(dim=1) for part in parts], dim=1).log()
        # The first sample falls along the clip, from 1 to 0, so it says where the part began.
        return bands * (1 - self.restless) + self.restless * 8 * wave[:, :1]

    def embed_layers(self, wave):
        raise NotImplementedError

    def embed_frames(self, wave):
        raise NotImplementedError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """40 clips that rise over time, each with its own colour."""
    root, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    for i in range(40):
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(8000)) * np.repeat(rng.uniform(0.1, 1, 8), 501)[:4001])
        wave = 0.05 * noise / noise.std() + np.linspace(0.9, 0.0, 8000)
        soundfile.write(root / f"{i:02d}.wav", wave, 16_000, "FLOAT")
    return open_corpus(root)


def lidar(encoder, corpus):
    measured = measure_encoder(encoder, corpus, how=Pass(sample=4096))
    (record,) = [record for record in measured.records if record.estimator.startswith("lidar")]
    return record


def test_lidar_counts_what_is_steady_within_a_clip(corpus):
    record = lidar(Spectrum(), corpus)
    assert record.estimator == "lidar(delta=0.0001, views=6)"
    assert record.n == 40
    assert 4 < record.value <= 8
    assert record.low < record.value < record.high
    assert record == lidar(Spectrum(), corpus)  # views are drawn with a seed
    assert lidar(Spectrum(restless=1.0), corpus).value < 1.5  # one dimension alone, and that is noise


def test_clips_without_halves_have_no_lidar(corpus):
    class Long(Spectrum):
        min_samples = 5000

    measured = measure_encoder(Long(), corpus, how=Pass(sample=4096))
    assert "0 are long enough" in measured.undefined["lidar"]
    assert not any(math.isnan(record.value) for record in measured.records)
