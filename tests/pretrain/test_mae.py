"""Masks hide, the loss is what it says, and the accounting is exact."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sonoscale.config import validate
from sonoscale.pretrain import MaskedAutoencoder, RunConfig, normalise_patches, random_masks, training_cost


def run_config(**sections):
    return validate(RunConfig, sections)


def model_of(config):
    torch.manual_seed(0)
    return MaskedAutoencoder(config, mean=-8.0, std=3.0)


def example(config, batch=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(batch, config.frames, config.encoder.n_mels, generator=generator) * 3 - 8
    return frames, *random_masks(batch, config.patches, config.kept, generator)


@pytest.mark.parametrize(("patches", "kept"), [(48, 12), (10, 1), (10, 9)])
def test_masks_partition_the_patches(patches, kept):
    visible, hidden = random_masks(64, patches, kept, torch.Generator().manual_seed(0))
    assert visible.shape == (64, kept)
    together = torch.cat([visible, hidden], dim=1).sort(dim=1).values
    assert torch.equal(together, torch.arange(patches).expand(64, -1))


def test_every_patch_is_hidden_equally_often():
    visible, _ = random_masks(4000, 16, 4, torch.Generator().manual_seed(0))
    share = torch.bincount(visible.flatten(), minlength=16) / 4000
    assert (share - 0.25).abs().max() < 0.035  # 5 standard errors


def test_hidden_patches_never_reach_the_encoder():
    config = run_config()
    model = model_of(config)
    frames, visible, hidden = example(config)
    heard = []
    model.encoder.backbone.register_forward_hook(lambda module, inputs, output: heard.append(output))
    model(frames, visible, hidden)
    patch, mels = config.encoder.patch_frames, config.encoder.patch_mels
    changed = frames.clone()
    for b in range(len(frames)):
        for index in hidden[b].tolist():
            t, f = divmod(index, config.encoder.mel_patches)
            changed[b, t * patch : (t + 1) * patch, f * mels : (f + 1) * mels] = 99.0
    model(changed, visible, hidden)
    assert torch.equal(heard[0], heard[1])
    changed[:, :patch, :mels] += 1.0  # patch 0, visible somewhere in the batch
    assert (visible == 0).any()
    model(changed, visible, hidden)
    assert not torch.equal(heard[0], heard[2])


def test_encoder_sees_a_patch_at_its_true_place_whatever_is_masked():
    config = run_config()
    model = model_of(config)
    frames, _, _ = example(config, batch=1)
    everything = torch.arange(config.patches)[None]
    patches = model.encoder.patches(frames)
    all_tokens = model.encoder.backbone.embed(patches) + model.positions[everything]
    some = torch.tensor([[3, 17, 40]])
    tokens = model.encoder.backbone.embed(patches[:, some[0]]) + model.positions[some]
    torch.testing.assert_close(tokens, all_tokens[:, some[0]])
    torch.testing.assert_close(model.encoder.positions(config.patches), model.positions)


def test_normalised_patches_have_mean_zero_and_deviation_one():
    patches = torch.randn(3, 5, 256) * torch.tensor([0.5, 2, 30.0])[:, None, None] + 4
    normalised = normalise_patches(patches)
    assert normalised.mean(-1).abs().max() < 1e-5
    assert (normalised.std(-1, unbiased=False) - 1).abs().max() < 1e-4
    torch.testing.assert_close(normalise_patches(patches * 3 + 1), normalised, rtol=1e-4, atol=1e-4)


def test_predicting_nothing_costs_one():
    config = run_config()
    model = model_of(config)
    torch.nn.init.zeros_(model.decoder.predict.weight)
    assert model(*example(config)).item() == pytest.approx(1.0, abs=1e-3)


CONFIGS = [
    {},
    {"encoder": {"width": 16, "depth": 1}},
    {
        "encoder": {"width": 96, "depth": 3, "n_mels": 128, "patch_frames": 8},
        "objective": {"mask_ratio": 0.5},
    },
    {
        "encoder": {"width": 32, "mlp_ratio": 2.0},
        "objective": {"decoder_depth": 3, "decoder_width_ratio": 1.0},
    },
    {"encoder": {"patch_mels": 64, "patch_frames": 4}, "train": {"clip_seconds": 1.0}},
]


@pytest.mark.parametrize("sections", CONFIGS)
def test_parameters_are_counted_exactly(sections):
    config = run_config(**sections)
    model, cost = model_of(config), training_cost(config)
    assert sum(p.numel() for p in model.encoder.parameters()) == cost.params_encoder
    assert sum(p.numel() for p in model.decoder.parameters()) == cost.params_decoder


@pytest.mark.parametrize("sections", CONFIGS)
def test_flops_are_those_that_torch_counts(sections):
    config = run_config(**sections)
    model, cost = model_of(config), training_cost(config)
    batch = example(config, batch=2)
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # fused kernels are not counted on every device
        model(*batch).backward()
    assert counter.get_total_flops() / 2 == pytest.approx(cost.flops, rel=1e-3)
