"""Data sets of Hugging Face with labels, made here and saved to disk."""

import io

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_task
from sonoscale.errors import SonoscaleError

datasets = pytest.importorskip("datasets")
CATS = datasets.ClassLabel(names=["cat", "dog", "rain"])


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def made(encoded):
    """A data set: clips from a seed on, columns, and the features of these."""

    def make(clips, columns, seed=0, **features):
        audio = [{"bytes": encoded(seed + i, "flac"), "path": f"{seed + i}.flac"} for i in range(clips)]
        kinds = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
        rows = datasets.Dataset.from_dict(
            {"audio": audio, **columns}, features=datasets.Features({"audio": kinds, **features})
        )
        return rows.cast_column("audio", datasets.Audio())

    return make


@pytest.fixture
def save(tmp_path):
    def write(rows):
        (rows if not isinstance(rows, dict) else datasets.DatasetDict(rows)).save_to_disk(tmp_path / "data")
        return tmp_path / "data"

    return write


def labelled(made, clips, seed=0, **columns):
    return made(clips, {"label": [i % 3 for i in range(clips)], **columns}, seed, label=CATS)


def test_splits_are_parts(made, save, encoded):
    place = save({"train": labelled(made, 9), "validation": labelled(made, 6, 20), "test": labelled(made, 6, 30)})
    task = open_task(place)
    assert task.name == "data"
    assert task.folds == ("train",) * 9 + ("valid",) * 6 + ("test",) * 6
    assert task.labels == ("cat", "dog", "rain") * 7
    assert (task.classes, task.scheme, task.kind) == (("cat", "dog", "rain"), "split", "multiclass")
    assert not task.own_folds
    expected, _ = soundfile.read(io.BytesIO(encoded(31, "flac")), dtype="float32")
    np.testing.assert_array_equal(task.corpus.wave(16), expected)
    assert task.corpus.name(16).endswith("[test][1] 31.flac")
    assert open_task(f"hf:{place}").labels == task.labels


def test_a_missing_validation_part_is_cut_from_training(made, save):
    rows = {"train": labelled(made, 30), "test": labelled(made, 6, 40), "extra": labelled(made, 3, 50)}
    task = open_task(save(rows))
    assert (task.folds.count("train"), task.folds.count("valid"), task.folds.count("test")) == (27, 3, 6)
    assert task.own_folds
    assert task.notes[0] == "splits left out: extra"
    assert task.notes[1].startswith("the data have no validation part: 3 of 30 training clips are ours")


def test_a_column_of_folds_and_one_of_speakers(made, save):
    columns = {"part": [1 + i % 4 for i in range(24)], "who": [f"s{i % 8}" for i in range(24)]}
    rows = made(
        24, {"label": [i // 4 % 3 for i in range(24)], **columns}, label=CATS, part=datasets.Value("int32"),
        who=datasets.Value("string"),
    )  # fmt: skip
    place = save({"train": rows})
    task = open_task(place, fold="part", group="who")
    assert task.folds == tuple(str(1 + i % 4) for i in range(24))
    assert task.groups == tuple(columns["who"])
    assert (task.own_folds, task.notes) == (False, ())
    made_here = open_task(f"{place}", group="who", make_folds=4, form="hf")
    assert made_here.own_folds
    assert len(set(zip(made_here.groups or (), made_here.folds, strict=True))) == 8
    assert set(open_task(f"hf:{place}:train", make_folds=3).folds) == {"0", "1", "2"}


def test_splits_that_are_folds(made, save):
    task = open_task(save({f"fold{i}": labelled(made, 6, 10 * i) for i in range(3)}))
    assert (task.scheme, task.folds) == ("folds", tuple(f"fold{i}" for i in range(3) for _ in range(6)))


def test_lists_of_classes_numbers_and_text(made, save, tmp_path):
    parts = [["train", "valid", "test"][i % 3] for i in range(12)]
    some = [[], [0], [0, 2], [1]]
    columns = {"labels": [some[i // 3] for i in range(12)], "value": [i / 2 for i in range(12)], "split": parts,
               "text": ["a b" if i % 2 else "b" for i in range(12)]}  # fmt: skip
    kinds = {"labels": datasets.Sequence(CATS), "value": datasets.Value("float32"),
             "split": datasets.Value("string"), "text": datasets.Value("string")}  # fmt: skip
    place = save(made(12, columns, **kinds))
    task = open_task(place, fold="split")
    assert (task.kind, task.classes) == ("multilabel", ("cat", "dog", "rain"))
    assert task.labels == tuple(((), ("cat",), ("cat", "rain"), ("dog",))[i // 3] for i in range(12))
    task = open_task(place, fold="split", label="value")
    assert (task.kind, task.labels, task.folds) == ("regression", tuple(columns["value"]), tuple(parts))
    task = open_task(place, fold="split", label="text", kind="multilabel", separator=" ")
    assert task.labels[:2] == (("b",), ("a", "b"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"label": "genre"}, r"split 'train': no column 'genre'; its columns are audio, label"),
        ({"fold": "part"}, r"no column 'part'"),
        ({"group": "who"}, r"no column 'who'"),
        ({}, r"its splits are train, dev; train and test are needed: .* splits=.'train': 'train', 'test': 'dev'"),
        ({"splits": {"train": "train", "test": "eval"}}, r"no split 'eval' for test; there are train, dev"),
        ({"splits": {"train": "train", "test": "train"}}, r"one of its splits twice"),
        ({"kind": "events"}, r"events are read from HEAR task folders and tar shards only"),
        ({"kind": "scene"}, r"no kind of task 'scene'"),
        ({"metric": "mae"}, r"no metric 'mae' for multiclass"),
        ({"key": "sound"}, r"no column 'sound'"),
    ],
)
def test_a_question_that_the_data_cannot_answer(made, save, options, expected):
    place = save({"train": labelled(made, 30), "dev": labelled(made, 6, 40)})
    if options and "splits" not in options:
        options = {"splits": {"train": "train", "test": "dev"}, **options}
    with pytest.raises(SonoscaleError, match=expected):
        open_task(place, **options)
    assert set(open_task(place, splits={"train": "train", "test": "dev"}).folds) == {"train", "valid", "test"}


def test_labels_that_are_no_labels(made, save):
    test = made(3, {"label": [-1, -1, -1]}, 40, label=datasets.Value("int64")).cast_column("label", CATS)
    place = save({"train": labelled(made, 9), "test": test})
    with pytest.raises(SonoscaleError, match=r"split 'test', row 0: column 'label': label -1 is no class of its 3"):
        open_task(place)
    with pytest.raises(SonoscaleError, match=r"no split 'dev'; there are train, test"):
        open_task(f"hf:{place}:dev")


def test_broken_audio(made, save, encoded):
    kinds = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    audio = [{"bytes": encoded(i) if i else b"x", "path": f"{i}.wav"} for i in range(31)]
    rows = datasets.Dataset.from_dict(
        {"audio": audio, "label": [i % 3 for i in range(31)]},
        features=datasets.Features({"audio": kinds, "label": CATS}),
    )
    place = save(rows.cast_column("audio", datasets.Audio()))
    with pytest.raises(SonoscaleError, match=r"1 of its clips cannot be used, such as \[0\] 0.wav: .*skip_broken=True"):
        open_task(place)
    task = open_task(place, skip_broken=True)
    assert task.labels == tuple(["cat", "dog", "rain"][i % 3] for i in range(1, 31))


@pytest.mark.parametrize(("column", "kind"), [("work", None), ("label", "retrieval")])
def test_clips_that_are_to_be_found_by_each_other(made, save, column, kind):
    folder = save(made(8, {column: [f"w{i // 2}" for i in range(8)]}, **{column: datasets.Value("string")}))
    task = open_task(f"hf:{folder}", kind=kind)
    assert (task.kind, set(task.folds), task.own_folds) == ("retrieval", {"test"}, False)
    assert task.labels == tuple((f"w{i // 2}",) for i in range(8))
