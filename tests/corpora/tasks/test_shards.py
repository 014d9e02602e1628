"""Tar shards of audio and JSON, as X-ARES publishes them."""

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_task
from sonoscale.corpora.tasks import Event
from sonoscale.errors import SonoscaleError


@pytest.fixture
def shard(tmp_path, encoded):
    """Writes samples of audio and JSON to a shard of a folder below tmp_path."""

    def write(name, said, seed=0, folder="toy"):
        (tmp_path / folder).mkdir(exist_ok=True)
        with tarfile.open(tmp_path / folder / name, "w") as tar:
            for i, document in enumerate(said):
                parts = {"wav": encoded(seed + i)}
                if document is not None:
                    parts["json"] = json.dumps(document).encode()
                for suffix, content in parts.items():
                    info = tarfile.TarInfo(f"{name[:-4]}-{i}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return tmp_path / folder

    return write


def test_folds_of_the_catalogue(shard):
    for fold in range(1, 6):
        shard(f"wds-audio-fold-{fold}-000000.tar", [{"label": i % 4} for i in range(4)], fold * 10, "esc50")
        shard(f"wds-audio-fold-{fold}-000001.tar", [{"label": i % 4} for i in range(2)], fold * 10 + 5, "esc50")
    folder = shard("wds-encoded-fold-1-000000.tar", [{"label": 0}], folder="esc50")
    task = open_task(folder)
    assert task.folds == tuple(str(fold) for fold in range(1, 6) for _ in range(6))
    assert task.labels == ("0", "1", "2", "3", "0", "1") * 5
    assert (task.scheme, task.kind, task.metric, task.own_folds) == ("folds", "multiclass", "accuracy", False)
    assert task.source == "https://zenodo.org/records/14614287"
    assert task.notes == ("4 classes occur; xares/esc50 has 50",)


def test_audio_is_that_of_the_sample(shard, encoded):
    folder = shard("train-0.tar", [{"label": "ab"[i % 2]} for i in range(6)], 0)
    for part, seed in (("valid", 10), ("test", 20)):
        shard(f"toy_{part}_0000000.tar", [{"label": "ab"[i % 2]} for i in range(4)], seed)
    task = open_task(folder)
    assert task.folds.count("train") == 6
    at = task.folds.index("test") + 1
    expected, _ = soundfile.read(io.BytesIO(encoded(21)), dtype="float32")
    np.testing.assert_array_equal(task.corpus.wave(at), expected)
    assert task.labels[at] == "b"


@pytest.mark.parametrize(
    ("label", "document"),
    [("genre", {"genre": "x"}), ("/a/1/b~1c", {"a": [0, {"b/c": "x"}]}), ("", "x"), ("/0", ["x"])],
)
def test_a_label_is_where_the_pointer_points(shard, label, document):
    other = json.loads(json.dumps(document).replace('"x"', '"y"'))
    for fold in range(3):
        folder = shard(f"gtzan_fold_{fold}_0000000.tar", [document, other])
    assert open_task(folder, label=label).labels == ("x", "y") * 3
    assert open_task(folder, label=label, label_map={"x": "X", "y": "Y"}).labels == ("X", "Y") * 3


def test_several_labels_events_and_groups(shard):
    names = ["train", "valid", "eval"]
    for name in names:
        folder = shard(f"fsd50k_{name}_0.tar", [{"soundevent": "a;b", "who": "x"}, {"soundevent": "b", "who": name}])
    task = open_task(folder, label="soundevent", kind="multilabel", group="/who")
    assert task.labels == (("a", "b"), ("b",)) * 3
    assert [task.folds[i] for i in range(0, 6, 2)] == ["test", "train", "valid"]
    assert task.groups == ("x", "eval", "x", "train", "x", "valid")
    assert "1 of 4 groups are in more than one fold" in task.notes[0]


def test_desed_as_the_catalogue_has_it(shard):
    events = [{"onset": 0.5, "offset": 2, "label": "Dog,Speech"}, {"onset": 1, "offset": 1.5, "label": "Cat"}]
    shard("wds-audio-train-0.tar", [events, events[:1], events[1:]] * 5, folder="desed")
    folder = shard("wds-audio-eval-0.tar", [events] * 3, 20, folder="desed")
    task = open_task(folder)
    assert task.labels[0] == (Event("Dog", 500, 2000), Event("Speech", 500, 2000), Event("Cat", 1000, 1500))
    assert (task.kind, task.metric, task.own_folds) == ("events", None, True)
    assert (task.folds.count("train"), task.folds.count("test")) == (15 - task.folds.count("valid"), 3)
    assert task.notes[0] == "xares scores this by segmentf1_macro, which is not known here"
    assert task.notes[1].startswith("the data have no validation part: ")


def test_a_missing_validation_part_is_cut_from_training(shard):
    shard("train_subset_0.tar", [{"labels": ["uk", "zh"][i % 2]} for i in range(40)], folder="voxlingua33")
    folder = shard("dev_0.tar", [{"labels": ["uk", "zh"][i % 2]} for i in range(6)], 50, folder="voxlingua33")
    task = open_task(folder)
    assert {part: task.folds.count(part) for part in ("train", "valid", "test")} == {"train": 36, "valid": 4, "test": 6}
    assert task.folds[40:] == ("test",) * 6
    assert {label for label, fold in zip(task.labels, task.folds, strict=True) if fold == "valid"} == {"uk", "zh"}
    assert task.own_folds
    assert open_task(folder).folds == task.folds
    assert open_task(folder, seed=1).folds != task.folds


def test_shards_that_tell_nothing_are_dealt(shard):
    folder = shard("data-000.tar", [{"label": "ab"[i % 2], "speaker": f"s{i // 3}"} for i in range(30)])
    task = open_task(folder, group="speaker")
    assert task.own_folds
    assert len(set(task.folds)) == 5
    assert len(set(zip(task.groups or (), task.folds, strict=True))) == 10


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"label": "genre"}, r"test_0-0.wav: no key 'genre' \(it has label\); say with label where"),
        ({"label": "/label/0"}, r"no key '0' \(it is no object\)"),
        ({"kind": "regression"}, r"test_0-0.wav: a number is needed, not 'a'"),
        ({"kind": "events"}, r"a list of events is needed, not 'a'"),
        ({"splits": {"train": "train*.tar", "test": "dev*.tar"}}, r"no shard dev\*.tar for test; there is test_0.tar"),
        ({"splits": {"train": "*.tar", "test": "test*.tar"}}, r"test_0.tar: is of train and of test; a clip"),
        ({"splits": {"train": "train*.tar", "valid": "test*.tar"}}, r"of train, valid; train and test are needed"),
        ({"fold": "x"}, r"of form shards; fold is for table and hf only"),
        ({"metric": "mae"}, r"no metric 'mae' for multiclass"),
        ({"label_map": {"a": "1"}}, r"label 'b' is not in the mapping"),
    ],
)
def test_a_question_that_the_shards_cannot_answer(shard, options, expected):
    shard("test_0.tar", [{"label": "a"}, {"label": "b"}] * 3)
    folder = shard("train_0.tar", [{"label": "a"}, {"label": "b"}] * 10)
    open_task(folder)
    with pytest.raises(SonoscaleError, match=expected):
        open_task(folder, **options)


def test_shards_that_cannot_be_used(shard, tmp_path):
    shard("test_0.tar", [{"label": "a"}, {"label": "b"}] * 3)
    folder = shard("train_0.tar", [{"label": "a"}, {"label": "b"}] * 10)
    whole = (folder / "train_0.tar").read_bytes()
    (folder / "train_0.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SonoscaleError, match=r"train_0.tar.*cut off.*skip_broken=True"):
        open_task(folder)
    task = open_task(folder, skip_broken=True)
    assert 10 < len(task.corpus) < 26
    assert "left out" in task.notes[0]
    (folder / "train_0.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(SonoscaleError, match=r"train_0.tar: no readable audio.*not a tar file"):
        open_task(folder)
    shard("train_0.tar", [{"label": "a"}, None])
    with pytest.raises(SonoscaleError, match=r"train_0-1.wav: no .json beside it"):
        open_task(folder)
    shard("odd.tar", [{"label": "a"}])
    with pytest.raises(SonoscaleError, match=r"odd.tar: its name has neither fold nor part"):
        open_task(folder)
    shutil.rmtree(folder)
    with pytest.raises(SonoscaleError, match="no such file or folder"):
        open_task(folder)
    with pytest.raises(SonoscaleError, match="no such folder of tar shards"):
        open_task(folder, form="shards")


def test_a_task_of_the_catalogue_that_is_not_probed(shard):
    folder = shard("clotho_development_0.tar", [{"0": "a dog barks"}], folder="clotho")
    with pytest.raises(
        SonoscaleError, match=r"task clotho: a captions task, .* which needs text: not offered.*; give label for"
    ):
        open_task(folder)


@pytest.mark.parametrize(
    ("names", "folds", "scheme"),
    [(["0", "1"], {"test"}, "split"), (["test", "valid"], {"test", "valid"}, "split"), (["fold_1", "fold_2"], set("12"),
     "folds")],
)  # fmt: skip
def test_retrieval_needs_no_part_to_train_on(shard, names, folds, scheme):
    for name in names:
        folder = shard(f"covers_{name}_x.tar", [{"work": f"w{i // 2}"} for i in range(6)])
    task = open_task(folder, label="/work", kind="retrieval")
    assert (task.kind, set(task.folds), task.scheme, task.own_folds) == ("retrieval", folds, scheme, False)
    assert task.labels == (("w0",), ("w0",), ("w1",), ("w1",), ("w2",), ("w2",)) * 2
