"""Decoding: every format, rate and channel count ends as the same mono sound."""

import numpy as np
import pytest
import soundfile

from sonoscale.audio import read_audio
from sonoscale.errors import SonoscaleError

FORMATS = [
    ("wav", "PCM_16"),
    ("wav", "FLOAT"),
    ("flac", "PCM_24"),
    ("ogg", "VORBIS"),
    ("opus", "OPUS"),
    ("mp3", None),
]


def write(path, wave, rate, subtype):
    kind = {"opus": "OGG", "mp3": "MP3"}.get(path.suffix[1:])
    soundfile.write(path, wave, rate, subtype=subtype, format=kind)


def tone(rate, seconds=1.0, hz=440.0, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
def test_a_tone_survives_every_format_and_rate(tmp_path, suffix, subtype, rate):
    if suffix == "opus" and rate == 44_100:
        pytest.skip("Opus has no 44.1 kHz")
    file = tmp_path / f"tone.{suffix}"
    write(file, tone(rate), rate, subtype)
    wave = read_audio(file)
    assert wave.dtype == np.float32
    assert len(wave) == pytest.approx(16_000, abs=1500)  # lossy codecs pad
    middle = wave[4000:12000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=2)  # 2 Hz bins
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_are_averaged(tmp_path, channels):
    wave = np.stack([tone(16_000, amplitude=0.1 * (c + 1)) for c in range(channels)], axis=1)
    soundfile.write(tmp_path / "many.wav", wave, 16_000, subtype="FLOAT")
    expected = tone(16_000, amplitude=0.1 * (channels + 1) / 2)
    np.testing.assert_allclose(read_audio(tmp_path / "many.wav"), expected, atol=1e-6)


def test_opposite_channels_cancel(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.stack([tone(16_000), -tone(16_000)], axis=1), 16_000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "x.wav")).max() == 0


def test_resampling_removes_what_the_lower_rate_cannot_hold(tmp_path):
    soundfile.write(tmp_path / "high.wav", tone(48_000, hz=11_000), 48_000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "high.wav")[1000:-1000]).max() < 1e-3


def test_missing_file(tmp_path):
    with pytest.raises(SonoscaleError, match=r"absent\.wav: no such audio file"):
        read_audio(tmp_path / "absent.wav")


@pytest.mark.parametrize("content", [b"", b"this is text, not sound", b"RIFF\x00\x00\x00\x00WAVEfmt "])
def test_corrupt_file(tmp_path, content):
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(SonoscaleError, match=r"bad\.wav: cannot be decoded as audio \(.+\)"):
        read_audio(tmp_path / "bad.wav")


def test_no_samples(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 16_000)
    with pytest.raises(SonoscaleError, match="no audio samples"):
        read_audio(tmp_path / "empty.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_named_with_its_place(tmp_path, value):
    wave = tone(16_000)
    wave[8_000] = value
    soundfile.write(tmp_path / "nan.wav", wave, 16_000, subtype="FLOAT")
    with pytest.raises(
        SonoscaleError, match=r"nan\.wav: NaN or infinite samples, the first at sample 8000 \(0\.500 s\)"
    ):
        read_audio(tmp_path / "nan.wav")
