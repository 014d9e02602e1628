"""Tar shards as WebDataset's own writer makes them, read in place."""

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_corpus
from sonoscale.corpora._tar import expand_braces
from sonoscale.errors import SonoscaleError

RATE = 16_000


def wave(i, seconds=1.0):
    return (0.1 * np.random.default_rng(i).standard_normal(round(RATE * seconds))).astype(np.float32)


def encoded(i, kind="flac", seconds=1.0):
    stream = io.BytesIO()
    soundfile.write(stream, wave(i, seconds), RATE, format=kind)
    return stream.getvalue()


def decoded(content):
    return soundfile.read(io.BytesIO(content), dtype="float32")[0]


def write_shards(folder, shards=3, each=4, kind="flac", **members):
    """As X-ARES packs its tasks: wds-audio-*.tar with key.flac and key.json."""
    webdataset = pytest.importorskip("webdataset")
    folder.mkdir(exist_ok=True)
    for shard in range(shards):
        with webdataset.TarWriter(str(folder / f"wds-audio-{shard:06d}.tar")) as writer:
            for i in range(each):
                n = shard * each + i
                said = {"json": json.dumps({"label": n, "speaker": f"s{n % 2}"}).encode()}
                writer.write({"__key__": f"clip_{n}", kind: encoded(n, kind.rpartition(".")[2]), **said, **members})
    return folder


def write_tar(file, members, form=tarfile.PAX_FORMAT):
    with tarfile.open(file, "w", format=form) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


@pytest.mark.parametrize("spec", ["", "/wds-audio-*.tar", "/wds-audio-{000000..000002}.tar"])
@pytest.mark.parametrize("kind", ["flac", "wav", "mp3"])
def test_shards_give_what_webdataset_gives(tmp_path, kind, spec):
    webdataset = pytest.importorskip("webdataset")
    folder = write_shards(tmp_path / "esc50", kind=kind)
    corpus = open_corpus(f"{folder}{spec}")
    urls = [str(folder / f"wds-audio-{i:06d}.tar") for i in range(3)]
    theirs = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(corpus) == len(theirs) == 12
    for i, sample in enumerate(theirs):
        np.testing.assert_allclose(corpus.wave(i), decoded(sample[kind]), rtol=0, atol=1e-6)
        said = json.loads(sample["json"])
        shard = f"wds-audio-{i // 4:06d}.tar"
        assert corpus.row(i) == {"__key__": sample["__key__"], "__url__": shard, **said}
        assert corpus.name(i) == f"{folder}/{shard}/{sample['__key__']}.{kind}"
        assert corpus.seconds(i) == 1.0
    assert corpus.skipped == ()


def test_one_shard_and_shards_without_audio(tmp_path):
    folder = write_shards(tmp_path / "task")
    write_tar(folder / "wds-encoded-000000.tar", {"clip_0.pth": b"an embedding", "clip_0.json": b"{}"})
    assert len(open_corpus(folder / "wds-audio-000001.tar")) == 4
    assert open_corpus(folder).skipped == (("wds-encoded-000000.tar", "no audio in this shard"),)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_folders_and_other_members(tmp_path, form):
    deep = "a.b/" + "d" * 90 + "/" + "k" * 80
    members = {
        f"{deep}.FLAC": encoded(0),
        f"{deep}.cls": b"7\n",
        f"{deep}.txt": "wörds".encode(),
        f"{deep}.npy": b"not looked at",
        "README": b"read me",
        ".hidden.wav": b"no",
        "plain.json": b"[1, 2]",
        "plain.wav": encoded(1, "wav"),
    }
    corpus = open_corpus(write_tar(tmp_path / "x.tar", members, form))
    assert corpus.row(0) == {"__key__": deep, "__url__": "x.tar", "cls": 7, "txt": "wörds"}
    assert corpus.row(1) == {"__key__": "plain", "__url__": "x.tar", "json": [1, 2]}
    np.testing.assert_array_equal(corpus.wave(0), decoded(encoded(0)))
    np.testing.assert_array_equal(corpus.wave(1), decoded(encoded(1, "wav")))


def test_a_long_member_is_cut_and_read_in_pieces(tmp_path):
    members = {"a.flac": encoded(0), "b.mp3": encoded(1, "mp3", 10.0), "b.json": b'{"who": "x"}'}
    corpus = open_corpus(write_tar(tmp_path / "x.tar", members), max_seconds=3)
    assert [corpus.name(i).rpartition("/")[2] for i in range(5)] == [
        "a.flac", "b.mp3@0.0-3.0s", "b.mp3@3.0-6.0s", "b.mp3@6.0-9.0s", "b.mp3@9.0-10.0s",
    ]  # fmt: skip
    joined = np.concatenate([corpus.wave(i) for i in range(1, 5)])
    np.testing.assert_allclose(joined, decoded(members["b.mp3"]), rtol=0, atol=1e-6)
    assert {corpus.group(i) for i in range(1, 5)} == {"x.tar/b.mp3"}
    assert corpus.row(4)["who"] == "x"


def test_several_audio_members_need_a_choice(tmp_path):
    members = {"0.mix.flac": encoded(0), "0.voice.flac": encoded(1)}
    file = write_tar(tmp_path / "x.tar", members)
    with pytest.raises(SonoscaleError, match=r"sample '0' has several audio members \(mix\.flac, voice\.flac\)"):
        open_corpus(file)
    np.testing.assert_array_equal(open_corpus(file, key="voice.flac").wave(0), decoded(members["0.voice.flac"]))
    with pytest.raises(SonoscaleError, match=r"no member '\.wav' in this shard"):
        open_corpus(file, key="wav")


@pytest.mark.parametrize("where", ["inside", "between", "header"])
def test_a_truncated_shard_is_good_up_to_the_cut(tmp_path, where):
    folder = write_shards(tmp_path / "task", shards=1)
    file = folder / "wds-audio-000000.tar"
    with tarfile.open(file) as tar:
        third = [m for m in tar if m.name.endswith(".flac")][2]
    place = {"inside": third.offset_data + 1000, "between": third.offset, "header": third.offset + 100}[where]
    file.write_bytes(file.read_bytes()[:place])
    corpus = open_corpus(file)
    assert [corpus.row(i)["__key__"] for i in range(len(corpus))] == ["clip_0", "clip_1"]
    np.testing.assert_array_equal(corpus.wave(1), decoded(encoded(1)))
    assert any("cut off" in reason for _, reason in corpus.skipped), corpus.skipped


def test_broken_members_and_shards_are_told(tmp_path):
    folder = write_shards(tmp_path / "task", shards=1)
    write_tar(folder / "b.tar", {"bad.wav": b"broken", "good.wav": encoded(0, "wav"), "good.json": b"{broken"})
    (folder / "c.tar").write_bytes(b"no tar file" * 100)
    (folder / "d.tar").write_bytes(b"")
    corpus = open_corpus(folder)
    assert len(corpus) == 5
    assert [name for name, _ in corpus.skipped] == ["c.tar", "d.tar", "b.tar/bad.wav"]
    with pytest.raises(SonoscaleError, match=r"b\.tar/good\.wav: its \.json in .* cannot be read"):
        corpus.row(0)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz"])
def test_compressed_shards_are_refused(tmp_path, name):
    content = write_tar(tmp_path / "plain.tar", {"a.wav": encoded(0, "wav")}).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content))
    with pytest.raises(SonoscaleError, match=f"{name}: compressed with gzip, which rules out reading at random"):
        open_corpus(tmp_path / name)


def test_a_shard_of_a_pattern_that_is_missing(tmp_path):
    write_shards(tmp_path / "task", shards=1)
    with pytest.raises(SonoscaleError, match=r"wds-audio-000001\.tar: no such tar file \(from "):
        open_corpus(f"{tmp_path}/task/wds-audio-{{000000..000001}}.tar")


def test_identity_follows_content(tmp_path):
    folder = write_shards(tmp_path / "task")
    before = open_corpus(folder).identity
    moved = folder.rename(tmp_path / "elsewhere")
    assert open_corpus(moved).identity == before
    assert open_corpus(moved).part(range(11)).identity != before
    write_tar(moved / "wds-audio-000002.tar", {"clip_8.flac": encoded(9)})
    assert open_corpus(moved).identity != before


@pytest.mark.parametrize(
    ("pattern", "expanded"),
    [
        ("a.tar", ["a.tar"]),
        ("{0..2}.tar", ["0.tar", "1.tar", "2.tar"]),
        ("{08..10}.tar", ["08.tar", "09.tar", "10.tar"]),
        ("{a,b}-{1..2}.tar", ["a-1.tar", "a-2.tar", "b-1.tar", "b-2.tar"]),
        ("x{a,{1..2}}.tar", ["xa.tar", "x1.tar", "x2.tar"]),
    ],
)
def test_braces_expand_as_webdataset_expands_them(pattern, expanded):
    assert expand_braces(pattern) == expanded
    braceexpand = pytest.importorskip("braceexpand")
    assert list(braceexpand.braceexpand(pattern)) == expanded


def test_hard_links_are_the_member_that_they_name(tmp_path):
    """As GNU tar writes the second of two names of one file."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, link, kind in [
            ("0.flac", "", tarfile.REGTYPE), ("1.flac", "0.flac", tarfile.LNKTYPE), ("2.flac", "gone", tarfile.LNKTYPE),
            ("3.flac", "0.flac", tarfile.SYMTYPE),
        ]:  # fmt: skip
            info = tarfile.TarInfo(name)
            content = encoded(0) if kind == tarfile.REGTYPE else b""
            info.size, info.type, info.linkname = len(content), kind, link
            tar.addfile(info, io.BytesIO(content))
    corpus = open_corpus(tmp_path / "a.tar")
    assert len(corpus) == 2
    np.testing.assert_array_equal(corpus.wave(1), corpus.wave(0))
    assert corpus.skipped == (
        ("a.tar/2.flac", "a hard link to 'gone', which is not among the members before it"),
        ("a.tar/3.flac", "a symbolic link to '0.flac', which is not followed"),
    )


@pytest.mark.parametrize("size", [-512, -(1 << 40), 1 << 62])
def test_a_member_of_an_impossible_size_ends_a_shard(tmp_path, size):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("0.flac")
        info.size = len(encoded(0))
        tar.addfile(info, io.BytesIO(encoded(0)))
    content = (tmp_path / "a.tar").read_bytes()
    info = tarfile.TarInfo("1.flac")
    info.size = size
    end = 512 + -(-len(encoded(0)) // 512) * 512
    (tmp_path / "a.tar").write_bytes(content[:end] + info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    corpus = open_corpus(tmp_path / "a.tar")
    assert len(corpus) == 1
    assert "damaged or cut off" in corpus.skipped[0][1]
