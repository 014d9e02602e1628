"""What a probe reads of tokens: against NumPy, without neighbours and without padding."""

import numpy as np
import pytest
import torch

from sonoscale.audio import LogMelConfig
from sonoscale.corpora import build_features
from sonoscale.encoders import READOUTS, AudioEncoder, EncoderConfig, load_encoder, read_store, readout, with_readouts
from sonoscale.errors import SonoscaleError

BANDS, WIDTH = 4, 16


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    config = EncoderConfig(backbone="vit", width=WIDTH, depth=1, n_mels=64, patch_mels=16, patch_frames=16)
    return AudioEncoder(config, mean=-3.0, std=2.0).eval()


@pytest.fixture(scope="module")
def spec(encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    content = {"config": {"encoder": encoder.config.model_dump()}, "encoder": encoder.state_dict()}
    torch.save(content, folder / "checkpoint.pt")
    return str(folder)


def noise(samples, seed):
    return 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def by_hand(tokens, bands, name):
    """The readout of one clip, token by token: token i is of step i // bands and of band i % bands."""
    rows = [row.astype(np.float64) for row in tokens]
    parts = [rows[band::bands] for band in range(bands)] if name.startswith("frequency") else [rows]
    means = [sum(part) / len(part) for part in parts]
    deviations = [
        np.sqrt(sum((row - mean) ** 2 for row in part) / len(part)) for part, mean in zip(parts, means, strict=True)
    ]
    return np.concatenate(means + (deviations if name.endswith("+std") else []))


@pytest.mark.parametrize(
    ("name", "width"), [("mean", 16), ("mean+std", 32), ("frequency", 4 * 16), ("frequency+std", 2 * 4 * 16)]
)
def test_every_readout_is_what_numpy_makes_of_the_tokens(encoder, spec, name, width):
    wave = noise(24_000, 1)
    with torch.inference_mode():
        tokens = encoder.tokens(encoder.front_end(wave).transpose(1, 2))[0].numpy()
    expected = by_hand(tokens, BANDS, name)
    read = with_readouts(load_encoder(spec), [name])
    assert read.dim == width == len(expected)
    np.testing.assert_allclose(read.embed(wave)[0], expected, atol=1e-5)
    with torch.inference_mode():
        np.testing.assert_allclose(with_readouts(encoder, [name]).embed(wave)[0], expected, atol=1e-5)


def test_the_bands_of_a_readout_lie_where_the_sound_does():
    """Of tokens that are their own patches, a change in the highest band changes the last part alone."""
    quiet, loud = torch.zeros(1, 6 * BANDS, 2), torch.zeros(1, 6 * BANDS, 2)
    loud[:, BANDS - 1 :: BANDS] = 1
    difference = readout(loud, BANDS, "frequency") - readout(quiet, BANDS, "frequency")
    assert difference[0].tolist() == [0, 0, 0, 0, 0, 0, 1, 1]


class Waves:
    def __init__(self, waves):
        self.waves, self.sample_rate, self.identity = waves, 16_000, {"waves": len(waves)}

    def __len__(self):
        return len(self.waves)

    def wave(self, index):
        return self.waves[index]

    def name(self, index):
        return str(index)


@pytest.mark.parametrize("name", READOUTS)
def test_a_store_of_clips_of_any_length_gives_what_each_clip_gives_alone(encoder, tmp_path, name):
    waves = [noise(n, seed=n)[0].numpy() for n in (4_000, 32_000, 9_999, 32_100, 4_001, 15_000)]
    store = build_features(Waves(waves), LogMelConfig(n_mels=64), tmp_path, dtype="float32")
    found = read_store(encoder, store, [name], tokens_per_batch=64)[name][0]
    alone = with_readouts(encoder, [name])
    with torch.inference_mode():
        expected = np.concatenate([alone.embed(torch.from_numpy(wave)[None]).numpy() for wave in waves])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", READOUTS)
def test_neighbours_in_the_batch_change_nothing(spec, name):
    read = with_readouts(load_encoder(spec), [name])
    waves = torch.cat([noise(16_000, seed) * 10.0 ** (seed - 2) for seed in range(4)])
    together = read.embed(waves)
    for i in range(4):
        torch.testing.assert_close(together[i], read.embed(waves[i : i + 1])[0], atol=1e-5, rtol=1e-4)


def test_the_default_is_the_encoder_itself(encoder):
    assert with_readouts(encoder, ["mean"]) is encoder


def test_log_mel_statistics_are_read_out_alike():
    encoder, wave = load_encoder("logmel:16"), noise(16_000, 0)
    frames = encoder.embed_frames(wave)[0][0].numpy()
    statistics = encoder.embed(wave)
    for name in ("mean+std", "frequency+std"):
        torch.testing.assert_close(with_readouts(encoder, [name]).embed(wave), statistics)
    found = with_readouts(encoder, ["frequency"]).embed(wave)
    np.testing.assert_allclose(found[0], frames.mean(axis=0), atol=1e-5)


def test_an_untrained_twin_is_as_wide_as_the_trained_encoder(spec):
    for name in READOUTS:
        trained, fresh = (with_readouts(load_encoder(one), [name]) for one in (spec, f"untrained:{spec}"))
        assert trained.dim == fresh.dim
        assert (name == "mean") != trained.identity.endswith(f" readout={name}")


class Frames:
    """Somebody's encoder, of three frames without frequency."""

    sample_rate, dim, layers, identity, min_samples = 16_000, 2, None, "somebody's", 1

    def embed(self, wave):
        return self.embed_frames(wave)[0].mean(dim=1)

    def embed_layers(self, wave):
        raise NotImplementedError

    def embed_frames(self, wave):
        steps = torch.stack([wave[:, :3], wave[:, 3:6]], dim=2)
        return steps, torch.arange(3.0)


def test_other_encoders_are_read_by_their_frames():
    read, wave = with_readouts(Frames(), ["mean+std"]), noise(16_000, 0)
    steps = np.stack([wave[0, :3], wave[0, 3:6]], axis=1)
    np.testing.assert_allclose(read.embed(wave)[0], np.concatenate([steps.mean(0), steps.std(0)]), atol=1e-6)


class Bare(Frames):
    def embed_frames(self, wave):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("encoder", "name", "message"),
    [
        (Frames(), "frequency", r"somebody's: readout frequency needs patches along .*read mean or mean\+std"),
        (Bare(), "mean+std", r"somebody's: gives no frames, which readout mean\+std reads"),
        (Frames(), "median", r"there is no 'median'; there are mean, mean\+std, frequency, frequency\+std"),
    ],
)  # fmt: skip
def test_a_readout_that_an_encoder_does_not_give(encoder, name, message):
    with pytest.raises(SonoscaleError, match=message):
        with_readouts(encoder, [name])


def test_a_layer_has_no_readouts_but_its_mean(spec):
    with pytest.raises(SonoscaleError, match="load it without layer="):
        with_readouts(load_encoder(spec, layer=0), ["frequency"])


def test_each_layer_is_read_out_as_its_tokens_say(encoder, spec, tmp_path):
    waves = [noise(24_000, 1), noise(24_000, 2)]
    frames = encoder.front_end(torch.cat(waves)).transpose(1, 2)
    with torch.inference_mode():
        tokens = encoder.backbone.forward_layers(encoder.patches(frames)).numpy()  # [layers, clips, tokens, width]
    names = list(READOUTS)
    expected = [
        np.stack([np.concatenate([by_hand(clip, BANDS, name) for name in names]) for clip in layer]) for layer in tokens
    ]
    for one in (encoder, load_encoder(spec)):
        reader = with_readouts(one, names)
        with torch.inference_mode():
            found = reader.embed_layers(torch.cat(waves)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert {name: rows.shape[-1] for name, rows in reader.split(found).items()} == reader.widths  # pyright: ignore[reportAttributeAccessIssue]
        with torch.inference_mode():
            np.testing.assert_allclose(reader.embed(torch.cat(waves)), expected[-1], atol=1e-5)
    store = build_features(
        Waves([wave[0].numpy() for wave in waves]), LogMelConfig(n_mels=64), tmp_path, dtype="float32"
    )
    kept = read_store(encoder, store, names, layers=True)
    np.testing.assert_allclose(np.concatenate([kept[name] for name in names], axis=2), expected, atol=1e-4)
