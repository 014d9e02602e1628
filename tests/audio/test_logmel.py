"""The front end against other libraries."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mels import filters, power_mels
from sonoscale.audio import LogMel, LogMelConfig, mel_filterbank
from sonoscale.errors import SonoscaleError


def sound(seconds, rate=16_000, seed=0):
    """Noise, a chirp and silence: the whole range of levels."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    t = np.arange(n) / rate
    wave = 0.3 * np.sin(2 * np.pi * (100 + 1500 * t) * t) + 10 ** rng.uniform(-4, -1) * rng.standard_normal(n)
    wave[n // 2 : n // 2 + n // 8] = 0
    return wave.astype(np.float32)


SIZES = [(bands, rate) for bands in (40, 64, 80, 128) for rate in (16_000, 32_000)]


@pytest.mark.parametrize(("n_mels", "rate"), SIZES)
def test_agrees_with_transformers(n_mels, rate):
    config = LogMelConfig(sample_rate=rate, n_mels=n_mels)
    wave = sound(2.0, rate)
    power = power_mels(wave, n_mels, rate=rate, n_fft=config.n_fft, window=config.window, hop=config.hop)
    ours = LogMel(config)(torch.from_numpy(wave)[None])[0].numpy()
    assert ours.shape == power.shape
    np.testing.assert_allclose(ours, np.log(power + LogMel.FLOOR), atol=1e-4)


def test_filters_agree_with_transformers():
    np.testing.assert_allclose(mel_filterbank(16_000, 512, 64), filters(512, 64, 16_000).T, atol=1e-8)


@pytest.mark.slow  # it compiles for 20 seconds in a new environment
@pytest.mark.parametrize(("n_mels", "rate"), SIZES)
def test_agrees_with_librosa(n_mels, rate):
    import librosa

    config = LogMelConfig(sample_rate=rate, n_mels=n_mels)
    wave = sound(2.0, rate)
    power = librosa.feature.melspectrogram(
        y=wave.astype(np.float64),
        sr=rate, n_fft=config.n_fft, win_length=config.window, hop_length=config.hop, n_mels=n_mels,
        window="hann", center=False, power=2.0,
    )  # fmt: skip
    ours = LogMel(config)(torch.from_numpy(wave)[None])[0].numpy()
    assert ours.shape == power.shape
    np.testing.assert_allclose(ours, np.log(power + LogMel.FLOOR), atol=1e-4)


def test_defaults_are_25_and_10_ms_at_16_khz():
    config = LogMelConfig()
    assert (config.window, config.hop, config.n_fft) == (400, 160, 512)


@settings(deadline=None, max_examples=30)
@given(samples=st.integers(512, 40_000))
def test_frames_and_samples_agree_with_what_is_computed(samples):
    config = LogMelConfig()
    frames = LogMel(config)(torch.zeros(1, samples)).shape[-1]
    assert frames == config.frames(samples)
    assert config.samples(frames) <= samples < config.samples(frames + 1)


def test_what_follows_a_clip_changes_none_of_its_frames():
    front_end = LogMel()
    short = torch.from_numpy(sound(1.0))[None]
    longer = torch.cat([short, torch.randn(1, 5000)], dim=1)
    alone, followed = front_end(short), front_end(longer)
    torch.testing.assert_close(alone, followed[..., : alone.shape[-1]], rtol=0, atol=1e-5)


def test_digital_silence_is_the_floor():
    assert torch.allclose(LogMel()(torch.zeros(1, 1600)), torch.tensor(np.log(1e-8)).float())


def test_too_short_a_clip_says_how_long_a_window_is():
    with pytest.raises(SonoscaleError, match=r"511 samples is shorter than one analysis window .512 samples, 32 ms"):
        LogMel()(torch.zeros(1, 511))
