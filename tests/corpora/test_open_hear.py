"""A HEAR task folder as hear-preprocess leaves it."""

import json

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_corpus
from sonoscale.errors import SonoscaleError

# The layout of hear-preprocess's FinalCombine: labels of a scene are lists of strings, of events lists of objects
# with times in ms.
SCENES = {
    "train": {"a.wav": ["dog"], "b.wav": ["cat"]},
    "valid": {"c.wav": ["dog"]},
    "test": {"d.wav": ["cat", "dog"]},
}
EVENTS = {"train": {"a.wav": [{"label": "C4", "start": 0.0, "end": 250.0}, {"label": "A3", "start": 100, "end": 300}]}}


def write_task(folder, labels, rates=(16_000, 48_000), embedding="scene"):
    folder.mkdir()
    meta = {"task_name": "toy", "version": "1.0", "embedding_type": embedding, "splits": list(labels)}
    (folder / "task_metadata.json").write_text(json.dumps(meta))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,cat\n1,dog\n")
    for split, files in labels.items():
        (folder / f"{split}.json").write_text(json.dumps(files))
        (folder / f"labelcount_{split}.json").write_text("{}")
        for rate in rates:
            (folder / str(rate) / split).mkdir(parents=True)
            for i, file in enumerate(files):
                wave = 0.1 * np.random.default_rng(i).standard_normal(rate)
                soundfile.write(folder / str(rate) / split / file, wave, rate)
    return folder


@pytest.mark.parametrize(("wanted", "taken"), [(16_000, 16_000), (22_050, 48_000), (8_000, 16_000), (96_000, 48_000)])
def test_the_nearest_rate_that_loses_nothing_is_taken(tmp_path, wanted, taken):
    corpus = open_corpus(write_task(tmp_path / "toy-v1.0-full", SCENES), sample_rate=wanted)
    assert all(f"/{taken}/" in corpus.name(i) for i in range(len(corpus)))
    assert len(corpus) == 4
    assert corpus.wave(0).shape == (wanted,)


def test_labels_and_splits_are_in_the_row(tmp_path):
    folder = write_task(tmp_path / "toy", SCENES)
    corpus = open_corpus(folder)
    found = {corpus.name(i).rpartition("/")[2]: corpus.row(i) for i in range(4)}
    assert found["a.wav"] == {"task": "toy", "split": "train", "labels": ["dog"], "label": "dog"}
    assert found["c.wav"]["split"] == "valid"
    assert found["d.wav"] == {"task": "toy", "split": "test", "labels": ["cat", "dog"]}
    expected, _ = soundfile.read(folder / "16000" / "test" / "d.wav", dtype="float32")
    np.testing.assert_array_equal(corpus.wave([corpus.row(i)["split"] for i in range(4)].index("test")), expected)


def test_folds(tmp_path):
    labels = {f"fold{i:02d}": {f"{i}.wav": ["x"]} for i in range(5)}
    corpus = open_corpus(write_task(tmp_path / "esc50", labels))
    assert [corpus.row(i)["split"] for i in range(5)] == list(labels)


def test_events(tmp_path):
    corpus = open_corpus(write_task(tmp_path / "maestro", EVENTS, embedding="event"))
    assert corpus.row(0)["labels"] == ["A3", "C4"]
    assert corpus.row(0)["events"] == EVENTS["train"]["a.wav"]


def test_a_file_that_is_missing_is_told(tmp_path):
    folder = write_task(tmp_path / "toy", SCENES)
    (folder / "16000" / "train" / "b.wav").unlink()
    corpus = open_corpus(folder)
    assert len(corpus) == 3
    assert corpus.skipped == (("16000/train/b.wav", "no such audio file"),)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: (f / "task_metadata.json").write_text("{"), r"task_metadata\.json: not JSON of a HEAR task"),
        (lambda f: (f / "train.json").write_text("[1]"), r"train\.json: a JSON object is needed, not list"),
        (
            lambda f: (f / "train.json").unlink(),
            r"no train\.json or fold00\.json that has a folder",
        ),
        (lambda f: (f / "16000").rename(f / "audio"), "no folder of audio named by its rate in Hz, such as 16000"),
    ],
)
def test_a_folder_that_is_not_of_this_layout(tmp_path, change, expected):
    folder = write_task(tmp_path / "toy", {"train": SCENES["train"]}, rates=(16_000,))
    change(folder)
    with pytest.raises(SonoscaleError, match=expected):
        open_corpus(folder)
