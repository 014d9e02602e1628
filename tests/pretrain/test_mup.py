"""The maximal-update parametrisation: the rules parameter by parameter, and what they are for."""

import copy
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sonoscale.encoders import EncoderConfig, init_weights, make_backbone
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._config import TrainConfig
from sonoscale.pretrain._optimiser import apply_parametrisation, make_optimiser, set_lr

EACH = pytest.mark.parametrize("backbone", ["vit", "conv", "cnn"])


def load_check():
    file = Path(__file__).parents[2] / "benchmarks" / "coordinate_check.py"
    spec = importlib.util.spec_from_file_location("coordinate_check", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


check = load_check()


class Model(nn.Module):
    """A backbone, a teacher that began as its copy, a hidden matrix outside of blocks, and a head."""

    def __init__(self, width, **shape):
        super().__init__()
        self.backbone = make_backbone(
            EncoderConfig.model_validate({"backbone": "vit", "width": width, "depth": 1} | shape)
        )
        self.teacher = copy.deepcopy(self.backbone).requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(width, width), nn.Linear(width, 24))
        self.head.apply(init_weights)


def build(width, *, lr_width=64, seed=0, **shape):
    torch.manual_seed(seed)
    model = Model(width, **shape)
    with torch.device("meta"):
        return model, Model(lr_width, **shape)


def config(kind="mup", **keys):
    return TrainConfig.model_validate({"parametrisation": kind, "lr_width": 64, "weight_decay": 0.1} | keys)


def rates(model, optimiser):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: (g["factor"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}


@EACH
def test_the_change_of_every_layer_is_the_same_at_all_widths_under_mup_and_not_otherwise(backbone):
    widths = (64, 128, 256, 512)
    slopes = {
        kind: {
            name: check.slope(widths, values)
            for name, values in check.coordinate_check(kind, backbone, widths=widths, seeds=(0,)).items()
        }
        for kind in ("mup", "standard")
    }
    assert list(slopes["mup"]) == ["block 1", "block 2", "block 3", "head"]
    assert max(abs(s) for s in slopes["mup"].values()) < 0.15, slopes
    assert max(slopes["standard"].values()) > 0.5, slopes


@pytest.mark.parametrize("width", [32, 256])
def test_rules_of_the_paper(width):
    model, base = build(width)
    apply_parametrisation(model, base, "mup")
    ratio = 64 / width
    xavier = {"qkv": 4 * 64, "out": 2 * 64, "fc1": 5 * 64, "fc2": 5 * 64}  # inputs + outputs at the base's width
    deviations = {f"backbone.blocks.0.{name}": (2 / size) ** 0.5 * ratio**0.5 for name, size in xavier.items()}
    deviations |= {
        "backbone.embed": (2 / (256 + 64)) ** 0.5,
        "head.0": (2 / (64 + 64)) ** 0.5 * ratio**0.5,
        "head.1": (2 / (64 + 24)) ** 0.5 * ratio,
    }
    found = rates(model, make_optimiser(model, base, config()))
    for name, expected in deviations.items():
        matrix, factor = model.get_parameter(f"{name}.weight"), 1 if name == "backbone.embed" else ratio
        assert matrix.std().item() == pytest.approx(expected, rel=0.05), name
        assert found[f"{name}.weight"] == pytest.approx((factor, 0.1 / factor)), name
        assert found[f"{name}.bias"] == (1, 0)
    assert found["backbone.norm.weight"] == (1, 0)
    assert len(found) == len(list(model.parameters())) - len(list(model.teacher.parameters()))


def test_rules_of_convolutions():
    model, base = build(256, backbone="conv")
    before = copy.deepcopy(model)
    apply_parametrisation(model, base, "mup")
    found = rates(model, make_optimiser(model, base, config()))
    assert found["backbone.blocks.0.conv.weight"] == (1, 0.1)
    assert found["backbone.mask_token"] == found["backbone.blocks.0.conv.bias"] == (1, 0)
    assert found["backbone.blocks.0.fc1.weight"] == (0.25, 0.4)
    for name in ("backbone.blocks.0.conv.weight", "backbone.mask_token"):
        assert torch.equal(model.get_parameter(name), before.get_parameter(name))


@EACH
@pytest.mark.parametrize(("width", "kind"), [(64, "mup"), (256, "standard")])
def test_nothing_is_changed_at_the_base_width_or_under_the_standard(backbone, width, kind):
    model, base = build(width, backbone=backbone)
    before = copy.deepcopy(model.state_dict())
    apply_parametrisation(model, base, kind)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    found = rates(model, make_optimiser(model, base, config(kind)))
    assert {rate for rate, _ in found.values()} == {1}
    assert {name for name, (_, decay) in found.items() if decay} == {
        name for name, p in model.named_parameters() if p.ndim > 1 and p.requires_grad
    }


@pytest.mark.parametrize("width", [8, 16])
def test_the_few_weights_that_a_narrow_cnn_begins_with_may_stray_by_chance(width):
    for seed in range(40):
        model, base = build(width, seed=seed, backbone="cnn", n_mels=64)
        apply_parametrisation(model, base, "mup")


def test_a_teacher_stays_a_copy_zeros_stay_and_nothing_is_drawn():
    model, _ = build(128)
    nn.init.zeros_(model.get_parameter("head.1.weight"))
    state = torch.get_rng_state()
    with torch.device("meta"):
        base = Model(64)
    apply_parametrisation(model, base, "mup")
    assert torch.equal(torch.get_rng_state(), state)
    student, teacher = model.backbone.state_dict(), model.teacher.state_dict()
    assert all(torch.equal(value, student[name]) for name, value in teacher.items())
    assert not model.get_parameter("head.1.weight").any()


def test_the_schedule_multiplies_the_factors():
    model, base = build(256)
    settings = config(lr=0.01, warmup_steps=4, budgets=(20,), decay_fraction=0.5)
    optimiser = make_optimiser(model, base, settings)
    assert {g["lr"] for g in optimiser.param_groups} == {0.01, 0.0025}
    for step, budget, expected in ((0, None, 0.0025), (3, None, 0.01), (9, None, 0.01), (19, 20, 0.01 / 11)):
        assert set_lr(optimiser, settings, step, budget) == pytest.approx(expected)
        assert [g["lr"] / g["factor"] for g in optimiser.param_groups] == pytest.approx([expected] * 3)


def test_heads_that_grow_are_refused():
    apply_parametrisation(*build(128, heads=2), "mup")  # 64 dimensions each
    message = r"backbone\.blocks\.0 has attention heads of 128 dimensions, 32 at lr_width.*leave encoder\.heads out"
    with pytest.raises(SonoscaleError, match=message):
        apply_parametrisation(*build(256, heads=2), "mup")
    apply_parametrisation(*build(256, heads=2), "standard")
    for width in (16, 48, 96, 100, 116, 124):  # no number of heads gives them 32
        apply_parametrisation(*build(width, lr_width=16), "mup")


def test_what_falls_under_no_rule_is_refused():
    model, base = build(128)
    model.table, base.table = nn.Parameter(torch.randn(128, 128)), nn.Parameter(torch.randn(64, 64))
    with pytest.raises(SonoscaleError, match=r"no rule for table, which grows from \(64, 64\) to \(128, 128\)"):
        apply_parametrisation(model, base, "mup")
    with pytest.raises(SonoscaleError, match="no rule for table"):
        make_optimiser(model, base, config())
    assert make_optimiser(model, base, config("standard")).param_groups


def test_matrices_initialised_otherwise_and_a_second_call_are_refused():
    model, base = build(256)
    nn.init.trunc_normal_(model.get_parameter("head.0.weight"), std=0.02)
    with pytest.raises(ValueError, match=r"head\.0\.weight has deviation 0\.02, not the 0\.0625 of init_weights"):
        apply_parametrisation(model, base, "mup")
    model, base = build(256)
    apply_parametrisation(model, base, "mup")
    with pytest.raises(ValueError, match="or parametrised before"):
        apply_parametrisation(model, base, "mup")


def test_a_base_of_another_kind_is_refused():
    model, base = build(128)
    del model.head
    with pytest.raises(ValueError, match=r"it alone has head\.0\.weight"):
        apply_parametrisation(model, base, "mup")
    with pytest.raises(ValueError, match="has no counterpart"):
        make_optimiser(model, base.backbone, config())
