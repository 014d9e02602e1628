"""The HEAR export, by the conditions that hearvalidator checks, and where its timestamps point."""

import tomllib

import pytest
import torch
from torch import nn

from sonoscale.encoders import load_encoder
from sonoscale.export._code.steps import steps_in_pieces
from sonoscale.own_code import import_code

RATE = 16_000


@pytest.fixture(scope="module", params=["vit", "frames", "conv", "cnn"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def module(export, name):
    made = export(name, "hear")
    return import_code(str(made.folder / f"sonoscale_hear_{made.hash}" / "__init__.py"), "test")


def test_what_hearvalidator_asks_for(module, name):
    model = module.load_model()
    assert isinstance(model, nn.Module)
    assert model.sample_rate in (16_000, 22_050, 44_100, 48_000)
    for size in (model.scene_embedding_size, model.timestamp_embedding_size):
        assert type(size) is int
    embeddings, timestamps = module.get_timestamp_embeddings(torch.rand(16, 2 * RATE) * 2 - 1, model)
    assert embeddings.dtype == timestamps.dtype == torch.float32
    assert embeddings.shape == (16, timestamps.shape[1], model.timestamp_embedding_size)
    assert timestamps.shape[0] == 16
    hops = timestamps.diff(dim=1)
    assert hops.mean() <= 50
    assert (hops - hops.mean()).abs().max() < 1e-3
    scene = module.get_scene_embeddings(torch.rand(8, int(3.74 * RATE)) * 2 - 1, model)
    assert scene.dtype == torch.float32
    assert scene.shape == (8, model.scene_embedding_size)
    assert not scene.requires_grad
    assert not model.training


def test_scenes_are_our_embeddings_also_through_our_adapter(export, module, name, ours, clips, same):
    spec = export(name, "hear").spec
    encoder = load_encoder(spec)
    assert (encoder.sample_rate, encoder.dim) == (RATE, ours(name).dim)
    for count, samples in ((3, ours(name).min_samples), (3, 20_001), (2, 30 * RATE)):
        waves = clips(count, samples)
        expected = ours(name).embed(waves).detach()
        same(module.get_scene_embeddings(waves, module.load_model()), expected)
        same(encoder.embed(waves), expected)


def test_timestamps_are_those_of_shifted_clips(module, name, ours, clips, same):
    encoder, model, waves = ours(name), module.load_model(), clips(2, 2 * RATE)
    found, times = module.get_timestamp_embeddings(waves, model)
    hop = 640  # samples: 40 ms divide the patches of 160 ms and of 40 ms
    shifts = encoder.config.patch_frames * 160 // hop
    for shift in range(shifts):
        frames, centres = encoder.embed_frames(waves[:, shift * hop :])
        same(found[:, shift::shifts], frames.detach())
        torch.testing.assert_close(times[0, shift::shifts], centres + shift * hop / 16, rtol=0, atol=1e-3)
    assert found.shape[1] == sum(encoder.embed_frames(waves[:, s * hop :])[0].shape[1] for s in range(shifts))


@pytest.mark.parametrize("at", [0.31, 0.875, 1.5])
def test_what_changes_stands_at_its_time(module, ours, name, at):
    model = module.load_model()
    silence = 1e-3 * torch.randn(1, 2 * RATE, generator=torch.Generator().manual_seed(0))
    click = silence.clone()
    click[:, round(at * RATE) : round(at * RATE) + 16] += 0.5
    before, times = module.get_timestamp_embeddings(silence, model)
    after, _ = module.get_timestamp_embeddings(click, model)
    changed = (after - before)[0].norm(dim=1)
    half_patch = ours(name).min_samples / 2 / 16  # ms
    near = (times[0] - 1000 * at).abs() <= half_patch
    # Attention and convolutions spread a little of it; where it sounds it is plainest.
    assert changed[near].mean() > 2 * changed[~near].mean()
    assert (times[0, changed.argmax()] - 1000 * at).abs() <= half_patch


def test_clips_shorter_than_a_patch_are_followed_by_silence(module, name, ours, clips):
    model, encoder = module.load_model(), ours(name)
    short = clips(2, 200)
    padded = torch.cat([short, torch.zeros(2, encoder.min_samples - 200)], dim=1)
    torch.testing.assert_close(module.get_scene_embeddings(short, model), encoder.embed(padded).detach())
    frames, times = module.get_timestamp_embeddings(short, model)
    torch.testing.assert_close(frames, encoder.embed_frames(padded)[0].detach())
    assert times.shape == (2, 1)


def test_long_clips_are_near_in_pieces_without_a_gap(ours, clips, name):
    encoder, wave = ours(name), clips(1, 65 * RATE)
    with torch.no_grad():
        found = steps_in_pieces(encoder, wave)
        whole = encoder.embed_frames(wave)[0]
        patch = encoder.config.patch_frames * 160
        most = 30 * RATE // patch
        by_hand = [encoder.embed_frames(wave[:, i * most * patch :][:, : most * patch + 352])[0] for i in range(3)]
    assert found.shape == whole.shape
    assert [part.shape[1] for part in by_hand] == [most, most, whole.shape[1] - 2 * most]
    torch.testing.assert_close(found, torch.cat(by_hand, dim=1), rtol=0, atol=1e-5)
    if name == "conv":  # which hears a few patches around: far from a seam, a piece is the whole
        torch.testing.assert_close(found[:, most + 5 : 2 * most - 5], whole[:, most + 5 : 2 * most - 5])


def test_other_weights_and_wrong_input(module, tmp_path, clips):
    model = module.load_model()
    with torch.no_grad():
        model.encoder.backbone.norm.bias += 1
    torch.save(model.encoder.state_dict(), tmp_path / "other.pt")
    other = module.load_model(str(tmp_path / "other.pt"))
    waves = clips(2, 8_000)
    difference = module.get_scene_embeddings(waves, other) - module.get_scene_embeddings(waves, module.load_model())
    torch.testing.assert_close(difference, torch.ones_like(difference))
    with pytest.raises(ValueError, match=r"must be \[sounds, samples\], not \[8000\]"):
        module.get_scene_embeddings(waves[0], model)


def test_the_folder_is_a_package(export):
    made = export("vit", "hear")
    project = tomllib.loads((made.folder / "pyproject.toml").read_text())
    (package,) = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    package_files = {"README.md", "pyproject.toml", f"{package}/__init__.py", f"{package}/weights.pt"}
    assert set(made.files) == package_files | {"sonoscale-export.json"}
    assert package == f"sonoscale_hear_{made.hash}"
    assert project["project"]["dependencies"] == ["torch>=2.6", "numpy>=1.26"]
