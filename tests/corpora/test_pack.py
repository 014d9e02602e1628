"""Packs: the audio that went in comes out, and a pack that was killed is finished to the same bytes."""

import json
import os
import pickle
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import soxr

from sonoscale.corpora import FileCorpus, check, describe, pack
from sonoscale.corpora._pack import TooManyBrokenError, pack_corpus
from sonoscale.corpora._packed import PackedCorpus, is_pack
from sonoscale.digests import read_sealed, write_sealed
from sonoscale.errors import SonoscaleError

HALF_STEP = 0.5 / 32768


def write_folder(folder, clips=40, subtype="FLOAT"):
    """Clips of different lengths; number 3 exceeds full scale, number 5 touches it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(clips):
        wave = 0.2 * rng.standard_normal(12_000 + 97 * i)
        if i == 3:
            wave *= 10
        if i == 5:
            wave[:3] = [1.0, -1.0, 32767 / 32768]
        soundfile.write(folder / f"{i:03d}.wav", wave, 16_000, subtype=subtype)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return FileCorpus.from_folder(write_folder(tmp_path_factory.mktemp("source") / "audio"))


class Described:
    """A corpus with the metadata of one that `open_corpus` gives."""

    def __init__(self, corpus):
        self.corpus, self.sample_rate = corpus, corpus.sample_rate
        self.identity = {"described": corpus.identity}
        self.skipped = (("elsewhere.wav", "was not even listed"),)

    def __len__(self):
        return len(self.corpus)

    def wave(self, index):
        return self.corpus.wave(index)

    def name(self, index):
        return f"clip {index}"

    def group(self, index):
        return f"speaker {index // 4}"

    def row(self, index):
        if index == 11:
            raise SonoscaleError("clip 11: its json is damaged")
        return {
            "label": f"class {index % 3}", "take": index, "score": index / 7 if index % 2 else None,
            "mixed": index if index % 2 else ["odd"], "labels": ["a", index], "name": "of the source",
            "good": index > 5,
        }  # fmt: skip


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_every_sample_is_within_half_a_step(source, tmp_path):
    packed = pack_corpus(source, tmp_path / "pack", shard_mb=1)
    assert len(packed) == len(source) == 40
    scales = pq.read_table(tmp_path / "pack" / "index.parquet")["scale"].to_pylist()
    for i in range(len(source)):
        wave, original = packed.wave(i), source.wave(i)
        assert wave.dtype == np.float32
        assert wave.shape == original.shape
        rounding = 2**-23 * np.abs(original).max()  # of float32
        assert np.abs(wave - original).max() <= HALF_STEP * scales[i] + rounding
    assert scales[3] == pytest.approx(np.abs(source.wave(3)).max() * 32768 / 32767, rel=0.01)
    assert [i for i, scale in enumerate(scales) if scale != 1] == [3, 5]


def test_16_bit_audio_comes_out_the_same(tmp_path):
    folder = write_folder(tmp_path / "audio", clips=4, subtype="PCM_16")
    full = np.array([-32768, 32767, 0, -1, 1] * 500, dtype=np.int16)
    soundfile.write(folder / "full.wav", full, 16_000, subtype="PCM_16")
    source = FileCorpus.from_folder(folder)
    packed = pack_corpus(source, tmp_path / "pack")
    for i in range(len(source)):
        np.testing.assert_array_equal(packed.wave(i), source.wave(i))


def test_shards_are_raw_little_endian_samples(source, tmp_path):
    pack_corpus(source, tmp_path / "pack", shard_mb=1)
    index = pq.read_table(tmp_path / "pack" / "index.parquet").to_pylist()
    assert {row["shard"] for row in index} == {0, 1}
    for row in index:
        raw = (tmp_path / "pack" / f"shard-{row['shard']:05d}.bin").read_bytes()
        assert len(raw) <= 1 << 20
        stored = np.frombuffer(raw, "<i2", row["samples"], 2 * row["offset"])
        original = soundfile.read(row["name"])[0]
        assert np.abs(stored / 32768 * row["scale"] - original).max() <= HALF_STEP * row["scale"] * (1 + 1e-4)
        assert row["seconds"] == len(original) / 16_000
        assert row["peak"] == pytest.approx(np.abs(original).max(), abs=1e-6)


def test_a_clip_longer_than_a_shard_has_its_own(tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    for i, samples in enumerate([100, 600_000, 100]):
        soundfile.write(folder / f"{i}.wav", np.full(samples, 0.1 * (i + 1)), 16_000)
    packed = pack_corpus(FileCorpus.from_folder(folder), tmp_path / "pack", shard_mb=1)
    sizes = [(tmp_path / "pack" / f"shard-{i:05d}.bin").stat().st_size for i in range(3)]
    assert sizes == [200, 1_200_000, 200]
    assert packed.wave(2)[0] == pytest.approx(0.3, abs=HALF_STEP)


def test_metadata_of_the_source_is_kept(source, tmp_path):
    packed = pack_corpus(Described(source), tmp_path / "pack", workers=1)
    assert packed.name(7) == "clip 7"
    assert packed.group(7) == "speaker 1"
    assert packed.seconds(7) == len(source.wave(7)) / 16_000
    row = {"label": "class 1", "take": 7, "score": 1.0, "mixed": "7", "labels": ["a", 7]}
    row |= {"name": "of the source", "good": True}
    assert packed.row(7) == row
    assert packed.row(8)["score"] is None
    assert packed.skipped == (
        ("elsewhere.wav", "was not even listed"),
        ("clip 11", "clip 11: its json is damaged"),
    )
    assert packed.name(11) == "clip 12"
    part = packed.part([9, 7])
    assert part.row(1) == row
    assert part.skipped == ()


def test_identity_is_of_the_content(source, tmp_path):
    pack_corpus(source, tmp_path / "here")
    moved = tmp_path / "moved"
    (tmp_path / "here").rename(moved)
    other = write_folder(tmp_path / "copy" / "audio")
    again = pack_corpus(FileCorpus.from_folder(other), tmp_path / "again")
    assert again.identity == PackedCorpus.open(moved).identity
    assert again.part([1, 2]).identity != again.part([2, 1]).identity
    soundfile.write(other / "007.wav", np.zeros(500), 16_000)
    assert pack_corpus(FileCorpus.from_folder(other), tmp_path / "changed").identity != again.identity


def test_workers_map_the_shards_themselves(source, tmp_path):
    packed = pack_corpus(source, tmp_path / "pack", shard_mb=1)
    packed.wave(0)  # a map that must not be sent
    sent = pickle.dumps(packed.part(range(30, 40)))
    assert len(sent) < 1000
    part = pickle.loads(sent)
    assert part._maps == {}
    for i in range(10):
        np.testing.assert_array_equal(part.wave(i), packed.wave(30 + i))
    assert isinstance(part._maps[1], np.memmap)


def test_another_rate_is_resampled(source, tmp_path):
    pack_corpus(source, tmp_path / "pack")
    slow = PackedCorpus.open(tmp_path / "pack", sample_rate=8000)
    expected = soxr.resample(source.wave(1), 16_000, 8000, quality="HQ")
    np.testing.assert_allclose(slow.wave(1), expected, atol=2 * HALF_STEP)
    assert slow.seconds(1) == len(source.wave(1)) / 16_000
    assert slow.identity != PackedCorpus.open(tmp_path / "pack").identity


class Slow(FileCorpus):
    """Takes its time, so that there is time to kill."""

    def wave(self, index):
        time.sleep(0.01)
        return super().wave(index)

    def part(self, indices):
        return Slow(self.root, tuple(self.paths[i] for i in indices), self.sample_rate)


def pack_slowly(folder, out, workers):
    found = FileCorpus.from_folder(folder)
    pack_corpus(Slow(found.root, found.paths), out, shard_mb=1, workers=workers, max_broken=0.1)


# The kills come after so many of 7 batches.
@pytest.mark.parametrize(("workers", "kills"), [(1, [1, 3, 4, 6]), (2, [3])])
def test_a_killed_pack_is_finished_to_the_same_bytes(tmp_path, workers, kills):
    folder = write_folder(tmp_path / "audio", clips=110)
    (folder / "050.wav").write_bytes(b"no sound in here")
    corpus = FileCorpus.from_folder(folder)
    pack_corpus(corpus, tmp_path / "whole", shard_mb=1, max_broken=0.1)
    journal = tmp_path / "out" / ".journal.jsonl"
    for batches in kills:
        process = get_context("fork").Process(target=pack_slowly, args=(folder, tmp_path / "out", workers))
        process.start()
        while process.is_alive():
            if journal.is_file() and journal.read_bytes().count(b"\n") > batches:
                process.kill()
            time.sleep(0.002)
        assert process.exitcode == -signal.SIGKILL
    assert not is_pack(tmp_path / "out")
    with pytest.raises(SonoscaleError, match=r"an unfinished pack; give the same `sonoscale data pack` again"):
        PackedCorpus.open(tmp_path / "out")
    seen = []
    packed = pack_corpus(
        corpus, tmp_path / "out", shard_mb=1, max_broken=0.1, progress=lambda done, _: seen.append(done)
    )
    assert seen[0] >= kills[-1] * 16  # it did not start again
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert len(packed) == 109


def test_what_a_crash_left_half_written_does_not_count(source, tmp_path):
    whole = pack_corpus(source, tmp_path / "whole", shard_mb=1)
    out = tmp_path / "out"

    def stop(done, total):
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_corpus(source, out, shard_mb=1, progress=stop)
    with (out / "shard-00000.bin").open("ab") as stream:
        stream.write(b"written, but not in the journal")
    for name in ("index.parquet", "sonoscale-pack.json"):  # by a process that is no more
        (out / f".4194999-{name}").write_bytes(b"half")
    (out / "shard-00001.bin").write_bytes(b"begun too early")
    with (out / ".journal.jsonl").open("ab") as stream:
        stream.write(b'{"handled": 16, "clips": [')
    assert pack_corpus(source, out, shard_mb=1).identity == whole.identity
    assert content(out) == content(tmp_path / "whole")


def test_a_finished_pack_is_left_alone(source, tmp_path):
    pack_corpus(source, tmp_path / "pack")
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "pack").iterdir()}
    pack_corpus(source, tmp_path / "pack", progress=lambda *_: pytest.fail("packed again"))
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "pack").iterdir()} == before
    with pytest.raises(SonoscaleError, match="a finished pack of other audio or with other settings"):
        pack_corpus(source, tmp_path / "pack", shard_mb=3)


def test_broken_files_are_listed_up_to_a_limit(tmp_path):
    folder = write_folder(tmp_path / "audio", clips=40)
    for name in ("004.wav", "033.wav", "037.wav"):
        (folder / name).write_bytes(b"no sound in here")
    corpus, out = FileCorpus.from_folder(folder), tmp_path / "pack"
    with pytest.raises(TooManyBrokenError, match=r"3 clips cannot be read, more than the 5.0% allowed") as caught:
        pack_corpus(corpus, out)
    assert [Path(name).name for name, _ in caught.value.broken] == ["004.wav", "033.wav", "037.wav"]
    assert "\n" not in str(caught.value)
    seen = []
    packed = pack_corpus(corpus, out, max_broken=0.1, progress=lambda done, _: seen.append(done))
    assert seen in ([], [40])  # what was done before was kept
    assert len(packed) == 37
    meta = json.loads((out / "sonoscale-pack.json").read_text())
    assert ["cannot be decoded" in item["reason"] for item in meta["skipped"]] == [True] * 3
    assert packed.name(4).endswith("005.wav")


def test_two_processes_do_not_write_one_pack(source, tmp_path):
    def again(*_):
        with pytest.raises(SonoscaleError, match="another process packs into this folder"):
            pack_corpus(source, tmp_path / "pack")

    assert len(pack_corpus(source, tmp_path / "pack", progress=again)) == 40


def test_an_unfinished_pack_of_something_else_is_not_continued(source, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_corpus(source, tmp_path / "out", progress=stop)
    with pytest.raises(SonoscaleError, match="an unfinished pack of other audio or with other settings"):
        pack_corpus(source.part(range(20)), tmp_path / "out")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda p: os.truncate(p / "shard-00001.bin", 1000), "shard-00001.bin: 1000 bytes where .* truncated"),
        (lambda p: (p / "shard-00000.bin").unlink(), "shard-00000.bin: this shard of the pack is missing"),
        (lambda p: (p / "index.parquet").write_bytes(b"junk"), "index.parquet: damaged or changed"),
        (lambda p: (p / "sonoscale-pack.json").write_text("{"), "sonoscale-pack.json: not the description of a pack"),
        (lambda p: write_sealed(p / "sonoscale-pack.json", {"format": "sonoscale-pack", "version": 9}), "version 9"),
        (lambda p: change(p / "sonoscale-pack.json", b"16000", b"16001"), "sonoscale-pack.json: damaged or changed"),
        (lambda p: reseal(p, shards=[]), "index.parquet: row 0 does not lie in a shard"),
        (lambda p: reseal(p, shards=5), "sonoscale-pack.json: shards = 5"),
        (lambda p: reseal(p, rate=0), "sonoscale-pack.json: rate = 0"),
        (lambda p: reseal(p, clips=41), "index.parquet: 40 clips where sonoscale-pack.json has 41"),
        (lambda p: reseal(p, skipped=[[]]), "sonoscale-pack.json: skipped.0"),
        (lambda p: reseal(p, columns=[{"name": "a", "stored": "b", "json": False}]), "no column 'b'"),
        (lambda p: (p / "sonoscale-pack.json").unlink(), "an unfinished pack"),
    ],
)
def test_damage_is_named(source, tmp_path, damage, expected):
    pack_corpus(source, tmp_path / "pack", shard_mb=1)
    damage(tmp_path / "pack")
    with pytest.raises(SonoscaleError, match=expected):
        PackedCorpus.open(tmp_path / "pack")


def change(file, old, new):
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))


def reseal(folder, **changed):
    """A description that is not true, by someone who knows how to seal it."""
    file = folder / "sonoscale-pack.json"
    write_sealed(file, read_sealed(file, "a description") | changed)


def zero(file):
    """Three quarters of a file, as after a crash; the size stays."""
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(size // 4)
        stream.write(bytes(size - size // 4))


def test_a_damaged_shard_is_found_by_check_and_never_measured(source, tmp_path):
    packed = pack_corpus(source, tmp_path / "pack", shard_mb=1)
    assert isinstance(packed.identity, dict)
    zero(tmp_path / "pack" / "shard-00001.bin")
    again = PackedCorpus.open(tmp_path / "pack")
    expected = r"pack/shard-00001\.bin: damaged: not what the pack recorded"
    with pytest.raises(SonoscaleError, match=expected):
        _ = again.identity
    for verb in (check, describe):
        with pytest.raises(SonoscaleError, match=expected):
            verb(tmp_path / "pack")


def test_a_damaged_journal_is_continued_from_before_the_damage(source, tmp_path):
    whole = pack_corpus(source, tmp_path / "whole", shard_mb=1)
    out, journal = tmp_path / "out", tmp_path / "out" / ".journal.jsonl"

    def stop(done, total):
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_corpus(source, out, shard_mb=1, progress=stop)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[1].replace(b'"samples": 12000', b'"samples": 12001') + b"".join(lines[2:]))
    assert journal.read_bytes() != b"".join(lines)
    assert pack_corpus(source, out, shard_mb=1).identity == whole.identity
    assert content(out) == content(tmp_path / "whole")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".journal.jsonl").write_bytes(lines[0][:5] + b"x" + lines[0][6:])
    with pytest.raises(SonoscaleError, match=r"\.journal\.jsonl: damaged; delete"):
        pack_corpus(source, tmp_path / "other", shard_mb=1)


def test_names_that_are_not_utf8_can_be_packed(tmp_path):
    folder = write_folder(tmp_path / "audio", clips=3)
    os.rename(folder / "001.wav", os.fsencode(folder) + b"/caf\xe9.wav")  # noqa: PTH104
    packed = pack(folder, tmp_path / "pack").corpus
    assert [Path(packed.name(i)).name for i in range(3)] == ["000.wav", "002.wav", r"caf\xe9.wav"]
    assert packed.row(2)["path"] == r"caf\xe9.wav"


def test_a_shard_that_is_cut_while_the_pack_is_open(source, tmp_path):
    packed = pack_corpus(source, tmp_path / "pack", shard_mb=1)
    os.truncate(tmp_path / "pack" / "shard-00001.bin", 1000)
    packed.wave(0)
    with pytest.raises(SonoscaleError, match=r"shard-00001.bin: 1000 bytes"):
        packed.wave(39)


def test_a_folder_that_is_no_pack(tmp_path):
    with pytest.raises(SonoscaleError, match=r"no pack \(sonoscale-pack.json is not there\)"):
        PackedCorpus.open(tmp_path)
