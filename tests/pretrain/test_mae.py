"""The masked autoencoder: masks hide, and the loss is what it says."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sonoscale.config import validate
from sonoscale.pretrain import MASKS, RunConfig, make_objective, normalise_patches

BACKBONES = pytest.mark.parametrize("backbone", ["vit", "conv", "cnn"])


def model_and_example(batch=4, backbone="vit", **objective) -> tuple[Any, Tensor, dict[str, Tensor]]:
    config = validate(
        RunConfig,
        {"encoder": {"backbone": backbone, "width": 32, "depth": 2}, "objective": {"kind": "mae", **objective}},
    )
    torch.manual_seed(0)
    model = make_objective(config, mean=-8.0, std=3.0)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(batch, config.frames, config.encoder.n_mels, generator=generator) * 3 - 8
    return model, frames, model.draw(batch, generator)


def with_hidden_patches_changed(model, frames, hidden, by=99.0):
    patch, mels = model.config.encoder.patch_frames, model.config.encoder.patch_mels
    changed = frames.clone()
    for b in range(len(frames)):
        for index in hidden[b].tolist():
            t, f = divmod(index, model.config.encoder.mel_patches)
            changed[b, t * patch : (t + 1) * patch, f * mels : (f + 1) * mels] += by
    return changed


@BACKBONES
@pytest.mark.parametrize("mask", MASKS)
def test_hidden_patches_never_reach_the_encoder(backbone, mask):
    model, frames, draw = model_and_example(backbone=backbone, mask=mask)
    outputs = []
    model.encoder.backbone.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    model(frames, draw)
    changed = with_hidden_patches_changed(model, frames, draw["hidden"])
    model(changed, draw)
    assert torch.equal(outputs[0], outputs[1])
    model(with_hidden_patches_changed(model, frames, draw["visible"][:, :1]), draw)
    assert not torch.equal(outputs[0], outputs[2])


@BACKBONES
def test_visible_patches_are_not_what_is_predicted(backbone):
    model, frames, draw = model_and_example(backbone=backbone)
    torch.nn.init.zeros_(model.decoder.predict.weight)  # the prediction is 0 whatever is visible
    changed = with_hidden_patches_changed(model, frames, draw["visible"], by=torch.rand(()).item())
    assert torch.equal(model(frames, draw), model(changed, draw))


def test_normalised_patches_have_mean_zero_and_deviation_one():
    patches = torch.randn(3, 5, 256) * torch.tensor([0.5, 2, 30.0])[:, None, None] + 4
    normalised = normalise_patches(patches)
    assert normalised.mean(-1).abs().max() < 1e-5
    assert (normalised.std(-1, unbiased=False) - 1).abs().max() < 1e-4
    torch.testing.assert_close(normalise_patches(patches * 3 + 1), normalised, rtol=1e-4, atol=1e-4)


def test_predicting_nothing_costs_one():
    model, frames, draw = model_and_example()
    torch.nn.init.zeros_(model.decoder.predict.weight)
    assert model(frames, draw).item() == pytest.approx(1.0, abs=1e-3)


def test_a_perfect_prediction_costs_nothing():
    model, frames, draw = model_and_example()
    patches = model.encoder.patches(frames)
    truth = torch.stack([patches[b, hidden] for b, hidden in enumerate(draw["hidden"])])
    model.decoder.forward = lambda tokens, visible, hidden: normalise_patches(truth)
    assert model(frames, draw).item() < 1e-10


def test_the_order_of_visible_and_of_hidden_patches_does_not_matter():
    model, frames, draw = model_and_example()
    mixed = {name: rows[:, torch.randperm(rows.shape[1])] for name, rows in draw.items()}
    torch.testing.assert_close(model(frames, mixed), model(frames, draw))
