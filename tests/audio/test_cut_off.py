"""Audio files that end too early are known as such, whole ones never."""

import io

import numpy as np
import pytest
import soundfile

from sonoscale.audio._cut_off import _frame_length, cut_off
from sonoscale.audio._read import read_header
from sonoscale.corpora import check, open_corpus, pack
from sonoscale.errors import SonoscaleError

WAVE = 0.1 * np.random.default_rng(0).standard_normal(32_000)

FORMATS = [
    ("WAV", "PCM_16", 1), ("WAV", "PCM_24", 2), ("WAV", "FLOAT", 1), ("WAV", "MS_ADPCM", 1), ("WAV", "ULAW", 3),
    ("WAVEX", "PCM_16", 2), ("RF64", "PCM_16", 1), ("W64", "PCM_16", 2), ("AIFF", "PCM_16", 1), ("AIFF", "PCM_24", 2),
    ("AU", "PCM_16", 1), ("AU", "FLOAT", 2), ("OGG", "VORBIS", 1), ("OGG", "OPUS", 2), ("MP3", "MPEG_LAYER_III", 1),
    ("MP3", "MPEG_LAYER_III", 2),
]  # fmt: skip


def encoded(form: str, subtype: str, channels: int, rate: int = 16_000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.stack([WAVE] * channels, axis=1), rate, subtype=subtype, format=form)
    return out.getvalue()


def why(content: bytes) -> str:
    return cut_off(io.BytesIO(content), len(content))


@pytest.mark.parametrize(("form", "subtype", "channels"), FORMATS)
def test_a_whole_file_is_whole_and_a_cut_one_is_not(form, subtype, channels):
    content = encoded(form, subtype, channels)
    assert why(content) == ""
    for share in (0.3, 0.5, 0.77, 0.9):
        assert why(content[: int(share * len(content))]).startswith("cut off: "), share


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 32_000, 44_100, 48_000])
def test_mp3_at_any_rate(rate):
    content = encoded("MP3", "MPEG_LAYER_III", 2, rate)
    first = _frame_length(content[:4])
    assert first
    bare = content[first:]  # without the frame that says how long it is
    assert why(content) == why(bare) == why(bare + b"TAG" + bytes(125)) == ""
    assert why(b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + content) == ""
    assert why(content[: len(content) // 2]).startswith("cut off: its header promises")
    assert why(bare[:-7]) == "cut off: its last frame is not whole"


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024])
def test_sizes_that_were_not_known_when_the_header_was_written_promise_nothing(size):
    content = bytearray(encoded("WAV", "PCM_16", 1))
    at = content.index(b"data") + 4
    content[at : at + 4] = size.to_bytes(4, "little")
    assert why(bytes(content)) == ""


def test_how_much_is_missing_is_said():
    content = encoded("WAV", "PCM_16", 1)
    assert why(content[:32_044]) == "cut off: its header promises 2.000 s, of which 1.000 s are there"
    assert why(content[:-100]) == ""  # a few samples: programs that do not count well
    assert read_header(content[:32_044]).cut_off == why(content[:32_044])


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg", "aiff", "flac"])
def test_check_names_them_and_pack_leaves_them_out(tmp_path, suffix):
    folder = tmp_path / "audio"
    folder.mkdir()
    for i in range(4):
        soundfile.write(folder / f"{i}.{suffix}", WAVE * (1 + i), 16_000)
    assert check(folder).broken == []
    content = (folder / f"2.{suffix}").read_bytes()
    (folder / f"2.{suffix}").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        SonoscaleError,
        match=rf"1 of 4 clips cannot be read.*\n.*2\.{suffix}: .*(cut off|holds no audio|decoder lost sync)",
    ):
        check(folder)
    packed = pack(folder, tmp_path / "pack", max_broken=0.5)
    assert [row["name"].endswith(f"2.{suffix}") for row in packed.rows()] == [True]
    if suffix in ("wav", "mp3", "aiff"):  # the others cannot be decoded in part
        notes = open_corpus(folder).notes
        assert len(notes) == 1
        assert notes[0][1].startswith("cut off: ")


def test_of_a_long_recording_the_last_clip_is_the_one_that_is_cut_off(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile(WAVE, 5), 16_000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    found = check(tmp_path, max_seconds=2.0, max_broken=0.5)
    assert len(found.broken) == 1
    assert "a.wav@4.0-4.999s" in found.broken[0]


@pytest.mark.parametrize("seed", range(4))
def test_any_bytes_give_an_answer(seed):
    rng = np.random.default_rng(seed)
    for form, subtype, channels in FORMATS:
        content = bytearray(encoded(form, subtype, channels)[:3000])
        for _ in range(100):
            for place in rng.integers(0, min(len(content), 200), 4):
                content[place] = rng.integers(256)
            assert isinstance(why(bytes(content)), str)
