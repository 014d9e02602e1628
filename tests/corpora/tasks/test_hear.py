"""HEAR task folders, as hear-preprocess lays them out."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_task
from sonoscale.corpora.tasks import Event
from sonoscale.errors import SonoscaleError

ESC50 = {
    "task_name": "esc50", "version": "v2.0.0", "embedding_type": "scene", "prediction_type": "multiclass",
    "sample_duration": 5, "split_mode": "presplit_kfold", "nfolds": 5,
    "evaluation": ["top1_acc", "mAP", "d_prime", "aucroc"],
    "download_urls": [{"split": "all_folds", "url": "https://github.com/karoldvl/ESC-50/archive/master.zip"}],
    "default_mode": "full", "max_task_duration_by_fold": None, "tmp_dir": "_workdir", "mode": "full",
    "splits": ["fold00", "fold01", "fold02", "fold03", "fold04"],
}  # fmt: skip


def write_folder(folder, write, meta, labels, classes, rates=(16_000,)):
    """`labels`: split -> file -> what {split}.json says of it."""
    folder.mkdir(parents=True)
    (folder / "task_metadata.json").write_text(json.dumps(meta))
    with (folder / "labelvocabulary.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("idx", "label"), *enumerate(classes)])
    for split, files in labels.items():
        (folder / f"{split}.json").write_text(json.dumps(files))
        (folder / f"labelcount_{split}.json").write_text("{}")
        for rate in rates:
            for i, file in enumerate(files):
                write(folder / str(rate) / split / file, i, rate)
    return folder


def three_parts(label, files=4):
    return {part: {f"{part}{i}.wav": label(i) for i in range(files)} for part in ("train", "valid", "test")}


def meta_of(**changes):
    meta = {**ESC50, "split_mode": "trainvaltest", "splits": ["train", "valid", "test"], "task_name": "toy"}
    return {**meta, **changes}


def test_folds_of_a_scene_task(tmp_path, write):
    labels = {fold: {f"{fold[-1]}-{i}.wav": [["dog", "rain"][i % 2]] for i in range(4)} for fold in ESC50["splits"]}
    folder = write_folder(tmp_path / "esc50-v2.0.0-full", write, ESC50, labels, ["dog", "rain"])
    task = open_task(folder)
    assert task.name == "esc50-v2.0.0-full"
    assert task.folds == tuple(fold for fold in ESC50["splits"] for _ in range(4))
    assert task.labels == ("dog", "rain") * 10
    assert (task.scheme, task.kind, task.metric, task.classes) == ("folds", "multiclass", "top1_acc", ("dog", "rain"))
    assert task.corpus.name(5) == str(folder / "16000" / "fold01" / "1-1.wav")
    expected, _ = soundfile.read(folder / "16000" / "fold01" / "1-1.wav", dtype="float32")
    np.testing.assert_array_equal(task.corpus.wave(5), expected)
    # What the catalogue knows of a folder of this name.
    assert task.licence == "CC BY-NC 3.0"
    assert task.citation.startswith("Piczak")
    assert task.notes == ("2 classes occur; hear/esc50 has 50", "20 clips; hear/esc50 has 2000")
    shutil.move(folder, tmp_path / "renamed")
    assert open_task(tmp_path / "renamed").licence == task.licence


def test_several_labels_and_none(tmp_path, write):
    labels = three_parts(lambda i: [["a"], ["a", "b"], [], ["b"]][i])
    meta = meta_of(prediction_type="multilabel", evaluation=["mAP", "d_prime"])
    task = open_task(write_folder(tmp_path / "toy", write, meta, labels, ["a", "b", "c"]))
    assert task.labels == (("a",), ("a", "b"), (), ("b",)) * 3
    assert task.folds == ("train",) * 4 + ("valid",) * 4 + ("test",) * 4
    assert (task.scheme, task.kind, task.metric, task.classes) == ("split", "multilabel", "mAP", ("a", "b", "c"))


def test_pitches_are_numbers_in_the_json_and_names_here(tmp_path, write):
    meta = meta_of(evaluation=["pitch_acc", "chroma_acc"])
    task = open_task(write_folder(tmp_path / "toy", write, meta, three_parts(lambda i: [60 + i % 2]), [60, 61]))
    assert task.labels == ("60", "61") * 6
    assert task.metric == "pitch_acc"


def test_events_have_times_in_ms(tmp_path, write):
    def label(i):
        return [{"label": "cough", "start": 10.0, "end": 25.5}, {"label": "door", "start": 20, "end": 40}][: i % 3]

    meta = meta_of(
        embedding_type="event", prediction_type="multilabel", evaluation=["event_onset_200ms_fms", "segment_1s_er"]
    )
    task = open_task(write_folder(tmp_path / "toy", write, meta, three_parts(label), ["cough", "door"]))
    assert task.kind == "events"
    assert task.labels[:3] == ((), (Event("cough", 10, 25.5),), (Event("cough", 10, 25.5), Event("door", 20, 40)))
    assert task.metric == "event_onset_200ms_fms"


@pytest.mark.parametrize(
    ("sample_rate", "rate", "taken"),
    [(16_000, None, 16_000), (22_050, None, 48_000), (96_000, None, 48_000), (16_000, 48_000, 48_000)],
)
def test_the_rate_that_is_read(tmp_path, write, sample_rate, rate, taken):
    labels = three_parts(lambda i: ["ab"[i % 2]])
    folder = write_folder(tmp_path / "toy", write, meta_of(), labels, ["a", "b"], rates=(16_000, 48_000))
    task = open_task(folder, sample_rate=sample_rate, rate=rate)
    assert f"/{taken}/" in task.corpus.name(0)
    assert task.corpus.sample_rate == sample_rate


@pytest.fixture
def folder(tmp_path, write):
    return write_folder(tmp_path / "toy", write, meta_of(), three_parts(lambda i: ["ab"[i % 2]]), ["a", "b"])


def edit(file, **changes):
    content = json.loads(file.read_text())
    content.update(changes)
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: (f / "test.json").unlink(), r"test.json: no such file, which a HEAR task folder has; unpack"),
        (lambda f: (f / "test.json").write_text("{"), r"test.json: not valid JSON"),
        (lambda f: (f / "test.json").write_text("[]"), r"test.json: a JSON object is needed, not list"),
        (lambda f: (f / "test.json").write_text('{"a.wav": ["a"], "a.wav": ["b"]}'), r"'a.wav' is in it twice"),
        (lambda f: edit(f / "test.json", **{"test0.wav": ["c"]}), r"test.json: test0.wav: label 'c' is not in label"),
        (lambda f: edit(f / "test.json", **{"test0.wav": ["a", "b"]}), r"test0.wav: the name of a class is needed"),
        (lambda f: edit(f / "test.json", **{"no.wav": ["a"]}), r"1 of its clips .* 16000/test/no.wav: no such audio"),
        (lambda f: (f / "16000/test/test0.wav").write_bytes(b"x"), r"test0.wav: cannot be decoded .*skip_broken=True"),
        (lambda f: (f / "labelvocabulary.csv").unlink(), r"labelvocabulary.csv: cannot be read \(no such file"),
        (lambda f: (f / "labelvocabulary.csv").write_text("idx,label\n0,a\n2,b\n"), r"from 0 to 1 .* 1 is missing"),
        (lambda f: (f / "labelvocabulary.csv").write_text("idx,label\n0,a\n0,b\n"), r"from 0 to 1 .* 1 is missing"),
        (lambda f: (f / "labelvocabulary.csv").write_text("idx,label\n0,a\n1,a\n"), r"label 'a' is listed twice"),
        (lambda f: (f / "labelvocabulary.csv").write_text("idx,label\nx,a\n"), r"idx must be a number"),
        (lambda f: (f / "labelvocabulary.csv").write_text("a,b\n"), r"columns idx and label are needed; it has a, b"),
        (lambda f: edit(f / "task_metadata.json", splits=None), r"task_metadata.json: no key 'splits'"),
        (lambda f: edit(f / "task_metadata.json", prediction_type="x"), r"task_metadata.json: no kind of task 'x'"),
        (lambda f: edit(f / "task_metadata.json", embedding_type="event"), r"train0.wav: a list of events is needed"),
        (lambda f: shutil.rmtree(f / "16000"), r"no folder of audio named by its rate"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_used(folder, change, expected):
    change(folder)
    with pytest.raises(SonoscaleError, match=expected):
        open_task(folder)


def test_other_questions_that_it_cannot_answer(folder):
    with pytest.raises(SonoscaleError, match=r"no audio at rate = 8000; there is 16000"):
        open_task(folder, rate=8000)
    with pytest.raises(SonoscaleError, match=r"of form hear; label is for table and shards and hf only"):
        open_task(folder, label="x")
    with pytest.raises(SonoscaleError, match=r"no metric 'mae' for multiclass"):
        open_task(folder, metric="mae")


def test_what_is_left_out_or_odd_is_noted(folder, write):
    (folder / "16000/test/test0.wav").write_bytes(b"x")
    edit(folder / "test.json", **{"train0.wav": ["a"]})
    write(folder / "16000/test/train0.wav")
    edit(folder / "task_metadata.json", evaluation=["magic"])
    task = open_task(folder, skip_broken=True)
    assert len(task.corpus) == 12
    left_out, scored, twice = task.notes
    assert left_out.startswith("1 of its clips cannot be used, such as 16000/test/test0.wav")
    assert scored == "HEAR scores this by magic, which is not known here"
    assert twice == "1 file names are in several splits (such as train0.wav)"
