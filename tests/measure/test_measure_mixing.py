"""An encoder that mixes the clips of a batch is reported, and one that does not is left alone."""

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.corpora import open_corpus
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure import Pass, measure_encoder

MIXED = "mixed: a clip's embedding depends on the other clips in its batch .*: put the encoder into eval mode"


class Energies:
    """The log energy in eight parts of a clip, and at layer 0 the energy; what mixes is up to `mix`."""

    sample_rate, dim, layers, min_samples, identity = 16_000, 8, 2, 400, "mixed"
    precision = "fp32"

    def __init__(self, mix=lambda x: x, at="output"):
        self.mix, self.at, self.batches = mix, at, []

    def embed_layers(self, wave):
        self.batches.append(len(wave))
        wave = self.mix(wave) if self.at == "wave" else wave
        low = torch.stack([part.square().mean(dim=1) for part in wave.tensor_split(8, dim=1)], dim=1)
        low = self.mix(low) if self.at == "layer" else low
        high = (low.abs() + 1e-6).log()
        return torch.stack([low, self.mix(high) if self.at == "output" else high])

    def embed(self, wave):
        return self.embed_layers(wave)[-1]

    def embed_frames(self, wave):
        raise NotImplementedError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Half a second of noise at unlike levels, among it silence, which comes first."""
    root, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    for i in range(24):
        noise = rng.standard_normal(8000) * rng.uniform(0, 1, 8000) ** (1 + i % 5)
        soundfile.write(root / f"{i:02d}.wav", noise * (0.0 if i % 8 == 0 else 0.02 * i), 16_000, subtype="FLOAT")
    return root


@pytest.fixture(scope="module")
def corpus(folder):
    return open_corpus(folder)


def batch_norm(x):
    return torch.nn.functional.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize(
    ("mix", "at"),
    [
        (lambda x: x - x.mean(dim=0), "output"),
        (lambda x: x / x.abs().max(), "wave"),
        (lambda x: torch.softmax(x @ x.T, dim=1) @ x, "output"),
        (lambda x: x + 0.02 * x.mean(dim=0), "output"),
        (lambda x: x.roll(1, dims=0), "output"),
    ],
    ids=["mean of the batch", "peak of the batch", "attention", "a little", "another order"],
)
@pytest.mark.parametrize("layers", [False, True])
def test_what_mixes_is_told(corpus, mix, at, layers):
    with pytest.raises(SonoscaleError, match=MIXED):
        measure_encoder(Energies(mix, at), corpus, how=Pass(layers=layers))


def test_a_layer_that_mixes_is_found_though_the_output_is_not_touched(corpus):
    class Branch(Energies):
        def embed_layers(self, wave):
            low, high = super().embed_layers(wave)
            return torch.stack([low - low.mean(dim=0), high])

    assert measure_encoder(Branch(), corpus).clips == 24
    with pytest.raises(SonoscaleError, match=MIXED):
        measure_encoder(Branch(), corpus, how=Pass(layers=True))


def test_batch_norm_that_is_left_in_training_mode(tmp_path, folder):
    file = tmp_path / "norm.py"
    file.write_text(
        """
import torch
from torch import nn

class Net:
    sample_rate = 16000

    def __init__(self):
        self.net = nn.Sequential(nn.Conv1d(1, 8, 400, 200), nn.BatchNorm1d(8), nn.ReLU())

    def __call__(self, wave):
        return self.net(wave[:, None]).transpose(1, 2)

def training():
    return Net()

def evaluated():
    made = Net()
    made.net.eval()
    return made
"""
    )
    corpus = open_corpus(folder)
    with pytest.raises(SonoscaleError, match=r"norm\.py:training.* depends on the other clips in its batch"):
        measure_encoder(load_encoder(f"python:{file}:training"), corpus)
    for precision in ("fp32", "bf16"):
        encoder = load_encoder(f"python:{file}:evaluated", precision=precision)
        assert measure_encoder(encoder, corpus).clips == 24


def test_an_encoder_that_cannot_take_one_clip(corpus):
    class Refuses(Energies):
        def embed(self, wave):
            try:
                return batch_norm(super().embed(wave))
            except ValueError as error:
                raise SonoscaleError(f"refuses: {error}") from None

    with pytest.raises(SonoscaleError, match=r"more than 1 value.* took 24 clips at once: put the encoder into eval"):
        measure_encoder(Refuses(), corpus)


def test_one_more_clip_is_all_it_takes(corpus):
    encoder = Energies()
    measured = measure_encoder(encoder, corpus, how=Pass(batch_seconds=3.0))
    assert encoder.batches == [6, 1, 6, 6, 6]
    assert measured.sketch.n == measured.records[0].n == 24


def test_rounding_is_no_mixing(corpus):
    noise = [1 + 3e-4 * torch.randn(64, 8, generator=torch.Generator().manual_seed(i)) for i in range(2)]

    def rounded(x):
        return x * noise[len(x) > 1][: len(x)]

    assert measure_encoder(Energies(rounded), corpus).clips == 24
    coarse = Energies(lambda x: x * (1.0 if len(x) > 1 else 1.01))
    with pytest.raises(SonoscaleError, match=r"alone it differs by \d\.\d%"):
        measure_encoder(coarse, corpus)
    for precision in ("bf16", "fp16"):
        coarse.precision = precision
        assert measure_encoder(coarse, corpus).clips == 24


HALF = """
import torch
from torch import nn

class Net(nn.Module):
    sample_rate = 16000

    def __init__(self, dtype):
        super().__init__()
        self.net = nn.Conv1d(1, 8, 400, 200).to(dtype)

    def forward(self, wave):
        rounding = 1.0 if len(wave) > 1 else 1.01
        return self.net(wave[:, None].to(self.net.weight.dtype)).float().abs().mean(dim=2) * rounding

class Object:
    sample_rate, dim = 16000, 8

    def __init__(self):
        self.net = Net(torch.bfloat16)

    def embed(self, wave):
        return self.net(wave)

def full():
    return Net(torch.float32)

def half():
    return Net(torch.bfloat16)
"""


@pytest.mark.parametrize("name", ["half", "Object"])
def test_weights_in_half_precision_round_as_much(tmp_path, corpus, name):
    (tmp_path / "half.py").write_text(HALF)
    assert measure_encoder(load_encoder(f"python:{tmp_path / 'half.py'}:{name}"), corpus).clips == 24
    with pytest.raises(SonoscaleError, match="depends on the other clips in its batch"):
        measure_encoder(load_encoder(f"python:{tmp_path / 'half.py'}:full"), corpus)


@pytest.mark.parametrize("how", [Pass(layers=True), Pass(layers=True, batch_seconds=0.1)])
def test_an_output_that_is_not_the_last_layer(corpus, how):
    class Pooled(Energies):
        def embed(self, wave):
            return super().embed(wave) * 1.01

    with pytest.raises(SonoscaleError, match=r"^mixed: embed is not the last of embed_layers .* without layers"):
        measure_encoder(Pooled(), corpus, how=how)
    assert measure_encoder(Pooled(), corpus).clips == 24
    assert measure_encoder(Energies(), corpus, how=how).clips == 24


def test_silence_is_not_judged(corpus):
    garbage = Energies(lambda x: x + (x < -13) * len(x))
    assert measure_encoder(garbage, corpus.part([0, 8, 16])).clips == 3
    assert measure_encoder(garbage, corpus).clips == 24


def test_batches_of_one_are_not_judged(corpus):
    mixes = Energies(lambda x: x - x.mean(dim=0) if len(x) > 1 else x)
    assert measure_encoder(mixes, corpus, how=Pass(batch_seconds=0.1)).clips == 24
