"""What all objectives promise, and what each of the newer two computes, against NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sonoscale.config import validate
from sonoscale.corpora import FeatureStore
from sonoscale.pretrain import ObjectiveConfig, RunConfig, cut_views, draw_views, make_objective, nt_xent
from sonoscale.pretrain._latent import teacher_decay_of
from sonoscale.pretrain._monitor import heldout_loss

EACH = pytest.mark.parametrize(
    ("kind", "backbone"), [(kind, back) for kind in ("mae", "latent", "contrastive") for back in ("vit", "conv", "cnn")]
)
BACKBONES = pytest.mark.parametrize("backbone", ["vit", "conv", "cnn"])


def run_config(kind, backbone="vit", batch_size=8, **objective):
    return validate(
        RunConfig,
        {
            "encoder": {"backbone": backbone, "width": 32, "depth": 3},
            "objective": {"kind": kind, **objective},
            "train": {"batch_size": batch_size},
        },
    )


def model_and_example(kind, backbone="vit", batch=8, **objective) -> tuple[Any, Tensor, dict[str, Tensor]]:
    config = run_config(kind, backbone, batch, **objective)
    torch.manual_seed(0)
    model = make_objective(config, mean=-8.0, std=3.0)
    generator = torch.Generator().manual_seed(1)
    return model, clips(config, batch), model.draw(batch, generator)


def clips(config, batch, seed=0):
    """Tones with a rhythm over a spectral slope, and noise: something that can be learnt."""
    generator = torch.Generator().manual_seed(seed)
    time, mel = torch.arange(config.frames)[:, None], torch.arange(config.encoder.n_mels)
    pitch, period, phase = (torch.rand(batch, 1, 1, generator=generator) for _ in range(3))
    beat = torch.sin(2 * torch.pi * (time / (10 + 40 * period) + phase))
    tone = torch.exp(-(((mel - 60 * pitch) / 4) ** 2))
    noise = torch.randn(batch, config.frames, config.encoder.n_mels, generator=generator)
    return -10 - mel / 16 + 6 * tone * (1 + beat) + 0.3 * noise


# Of all objectives.


@EACH
def test_every_trainable_parameter_gets_a_gradient_and_no_other_does(kind, backbone):
    model, frames, draw = model_and_example(kind, backbone)
    model(frames, draw).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name


@EACH
def test_training_lowers_the_loss(kind, backbone):
    model, frames, draw = model_and_example(kind, backbone)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for step in range(40):
        loss = model(frames, draw)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.after_step(step)
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@EACH
def test_draws_are_of_the_whole_batch_on_the_cpu_and_depend_on_the_generator_alone(kind, backbone):
    model, _, draw = model_and_example(kind, backbone, view_fraction=0.75)
    torch.rand(5)
    again = model.draw(8, torch.Generator().manual_seed(1))
    other = model.draw(8, torch.Generator().manual_seed(2))
    for name, rows in draw.items():
        assert len(rows) == 8
        assert rows.device.type == "cpu"
        assert torch.equal(rows, again[name])
        assert not torch.equal(rows, other[name])
    random = torch.random.get_rng_state()
    model.draw(8, torch.Generator().manual_seed(1))
    assert torch.equal(random, torch.random.get_rng_state())


@pytest.mark.parametrize("kind", ["mae", "latent"])
def test_the_loss_of_a_batch_is_the_mean_of_those_of_its_parts(kind):
    model, frames, draw = model_and_example(kind)
    parts = [model(frames[i : i + 2], {k: rows[i : i + 2] for k, rows in draw.items()}) for i in range(0, 8, 2)]
    torch.testing.assert_close(torch.stack(parts).mean(), model(frames, draw))


@EACH
def test_the_graph_is_traced_in_one_piece(kind, backbone):
    model, frames, draw = model_and_example(kind, backbone)
    traced = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(frames, draw), model(frames, draw))


@EACH
def test_the_loss_is_finite_and_near_in_bfloat16(kind, backbone):
    model, frames, draw = model_and_example(kind, backbone)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(frames, draw)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(model(frames, draw).item(), rel=0.05)


@pytest.mark.parametrize("kind", ["mae", "latent", "contrastive"])
def test_the_held_out_loss_never_changes_and_changes_nothing(kind):
    model, frames, _ = model_and_example(kind)
    count, length = 140, frames.shape[1]
    rows = clips(model.config, count, seed=3).reshape(count * length, -1).numpy()
    store = FeatureStore(Path(), rows, np.arange(count + 1) * length, 0.01, 0.032, "toy")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.random.get_rng_state()
    first = heldout_loss(model, store, model.config)
    assert heldout_loss(model, store, model.config) == first
    assert np.isfinite(first)
    assert model.training
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    other = run_config(kind, batch_size=16)
    assert heldout_loss(model, store, other) == first


# Latent prediction.


def standardised(x, axis):
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-5)


@BACKBONES
@pytest.mark.parametrize("count", [1, 2, 3])
def test_targets_are_the_mean_of_layers_normalised_over_patches_and_then_over_features(backbone, count):
    model, frames, draw = model_and_example("latent", backbone, teacher_layers=count)
    with torch.no_grad():
        patches = model.encoder.patches(frames)
        layers = model.teacher.forward_layers(patches).double().numpy()[1:]
        targets = model.targets(patches, draw["hidden"]).numpy()
    for b, hidden in enumerate(draw["hidden"].numpy()):
        mean = np.mean([standardised(layer[b], 0) for layer in layers[-count:]], axis=0)
        np.testing.assert_allclose(targets[b], standardised(mean[hidden], 1), atol=1e-4)


@BACKBONES
def test_targets_of_hidden_patches_alone(backbone):
    model, frames, draw = model_and_example("latent", backbone, teacher_sees="hidden")
    with torch.no_grad():
        patches = model.encoder.patches(frames)
        output = model.teacher(patches, draw["hidden"]).double().numpy()
        targets = model.targets(patches, draw["hidden"]).numpy()
    np.testing.assert_allclose(targets, standardised(standardised(output, 1), 2), atol=1e-4)


@BACKBONES
def test_loss_is_the_mean_squared_error_to_the_targets(backbone):
    model, frames, draw = model_and_example("latent", backbone)
    torch.nn.init.zeros_(model.decoder.predict.weight)
    torch.nn.init.constant_(model.decoder.predict.bias, 0.5)
    targets = model.targets(model.encoder.patches(frames), draw["hidden"]).double().numpy()
    assert model(frames, draw).item() == pytest.approx(((0.5 - targets) ** 2).mean(), rel=1e-5)
    torch.nn.init.zeros_(model.decoder.predict.bias)
    assert model(frames, draw).item() == pytest.approx(1.0, abs=1e-3)


@BACKBONES
def test_the_teacher_is_the_moving_average_of_the_student(backbone):
    model, frames, draw = model_and_example("latent", backbone, teacher_decay=0.9, teacher_memory=0)
    student = {name: p.detach().double().numpy().copy() for name, p in model.encoder.backbone.named_parameters()}
    for name, p in model.teacher.named_parameters():
        np.testing.assert_array_equal(p.numpy(), student[name])
    expected = student
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for step in range(3):
        model.zero_grad()
        model(frames, draw).backward()
        optimiser.step()
        model.after_step(step)
        now = {name: p.detach().double().numpy() for name, p in model.encoder.backbone.named_parameters()}
        expected = {name: 0.9 * expected[name] + 0.1 * now[name] for name in now}
    for name, p in model.teacher.named_parameters():
        assert not p.requires_grad
        assert p.grad is None
        np.testing.assert_allclose(p.numpy(), expected[name], atol=1e-6)
    assert any(not np.allclose(expected[name], student[name], atol=1e-4) for name in student)


def test_the_memory_of_the_teacher_is_a_part_of_the_steps_done_whatever_the_budget():
    config = ObjectiveConfig(kind="latent", teacher_memory=0.2, teacher_decay=0.999)
    decays = [teacher_decay_of(config, step) for step in range(20_000)]
    assert decays[0] == 0
    assert decays == sorted(decays)
    assert max(decays) == 0.999
    # The mean age of what the teacher holds, in steps, as a part of the steps: m / (1 + m) where the memory is m.
    weights = np.zeros(4000)
    for step in range(4000):
        weights *= decays[step]
        weights[step] = 1 - decays[step]
    assert weights.sum() == pytest.approx(1)
    assert (weights @ np.arange(4000)[::-1]) / 4000 == pytest.approx(0.2 / 1.2, rel=0.02)


def changed_at(model, frames, which):
    """The clips with other sound in the patches `which` `[B, k]`."""
    patches, generator = model.encoder.patches(frames), torch.Generator().manual_seed(7)
    for b, index in enumerate(which):
        patches[b, index] = torch.randn(len(index), patches.shape[2], generator=generator)
    return patches


@BACKBONES
@pytest.mark.parametrize("sees", ["all", "hidden"])
def test_who_sees_what(backbone, sees):
    model, frames, draw = model_and_example("latent", backbone, teacher_sees=sees)
    patches = model.encoder.patches(frames)
    other_hidden, other_visible = (changed_at(model, frames, draw[name]) for name in ("hidden", "visible"))
    with torch.no_grad():
        student, targets = model.encoder.backbone(patches, draw["visible"]), model.targets(patches, draw["hidden"])
        assert torch.equal(model.encoder.backbone(other_hidden, draw["visible"]), student)
        assert not torch.equal(model.encoder.backbone(other_visible, draw["visible"]), student)
        assert not torch.equal(model.targets(other_hidden, draw["hidden"]), targets)
        assert torch.equal(model.targets(other_visible, draw["hidden"]), targets) == (sees == "hidden")


# Contrast.


def nt_xent_by_hand(z, temperature):
    """Chen et al., eq. 1, term by term: rows 2k and 2k + 1 are the two views of clip k."""
    n, total = len(z), 0.0
    similarity = [[z[i] @ z[j] / np.linalg.norm(z[i]) / np.linalg.norm(z[j]) for j in range(n)] for i in range(n)]
    for i in range(n):
        twin = i + 1 if i % 2 == 0 else i - 1
        below = sum(np.exp(similarity[i][k] / temperature) for k in range(n) if k != i)
        total -= np.log(np.exp(similarity[i][twin] / temperature) / below)
    return total / n


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("batch", [2, 7])
def test_contrastive_loss_is_that_of_the_paper(batch, temperature):
    z = torch.randn(2 * batch, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit = F.normalize(z, dim=1)
    interleaved = z.view(2, batch, 16).transpose(0, 1).reshape(2 * batch, 16).numpy()
    assert nt_xent(unit, unit, 0, temperature).item() == pytest.approx(nt_xent_by_hand(interleaved, temperature))


def test_contrastive_loss_of_the_best_and_of_the_blind():
    axes = torch.eye(8).repeat(2, 1)  # the views of a clip agree, those of others are orthogonal
    assert nt_xent(axes, axes, 0, 0.1).item() == pytest.approx(np.log(1 + 14 * np.exp(-10)), rel=1e-3)
    same = torch.ones(16, 4) / 2
    assert nt_xent(same, same, 0, 0.1).item() == pytest.approx(np.log(15), rel=1e-5)
    opposite = torch.cat([torch.eye(8), -torch.eye(8)])
    assert nt_xent(opposite, opposite, 0, 0.1) > 10


def test_the_loss_of_a_part_of_the_views_tells_them_from_all():
    z = F.normalize(torch.randn(16, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    parts = [z.view(2, 8, 5)[:, :4].reshape(8, 5), z.view(2, 8, 5)[:, 4:].reshape(8, 5)]  # two processes of 4 clips
    together = torch.cat(parts)
    mean = sum(nt_xent(part, together, 8 * i, 0.2) for i, part in enumerate(parts)) / 2
    torch.testing.assert_close(mean, nt_xent(z, z, 0, 0.2))


PLAIN: dict[str, Any] = {"mixup": 0.0, "resize_time": 1.0, "resize_mels": 1.0, "fade_db": 0.0}


def drawn(batch, frames, view_frames, seed=1, **keys):
    config = ObjectiveConfig.model_validate(PLAIN | keys)
    return draw_views(batch, frames, view_frames, config, torch.Generator().manual_seed(seed))


def each_view(draw):
    """(row of the views, example, which of its views)."""
    count = len(draw["starts"])
    return [(view * count + example, example, view) for example in range(count) for view in range(2)]


def test_views_are_crops_with_a_linear_fade():
    frames = torch.randn(5, 40, 8, generator=torch.Generator().manual_seed(0))
    draw = drawn(5, 40, 24, fade_db=6.0)
    views = cut_views(frames, frames, draw, 24).numpy()
    for row, b, v in each_view(draw):
        start = int(draw["starts"][b, v])
        head, tail = draw["fades"][b, v].numpy()
        gain = 10 ** (np.linspace(head, tail, 24) / 10)  # of power
        expected = np.log(np.exp(frames[b, start : start + 24].numpy()) * gain[:, None])
        np.testing.assert_allclose(views[row], expected, atol=1e-4)


def test_another_clip_is_mixed_in_by_its_power():
    frames = torch.randn(5, 40, 8, generator=torch.Generator().manual_seed(0))
    draw = drawn(5, 40, 24, mixup=0.4)
    views = cut_views(frames, frames, draw, 24).numpy()
    power = np.exp(frames.double().numpy())
    for row, b, v in each_view(draw):
        start, other, share = int(draw["starts"][b, v]), int(draw["partners"][b, v]), draw["shares"][b, v].item()
        assert other != b
        assert 0 <= share < 0.4
        cut = slice(start, start + 24)
        expected = np.log((1 - share) * power[b, cut] + share * power[other, cut])
        np.testing.assert_allclose(views[row], expected, atol=1e-4)


def test_a_window_is_resized_as_scipy_interpolates_it():
    from scipy.interpolate import RegularGridInterpolator

    frames = torch.randn(6, 24, 16, generator=torch.Generator().manual_seed(0))
    draw = drawn(6, 24, 24, resize_time=0.5, resize_mels=0.6)
    views = cut_views(frames, frames, draw, 24).numpy()
    stretched = set()
    for row, b, v in each_view(draw):
        (tall, wide), (late, high) = draw["windows"][b, v].double().numpy().reshape(2, 2)
        assert 0.5 <= tall <= 2
        assert 0.6 <= wide <= 1
        stretched.add(tall < 1)
        places = []
        for size, place, length in ((tall, late, 24), (wide, high, 16)):
            span = size * (length - 1)  # from first to last place that is read
            first = (length - 1 - span) / 2 + place * abs(length - 1 - span) / 2
            places.append(np.clip(first + np.linspace(0, span, length), 0, length - 1))
        read = RegularGridInterpolator((np.arange(24), np.arange(16)), frames[b].double().numpy())
        expected = read(np.stack(np.meshgrid(*places, indexing="ij"), axis=-1))
        np.testing.assert_allclose(views[row], expected, atol=2e-4)
    assert stretched == {True, False}


def test_views_begin_everywhere_and_fade_as_far_as_asked():
    draw = drawn(4000, 40, 32, seed=0, fade_db=6.0)
    assert torch.equal(draw["starts"].unique(), torch.arange(9))
    assert draw["fades"].abs().max() <= 6
    assert draw["fades"].abs().max() > 5.9
    assert draw["fades"].mean().abs() < 0.15
    whole = drawn(10, 40, 40, seed=0)
    assert not whole["starts"].any()
    assert not whole["fades"].any()


@BACKBONES
def test_equal_views_of_equal_clips_cannot_be_told_apart(backbone):
    model, frames, draw = model_and_example("contrastive", backbone, 8, **PLAIN)
    assert model(frames[:1].expand(8, -1, -1), draw).item() == pytest.approx(np.log(15), rel=1e-4)
    views = cut_views(frames, frames, draw, model.config.view_frames)
    torch.testing.assert_close(views[:8], frames, rtol=0, atol=1e-4)
    torch.testing.assert_close(views[8:], frames, rtol=0, atol=1e-4)
