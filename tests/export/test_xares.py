"""The X-ARES export, by the conditions of check_audio_encoder and those that X-ARES does not check but needs."""

import math

import pytest
import torch
from torch import nn

from sonoscale.encoders import load_encoder
from sonoscale.own_code import import_code


@pytest.fixture(scope="module", params=["vit", "frames", "conv", "cnn"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def made(export, name):
    return export(name, "xares")


def only_encoder(made):
    module = import_code(str(made.folder / f"sonoscale_{made.hash}.py"), "test")
    (cls,) = [key for key in dir(module) if key.endswith("Encoder")]  # X-ARES takes the only one
    assert made.hash in cls
    return getattr(module, cls)()


@pytest.fixture(scope="module")
def encoder(made):
    return only_encoder(made)


def test_what_check_audio_encoder_asks_for(encoder, name, ours):
    assert type(encoder).__name__.endswith("Encoder")
    assert isinstance(encoder, nn.Module)
    assert encoder.sampling_rate == 16_000
    assert encoder.hop_size_in_ms == 10 * ours(name).config.patch_frames
    out = encoder(torch.randn(2, 50_000))
    assert out.ndim == 3
    assert out.shape == (2, (1 + (50_000 - 512) // 160) // ours(name).config.patch_frames, encoder.output_dim)
    assert not encoder.training
    assert not out.requires_grad


def test_frames_are_ours_also_through_our_adapter(encoder, made, name, ours, clips, same):
    again = load_encoder(made.spec)
    for count, samples in ((3, ours(name).min_samples), (3, 20_001), (2, 30 * 16_000)):
        waves = clips(count, samples)
        same(encoder(waves), ours(name).embed_frames(waves)[0].detach())
        same(again.embed(waves), ours(name).embed(waves).detach())
        same(encoder(waves[1]), ours(name).embed_frames(waves[1:2])[0].detach())


def test_short_clips_are_padded_and_padding_makes_no_frames(encoder, name, ours, clips):
    patch = ours(name).min_samples
    short = clips(2, 300)
    padded = torch.cat([short, torch.zeros(2, patch - 300)], dim=1)
    torch.testing.assert_close(encoder(short), ours(name).embed_frames(padded)[0].detach())
    assert encoder(clips(1, patch + 100)).shape[1] == 1


def test_ten_minutes(export):
    encoder = only_encoder(export("vit", "xares"))
    out = encoder(0.1 * torch.randn(600 * 16_000))
    assert out.shape[1] == math.floor((600 * 100 - 2.2) / 16)  # frames of 10 ms, in patches of 16
    assert torch.isfinite(out).all()


def test_wrong_input(encoder):
    with pytest.raises(ValueError, match=r"must be \[samples\] or \[batch, samples\], not \[1, 1, 9000\]"):
        encoder(torch.zeros(1, 1, 9_000))
