"""Decoding: every format, rate and channel count ends as the same mono sound."""

import io
import multiprocessing
import os
import tracemalloc
import warnings

import numpy as np
import pytest
import soundfile

from sonoscale.audio import read_audio
from sonoscale.audio._read import AudioHeader, read_header
from sonoscale.audio._slice import FileSlice
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


# What lies in memory or in a part of a file, and pieces


def swept(rate, seconds, loud=0.3):
    """Nothing repeats, so a shift of one sample shows; and it is quiet for a while, as MP3's reservoir likes."""
    t = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    gate = np.where(np.sin(2 * np.pi * t / 3) > 0, 1.0, 1e-3)
    return (loud * gate * (0.7 * np.sin(2 * np.pi * (100 + 20 * t) * t) + 0.1 * noise)).astype(np.float32)


def write_in_blocks(path, wave, rate, subtype):  # libsndfile crashes on Vorbis of minutes in one call
    kind = {"opus": "OGG", "mp3": "MP3"}.get(path.suffix[1:])
    channels = 1 if wave.ndim == 1 else wave.shape[1]
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format=kind) as file:
        for i in range(0, len(wave), 8192):
            file.write(wave[i : i + 8192])


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
def test_bytes_streams_and_slices_are_the_file(tmp_path, suffix, subtype):
    file = tmp_path / f"x.{suffix}"
    write(file, swept(16_000, 2), 16_000, subtype)
    content = file.read_bytes()
    (tmp_path / "around.bin").write_bytes(b"before" * 7 + content + b"after" * 99)
    part = FileSlice(tmp_path / "around.bin", 42, len(content))
    assert part.read() == content
    whole = read_audio(file)
    piece = read_audio(file, start=0.7, stop=1.3)
    for source in (content, io.BytesIO(content), part, str(file)):
        np.testing.assert_array_equal(read_audio(source), whole)
        np.testing.assert_array_equal(read_audio(source, start=0.7, stop=1.3), piece)
        assert read_header(source) == AudioHeader(16_000, 32_000, 1)


@pytest.mark.parametrize("order", ["forwards", "backwards", "overlapping"])
@pytest.mark.parametrize(("suffix", "subtype"), [*FORMATS, ("aiff", "PCM_16"), ("wav", "IMA_ADPCM")])
def test_pieces_are_what_the_whole_file_holds_there(tmp_path, suffix, subtype, order):
    file = tmp_path / f"x.{suffix}"
    write_in_blocks(file, swept(16_000, 12.3), 16_000, subtype)
    whole = read_audio(file)
    edges = np.arange(0, len(whole) / 16_000, 1.7)
    spans = [(a, a + (1.7 if order != "overlapping" else 4)) for a in edges]
    for start, stop in spans[::-1] if order == "backwards" else spans:
        expected = whole[round(start * 16_000) : round(stop * 16_000)]
        # Of MP3, decoding in one go and in pieces differ in rounding; seeking would be off by its full amplitude.
        np.testing.assert_allclose(read_audio(file, start=start, stop=stop), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(read_audio(file, start=11.0), whole[176_000:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_pieces_at_another_rate_join_to_the_whole(tmp_path, rate):
    write(tmp_path / "x.wav", swept(rate, 3), rate, "FLOAT")
    pieces = [read_audio(tmp_path / "x.wav", start=t, stop=t + 1) for t in range(3)]
    assert [len(piece) for piece in pieces] == [16_000] * 3
    off = np.abs(np.concatenate(pieces) - read_audio(tmp_path / "x.wav"))
    edge = 320  # where a piece's neighbour would have had a say, 20 ms
    inside = np.concatenate([off[t * 16_000 + edge : (t + 1) * 16_000 - edge] for t in range(3)])
    assert inside.max() < 1e-5


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
def test_a_piece_takes_the_memory_of_a_piece(tmp_path, suffix, subtype):
    file = tmp_path / f"long.{suffix}"
    write_in_blocks(file, np.tile(swept(8_000, 10), (2, 10)).T, 8_000, subtype)  # stereo: 6.4 MB decoded
    read_audio(file, start=1, stop=2)
    tracemalloc.start()
    try:
        read_audio(file, start=80, stop=82, sample_rate=8_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5e6


def test_a_file_that_changes_between_pieces_is_read_anew(tmp_path):
    for amplitude in (0.2, 0.4):
        write(tmp_path / "x.mp3", tone(16_000, 6, amplitude=amplitude), 16_000, None)
        os.utime(tmp_path / "x.mp3", (amplitude * 1e9, amplitude * 1e9))
        for start in (1, 2, 3):
            assert np.abs(read_audio(tmp_path / "x.mp3", start=start, stop=start + 1)).max() == pytest.approx(
                amplitude, rel=0.1
            )


def _hear_pieces(file, pipe):
    pipe.send([read_audio(file, start=t, stop=t + 0.5) for t in (2.0, 2.5, 4.0)])


def test_a_forked_process_does_not_disturb_the_pieces_of_its_parent(tmp_path):
    file = tmp_path / "x.mp3"
    write(file, swept(16_000, 8), 16_000, None)
    whole = read_audio(file)
    read_audio(file, start=1.0, stop=2.0)  # the parent's decoder stands at 2 s
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process that has threads
        child = context.Process(target=_hear_pieces, args=(file, there))
        child.start()
    theirs = here.recv()
    child.join()
    for start, piece in zip((2.0, 2.5, 4.0), theirs, strict=True):
        np.testing.assert_allclose(piece, whole[int(start * 16_000) :][:8000], rtol=0, atol=1e-6)
    np.testing.assert_allclose(read_audio(file, start=2.0, stop=3.0), whole[32_000:48_000], rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg", "txt", "raw", "none"])
@pytest.mark.parametrize(("kind", "subtype"), [("flac", "PCM_16"), ("wav", "PCM_16"), ("ogg", "VORBIS"), ("mp3", None)])
def test_content_counts_and_not_the_suffix(tmp_path, kind, subtype, suffix):
    write(tmp_path / f"right.{kind}", swept(16_000, 1), 16_000, subtype)
    (tmp_path / f"wrong.{suffix}").write_bytes((tmp_path / f"right.{kind}").read_bytes())
    np.testing.assert_array_equal(read_audio(tmp_path / f"wrong.{suffix}"), read_audio(tmp_path / f"right.{kind}"))


def test_an_mp3_that_begins_with_something_else_is_found_by_its_suffix_alone(tmp_path):
    write(tmp_path / "x.mp3", swept(16_000, 2), 16_000, None)
    whole = read_audio(tmp_path / "x.mp3")
    (tmp_path / "x.mp3").write_bytes(bytes(100) + (tmp_path / "x.mp3").read_bytes())
    np.testing.assert_allclose(read_audio(tmp_path / "x.mp3"), whole, atol=1e-6)
    with pytest.raises(SonoscaleError, match=r"^a member: cannot be decoded as audio \(.+\)"):
        read_audio((tmp_path / "x.mp3").read_bytes(), name="a member")


def test_many_channels_and_a_high_rate(tmp_path):
    wave = np.stack([tone(384_000, 0.5, amplitude=0.01 * c) for c in range(8)], axis=1)
    soundfile.write(tmp_path / "x.wav", wave, 384_000, subtype="FLOAT")
    expected = tone(16_000, 0.5, amplitude=0.035)
    np.testing.assert_allclose(read_audio(tmp_path / "x.wav")[500:-500], expected[500:-500], atol=1e-4)
    np.testing.assert_allclose(
        read_audio(tmp_path / "x.wav", start=0.1, stop=0.4)[500:-500], expected[1600:6400][500:-500], atol=1e-4
    )
    assert read_header(tmp_path / "x.wav") == AudioHeader(384_000, 192_000, 8)


def test_silence_and_a_single_sample(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(1000), 16_000)
    soundfile.write(tmp_path / "one.wav", np.array([0.5]), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "one48.wav", np.array([0.5]), 48_000)
    assert not read_audio(tmp_path / "silent.wav").any()
    assert read_audio(tmp_path / "one.wav").tolist() == [0.5]
    with pytest.raises(SonoscaleError, match=r"one48\.wav: too short to resample from 48000 to 16000 Hz"):
        read_audio(tmp_path / "one48.wav")


def test_nan_outside_of_a_piece_does_no_harm_and_inside_is_placed_in_the_file(tmp_path):
    wave = tone(16_000, 3)
    wave[24_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "nan.wav", start=2), wave[32_000:])
    with pytest.raises(SonoscaleError, match=r"first at sample 24000 \(1\.500 s\)"):
        read_audio(tmp_path / "nan.wav", start=1, stop=2)


@pytest.mark.parametrize(("start", "stop"), [(3.0, None), (5.0, 6.0), (1.0, 1.0)])
@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_a_piece_without_audio(tmp_path, suffix, start, stop):
    write(tmp_path / f"x.{suffix}", tone(16_000, 2), 16_000, None)
    with pytest.raises(SonoscaleError, match=rf"x\.{suffix}: holds no audio samples from {start:g} s to"):
        read_audio(tmp_path / f"x.{suffix}", start=start, stop=stop)


def test_a_flac_that_does_not_say_how_long_it_is(tmp_path):
    wave = swept(16_000, 5)
    soundfile.write(tmp_path / "x.flac", wave, 16_000)
    content = bytearray((tmp_path / "x.flac").read_bytes())
    content[21] &= 0xF0  # 36 bits of STREAMINFO: the number of samples; 0 is 'unknown'
    content[22:26] = bytes(4)
    (tmp_path / "y.flac").write_bytes(content)
    assert read_header(tmp_path / "y.flac") == AudioHeader(16_000, None, 1)
    np.testing.assert_array_equal(read_audio(tmp_path / "y.flac"), read_audio(tmp_path / "x.flac"))
    np.testing.assert_array_equal(
        read_audio(tmp_path / "y.flac", start=4, stop=9), read_audio(tmp_path / "x.flac", start=4)
    )


def test_a_flac_that_is_cut_off_is_good_up_to_the_cut(tmp_path):
    soundfile.write(tmp_path / "x.flac", swept(16_000, 10), 16_000)
    first = read_audio(tmp_path / "x.flac", stop=2)
    content = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(content[: len(content) // 2])
    np.testing.assert_array_equal(read_audio(tmp_path / "x.flac", stop=2), first)
    for start, stop in ((0.0, None), (8.0, None), (8.0, 9.0)):
        with pytest.raises(SonoscaleError, match=r"x\.flac: cannot be decoded as audio \(.+\)"):
            read_audio(tmp_path / "x.flac", start=start, stop=stop)
