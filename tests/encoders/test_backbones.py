"""Every backbone: hidden patches stay hidden, places are kept, neighbours do not matter, the accounting is exact."""

import copy

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sonoscale.config import validate
from sonoscale.encoders import (
    AudioEncoder,
    EncoderConfig,
    encoder_flops,
    encoder_params,
    load_encoder,
    make_backbone,
    sincos_positions,
)
from sonoscale.errors import SonoscaleError

EACH = pytest.mark.parametrize("kind", ["vit", "conv", "cnn"])


def make(kind, seed=0, **shape):
    torch.manual_seed(seed)
    return make_backbone(EncoderConfig(backbone=kind, **({"width": 32, "depth": 2} | shape)))


def random_patches(batch=3, patches=24, size=256, seed=0):
    return torch.randn(batch, patches, size, generator=torch.Generator().manual_seed(seed))


def visible_and_hidden(batch=3, patches=24, kept=6, seed=0):
    order = torch.rand(batch, patches, generator=torch.Generator().manual_seed(seed)).argsort(dim=1)
    return order[:, :kept].sort(dim=1).values, order[:, kept:].sort(dim=1).values


@EACH
def test_shapes_and_layers(kind):
    backbone, patches = make(kind), random_patches()
    visible, _ = visible_and_hidden()
    assert backbone(patches, visible).shape == (3, 6, 32)
    everything = backbone(patches)
    layers = backbone.forward_layers(patches)
    assert layers.shape == (3, 3, 24, 32)
    assert torch.equal(layers[-1], everything)
    assert (layers[0] - layers[1]).abs().max() > 0.01
    torch.testing.assert_close(backbone(patches, torch.arange(24).expand(3, -1)), everything)


@EACH
@pytest.mark.parametrize("noise", [99.0, float("nan")])
def test_what_lies_in_hidden_patches_reaches_neither_tokens_nor_gradients(kind, noise):
    backbone, patches = make(kind), random_patches()
    visible, hidden = visible_and_hidden()
    changed = patches.scatter(1, hidden[:, :, None].expand(-1, -1, 256), noise)
    outcomes = []
    for given in (patches, changed):
        backbone.zero_grad()
        tokens = backbone(given, visible)
        tokens.square().sum().backward()
        outcomes.append([tokens, *(p.grad.clone() for p in backbone.parameters() if p.grad is not None)])
    assert len(outcomes[0]) > 8
    assert all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True))
    seen = patches.scatter(1, visible[:, :1, None].expand(-1, -1, 256), 3.0)
    assert (backbone(seen, visible) - outcomes[0][0]).abs().max() > 0.01


@EACH
def test_a_clip_alone_and_beside_others_masked_or_not(kind):
    backbone, patches = make(kind).eval(), random_patches(batch=5)
    visible, _ = visible_and_hidden(batch=5)
    for mask in (None, visible):
        together = backbone(patches, mask)
        alone = torch.cat([backbone(patches[i : i + 1], None if mask is None else mask[i : i + 1]) for i in range(5)])
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@EACH
def test_tokens_keep_the_order_and_the_places_of_visible_patches(kind):
    backbone, patches = make(kind), random_patches()
    visible, _ = visible_and_hidden()
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    tokens = backbone(patches, visible)
    torch.testing.assert_close(backbone(patches, visible[:, order]), tokens[:, order], rtol=0, atol=2e-6)
    # The same contents seen at other places are other tokens.
    moved = (visible + 1) % 24
    shifted = backbone(patches.roll(1, dims=1), moved)
    assert (shifted - tokens).abs().max() > 0.01


def test_the_transformer_sees_a_patch_at_its_true_place_whatever_is_hidden():
    backbone, patches = make("vit", depth=1), random_patches(batch=1)
    inputs = []
    backbone.blocks[0].register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    index = torch.tensor([[3, 17, 20]])
    backbone(patches)
    backbone(patches, index)
    torch.testing.assert_close(inputs[1], inputs[0][:, index[0]])
    torch.testing.assert_close(inputs[0], backbone.get_submodule("embed")(patches) + sincos_positions(6, 4, 32))


def test_convolutions_reach_exactly_as_far_as_their_kernel():
    backbone = make("conv", depth=1, kernel=3)
    patches = random_patches(batch=1, patches=7 * 4)
    changed = patches.clone()
    changed[:, 3 * 4 + 1] += 1  # time 3, band 1
    moved = (backbone(changed) - backbone(patches)).abs().sum(-1).unflatten(1, (7, 4))[0] > 1e-5
    expected = torch.zeros(7, 4, dtype=torch.bool)
    expected[2:5, 0:3] = True
    assert torch.equal(moved, expected)


def test_the_mask_token_learns_and_stands_for_hidden_patches_only():
    backbone, patches = make("conv"), random_patches()
    visible, _ = visible_and_hidden()
    token = backbone.get_parameter("mask_token")
    backbone(patches).sum().backward()
    assert token.grad is None
    before = backbone(patches, visible), backbone(patches)
    before[0].square().mean().backward()
    assert token.grad is not None
    assert token.grad.any()
    with torch.no_grad():
        token += 1
    assert (backbone(patches, visible) - before[0]).abs().max() > 0.01
    assert torch.equal(backbone(patches), before[1])


@EACH
@pytest.mark.parametrize("patches", [4, 8, 20])
def test_any_length_and_in_training_after_inference_mode(kind, patches):
    backbone, given = make(kind, width=48), random_patches(patches=patches)
    state = {name: value.shape for name, value in backbone.state_dict().items()}
    with torch.inference_mode():
        first = backbone(given)
    visible, _ = visible_and_hidden(patches=patches, kept=2)
    backbone(given, visible).square().sum().backward()  # a position made in inference mode would fail here
    torch.testing.assert_close(first, backbone(given))
    assert {name: value.shape for name, value in backbone.state_dict().items()} == state
    assert not [name for name in state if "position" in name]


@EACH
def test_elsewhere_and_in_other_precisions(kind):
    backbone, given = make(kind), random_patches()
    exact = backbone(given)
    on_meta = copy.deepcopy(backbone).to("meta")
    assert on_meta(given.to("meta"), visible_and_hidden()[0].to("meta")).device.type == "meta"
    double = copy.deepcopy(backbone).double()(given.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), exact, rtol=0, atol=1e-5)
    assert copy.deepcopy(backbone).bfloat16()(given.bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = backbone(given, visible_and_hidden()[0])
    assert (rough.float() - backbone(given, visible_and_hidden()[0])).abs().max() < 0.1
    assert torch.equal(backbone(given), exact)


@EACH
def test_compiled_as_one_graph_it_gives_the_same_tokens_and_gradients(kind):
    backbone, given = make(kind, width=40), random_patches()
    visible, _ = visible_and_hidden()
    compiled = torch.compile(backbone, fullgraph=True, dynamic=False, backend="aot_eager")
    with torch.inference_mode():
        torch.testing.assert_close(compiled(given), backbone(given))
    outcomes = []
    for model in (backbone, compiled):
        backbone.zero_grad()
        tokens = model(given, visible)
        tokens.square().sum().backward()
        outcomes.append([tokens, *(p.grad.clone() for p in backbone.parameters() if p.grad is not None)])
    assert len(outcomes[0]) == len(outcomes[1]) == 1 + len(list(backbone.parameters()))
    torch.testing.assert_close(outcomes[1], outcomes[0])
    torch.testing.assert_close(compiled(given[:, :8]), backbone(given[:, :8]))  # another length, compiled anew


@EACH
def test_a_grid_with_a_column_missing_is_refused(kind):
    with pytest.raises(SonoscaleError, match="22 patches are no whole number of columns of 4 patches"):
        make(kind)(random_patches(patches=22))


@EACH
def test_an_audio_encoder_with_this_backbone(kind, contract, tmp_path):
    torch.manual_seed(0)
    config = EncoderConfig(backbone=kind, width=32, depth=2)
    encoder = AudioEncoder(config, mean=-8.0, std=3.0).eval()
    contract(encoder, 24_000)
    torch.save(
        {"config": {"encoder": config.model_dump()}, "encoder": encoder.state_dict()}, tmp_path / "checkpoint.pt"
    )
    loaded = load_encoder(str(tmp_path))
    waves, together = contract(loaded, 24_000)
    torch.testing.assert_close(encoder.embed(waves), together, rtol=0, atol=1e-6)


SHAPES = [
    ({}, 12, 48),
    ({}, 12, 12),
    ({"width": 16, "depth": 1, "mlp_ratio": 2.0}, 3, 5),
    ({"width": 96, "depth": 3, "n_mels": 128, "patch_frames": 8}, 10, 20),
    ({"patch_mels": 64, "patch_frames": 4}, 25, 13),
]
KINDS = [{"backbone": "vit"}, {"backbone": "conv"}, {"backbone": "conv", "kernel": 3}, {"backbone": "cnn"}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(("shape", "time_patches", "visible"), SHAPES)
def test_parameters_and_operations_are_those_that_torch_counts(kind, shape, time_patches, visible):
    config = EncoderConfig(**kind, **shape)
    encoder = AudioEncoder(config)
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == encoder_params(config)
    patches = time_patches * config.mel_patches
    given = random_patches(batch=2, patches=patches, size=config.patch_size)
    mask = None if visible == patches else visible_and_hidden(batch=2, patches=patches, kept=visible)[0]
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # fused kernels are not counted on every device
        tokens = encoder.to("meta").backbone(given.to("meta"), mask if mask is None else mask.to("meta"))
        forward = counter.get_total_flops() // 2
        tokens.sum().backward()
    backward = counter.get_total_flops() // 2 - forward
    if config.backbone == "conv":
        # Torch takes the gradient of a depthwise kernel for that of a dense one: width times the work.
        depthwise = 2 * patches * config.width * config.kernel**2
        backward -= config.depth * depthwise * (config.width - 1)
    assert encoder_flops(config, time_patches, visible) == (forward, backward)


def test_more_visible_patches_than_there_are_cannot_be_counted():
    with pytest.raises(SonoscaleError, match="visible = 49 is not between 0 and the 48 patches"):
        encoder_flops(EncoderConfig(), 12, 49)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"backbone": "conv", "heads": 2}, "heads = 2: backbone = conv has no attention"),
        ({"backbone": "vit", "kernel": 5}, "kernel = 5: backbone = vit has no convolution"),
        ({"backbone": "conv", "kernel": 4}, "kernel = 4 must be odd"),
        ({"backbone": "mamba"}, "backbone.*'vit', 'conv' or 'cnn'"),
        (
            {"backbone": "cnn", "patch_frames": 12},
            "patch_frames = 12: backbone = cnn halves the log-mel; give a power",
        ),
        ({"backbone": "cnn", "width": 36}, "width = 36: backbone = cnn begins with an eighth of its channels"),
        ({"backbone": "cnn", "kernel": 5}, "kernel = 5: backbone = cnn has kernels of 3 x 3"),
        ({"width": 30}, "width = 30 must be a multiple of 4"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_with_its_key(section, message):
    with pytest.raises(SonoscaleError, match=message):
        validate(EncoderConfig, section)
