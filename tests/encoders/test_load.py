"""One string for every encoder: kinds, our own checkpoints, devices."""

import pytest
import torch

from sonoscale.encoders import AudioEncoder, CheckedEncoder, Encoder, EncoderConfig, load_encoder
from sonoscale.errors import SonoscaleError


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    config = EncoderConfig(backbone="vit", width=32, depth=2)
    encoder = AudioEncoder(config, mean=-8.0, std=3.0)
    content = {"config": {"encoder": config.model_dump()}, "encoder": encoder.state_dict()}
    torch.save(content, tmp_path / "checkpoint.pt")
    return tmp_path, encoder.eval()


def test_our_own_as_a_path_and_as_text(checkpoint, contract, close):
    folder, encoder = checkpoint
    bare, checked = load_encoder(folder), load_encoder(str(folder))
    assert isinstance(bare, AudioEncoder)
    assert isinstance(bare, Encoder)
    assert isinstance(checked, CheckedEncoder)
    waves, found = contract(checked, 16_000)
    with torch.no_grad():
        close(found, encoder.embed(waves))
        close(bare.embed(waves), encoder.embed(waves))
        close(checked.embed_layers(waves).transpose(0, 1), encoder.embed_layers(waves).transpose(0, 1))
        frames, times = encoder.embed_frames(waves)
    close(checked.embed_frames(waves)[0], frames)
    assert torch.equal(checked.embed_frames(waves)[1], times)
    assert checked.layers == bare.layers == 3
    assert bare.identity in checked.identity
    assert str(folder) in checked.identity
    assert load_encoder(str(folder / "checkpoint.pt")).embed(waves).equal(found)


def test_our_own_says_the_shortest_clip(checkpoint):
    encoder = load_encoder(str(checkpoint[0]))
    assert encoder.embed(torch.zeros(1, encoder.min_samples)).shape == (1, 32)
    with pytest.raises(SonoscaleError, match=r"shorter than the 2912 \(0\.182 s"):
        encoder.embed(torch.zeros(1, encoder.min_samples - 1))
    with pytest.raises(SonoscaleError, match="shorter than one patch"):  # the encoder itself agrees
        load_encoder(checkpoint[0]).embed(torch.zeros(1, encoder.min_samples - 1))


def test_identity_follows_the_weights(checkpoint):
    folder, encoder = checkpoint
    before = load_encoder(folder).identity
    assert before == encoder.identity
    content = torch.load(folder / "checkpoint.pt")
    content["encoder"]["std"] += 0.001
    torch.save(content, folder / "checkpoint.pt")
    assert load_encoder(folder).identity != before


def test_bf16_on_the_cpu_keeps_log_mels_and_pooling_in_float32(checkpoint, close):
    folder, _ = checkpoint
    wave = 0.1 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    full, half = (load_encoder(str(folder), precision=p) for p in ("fp32", "bf16"))
    close(half.embed(wave), full.embed(wave), rtol=0.02)
    assert not torch.equal(half.embed(wave), full.embed(wave))
    close(half.embed_frames(wave)[0].mean(1), half.embed(wave))
    values = half.embed(wave)
    assert not torch.equal(values, values.bfloat16().float())  # a mean in bf16 would have 8 bits


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "nowhere: no such run folder or checkpoint file"),
        ("", "no such run folder|not a Sonoscale checkpoint"),
        ("tensorhub:name", "tensorhub: is no kind of encoder; kinds: hear, hf, .* xares, or a run folder"),
        ("hear:", "no module named; write"),
        ("xares:", "no module named; write"),
        ("python:", "write python:module:factory"),
        ("onnx:", "no such file"),
        ("hf:", "no such folder|needs transformers"),
    ],
)
def test_a_spec_of_no_kind_is_an_error_of_one_line(spec, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SonoscaleError, match=message) as error:
        load_encoder(spec)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
@pytest.mark.parametrize("device", ["cuda", "gpu", "cuda:7"])
def test_a_device_that_is_not_there(checkpoint, device):
    with pytest.raises(SonoscaleError, match=f"device = '{device}': "):
        load_encoder(str(checkpoint[0]), device=device)


def test_a_path_takes_no_settings_of_foreign_encoders(checkpoint):
    with pytest.raises(SonoscaleError, match="precision and layer are for specs given as text"):
        load_encoder(checkpoint[0], precision="bf16")  # pyright: ignore[reportCallIssue,reportArgumentType]
