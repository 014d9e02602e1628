"""The contract that every encoder loaded by `load_encoder` keeps, checked the same way for all."""

import numpy as np
import pytest
import torch

from sonoscale.encoders import Encoder


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clips(count, samples, rate):
    """Unlike clips of one length: noise, tones, a click, at unlike levels."""
    t = torch.arange(samples) / rate
    waves = noise(count, samples, seed=samples)
    for i in range(1, count):
        waves[i] = waves[i] * 0.5**i + 0.7**i * torch.sin(2 * torch.pi * 200 * i * t) * (t > 0.1 * i * t[-1])
    return waves.float()


def assert_close(found, expected, rtol=1e-5):
    """Each row is within `rtol` of the expected one, relative to its norm."""
    found, expected = found.double().flatten(1), expected.double().flatten(1)
    assert found.shape == expected.shape
    error = (found - expected).norm(dim=1) / expected.norm(dim=1)
    assert error.max() <= rtol, f"relative error {error.max():.2e}"


def check_contract(encoder, samples):
    waves = clips(5, samples, encoder.sample_rate)
    together = encoder.embed(waves)
    assert isinstance(encoder, Encoder)
    assert together.shape == (5, encoder.dim)
    assert together.dtype == torch.float32
    spread = torch.cdist(together, together) + torch.eye(5) * together.norm()
    assert spread.min() > 1e-3 * together.norm(dim=1).max()  # else a constant would pass

    # Alone, elsewhere in the batch, beside other clips, beside silence: the same vector.
    assert_close(torch.cat([encoder.embed(w[None]) for w in waves]), together)
    order = [3, 0, 4, 2, 1]
    assert_close(encoder.embed(waves[order]), together[order])
    others = clips(4, samples, encoder.sample_rate).flip(1)
    assert_close(encoder.embed(torch.cat([others, waves[2:3], torch.zeros(1, samples)]))[4:5], together[2:3])

    # Neither led by nor leading the generators of the program.
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state(legacy=False)  # noqa: NPY002
    assert torch.equal(encoder.embed(waves), together)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state(legacy=False)["state"]["pos"] == before[1]["state"]["pos"]  # noqa: NPY002
    (together * torch.ones(encoder.dim, requires_grad=True)).sum().backward()  # a probe can be trained on it

    if encoder.layers is not None:
        layers = encoder.embed_layers(waves)
        assert layers.shape == (encoder.layers, 5, encoder.dim)
        assert_close(layers[-1], together)
        assert_close(encoder.embed_layers(waves[1:2]).transpose(0, 1), layers[:, 1:2].transpose(0, 1))
        assert (layers[0] - layers[-1]).norm() > 1e-3 * together.norm()
    return waves, together


def save_pretrained(folder, model, extractor, scale=3.0):
    """Save as `save_pretrained` does, the matrices enlarged so that random weights separate clips."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture
def contract():
    """`contract(encoder, samples)` -> (waves, embeddings) once the contract has been found kept."""
    return check_contract


@pytest.fixture
def close():
    return assert_close


@pytest.fixture
def save():
    """`save(folder, model, extractor)` -> the spec of a model of transformers, its matrices enlarged."""
    return save_pretrained


@pytest.fixture
def seeded():
    """Random weights that are the same in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
