"""The configuration of a run: what cannot be trained is said in one line, and equal runs are recognised."""

import pytest

from sonoscale.config import validate
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import MASKS, RunConfig, build_for_training, training_cost

MASKED = {
    "encoder": {"backbone": "vit", "depth": 4},
    "objective": {"kind": "mae"},
    "train": {"clip_seconds": 2.0},
}
"""A masked autoencoder, of which most can be said wrongly."""


def run_config(**sections):
    """A masked autoencoder with other keys."""
    return validate(RunConfig, sections | {name: base | sections.get(name, {}) for name, base in MASKED.items()})


def test_what_is_trained_by_default_is_the_contrast_that_learns():
    config = validate(RunConfig, {})
    assert (config.objective.kind, config.encoder.backbone, config.encoder.depth) == ("contrastive", "cnn", 1)
    assert config.train.clip_seconds == 1.0
    assert validate(RunConfig, {"encoder": {"backbone": "vit"}}).encoder.depth == 4
    assert validate(RunConfig, {"encoder": {"backbone": "vit", "depth": 2}}).encoder.depth == 2


@pytest.mark.parametrize("key", [{"mask_ratio": 0.5}, {"mask": "time", "mixup": 0.0}, {"decoder_depth": 2}])
def test_keys_that_the_usual_objective_has_not_need_a_kind(key):
    with pytest.raises(SonoscaleError, match=rf"{next(iter(key))} says nothing of kind = contrastive.*mae or latent"):
        validate(RunConfig, {"objective": key})
    assert validate(RunConfig, {"objective": key | {"kind": "mae"}}).objective.kind == "mae"


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"encoder": {"heads": 3}}, ["heads = 3", "width = 64"]),
        ({"encoder": {"patch_mels": 7}}, ["patch_mels = 7", "n_mels = 64"]),
        ({"train": {"clip_seconds": 0.1}}, ["train.clip_seconds", "0.1", "0.2"]),
        ({"train": {"clip_seconds": 31}}, ["train.clip_seconds", "31", "30"]),
        (
            {"train": {"clip_seconds": 0.2}, "encoder": {"patch_frames": 32}},
            ["train.clip_seconds = 0.2", "one patch of 32 frames", "lower encoder.patch_frames"],
        ),
        ({"train": {"clip_seconds": 3.0}}, ["train.clip_seconds = 3.0", "data.seconds = 2.0", "shorten"]),
        ({"objective": {"mask_ratio": 0.999}}, ["objective.mask_ratio", "leaves 0 of 48 patches", "move it"]),
        ({"objective": {"mask_ratio": 1.0}}, ["objective.mask_ratio = 1.0", "less than 1"]),
        ({"objective": {"mask": "stripes"}}, ["objective.mask = 'stripes'", "random", "inverse-block"]),
        (
            {"objective": {"mask": "frequency"}, "encoder": {"patch_mels": 64, "patch_frames": 4}},
            ["objective.mask = frequency", "1", "encoder.patch_mels"],
        ),
        ({"objective": {"kind": "gan"}}, ["objective.kind = 'gan'", "'mae', 'latent' or 'contrastive'"]),
        ({"objective": {"kind": "latent", "teacher_layers": 5}}, ["teacher_layers = 5", "encoder.depth = 4", "lower"]),
        (
            {"objective": {"kind": "latent", "teacher_layers": 2, "teacher_sees": "hidden"}},
            ["objective.teacher_layers = 2", "teacher_sees = all"],
        ),
        (
            {"objective": {"kind": "latent", "teacher_sees": "hidden", "mask_ratio": 0.02}},
            ["objective.mask_ratio = 0.02 hides 1 of 48", "raise it"],
        ),
        ({"objective": {"kind": "latent", "teacher_decay": 1.0}}, ["objective.teacher_decay", "1.0", "less than 1"]),
        (
            {"objective": {"kind": "contrastive"}, "train": {"accumulate": 2}},
            ["train.accumulate = 2", "contrastive", "train.batch_size"],
        ),
        ({"objective": {"kind": "contrastive"}, "train": {"batch_size": 1}}, ["train.batch_size = 1", "2 or more"]),
        ({"objective": {"view_fraction": 1.5}}, ["objective.view_fraction", "1.5", "less than or equal to 1"]),
        ({"train": {"accumulate": 3}}, ["accumulate = 3", "batch_size = 128"]),
        (
            {"train": {"batch_size": 64}, "data": {"kind": "procedural", "clips": 32}},
            ["train.batch_size = 64", "data.clips = 32", "lower train.batch_size"],
        ),
        (
            {"train": {"batch_size": 64}, "data": {"kind": "folder", "root": "absent", "clips": 32}},
            ["train.batch_size = 64", "data.clips = 32"],
        ),
        ({"train": {"parametrisation": "ntk"}}, ["train.parametrisation = 'ntk'", "'mup' or 'standard'"]),
        ({"train": {"lr_width": 63}}, ["train.lr_width = 63", "multiple of 4"]),
        ({"train": {"lr_width": 10**9}}, ["train.lr_width", "less than or equal to 100000000"]),
        (
            {"train": {"lr_width": 64}, "encoder": {"width": 96, "heads": 3}},
            ["train.lr_width = 64", "encoder.heads = 3"],
        ),
        (
            {"encoder": {"width": 508}},  # 4 heads, as nothing between 4 and 15 divides it
            ["encoder.width = 508 gives 4 attention heads of 127", "lr_width = 64 heads of 32", "a multiple of 32"],
        ),
        (
            {"encoder": {"width": 256, "heads": 2}},
            ["encoder.width = 256 gives 2 attention heads of 128", "raise encoder.heads or leave it out"],
        ),
        (
            {"encoder": {"width": 256, "backbone": "conv"}, "objective": {"decoder_width_ratio": 508 / 256}},
            ["objective.decoder_width_ratio = 1.98", "decoder of 508", "of 127", "heads of 32:", "a multiple of 32"],
        ),
        ({"train": {"lr_rule": "constant"}}, ["'train.lr_rule'", "lr_width"]),
        ({"train": {"budgets": []}}, ["train.budgets = []", "at least one"]),
        ({"train": {"budgets": [1, 100]}}, ["train.budgets = [1, 100]", "2 or more"]),
        ({"train": {"budgets": [300, 100]}}, ["train.budgets = [300, 100]", "increase"]),
        ({"train": {"warmup_steps": 90}}, ["train.warmup_steps = 90", "step 80", "lower train.warmup_steps"]),
        ({"train": {"decay_fraction": 1.0}}, ["train.budgets", "train.decay_fraction = 1.0", "same step"]),
        ({"train": {"flops": []}}, ["flops = []", "at least one"]),
        ({"train": {"flops": [2e12, 1e12]}}, ["flops = [2000000000000.0, 1000000000000.0]", "increasing"]),
        ({"train": {"flops": [1e9]}}, ["train.flops = [1000000000.0]", "[0] steps", "2 or more"]),
        ({"train": {"flops": [1e11]}}, ["train.flops = [100000000000.0]", "warmup_steps = 40", "give more"]),
        ({"train": {"flops": [1e12, 1.001e12]}}, ["train.flops", "increase"]),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_one_line_that_names_key_and_remedy(sections, expected):
    with pytest.raises(SonoscaleError) as caught:
        run_config(**sections)
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    "sections",
    [
        {"encoder": {"width": 256}, "train": {"lr_width": 64}},  # 8 heads, and 2: of 32 dimensions both
        {"encoder": {"width": 128, "heads": 2}, "train": {"lr_width": 64}},
        {"encoder": {"width": 508}, "train": {"parametrisation": "standard"}},
        {"encoder": {"width": 508}, "train": {"lr_width": 508}},
        {"encoder": {"width": 64}, "train": {"lr_width": 508}},
        {"encoder": {"width": 508, "backbone": "conv"}},
        {"encoder": {"width": 256}, "objective": {"kind": "contrastive", "decoder_width_ratio": 508 / 256}},
    ],
)
def test_what_has_attention_heads_of_one_size_can_be_built(sections):
    build_for_training(run_config(**sections), mean=0.0, std=1.0)


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 1), (2, 4), (3, 4), (6, 2)])
def test_each_process_has_its_share_of_the_batch(processes, accumulate):
    train = run_config(train={"batch_size": 24, "accumulate": accumulate}).train
    assert train.share(processes) * accumulate * processes == 24


def test_a_batch_that_the_processes_do_not_divide_is_refused():
    train = run_config(train={"batch_size": 24, "accumulate": 4}).train
    with pytest.raises(SonoscaleError, match=r"batch_size = 24 .* 4 processes times train\.accumulate = 4: change one"):
        train.share(4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"encoder": {"heads": 2}}),
        ({}, {"objective": {"mask_ratio": 0.752}}),  # the same 12 of 48 patches
        ({}, {"objective": {"decoder_width_ratio": 0.51}}),
        ({}, {"objective": {"teacher_decay": 0.5, "teacher_sees": "hidden", "temperature": 1.0, "fade_db": 0.0}}),
        ({}, {"objective": {"view_fraction": 0.5, "projection_width": 16, "teacher_layers": 3}}),
        ({}, {"train": {"checkpoint_minutes": 60, "accumulate": 4}}),
        ({}, {"train": {"parametrisation": "standard"}}),  # the width is lr_width
        (
            {"encoder": {"width": 32}, "train": {"parametrisation": "standard"}},
            {"encoder": {"width": 32}, "train": {"parametrisation": "standard", "lr_width": 128}},
        ),
        (
            {"objective": {"kind": "contrastive"}},
            {"objective": {"kind": "contrastive", "mask": "time", "mask_ratio": 0.999, "decoder_depth": 4}},
        ),
        (
            {"objective": {"kind": "contrastive", "view_fraction": 0.75}},
            {"objective": {"kind": "contrastive", "view_fraction": 0.76}},  # 9 of 12 patches
        ),
        ({"objective": {"kind": "latent"}}, {"objective": {"kind": "latent", "teacher_layers": 4, "fade_db": 1.0}}),
    ],
)
def test_two_ways_of_writing_a_run_have_one_outcome(one, other):
    assert run_config(**one).outcome() == run_config(**other).outcome()


LATENT, CONTRASTIVE = {"objective": {"kind": "latent"}}, {"objective": {"kind": "contrastive"}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"seed": 1}),
        ({}, {"encoder": {"backbone": "conv"}}),
        ({}, {"encoder": {"heads": 4}}),
        ({}, {"objective": {"mask": "time"}}),
        ({}, {"objective": {"mask_ratio": 0.5}}),
        ({}, {"objective": {"decoder_depth": 2}}),
        ({}, {"train": {"budgets": [100]}}),
        ({}, {"train": {"lr_width": 32}}),
        ({}, {"train": {"lr": 1e-3}}),
        ({}, LATENT),
        ({}, CONTRASTIVE),
        (LATENT, CONTRASTIVE),
        (LATENT, {"objective": {"kind": "latent", "teacher_sees": "hidden"}}),
        (LATENT, {"objective": {"kind": "latent", "teacher_decay": 0.999}}),
        (LATENT, {"objective": {"kind": "latent", "teacher_layers": 1}}),
        (LATENT, {"objective": {"kind": "latent", "mask_ratio": 0.5}}),
        (CONTRASTIVE, {"objective": {"kind": "contrastive", "temperature": 0.2}}),
        (CONTRASTIVE, {"objective": {"kind": "contrastive", "view_fraction": 0.5}}),
        (CONTRASTIVE, {"objective": {"kind": "contrastive", "fade_db": 0.0}}),
        ({}, {"train": {"frozen_layers": 1}}),
    ],
)
def test_other_runs_have_other_outcomes(one, other):
    assert run_config(**one).outcome() != run_config(**other).outcome()


@pytest.mark.parametrize("kind", ["mae", "latent", "contrastive"])
def test_budgets_in_operations_become_steps(kind):
    base = {"objective": {"kind": kind}, "train": {"batch_size": 32, "warmup_steps": 2, "flops": [1e11, 4e11]}}
    config = run_config(**base)
    step = training_cost(config).flops * 32
    for steps, flops in zip(config.budgets, (1e11, 4e11), strict=True):
        assert abs(steps * step - flops) <= step / 2
    in_steps = run_config(**{**base, "train": {"batch_size": 32, "warmup_steps": 2, "budgets": list(config.budgets)}})
    assert in_steps.budgets == config.budgets
    assert in_steps.outcome() == config.outcome()


def test_of_two_models_the_larger_gets_fewer_steps_of_equal_budgets():
    train = {"batch_size": 32, "warmup_steps": 2, "flops": ["1e12"]}
    small, large = (run_config(encoder={"width": width}, train=train) for width in (32, 128))
    assert small.budgets[0] > large.budgets[0] > 2
    spent = [config.budgets[0] * training_cost(config).flops * 32 for config in (small, large)]
    assert spent == pytest.approx([1e12, 1e12], rel=0.01)


def test_what_is_said_in_two_ways_is_refused():
    for section, keys in (
        ("train", {"budgets": [300], "flops": [1e13]}),
        ("data", {"kind": "procedural", "clips": 900, "hours": 0.5}),
    ):
        with pytest.raises(SonoscaleError, match="give one of them"):
            run_config(**{section: keys})


@pytest.mark.parametrize(
    ("train", "expected"),
    [({"betas": [1.5, 0.9]}, "betas"), ({"flops": [1e300]}, "are more than anybody can train")],
)
def test_numbers_that_no_training_can_have(train, expected):
    with pytest.raises(SonoscaleError, match=expected):
        run_config(train=train)


@pytest.mark.parametrize("mask", MASKS)
def test_kept_patches_are_near_the_ratio_and_never_none(mask):
    config = run_config(objective={"mask": mask})
    assert 0 < config.kept < config.patches
    assert abs(config.kept / config.patches - 0.25) < 0.1


def test_a_short_view_has_a_patch():
    config = run_config(objective={"kind": "contrastive", "view_fraction": 0.01})
    assert (config.view_time_patches, config.view_frames) == (1, 16)
