"""Which kind a string is taken for; the procedural corpus; real audio, where it is at hand."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from sonoscale.corpora import open_corpus
from sonoscale.corpora._open import _kind
from sonoscale.corpora._pack import pack_corpus
from sonoscale.corpora.procedural import ProceduralCorpus
from sonoscale.errors import SonoscaleError

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SONOSCALE_TEST_DATA") or ROOT.parent / "shared" / "data")
real = pytest.mark.skipif(
    not (DATA / "pool").is_dir(), reason="no real audio: set SONOSCALE_TEST_DATA to a folder with pool/ and tasks/"
)


@pytest.mark.parametrize(
    ("files", "spec", "kind"),
    [
        (["x/a.wav", "x/b.tar", "x/c.parquet", "x/list.csv"], "x", "folder"),
        (["x/deep/deeper/a.MP3", "x/shard.tar"], "x", "folder"),
        (["x/shard-0.tar", "x/notes.txt"], "x", "webdataset"),
        (["x/data/train.parquet"], "x", "hf"),
        (["x/state.json", "x/data.arrow"], "x", "hf"),
        (["x/dataset_dict.json"], "x", "hf"),
        (["x/task_metadata.json", "x/16000/train/a.wav"], "x", "hear"),
        (["x/sonoscale-pack.json", "x/a.wav"], "x", "packed"),
        (["x/notes.txt"], "x", "folder"),
        (["x/a.flac"], "x/a.flac", "folder"),
        (["x/a.unknown"], "x/a.unknown", "folder"),
        (["x/a.tsv"], "x/a.tsv", "manifest"),
        (["x/a.JSONL"], "x/a.JSONL", "manifest"),
        (["x/a.parquet"], "x/a.parquet", "manifest"),
        (["x/a.tar"], "x/a.tar", "webdataset"),
        ([], "x/{000..010}.tar", "webdataset"),
        ([], "x/*.tar", "webdataset"),
        ([], "x/a.tar.gz", "webdataset"),
        ([], "x/**/*.flac", "glob"),
        (["x[1]/a.wav"], "x[1]", "folder"),
    ],
)
def test_the_kind_of_what_lies_there(tmp_path, files, spec, kind):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    assert _kind(f"{tmp_path}/{spec}") == kind


@pytest.mark.parametrize(
    ("spec", "kind"), [("hf:owner/name", "hf"), ("procedural", "procedural"), ("procedural:test?clips=3", "procedural")]
)
def test_the_kind_of_what_has_a_prefix(spec, kind):
    assert _kind(spec) == kind


def test_a_kind_that_is_given_wins(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(1000, 0.1), 16_000)
    (tmp_path / "list.txt").write_text("path,who\na.wav,x\n")
    (tmp_path / "list.txt").rename(tmp_path / "list.csv")
    assert open_corpus(tmp_path / "list.csv").row(0) == {"who": "x"}
    with pytest.raises(SonoscaleError, match="no tar files"):
        open_corpus(tmp_path, kind="webdataset")
    with pytest.raises(SonoscaleError, match=r"list\.csv: no readable audio; 1 skipped"):
        open_corpus(tmp_path / "list.csv", kind="folder")


def test_procedural_clips_are_those_of_the_corpus():
    corpus = open_corpus("procedural:test?clips=6&seed=3&seconds=1.5&domains=music,environment")
    direct = ProceduralCorpus("test", 6, 3, 1.5, ("music", "environment"))
    assert len(corpus) == 6
    part = pickle.loads(pickle.dumps(corpus.part([4, 1])))
    for i, j in ((0, 4), (1, 1)):
        np.testing.assert_array_equal(part.wave(i), direct.wave(j))
        assert part.name(i) == direct.name(j)
        assert part.row(i) == {key: value for key, value in direct.labels(j).items() if value}
        assert part.seconds(i) == 1.5
    resampled = open_corpus("procedural:test?clips=6&seed=3&seconds=1.5&domains=music,environment", sample_rate=8_000)
    np.testing.assert_array_equal(resampled.wave(2), soxr.resample(direct.wave(2), 16_000, 8_000, quality="HQ"))
    assert len({str(c.identity) for c in (corpus, part, resampled, open_corpus("procedural?clips=6"))}) == 4


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("procedural?clip=3", "no option 'clip'; there are clips, seed, seconds and domains"),
        ("procedural?clips=many", "clips=many: a number is needed"),
        ("procedural?clips=0", "clips=0: a whole number of at least 1"),
        ("procedural:valid", "valid"),
        ("procedural?domains=noise", "noise"),
    ],
)
def test_procedural_options_that_are_wrong(spec, expected):
    with pytest.raises(SonoscaleError, match=expected):
        open_corpus(spec)


def test_a_pack_is_opened(tmp_path):
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", np.full(4000, 0.1 * i), 16_000)
    corpus = open_corpus(tmp_path)
    pack_corpus(corpus, tmp_path / "pack")
    packed = open_corpus(tmp_path / "pack", sample_rate=8_000)
    assert [packed.name(i) for i in range(3)] == [corpus.name(i) for i in range(3)]
    assert [packed.group(i) for i in range(3)] == [corpus.group(i) for i in range(3)]
    assert packed.wave(2).shape == (2000,)


@real
def test_real_audio_by_folder_and_by_manifest_is_the_same():
    folder = open_corpus(DATA / "tasks" / "prompt_lang5")
    manifest = open_corpus(DATA / "tasks" / "prompt_lang5" / "metadata.csv", audio_root=DATA)
    assert len(folder) == len(manifest) == 250
    assert not folder.skipped
    assert not manifest.skipped
    places = {folder.name(i): i for i in range(250)}
    for i in range(0, 250, 25):
        assert manifest.seconds(i) == pytest.approx(float(manifest.row(i)["duration_s"]), abs=1e-3)
        np.testing.assert_array_equal(manifest.wave(i), folder.wave(places[manifest.name(i)]))


@real
def test_real_opus_in_chunks_joins_to_the_whole():
    folder = DATA / "pool" / "environment"
    whole, chunks = open_corpus(folder, max_seconds=None), open_corpus(folder, max_seconds=2)
    longest = max(range(len(whole)), key=lambda i: whole.seconds(i) or 0)
    mine = [i for i in range(len(chunks)) if chunks.group(i) == whole.group(longest)]
    assert len(mine) >= 3
    joined = np.concatenate([chunks.wave(i) for i in mine])
    np.testing.assert_allclose(joined, whole.wave(longest)[: len(joined)], rtol=0, atol=1e-6)
