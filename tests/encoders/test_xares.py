"""Encoders written for X-ARES, as its template and README have them."""

import runpy
from types import SimpleNamespace

import pytest
import torch

from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError

# After X-ARES's template and README: a class whose name ends with Encoder, the three attributes, one clip as [T], long
# audio cut into pieces, and a model that pads what it hears to a fixed length, here 2 s.
FILE = """
import torch
from torch import nn

class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 12, kernel_size=640, stride=640)
        self.mix = nn.Conv1d(12, 12, 3, padding=1)
        self.drop = nn.Dropout(0.5)

    def forward(self, audio):
        audio = nn.functional.pad(audio, (0, max(0, 32000 - audio.shape[-1])))
        return self.drop(self.mix(torch.tanh(5 * self.conv(audio[:, None])))).transpose(1, 2)

class MyEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.sampling_rate = 16000  # Required
        self.output_dim = 12  # Required
        self.hop_size_in_ms = 40  # Required
        self.max_audio_length = 32000
        self.model = Backbone()

    def forward(self, audio: torch.Tensor):
        if audio.ndim == 1:
            audio = audio.unsqueeze(0)
        with torch.inference_mode():
            if audio.shape[-1] > self.max_audio_length:
                return torch.cat([self.model(piece) for piece in audio.split(self.max_audio_length, dim=-1)], dim=1)
            return self.model(audio)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_encoder.py"
    path.write_text(FILE)
    return path


def by_hand(file):
    module = SimpleNamespace(**runpy.run_path(str(file)))
    with torch.random.fork_rng():
        torch.manual_seed(0)  # as load_encoder does: the weights are random ones
        return module.MyEncoder().eval()


def test_x_ares_own_checker_accepts_the_file(file):
    checker = pytest.importorskip("xares.audio_encoder_checker")
    assert checker.check_audio_encoder(by_hand(file))


def test_contract_and_padding_is_left_out(file, contract, close):
    encoder = load_encoder(f"xares:{file}")
    assert (encoder.sample_rate, encoder.dim, encoder.layers) == (16_000, 12, None)
    waves, found = contract(encoder, 16_000)
    model = by_hand(file)
    frames = torch.stack([model(w)[0] for w in waves])  # 50 steps for 2 s, of which the clip has 25 and its end
    assert frames.shape == (5, 50, 12)
    close(found, frames[:, :26].mean(1))
    assert (found - frames.mean(1)).norm() > 0.05 * found.norm()
    steps, times = encoder.embed_frames(waves)
    close(steps, frames[:, :26])
    assert times[:3].tolist() == [20, 60, 100]


def test_a_clip_of_several_pieces(file, close):
    waves = 0.1 * torch.randn(2, 64_000, generator=torch.Generator().manual_seed(0))
    close(load_encoder(f"xares:{file}").embed(waves), by_hand(file)(waves).mean(1))


def test_one_class_of_several(file):
    file.write_text(FILE + "\nclass OtherEncoder(MyEncoder):\n    pass\n")
    with pytest.raises(SonoscaleError, match=r"found MyEncoder, OtherEncoder; name one: xares:file\.py:Class"):
        load_encoder(f"xares:{file}")
    assert load_encoder(f"xares:{file}:OtherEncoder").dim == 12
    for name in ("Missing", "torch"):
        with pytest.raises(SonoscaleError, match=f"has no torch module class {name}"):
            load_encoder(f"xares:{file}:{name}")
    file.write_text("from torch.nn import TransformerEncoder\n")  # imported is not defined
    with pytest.raises(SonoscaleError, match="found none"):
        load_encoder(f"xares:{file}")
    with pytest.raises(SonoscaleError, match="no such file"):
        load_encoder(f"xares:{file}.py")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("self.sampling_rate =", "self.rate =", "MyEncoder has no sampling_rate"),
        ("self.output_dim =", "self.dim =", "MyEncoder has no output_dim"),
        ("self.hop_size_in_ms =", "self.hop =", "MyEncoder has no hop_size_in_ms"),
        ("hop_size_in_ms = 40", "hop_size_in_ms = 'short'", "hop_size_in_ms = 'short' is not a positive number"),
        ("sampling_rate = 16000", "sampling_rate = 0", "sampling_rate = 0 is not a positive whole number"),
        ("self.model = Backbone()", "self.model = Gone()", r"MyEncoder\(\) failed: NameError"),
    ],
)
def test_a_class_that_breaks_the_interface_is_an_error(file, old, new, message):
    assert old in FILE
    file.write_text(FILE.replace(old, new))
    with pytest.raises(SonoscaleError, match=message) as error:
        load_encoder(f"xares:{file}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("return self.model(audio)\n", "return self.model(audio).mean(1)\n", r"forward gave a shape of \[2, 12\]"),
        ("return self.model(audio)\n", "return None\n", "forward gave a NoneType"),
        ("output_dim = 12", "output_dim = 13", r"embed gave a shape of \[2, 12\], not \[2, 13\]"),
        ("5 * self.conv", "self.conv.bogus", "embed failed on .*AttributeError"),
        ("return self.model(audio)\n", "return self.model(audio) / 0\n", "NaN or infinity for clip 0 of 2"),
    ],
)
def test_outputs_that_break_the_interface_are_an_error(file, old, new, message):
    assert old in FILE
    file.write_text(FILE.replace(old, new))
    with pytest.raises(SonoscaleError, match=message):
        load_encoder(f"xares:{file}").embed(torch.rand(2, 16_000))
