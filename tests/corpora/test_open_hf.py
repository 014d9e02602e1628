"""Data sets of Hugging Face, decoded by us: saved to disk and as Parquet."""

import io
import pickle
import sys

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_corpus
from sonoscale.errors import SonoscaleError

datasets = pytest.importorskip("datasets")
RATE = 16_000


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def wave(i, seconds=1.0):
    return (0.1 * np.random.default_rng(i).standard_normal(round(RATE * seconds))).astype(np.float32)


def encoded(i, kind="flac", seconds=1.0):
    stream = io.BytesIO()
    soundfile.write(stream, wave(i, seconds), RATE, format=kind)
    return stream.getvalue()


def decoded(content):
    return soundfile.read(io.BytesIO(content), dtype="float32")[0]


@pytest.fixture(scope="module")
def contents():
    return [encoded(0), encoded(1, "wav", 4.0), encoded(2, "mp3"), encoded(3), b"broken"]


def dataset(contents):
    """Audio made without `datasets` encoding it, for which it would want torchcodec."""
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "language": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
        }
    )
    audio = [{"bytes": content, "path": f"{i}.bin"} for i, content in enumerate(contents)]
    rows = {"audio": audio, "language": list("abcde"), "label": [0, 1, 0, 1, 0]}
    return datasets.Dataset.from_dict(rows, features=features).cast_column("audio", datasets.Audio())


@pytest.fixture(params=["saved", "saved with splits", "parquet folder", "parquet file"])
def place(request, tmp_path, contents):
    made = dataset(contents)
    if request.param == "saved":
        made.save_to_disk(tmp_path / "data")
    elif request.param == "saved with splits":
        datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "data")
    else:
        (tmp_path / "data").mkdir()
        made.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    return tmp_path / "data" / ("train-00000-of-00001.parquet" if request.param == "parquet file" else "")


@pytest.mark.parametrize("prefix", ["", "hf:"])
def test_rows_are_decoded_and_described(place, contents, prefix):
    corpus = open_corpus(f"{prefix}{place}", max_seconds=3)
    assert [corpus.name(i).removeprefix(str(place)) for i in range(5)] == [
        "[0] 0.bin", "[1] 1.bin@0.0-3.0s", "[1] 1.bin@3.0-4.0s", "[2] 2.bin", "[3] 3.bin",
    ]  # fmt: skip
    np.testing.assert_array_equal(corpus.wave(0), decoded(contents[0]))
    np.testing.assert_array_equal(corpus.wave(2), decoded(contents[1])[48_000:])
    np.testing.assert_allclose(corpus.wave(3), decoded(contents[2]), rtol=0, atol=1e-6)
    assert corpus.row(2) == {"language": "b", "label": "dog"}
    assert corpus.group(1) == corpus.group(2) != corpus.group(0)
    assert [corpus.seconds(i) for i in (0, 1, 2)] == [1.0, 3.0, 1.0]
    [(name, reason)] = corpus.skipped
    assert name == "[4] 4.bin"
    assert reason.startswith("cannot be decoded as audio")


def test_a_pickle_leaves_the_audio_where_it_is(tmp_path, contents):
    dataset(contents).save_to_disk(tmp_path / "data")
    pickled = pickle.dumps(open_corpus(tmp_path / "data").part([3, 1]))
    assert len(pickled) < 10_000
    np.testing.assert_array_equal(pickle.loads(pickled).wave(1), decoded(contents[1]))


def test_identity_is_that_of_the_data_and_the_cutting(tmp_path, contents):
    made = dataset(contents)
    made.save_to_disk(tmp_path / "a")
    made.select([1, 0, 2, 3, 4]).save_to_disk(tmp_path / "b")
    before = open_corpus(tmp_path / "a").identity
    (tmp_path / "a").rename(tmp_path / "moved")
    assert open_corpus(tmp_path / "moved").identity == before
    assert open_corpus(tmp_path / "moved", max_seconds=2).identity != before
    assert open_corpus(tmp_path / "b").identity != before


def test_a_data_set_of_paths(tmp_path):
    soundfile.write(tmp_path / "x.wav", wave(0), RATE, subtype="FLOAT")
    audio = [{"bytes": None, "path": str(tmp_path / "x.wav")}, {"bytes": None, "path": str(tmp_path / "absent.wav")}]
    features = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    made = datasets.Dataset.from_dict({"sound": audio}, features=datasets.Features({"sound": features}))
    made.save_to_disk(tmp_path / "data")
    with pytest.raises(SonoscaleError, match="no column of audio; its columns are sound: name one as key"):
        open_corpus(tmp_path / "data")
    corpus = open_corpus(tmp_path / "data", key="sound")
    np.testing.assert_array_equal(corpus.wave(0), wave(0))
    assert [reason for _, reason in corpus.skipped] == ["no such audio file"]


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("", "several splits; write one of hf:.*data:train, hf:.*data:test"),
        (":valid", "no split 'valid'; write one of hf:.*data:train"),
        (":a:b:c", "is written hf:owner/name"),
    ],
)
def test_a_split_must_be_chosen(tmp_path, contents, suffix, expected):
    made = dataset(contents)
    datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk(tmp_path / "data")
    assert len(open_corpus(f"hf:{tmp_path}/data:test")) == 1
    with pytest.raises(SonoscaleError, match=expected):
        open_corpus(f"hf:{tmp_path}/data{suffix}")


def test_a_data_set_that_cannot_be_loaded():
    with pytest.raises(SonoscaleError, match=r"owner/absent: datasets cannot load it \(.+\)"):
        open_corpus("hf:owner/absent")


def test_without_datasets_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SonoscaleError, match=r"pip install 'sonoscale\[hf\]'"):
        open_corpus("hf:owner/name")


@pytest.mark.skipif(datasets.config.TORCHCODEC_AVAILABLE, reason="torchcodec is installed")
def test_a_folder_of_audio_that_datasets_cannot_make_is_explained(tmp_path):
    (tmp_path / "data" / "train").mkdir(parents=True)
    for i in range(3):
        soundfile.write(tmp_path / "data" / "train" / f"{i}.wav", wave(i), RATE)
    with pytest.raises(SonoscaleError, match=r"wants torchcodec; give the folder itself or its metadata\.csv"):
        open_corpus(f"hf:{tmp_path}/data")
    assert len(open_corpus(tmp_path / "data")) == 3
