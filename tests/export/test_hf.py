"""The Hugging Face export, loaded by transformers from its folder as anyone would."""

import copy
import json

import numpy as np
import pytest
import torch

from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=["vit", "conv", "cnn"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folder(export, name):
    return str(export(name, "hf").folder)


@pytest.fixture(scope="module")
def model(folder):
    loaded, info = transformers.AutoModel.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    return loaded


@pytest.fixture(scope="module")
def extractor(folder):
    return transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)


def test_clips_of_unlike_lengths_in_one_batch_are_each_as_alone(model, extractor, name, ours, clips, same):
    lengths = (16_000, 30_011, ours(name).min_samples, 16_000, 23_000)
    waves = [clips(1, n, seed=i)[0] for i, n in enumerate(lengths)]
    inputs = extractor([w.numpy() for w in waves], sampling_rate=16_000, return_tensors="pt")
    assert inputs["attention_mask"].sum(dim=1).tolist() == list(lengths)
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=True)
        alone = [ours(name).embed(w[None])[0] for w in waves]
        layers = [ours(name).embed_layers(w[None])[:, 0] for w in waves]
    same(out.pooler_output, torch.stack(alone))
    own = model.step_lengths(torch.tensor(lengths)).tolist()
    assert out.last_hidden_state.shape == (5, max(own), ours(name).dim)
    for i, wave in enumerate(waves):
        frames = ours(name).embed_frames(wave[None])[0][0].detach()
        assert len(frames) == own[i]
        torch.testing.assert_close(out.last_hidden_state[i, : own[i]], frames, rtol=0, atol=1e-5)
        assert not out.last_hidden_state[i, own[i] :].any()
        means = torch.stack([hidden[i, : own[i]].mean(dim=0) for hidden in out.hidden_states])
        torch.testing.assert_close(means, layers[i], rtol=0, atol=1e-5)

    loud = [waves[0], 0.9 * torch.sign(torch.randn(40_000)), *waves[2:]]  # another neighbour, and more padding
    others = extractor([w.numpy() for w in loud], sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        kept = model(**others).pooler_output
    torch.testing.assert_close(kept[[0, 2, 3, 4]], out.pooler_output[[0, 2, 3, 4]], rtol=0, atol=1e-6)
    others["input_values"][others["attention_mask"] == 0] = 7.0  # what the padding holds is ignored
    with torch.no_grad():
        torch.testing.assert_close(model(**others).pooler_output, kept, rtol=0, atol=0)


def test_without_a_mask_and_as_a_tuple(model, ours, name, clips, same):
    waves = clips(3, 12_000)
    with torch.no_grad():
        hidden, pooled = model(waves, return_dict=False)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = [model(waves).pooler_output]
        rough.append(copy.deepcopy(model).bfloat16()(waves).pooler_output)
    same(pooled, ours(name).embed(waves).detach())
    torch.testing.assert_close(hidden.mean(dim=1), pooled)
    for found in rough:
        assert found.dtype == torch.float32
        assert 0 < (found - pooled).abs().max() < 0.1
    model(waves).pooler_output.sum().backward()  # it can be trained further
    trained = [p for n, p in model.encoder.backbone.named_parameters() if n != "mask_token"]  # nothing is hidden here
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)
    model.zero_grad()


def test_what_the_extractor_takes(extractor, clips):
    one = clips(1, 8_000)[0].numpy()
    for given in (one, one.tolist(), [one], one[None], [one.tolist()]):
        inputs = extractor(given, sampling_rate=16_000, return_tensors="pt")
        assert inputs["input_values"].shape == (1, 8_000)
        assert inputs["input_values"].dtype == torch.float32
        np.testing.assert_array_equal(inputs["input_values"][0], one)
    with pytest.raises(ValueError, match="the model hears 16000 Hz, not 44100 Hz"):
        extractor(one, sampling_rate=44_100)
    with pytest.raises(ValueError, match=r"must be mono, \[samples\], not \[2, 8000\]"):
        extractor([np.stack([one, one])], sampling_rate=16_000)


def test_what_the_model_refuses(model, ours, name):
    samples = ours(name).min_samples
    with pytest.raises(ValueError, match="shorter than one patch"):
        model(torch.zeros(1, samples - 1))
    mask = torch.ones(2, samples + 100, dtype=torch.long)
    mask[1, :50] = 0
    with pytest.raises(ValueError, match="padded at their ends"):
        model(torch.zeros(2, samples + 100), attention_mask=mask)


def test_saved_again_and_made_new(model, folder, tmp_path, clips, same, name, ours):
    waves = clips(2, 9_000)
    model.save_pretrained(tmp_path / "again")
    again = transformers.AutoModel.from_pretrained(tmp_path / "again", trust_remote_code=True)
    with torch.no_grad():
        same(again(waves).pooler_output, ours(name).embed(waves))
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
    new = transformers.AutoModel.from_config(config, trust_remote_code=True)
    assert torch.equal(new.encoder.front_end(waves), ours(name).front_end(waves))


def test_our_adapter(folder, name, ours, clips, same):
    with pytest.raises(SonoscaleError, match=r"write \?trust_remote_code=true behind its name"):
        load_encoder(f"hf:{folder}")
    with pytest.raises(SonoscaleError, match="trust_remote_code = maybe is neither true nor false"):
        load_encoder(f"hf:{folder}?trust_remote_code=maybe")
    encoder = load_encoder(f"hf:{folder}?trust_remote_code=true")
    own = ours(name)
    assert (encoder.sample_rate, encoder.dim, encoder.layers, encoder.min_samples) == (
        16_000, own.dim, own.layers, own.min_samples,
    )  # fmt: skip
    waves = clips(3, 20_000)
    same(encoder.embed(waves), own.embed(waves).detach())
    torch.testing.assert_close(encoder.embed_layers(waves), own.embed_layers(waves).detach(), rtol=0, atol=1e-5)
    frames, times = encoder.embed_frames(waves)
    torch.testing.assert_close(frames, own.embed_frames(waves)[0].detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(times, own.embed_frames(waves)[1], rtol=0, atol=0.05)


def test_the_card_says_what_the_record_says(export, runs):
    folder = export("vit", "hf").folder
    card = (folder / "README.md").read_text()
    last = json.loads((runs["vit"] / "record.json").read_text())["budgets"][-1]
    rank = last["rank_centred"]
    assert f"**{rank['value']:.2f}**, 95 % interval {rank['low']:.2f} to {rank['high']:.2f}, of 32 held-out" in card
    assert "`rankme_centred` (centred, eps 0)" in card
    assert f"{last['flops']:.3g} FLOPs in all" in card
    assert "Objective `mae`, 4 steps, 32 clips" in card
    assert "# license: fill in" in card
    assert '"root": "sounds"' in card
    assert "/home/somebody" not in "".join(
        f.read_text() for f in folder.iterdir() if f.suffix in (".md", ".json", ".py")
    )
