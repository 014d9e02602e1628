"""Tasks in CSV files."""

import csv

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import open_task
from sonoscale.errors import SonoscaleError


@pytest.fixture
def table(audio):
    """Writes a table beside the clips, given a function from the number of a clip to its row; and its path."""

    def make(row, clips=60, name="metadata.csv"):
        rows = [{"path": f"{i:02d}.wav", **row(i)} for i in range(clips)]
        with (audio / name).open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return audio / name

    return make


def test_labels_folds_and_audio_are_those_of_the_table(table, audio):
    task = open_task(table(lambda i: {"label": f"class{i // 3 % 4}", "fold": i % 3}), metric="aucroc")
    assert task.name == audio.name
    assert task.labels == tuple(f"class{i // 3 % 4}" for i in range(60))
    assert task.folds == tuple(str(i % 3) for i in range(60))
    assert (task.scheme, task.kind, task.metric, task.own_folds, task.notes) == (
        "folds",
        "multiclass",
        "aucroc",
        False,
        (),
    )
    expected, _ = soundfile.read(audio / "07.wav", dtype="float32")
    np.testing.assert_array_equal(task.corpus.wave(7), expected)
    assert open_task(audio / "metadata.csv", sample_rate=8000).corpus.wave(7).shape == (400,)


@pytest.mark.parametrize(("header", "kind"), [("labels", None), ("label", "multilabel")])
@pytest.mark.parametrize("mark", [";", "|", " ; "])
def test_several_labels(table, header, kind, mark):
    sets = [("cat",), ("cat", "dog"), (), ("dog", "rain")]
    made = table(lambda i: {header: mark.join(sets[i // 3 % 4]), "split": ["train", "val", "test"][i % 3]})
    task = open_task(made, kind=kind)
    assert task.kind == "multilabel"
    assert task.labels == tuple(sets[i // 3 % 4] for i in range(60))
    assert (task.scheme, set(task.folds)) == ("split", {"train", "valid", "test"})
    assert task.notes == ("15 clips have no label",)


@pytest.mark.parametrize(("header", "kind"), [("value", None), ("arousal", "regression")])
def test_numbers(table, header, kind):
    task = open_task(table(lambda i: {header: i / 7, "fold": i % 4}), kind=kind, label=header if kind else None)
    assert (task.kind, task.labels) == ("regression", tuple(float(str(i / 7)) for i in range(60)))


@pytest.mark.parametrize(
    ("column", "option"), [("speaker", None), ("group", None), ("recording", None), ("actor", "actor")]
)
def test_folds_are_made_by_group_where_there_are_none(table, column, option):
    task = open_task(table(lambda i: {"label": "ab"[i % 2], column: f"s{i // 4}"}), group=option, make_folds=4, seed=3)
    assert task.own_folds
    assert task.notes == ("the data have no folds: these 4 are ours, dealt by group with seed 3",)
    assert task.groups == tuple(f"s{i // 4}" for i in range(60))
    assert len(set(task.folds)) == 4
    assert len(set(zip(task.groups or (), task.folds, strict=True))) == 15  # groups are whole


def test_folds_without_groups_and_clips_without_a_speaker(table):
    task = open_task(table(lambda i: {"label": "abc"[i % 3]}))
    assert task.groups is None
    assert sorted(task.folds.count(fold) for fold in "01234") == [12] * 5
    task = open_task(table(lambda i: {"label": "abc"[i % 3], "speaker": "" if i < 30 else "anna", "fold": i // 3 % 3}))
    assert task.groups is not None
    assert task.groups[:2] == ("00.wav", "01.wav")
    assert task.notes == (
        "1 of 31 groups are in more than one fold (such as 'anna' in 0, 1, 2): scores may be too high",
    )


def test_a_split_without_validation_gets_one_from_training(table):
    task = open_task(table(lambda i: {"label": "ab"[i % 2], "split": "test" if i < 20 else "train"}))
    assert task.own_folds
    assert [i for i, fold in enumerate(task.folds) if fold == "test"] == list(range(20))
    assert task.folds.count("valid") == 4


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        (lambda i: {"klass": "a", "fold": 1}, {}, "no column 'label'; its columns are path, klass, fold"),
        (lambda i: {"label": "a"}, {"fold": "part"}, "no column 'part'; its columns are path, label"),
        (lambda i: {"label": "a"}, {"group": "actor"}, "no column 'actor'"),
        (lambda i: {"value": "loud", "fold": i % 3}, {}, "line 2: column 'value': a number is needed, not 'loud'"),
        (lambda i: {"label": "ab"[i % 2], "fold": 1}, {}, "1 fold.s."),
        (lambda i: {"label": "ab"[i % 2], "fold": i % 2}, {}, "2 fold.s."),
        (lambda i: {"label": "aab"[i % 3], "fold": i % 3}, {}, "fold '0' holds one class only"),
        (lambda i: {"label": "ab"[i % 2], "fold": i % 3}, {"label_map": {"a": "x"}}, "'b' is not in the mapping"),
        (lambda i: {"label": "ab"[i % 2], "fold": i % 3}, {"kind": "scene"}, "no kind of task 'scene'"),
        (lambda i: {"label": "ab"[i % 2], "fold": i % 3}, {"kind": "events"}, "a table has no times of events"),
        (lambda i: {"label": "ab"[i % 2], "fold": i % 3}, {"metric": "f1"}, "no metric 'f1' for multiclass"),
        (lambda i: {"label": "ab"[i % 2], "fold": i % 3}, {"rate": 16_000}, "of form table; rate is for hear only"),
        (lambda i: {"label": "ab"[i % 2], "fold": i % 3}, {"form": "csv"}, "no form of task 'csv'; there are table"),
        (lambda i: {"label": "ab"[i % 2], "speaker": i % 3}, {}, "3 groups cannot be dealt into 5 folds; ask for few"),
        (lambda i: {"label": "ab"[i % 2]}, {"make_folds": 2}, "make_folds = 2: at least 3"),
        (lambda i: {"label": "ab"[i % 2], "path": "00.wav"}, {}, "line 3: 00.wav is in line 2 already"),
        (lambda i: {"label": "ab"[i % 2], "path": f"{i}.ogg"}, {}, "line 2: no such audio file .*0.ogg"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used(table, row, options, expected):
    with pytest.raises(SonoscaleError, match=expected):
        open_task(table(row), **options)


def test_a_metric_must_be_for_the_kind_that_the_header_tells(table):
    with pytest.raises(SonoscaleError, match="no metric 'accuracy' for regression tasks"):
        open_task(table(lambda i: {"value": i, "fold": i % 3}), metric="accuracy")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("absent.csv", "no such file"), ("absent", "no such file or folder; a task is"), ("00.wav", "not .wav")],
)
def test_what_is_no_task(audio, name, expected):
    with pytest.raises(SonoscaleError, match=expected):
        open_task(audio / name)


def test_a_folder_is_a_task_by_its_metadata_and_named_after_itself(table, audio, tmp_path):
    table(lambda i: {"label": f"class{i // 3 % 4}", "fold": i % 3})
    task = open_task(audio)
    assert (task.name, task.labels) == (audio.name, open_task(audio / "metadata.csv").labels)
    with pytest.raises(SonoscaleError, match=r"holds no task: neither task_metadata\.json"):
        open_task(tmp_path)
