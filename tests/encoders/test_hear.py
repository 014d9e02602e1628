"""Modules that follow the HEAR API, written as hearbenchmark.com/hear-api.html documents it."""

import runpy
from types import SimpleNamespace

import pytest
import torch

from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError

# After the API page and the conventions of the baseline models: class attributes, optional weights, frames centred on
# their time stamps by padding half a frame, time stamps for each sound, a seed set in the constructor.
MODULE = """
from typing import Tuple
import torch
from torch import Tensor

class SpectralModel(torch.nn.Module):
    sample_rate = 22050
    embedding_size = 24
    scene_embedding_size = 2 * embedding_size
    timestamp_embedding_size = embedding_size

    def __init__(self):
        super().__init__()
        torch.random.manual_seed(7)
        self.register_buffer("window", torch.hann_window(1024))
        self.projection = torch.nn.Parameter(torch.rand(513, self.embedding_size) / 513**0.5)
        self.dropout = torch.nn.Dropout(0.3)

    def forward(self, frames: Tensor) -> Tensor:
        spectrum = torch.abs(torch.fft.rfft(frames * self.window)) ** 2
        return self.dropout(torch.log(spectrum @ self.projection + 1e-4))

def load_model(model_file_path: str = "") -> torch.nn.Module:
    model = SpectralModel()
    if model_file_path != "":
        model.load_state_dict(torch.load(model_file_path))
    return model

def get_timestamp_embeddings(audio: Tensor, model: torch.nn.Module) -> Tuple[Tensor, Tensor]:
    if audio.ndim != 2:
        raise ValueError("audio input tensor must be 2D with shape (n_sounds, num_samples)")
    padded = torch.nn.functional.pad(audio, (512, 512))
    count = (padded.shape[1] - 1024) // 551 + 1
    frames = torch.stack([padded[:, i * 551 : i * 551 + 1024] for i in range(count)], dim=1)
    timestamps = torch.tensor([i * 551 / model.sample_rate * 1000.0 for i in range(count)])
    with torch.no_grad():
        return model(frames), timestamps.expand(audio.shape[0], -1)

def get_scene_embeddings(audio: Tensor, model: torch.nn.Module) -> Tensor:
    embeddings, _ = get_timestamp_embeddings(audio, model)
    return torch.cat([embeddings.mean(1), embeddings.std(1)], dim=1)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    package = tmp_path / "someones_hear_entry"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "spectral.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return package / "spectral.py"


def by_hand(file):
    return SimpleNamespace(**runpy.run_path(str(file)))


def test_contract_and_what_the_module_itself_gives(module, contract, close):
    encoder = load_encoder("hear:someones_hear_entry.spectral")
    assert (encoder.sample_rate, encoder.dim, encoder.layers, encoder.min_samples) == (22_050, 48, None, 1)
    waves, found = contract(encoder, 22_050)
    hand = by_hand(module)
    model = hand.load_model().eval()
    close(found, torch.cat([hand.get_scene_embeddings(w[None], model) for w in waves]))
    frames, times = encoder.embed_frames(waves)  # of another width than the scene embedding
    expected = hand.get_timestamp_embeddings(waves, model)
    close(frames, expected[0])
    assert torch.equal(times, expected[1][0])


def test_weights_and_the_path_of_a_file(module, tmp_path, close):
    hand = by_hand(module)
    model = hand.SpectralModel().eval()
    with torch.no_grad():
        model.projection *= 2
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    trained = load_encoder(f"hear:{module}:{tmp_path}/weights.pt")
    wave = 0.1 * torch.randn(2, 9_000, generator=torch.Generator().manual_seed(0))
    close(trained.embed(wave), hand.get_scene_embeddings(wave, model))
    initial = load_encoder(f"hear:{module}")
    assert (initial.embed(wave) - trained.embed(wave)).norm() > 0.1
    assert initial.identity.split()[-1] != trained.identity.split()[-1]
    assert "spectral.py:" in initial.identity


def test_loading_does_not_seed_the_program(module):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    load_encoder(f"hear:{module}")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def load_model", "def load", "has no function load_model, which the HEAR API asks for"),
        ("def get_scene_embeddings", "def scene", "has no function get_scene_embeddings"),
        ("def get_timestamp_embeddings", "def stamps", "has no function get_timestamp_embeddings"),
        ("    sample_rate = 22050", "", "the model that load_model gave has no sample_rate"),
        ("    scene_embedding_size =", "    size =", "has no scene_embedding_size"),
        ("timestamp_embedding_size = e", "timestamp_embedding_size = -e", "timestamp_embedding_size = -24 is not a"),
        ('model_file_path: str = ""', "model_file_path: str", "load_model needs the path of the weights"),
        ("model = SpectralModel()", "raise OSError('no disk')", "load_model failed: OSError: no disk"),
    ],
)  # fmt: skip
def test_a_module_that_breaks_the_api_is_an_error(module, old, new, message):
    assert old in MODULE
    module.write_text(MODULE.replace(old, new))
    with pytest.raises(SonoscaleError, match=message) as error:
        load_encoder(f"hear:{module}")
    assert "\n" not in str(error.value)


def test_outputs_that_break_the_api_are_an_error(module):
    module.write_text(MODULE.replace("2 * embedding_size", "3 * embedding_size"))
    with pytest.raises(SonoscaleError, match=r"embed gave a shape of \[2, 48\], not \[2, 72\]"):
        load_encoder(f"hear:{module}").embed(torch.rand(2, 5_000))
    module.write_text(MODULE.replace("+ 1e-4", "- 1e9"))
    with pytest.raises(SonoscaleError, match="NaN or infinity for clip 0 of 2"):
        load_encoder(f"hear:{module}").embed(torch.rand(2, 5_000))
    module.write_text(MODULE.replace("timestamp_embedding_size = e", "timestamp_embedding_size = 2 * e"))
    with pytest.raises(SonoscaleError, match=r"embed_frames gave a shape of \[2, 10, 24\], not \[2, 10, 48\]"):
        load_encoder(f"hear:{module}").embed_frames(torch.rand(2, 5_000))


def test_missing_weights_and_missing_modules(module, tmp_path):
    with pytest.raises(SonoscaleError, match="load_model failed: FileNotFoundError"):
        load_encoder(f"hear:{module}:{tmp_path}/gone.pt")
    with pytest.raises(SonoscaleError, match=r"no module named someones_hear_entry\.gone"):
        load_encoder("hear:someones_hear_entry.gone")
