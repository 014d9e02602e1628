"""Content is known by all of it, is read once while a file stays as it is, and sealed JSON shows every change."""

import contextlib
import hashlib
import os
import time

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import FileCorpus, open_corpus
from sonoscale.digests import file_digests, read_sealed, write_sealed
from sonoscale.errors import SonoscaleError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SONOSCALE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def bytes_read() -> int:
    with open("/proc/self/io") as stream:  # noqa: PTH123
        return int(stream.readline().split()[1])


def test_digests_are_sha256_of_all_of_a_file(tmp_path, cache):
    contents = [b"", b"a", bytes(1 << 20)]
    files = [tmp_path / str(i) for i in range(3)]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    expected = [hashlib.sha256(content).hexdigest() for content in contents]
    for _ in range(2):
        assert file_digests([*files, tmp_path / "none", tmp_path]) == [*expected, None, None]


def test_a_file_that_stays_is_read_once_and_one_that_changes_is_read_again(tmp_path, cache):
    file = tmp_path / "file"
    file.write_bytes(bytes(1 << 22))
    time.sleep(0.15)
    first, before = file_digests([file]), bytes_read()
    assert file_digests([file]) == first
    assert bytes_read() - before < 1 << 20
    times = file.stat()
    with file.open("r+b") as stream:
        stream.seek(1 << 21)
        stream.write(b"x")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as `touch -r` does
    assert file_digests([file]) != first


def test_a_file_that_changes_at_once_is_seen_to_change(tmp_path, cache):
    file = tmp_path / "file"
    for i in range(200):
        file.write_bytes(i.to_bytes(8, "little"))
        assert file_digests([file]) == [hashlib.sha256(i.to_bytes(8, "little")).hexdigest()]


@pytest.mark.parametrize("damage", [b"", b"damaged", b"SQLite format 3\0" + bytes(4080)])
def test_a_damaged_store_of_digests_is_begun_anew(tmp_path, cache, damage):
    file = tmp_path / "file"
    file.write_bytes(b"content")
    time.sleep(0.15)
    expected = [hashlib.sha256(b"content").hexdigest()]
    assert file_digests([file]) == expected
    (cache / "digests.sqlite").write_bytes(damage)
    assert file_digests([file]) == expected
    assert file_digests([file]) == expected


def test_a_cache_that_is_no_folder_is_done_without(tmp_path, cache):
    cache.write_text("in the way")
    file = tmp_path / "file"
    file.write_bytes(b"content")
    time.sleep(0.15)
    assert file_digests([file]) == [hashlib.sha256(b"content").hexdigest()]


def edited_in_the_middle(folder):
    """A recording of 20 s whose second half is replaced; size and times as before."""
    file = folder / "long.wav"
    rng = np.random.default_rng(0)
    wave = 0.1 * rng.standard_normal(320_000)
    soundfile.write(file, wave, 16_000, subtype="PCM_16")

    def edit():
        times = file.stat()
        wave[100_000:200_000] = 0.1 * rng.standard_normal(100_000)
        soundfile.write(file, wave, 16_000, subtype="PCM_16")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    return edit


def a_folder(folder):
    return open_corpus(folder)


def files(folder):
    return FileCorpus.from_folder(folder)


def a_manifest(folder):
    (folder / "list.csv").write_text("path\nlong.wav\n")
    return open_corpus(folder / "list.csv")


@pytest.mark.parametrize("corpus", [a_folder, files, a_manifest])
def test_audio_that_was_edited_in_the_middle_is_other_audio(tmp_path, cache, corpus):
    (tmp_path / "audio").mkdir()
    edit = edited_in_the_middle(tmp_path / "audio")
    before = corpus(tmp_path / "audio").identity
    assert corpus(tmp_path / "audio").identity == before
    edit()
    assert corpus(tmp_path / "audio").identity != before


def test_a_tar_shard_that_was_edited_in_the_middle_is_other_audio(tmp_path, cache):
    import tarfile

    (tmp_path / "audio").mkdir()
    edit = edited_in_the_middle(tmp_path / "audio")
    found = []
    for _ in range(2):
        with tarfile.open(tmp_path / "shard.tar", "w") as tar:
            tar.add(tmp_path / "audio" / "long.wav", "long.wav")
        found.append(open_corpus(tmp_path / "shard.tar").identity)
        edit()
    assert found[0] != found[1]


def test_a_saved_data_set_that_was_edited_in_the_middle_is_other_audio(tmp_path, cache):
    datasets = pytest.importorskip("datasets")
    file = tmp_path / "a.wav"
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(320_000), 16_000, subtype="PCM_16")
    dataset = datasets.Dataset.from_dict({"audio": [{"bytes": file.read_bytes(), "path": "a.wav"}]})
    dataset.save_to_disk(tmp_path / "saved")
    before = open_corpus(tmp_path / "saved", key="audio").identity
    arrow = next((tmp_path / "saved").glob("*.arrow"))
    content = bytearray(arrow.read_bytes())
    content[len(content) // 2] ^= 1
    arrow.write_bytes(content)
    assert open_corpus(tmp_path / "saved", key="audio").identity != before


def test_sealed_json_comes_back_and_shows_every_flipped_bit(tmp_path):
    file = tmp_path / "sealed.json"
    content = {"a": 1.5, "names": ["x", "\u00e9", "caf\udce9"], "inner": {"n": None, "rate": 16_000}}
    write_sealed(file, content)
    content["names"][2] = r"caf\xe9"  # UTF-8 cannot hold it
    assert read_sealed(file, "a test") == content
    whole = file.read_bytes()
    noticed = 0
    for place in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        with contextlib.suppress(SonoscaleError):
            assert read_sealed(file, "a test") == content  # a blank that became another one
            continue
        noticed += 1
    assert noticed > 7 * len(whole)


@pytest.mark.parametrize("text", ["", "[1]", "{}", "null", "[" * 100_000, '{"digest": 1}', "\udce9"])
def test_what_is_not_sealed_json_is_refused_in_one_line(tmp_path, text):
    file = tmp_path / "sealed.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SonoscaleError, match=r"sealed\.json: .*") as caught:
        read_sealed(file, "a test")
    assert "\n" not in str(caught.value)
