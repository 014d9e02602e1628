"""Our encoder: positions, pooling, and no leak between the clips of a batch."""

import numpy as np
import pytest
import torch

from sonoscale.audio import LogMelConfig
from sonoscale.corpora import build_features
from sonoscale.encoders import (
    AudioEncoder,
    Encoder,
    EncoderConfig,
    embed_store,
    load_encoder,
    patchify,
    sincos_positions,
)
from sonoscale.errors import SonoscaleError


class Waves:
    """A corpus of given waveforms."""

    sample_rate = 16_000

    def __init__(self, waves):
        self.waves = waves

    @property
    def identity(self):
        return {"waves": [float(np.abs(w).sum()) for w in self.waves]}

    def __len__(self):
        return len(self.waves)

    def wave(self, index):
        return self.waves[index]

    def name(self, index):
        return f"wave {index}"


def make(width=32, depth=2, **kwargs):
    torch.manual_seed(0)
    config = EncoderConfig(backbone="vit", width=width, depth=depth, **kwargs)
    return AudioEncoder(config, mean=-8.0, std=3.0).eval()


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_implements_the_protocol():
    assert isinstance(make(), Encoder)


def test_patchify_puts_each_patch_where_it_belongs():
    frames = torch.arange(2 * 7 * 6).reshape(2, 7, 6).float()  # 7 frames: the last one is in no whole patch
    patches = patchify(frames, patch_frames=3, patch_mels=2)
    assert patches.shape == (2, 2 * 3, 6)
    for t in range(2):
        for f in range(3):
            expected = frames[:, 3 * t : 3 * t + 3, 2 * f : 2 * f + 2].reshape(2, 6)
            torch.testing.assert_close(patches[:, t * 3 + f], expected)


def test_positions_separate_every_place_and_extend_to_longer_clips():
    short, long = sincos_positions(5, 4, 32), sincos_positions(9, 4, 32)
    torch.testing.assert_close(long[:20], short)
    distances = torch.cdist(long, long) + 10 * torch.eye(36)
    assert distances.min() > 0.1
    # Half of the code is the same along time, the other half along frequency.
    grid = long.reshape(9, 4, 32)
    assert torch.equal(grid[:, 0, :16], grid[:, 3, :16])
    assert torch.equal(grid[0, :, 16:], grid[8, :, 16:])


def test_a_clip_alone_and_in_a_batch():
    encoder, wave = make(), noise(5, 20_000)
    together = encoder.embed(wave)
    alone = torch.cat([encoder.embed(w[None]) for w in wave])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_embedding_is_the_mean_of_frames_and_the_last_layer():
    encoder, wave = make(), noise(3, 24_000)
    embedding = encoder.embed(wave)
    frames, centres = encoder.embed_frames(wave)
    torch.testing.assert_close(frames.mean(1), embedding, rtol=0, atol=1e-5)
    layers = encoder.embed_layers(wave)
    assert layers.shape == (3, 3, 32)
    torch.testing.assert_close(layers[-1], embedding, rtol=0, atol=1e-5)
    assert (layers[0] - layers[1]).abs().max() > 0.01
    assert torch.allclose(centres.diff(), torch.tensor(160.0))  # 16 frames of 10 ms


def test_time_stamps_are_where_the_sound_is():
    encoder = make(patch_frames=4)
    wave = torch.zeros(1, 32_000)
    wave[0, 20_000:20_400] = noise(400) * 5  # a burst at 1.25 to 1.275 s
    steps, centres = encoder.embed_frames(wave)
    quiet = encoder.embed_frames(torch.zeros(1, 32_000))[0]
    embed = encoder.backbone.get_submodule("embed")
    tokens, quiet_tokens = (
        embed(encoder.patches(encoder.front_end(w).transpose(1, 2))) for w in (wave, torch.zeros(1, 32_000))
    )
    changed = (tokens - quiet_tokens).abs().sum(-1).reshape(-1, 4).sum(1)
    assert abs(centres[changed.argmax()].item() - 1262.5) <= 40
    assert steps.shape == quiet.shape


def test_too_short_a_clip_says_what_a_patch_needs():
    with pytest.raises(SonoscaleError, match=r"10 frames is shorter than one patch of 16 frames \(0\.182 s\)"):
        make().embed(noise(1, 512 + 9 * 160))


def test_a_store_of_clips_of_any_length_gives_what_the_waveforms_give(tmp_path):
    waves = [noise(n, seed=n).numpy() for n in (4_000, 32_000, 9_999, 32_100, 4_000, 15_000)]
    encoder = make()
    store = build_features(Waves(waves), LogMelConfig(n_mels=64), tmp_path)
    found = embed_store(encoder, store, tokens_per_batch=64)
    expected = torch.cat([encoder.embed(torch.from_numpy(w)[None]) for w in waves]).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_loading_something_else_is_an_error_of_one_line(tmp_path):
    with pytest.raises(SonoscaleError, match="nowhere: no such run folder"):
        load_encoder(tmp_path / "nowhere")
    for content in (b"", b"not a checkpoint"):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(SonoscaleError, match=r"checkpoint\.pt: truncated or damaged, or not a file of this kind"):
            load_encoder(tmp_path)
    torch.save({"weights": torch.zeros(3)}, tmp_path / "checkpoint.pt")
    with pytest.raises(SonoscaleError, match="not a Sonoscale checkpoint"):
        load_encoder(tmp_path)
