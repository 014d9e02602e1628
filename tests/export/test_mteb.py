"""The MTEB export: batches as MTEB hands them over, and MTEB itself where it is installed."""

import numpy as np
import pytest
import soxr
import torch

from sonoscale.own_code import import_code


@pytest.fixture(scope="module", params=["vit", "conv", "cnn"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def module(export, name):
    made = export(name, "mteb")
    return import_code(str(made.folder / f"sonoscale_mteb_{made.hash}.py"), "test")


def item(wave, rate=16_000):
    return {"array": wave, "sampling_rate": rate}


def test_batches_of_clips_of_unlike_lengths_keep_their_order(module, name, ours, clips, same):
    waves = [clips(1, n, seed=n)[0].numpy() for n in (9_000, 20_000, 9_000, 4_000, 31_000)]
    waves[2] = -0.3 * waves[2][::-1]
    batches = [{"audio": [item(w) for w in waves[:3]], "label": [0, 1, 2]}, {"audio": [item(w) for w in waves[3:]]}]
    found = module.SonoscaleMteb().encode(batches, task_metadata=None, hf_split="test", hf_subset="default")
    assert found.dtype == np.float32
    expected = [ours(name).embed(torch.from_numpy(w.copy())[None])[0].detach() for w in waves]
    same(torch.from_numpy(found), torch.stack(expected))


def test_rates_channels_and_lists_of_floats(module, name, ours, clips, same):
    t = np.arange(44_100) / 44_100
    high = np.stack([np.sin(2 * np.pi * f * t) * 0.3 for f in (500, 900, 4000)]).astype(np.float32)
    batch = {"audio": [item(high, 44_100), item(high[1].tolist(), 44_100), item(clips(1, 500)[0].numpy())]}
    found = module.SonoscaleMteb().encode([batch])
    short = torch.zeros(1, ours(name).min_samples)
    short[:, :500] = clips(1, 500)
    down = [soxr.resample(wave, 44_100, 16_000, quality="HQ") for wave in (high.mean(axis=0), high[1])]
    expected = [ours(name).embed(torch.from_numpy(wave)[None])[0].detach() for wave in down]
    same(torch.from_numpy(found), torch.stack([*expected, ours(name).embed(short)[0].detach()]))
    assert module.SonoscaleMteb().encode([]).shape == (0, ours(name).dim)


def test_without_mteb_it_says_so(module, monkeypatch):
    monkeypatch.setattr(module, "ModelMeta", None)
    with pytest.raises(ImportError, match="mteb cannot be imported: pip install mteb"):
        module.load_model()


def test_mteb_takes_the_model(module, export, name):
    pytest.importorskip("mteb", reason="mteb is not among what the tests install")
    from mteb.models.models_protocols import EncoderProtocol  # pyright: ignore[reportMissingImports]

    model = module.load_model()
    assert isinstance(model, EncoderProtocol)
    assert model.mteb_model_meta.name == f"sonoscale/{export(name, 'mteb').hash}"
    assert model.mteb_model_meta.embed_dim == model.network.dim
