"""The accounting is exact, for each objective and each backbone."""

import pytest
import torch

from sonoscale.config import validate
from sonoscale.pretrain import MASKS, RunConfig, count_operations, make_objective, training_cost

SHAPES = [
    {},
    {"encoder": {"width": 16, "depth": 1}, "objective": {"mask_ratio": 0.5, "teacher_layers": 1}},
    {
        "encoder": {"width": 96, "depth": 3, "n_mels": 128, "patch_frames": 8, "mlp_ratio": 2.0},
        "objective": {"mask": "block", "decoder_depth": 3, "decoder_width_ratio": 1.0, "projection_width": 32},
    },
    {
        "encoder": {"patch_mels": 64, "patch_frames": 4},
        "objective": {"teacher_sees": "hidden", "mask": "time", "view_fraction": 0.4},
        "train": {"clip_seconds": 1.0},
    },
]
KINDS = [("mae", "vit"), ("mae", "conv"), ("latent", "vit"), ("latent", "conv"), ("contrastive", "vit"),
         ("contrastive", "conv"),
         ("mae", "cnn"), ("latent", "cnn"), ("contrastive", "cnn")]  # fmt: skip
BATCH = 4


def run_config(shape, kind, backbone):
    return validate(
        RunConfig,
        {
            "encoder": {"backbone": backbone, **shape.get("encoder", {})},
            "objective": {"kind": kind, **shape.get("objective", {})},
            "train": {"batch_size": BATCH, **shape.get("train", {})},
        },
    )


def model_of(config):
    torch.manual_seed(0)
    return make_objective(config, mean=-8.0, std=3.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kind", "backbone"), KINDS)
def test_operations_are_those_that_torch_counts(kind, backbone, shape):
    config = run_config(shape, kind, backbone)
    cost, counted = training_cost(config), count_operations(config)
    assert counted.training == pytest.approx(cost.flops, rel=1e-9)
    assert counted.inference == cost.flops_inference


@pytest.mark.parametrize("frozen", [1, 2, 3])  # the patch embedding; a block; all
@pytest.mark.parametrize(("kind", "backbone"), KINDS)
def test_layers_that_are_not_trained_cost_no_backward_pass(kind, backbone, frozen):
    config = run_config({"encoder": {"depth": 2}, "train": {"frozen_layers": frozen}}, kind, backbone)
    cost, counted = training_cost(config), count_operations(config)
    assert counted.training == pytest.approx(cost.flops, rel=1e-9)
    assert counted.inference == cost.flops_inference


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kind", "backbone"), KINDS)
def test_parameters_are_counted_exactly(kind, backbone, shape):
    config = run_config(shape, kind, backbone)
    model, cost = model_of(config), training_cost(config)
    for part in ("encoder", "decoder", "teacher", "head"):
        there = sum(p.numel() for p in getattr(model, part).parameters()) if hasattr(model, part) else 0
        assert there == getattr(cost, f"params_{part}"), part
    assert sum(p.numel() for p in model.parameters()) == sum(
        getattr(cost, f"params_{part}") for part in ("encoder", "decoder", "teacher", "head")
    )


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", ["mae", "latent"])
def test_each_mask_is_counted_with_the_patches_it_keeps(kind, mask):
    config = run_config({"encoder": {"width": 16, "depth": 1}, "objective": {"mask": mask}}, kind, "vit")
    assert count_operations(config).training == pytest.approx(training_cost(config).flops, rel=1e-9)


def test_parts_add_up_and_only_those_that_are_there_cost():
    costs = {kind: training_cost(run_config({}, kind, "vit")) for kind in ("mae", "latent", "contrastive")}
    for cost in costs.values():
        assert cost.flops == cost.flops_encoder + cost.flops_decoder + cost.flops_teacher + cost.flops_head
    assert costs["mae"].flops_teacher == costs["mae"].flops_head == costs["latent"].flops_head == 0
    assert costs["latent"].flops_teacher == costs["latent"].flops_inference  # a whole clip, forward
    assert costs["contrastive"].flops_decoder == costs["contrastive"].flops_teacher == 0
    assert costs["mae"].flops_inference == costs["contrastive"].flops_inference
