"""What an encoder must beat."""

import numpy as np
import pytest
import torch

from mels import power_mels
from sonoscale.audio import LogMel
from sonoscale.encoders import AudioEncoder, EncoderConfig, load_encoder
from sonoscale.errors import SonoscaleError


def test_log_mel_statistics_are_those_of_another_library():
    wave = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    for spec, bands in (("logmel:", 64), ("logmel:40", 40)):
        encoder = load_encoder(spec)
        expected = np.log(power_mels(wave, bands) + LogMel.FLOOR)
        found = encoder.embed(torch.from_numpy(wave)[None])[0].numpy()
        np.testing.assert_allclose(found[:bands], expected.mean(axis=1), atol=1e-4)
        np.testing.assert_allclose(found[bands:], expected.std(axis=1), atol=1e-4)


@pytest.fixture
def checkpoint(tmp_path):
    config = EncoderConfig(backbone="vit", width=16, depth=1)
    torch.manual_seed(5)
    encoder = AudioEncoder(config, mean=-3.0, std=2.0)
    content = {"config": {"encoder": config.model_dump()}, "encoder": encoder.state_dict()}
    torch.save(content, tmp_path / "checkpoint.pt")
    return tmp_path


def test_an_untrained_encoder_has_the_shape_and_not_the_weights(checkpoint):
    wave = 0.1 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    specs = (str(checkpoint), f"untrained:{checkpoint}", f"untrained:{checkpoint}", f"untrained:{checkpoint}?seed=1")
    trained, fresh, again, other = (load_encoder(spec) for spec in specs)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(fresh.embed(wave), again.embed(wave))
    assert fresh.dim == trained.dim
    for one, another in ((fresh, trained), (fresh, other)):
        assert not torch.allclose(one.embed(wave), another.embed(wave), atol=1e-2)
        assert one.identity != another.identity


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("logmel:many", "write logmel or logmel:BANDS, with 8 to 256 bands"),
        ("logmel:4", "with 8 to 256 bands"),
        ("untrained:/no/such/run", "no such run folder"),
        ("untrained:run?seed=x", "seed = x: must be a whole number"),
    ],
)
def test_baselines_that_cannot_be(spec, expected):
    with pytest.raises(SonoscaleError, match=expected):
        load_encoder(spec)
