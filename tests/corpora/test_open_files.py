"""Folders, patterns and single files: what is found, how it is cut, what is reported and not fatal."""

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_corpus
from sonoscale.errors import SonoscaleError


def noise(seconds, seed=0, rate=16_000):
    return (0.1 * np.random.default_rng(seed).standard_normal((round(seconds * rate),))).astype(np.float32)


def write(path, seconds=1.0, seed=0, rate=16_000, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(seconds, seed, rate), rate, **how)
    return path


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "audio"
    write(root / "speech" / "a.flac", 1.0, seed=1)
    write(root / "speech" / "B.WAV", 0.25, seed=2)
    write(root / "music" / "long.wav", 7.4, seed=3, rate=8_000)
    (root / "notes.txt").write_text("not audio")
    return root


def names(corpus):
    return [corpus.name(i) for i in range(len(corpus))]


def test_a_folder_is_all_audio_below_it_in_the_order_of_paths(folder):
    corpus = open_corpus(folder)
    assert names(corpus) == [f"{folder}/{name}" for name in ("music/long.wav", "speech/B.WAV", "speech/a.flac")]
    assert [corpus.seconds(i) for i in range(3)] == [7.4, 0.25, 1.0]
    assert corpus.row(0) == {"path": "music/long.wav", "folder": "music"}
    assert corpus.skipped == ()
    np.testing.assert_array_equal(corpus.wave(2), soundfile.read(folder / "speech/a.flac", dtype="float32")[0])
    assert corpus.wave(0).shape == (round(7.4 * 16_000),)  # from 8 kHz


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("**/*.wav", ["long.wav"]), ("speech/*", ["B.WAV", "a.flac"]), ("*/[aB].*", ["B.WAV", "a.flac"])],
)
def test_a_pattern(folder, pattern, found):
    corpus = open_corpus(f"{folder}/{pattern}")
    assert [Path(name).name for name in names(corpus)] == found


def test_one_file_whatever_its_suffix(folder):
    (folder / "speech" / "a.flac").rename(folder / "a.sound")
    corpus = open_corpus(folder / "a.sound")
    assert names(corpus) == [f"{folder}/a.sound"]
    assert corpus.wave(0).shape == (16_000,)


@pytest.mark.parametrize(
    ("seconds", "limit", "spans"),
    [
        (7.4, 3.0, ["0.0-3.0", "3.0-6.0", "6.0-7.4"]),
        (6.4, 3.0, ["0.0-3.0", "3.0-6.0"]),  # 0.4 s is too little
        (6.5, 3.0, ["0.0-3.0", "3.0-6.0", "6.0-6.5"]),
        (0.3, 3.0, [""]),
        (3.0, 3.0, [""]),
        (0.6, 0.25, ["0.0-0.25", "0.25-0.5"]),
        (7.4, None, [""]),
    ],
)
def test_long_files_are_cut(tmp_path, seconds, limit, spans):
    file = write(tmp_path / "x.wav", seconds, rate=8_000, subtype="FLOAT")
    corpus = open_corpus(tmp_path, max_seconds=limit, sample_rate=8_000)
    assert names(corpus) == [f"{file}@{span}s" if span else str(file) for span in spans]
    joined = np.concatenate([corpus.wave(i) for i in range(len(corpus))])
    np.testing.assert_array_equal(joined, noise(seconds, rate=8_000)[: len(joined)])
    assert sum(corpus.seconds(i) or 0 for i in range(len(corpus))) == pytest.approx(len(joined) / 8_000)
    assert {corpus.group(i) for i in range(len(corpus))} == {"x.wav"}


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "opus"])
def test_chunks_join_to_the_whole_in_every_format(tmp_path, suffix):
    kind = {"opus": ("OGG", "OPUS"), "mp3": ("MP3", None)}.get(suffix, (None, None))
    write(tmp_path / f"x.{suffix}", 10, format=kind[0], subtype=kind[1])
    whole, chunks = open_corpus(tmp_path, max_seconds=None), open_corpus(tmp_path, max_seconds=3)
    assert len(chunks) == 4
    joined = np.concatenate([chunks.wave(i) for i in range(4)])
    np.testing.assert_allclose(joined, whole.wave(0), rtol=0, atol=1e-6)


def test_what_cannot_be_read_is_told_and_not_fatal(folder):
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is not sound\n" * 100)
    (folder / "talk.m4a").write_bytes(b"anything")
    (folder / "._a.wav").write_bytes(b"of macOS")
    soundfile.write(folder / "none.wav", np.zeros(0), 16_000)
    corpus = open_corpus(folder)
    assert len(corpus) == 3
    reported = dict(corpus.skipped)
    assert sorted(reported) == ["empty.wav", "none.wav", "talk.m4a", "text.wav"]
    assert reported["none.wav"] == "holds no audio samples"
    assert reported["talk.m4a"] == ".m4a cannot be decoded here; convert it to FLAC or WAV"
    assert reported["text.wav"].startswith("cannot be decoded as audio (")


def test_what_breaks_later_is_an_error_of_its_clip_alone(folder):
    corpus = open_corpus(folder)
    content = (folder / "speech" / "a.flac").read_bytes()
    (folder / "speech" / "a.flac").write_bytes(content[: len(content) // 2])
    with pytest.raises(SonoscaleError, match=r"speech/a\.flac: cannot be decoded as audio"):
        corpus.wave(2)
    assert corpus.wave(1).shape == (4_000,)


def test_a_clip_with_nan_is_named_with_its_place_in_the_file(tmp_path):
    wave = noise(5)
    wave[40_000] = np.nan
    soundfile.write(tmp_path / "x.wav", wave, 16_000, subtype="FLOAT")
    corpus = open_corpus(tmp_path, max_seconds=2)
    with pytest.raises(SonoscaleError, match=r"x\.wav: NaN or infinite .* at sample 40000 \(2\.500 s\)"):
        corpus.wave(1)
    assert np.isfinite(corpus.wave(0)).all()


def test_a_file_that_does_not_say_how_long_it_is_gives_one_clip_and_a_word(tmp_path):
    write(tmp_path / "x.flac", 5)
    content = bytearray((tmp_path / "x.flac").read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(content)
    whole = open_corpus(tmp_path, max_seconds=None)
    assert (len(whole), whole.seconds(0), len(whole.wave(0))) == (1, None, 80_000)
    some = open_corpus(tmp_path, max_seconds=2)
    assert (len(some), len(some.wave(0))) == (1, 32_000)
    note = "its header does not say how long it is; nothing after 2.0 s is used"
    assert [(name.rsplit("/", 1)[-1], reported) for name, reported in some.notes] == [("x.flac@0.0-2.0s", note)]
    assert some.skipped == whole.skipped == whole.notes == ()  # it is decoded, and no broken clip


def test_identity_follows_content_and_cutting_and_not_the_place(folder, tmp_path):
    before = open_corpus(folder).identity
    moved = folder.rename(tmp_path / "elsewhere")
    assert open_corpus(moved).identity == before
    others = [
        open_corpus(moved, sample_rate=8_000).identity,
        open_corpus(moved, max_seconds=3).identity,
        open_corpus(moved).part([0, 1]).identity,
        open_corpus(moved).part([1, 0, 2]).identity,
    ]
    write(moved / "speech" / "a.flac", 1.0, seed=9)
    others.append(open_corpus(moved).identity)
    assert len({str(identity) for identity in [before, *others]}) == 6


def test_a_part_and_a_pickle_are_the_same_clips(folder):
    corpus = open_corpus(folder, max_seconds=2)
    part = pickle.loads(pickle.dumps(corpus.part([4, 0])))
    assert names(part) == [corpus.name(4), corpus.name(0)]
    np.testing.assert_array_equal(part.wave(0), corpus.wave(4))
    assert len(pickle.dumps(corpus.part([0]))) < len(pickle.dumps(corpus))


def test_workers_that_are_spawned_read_the_same(folder):
    corpus = open_corpus(folder, max_seconds=2)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        theirs = list(pool.map(corpus.wave, range(len(corpus))))
    for i, wave in enumerate(theirs):
        np.testing.assert_array_equal(wave, corpus.wave(i))


def test_opening_reads_headers_and_decodes_nothing(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("decoded")

    monkeypatch.setattr(soundfile.SoundFile, "read", refuse)
    corpus = open_corpus(folder, max_seconds=1)
    assert len(corpus) == 9  # 8 of the long file: 7.4 s have a rest of 0.4 s, so 7; and 2
    with pytest.raises(AssertionError, match="decoded"):
        corpus.wave(0)


def test_home_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert len(open_corpus("~/speech")) == 2


@pytest.mark.parametrize(
    ("spec", "options", "expected"),
    [
        ("absent", {}, r"absent: no such file or folder; audio is a folder, file or pattern, a manifest \(.*\.csv"),
        ("absent", {"kind": "folder"}, "absent: no such file or folder$"),
        ("*.flac", {}, r"\*\.flac: no file matches this pattern"),
        ("empty", {}, r"empty: no audio files here \(looked for \.wav"),
        ("broken", {}, r"broken: no readable audio; 1 skipped, the first: x\.wav: cannot be decoded as audio"),
        ("broken", {"kind": "tar"}, "no kind of audio 'tar'; there are folder, glob, manifest, webdataset, hear, hf"),
        ("broken", {"sample_rate": 0}, "sample_rate = 0: a rate in Hz"),
        ("broken", {"max_seconds": 0.0}, "max_seconds = 0.0: a length of more than 0"),
        ("broken", {"path_column": "file"}, "broken: is of kind folder; path_column is for manifest only"),
        ("broken", {"key": "flac"}, "broken: is of kind folder; key is for webdataset and hf only"),
    ],
)
def test_what_cannot_be_opened(tmp_path, spec, options, expected):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.wav").write_bytes(b"broken")
    with pytest.raises(SonoscaleError, match=expected):
        open_corpus(os.path.join(tmp_path, spec), **options)  # noqa: PTH118


def test_a_metadata_table_in_the_folder_describes_its_files(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a.wav", "b/c.wav", "b/d.wav", "e.wav"):
        soundfile.write(tmp_path / name, np.zeros(1600), 16_000)
    lines = ["file_name,label", "a.wav,dog", "./b/c.wav,cat", "b/d.wav,dog", "b/d.wav,cat", "gone.wav,cat"]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    corpus = open_corpus(tmp_path)
    rows = {corpus.row(i)["path"]: corpus.row(i) for i in range(len(corpus))}
    assert rows["a.wav"] == {"path": "a.wav", "folder": "", "label": "dog"}
    assert rows["b/c.wav"]["label"] == "cat"
    assert "label" not in rows["b/d.wav"]  # it says two things
    assert "label" not in rows["e.wav"]
    (tmp_path / "metadata.csv").write_text("note\nnot of files\n")
    assert open_corpus(tmp_path).row(0) == {"path": "a.wav", "folder": ""}
    (tmp_path / "metadata.csv").write_bytes(b"path,label\na.wav,caf\xe9\n")
    with pytest.raises(SonoscaleError, match=r"metadata\.csv: not readable as text in UTF-8"):
        open_corpus(tmp_path)
