"""Tasks in tables."""

import csv
import json

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import FolderTaskConfig, open_corpus, open_task
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


RATE = 16_000
HERTZ = {"low": 200.0, "high": 3000.0}


@pytest.fixture
def recordings(tmp_path):
    """Six recordings, each of ten half seconds of low and high tones in turn; and where each tone is."""
    rows = []
    for recording in range(6):
        names = [("low", "high")[(i + recording) % 2] for i in range(10)]
        time = np.arange(RATE // 2) / RATE
        tones = [0.3 * np.sin(2 * np.pi * HERTZ[name] * (1 + 0.02 * i) * time) for i, name in enumerate(names)]
        soundfile.write(tmp_path / f"{recording}.wav", np.concatenate(tones), RATE)
        rows += [
            {"path": f"{recording}.wav", "start": i / 2, "end": (i + 1) / 2, "label": name, "fold": recording % 3}
            for i, name in enumerate(names)
        ]
    return tmp_path, rows


def write(file, rows):
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_start_and_end_are_heeded_as_a_corpus_heeds_them(recordings):
    """One reader of tables: what is probed, studied and measured of a table is the same audio."""
    folder, rows = recordings
    table = write(folder / "metadata.csv", rows)
    corpus = open_corpus(str(table), max_seconds=None)
    in_study = FolderTaskConfig(kind="folder", name="tones", metadata=table.name).load(folder)
    for task in (open_task(table), in_study):
        assert len(task.corpus) == len(corpus) == 60
        for i in (0, 7, 59):
            np.testing.assert_array_equal(task.corpus.wave(i), corpus.wave(i))
            assert task.corpus.name(i) == corpus.name(i)
            assert len(task.corpus.wave(i)) == RATE // 2
        assert task.corpus.identity == corpus.identity
        assert task.groups == tuple(row["path"] for row in rows)  # clips of one recording resemble each other


def test_clips_of_a_recording_are_told_apart_by_a_probe(recordings):
    """Whole files hold both tones alike: read so, the score was 0."""
    from sonoscale.probe import probe

    folder, rows = recordings
    (score,) = probe("logmel:32", write(folder / "metadata.csv", rows), protocols="knn", baselines=False).scores
    assert score.result.score == 1.0
    assert score.result.n == 60


def test_offset_and_duration_in_any_format_are_the_same_clips(recordings):
    import pandas

    folder, rows = recordings
    expected = open_task(write(folder / "metadata.csv", rows))
    other = [
        {"filename": row["path"], "offset": row["start"], "duration": 0.5, "label": row["label"], "fold": row["fold"]}
        for row in rows
    ]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, other)))
    (folder / "t.json").write_text(json.dumps(other))
    pandas.DataFrame(other).to_parquet(folder / "t.parquet")
    pandas.DataFrame(other).to_csv(folder / "t.tsv", sep="\t", index=False)
    for name in ("t.jsonl", "t.json", "t.parquet", "t.tsv"):
        task = open_task(folder / name)
        assert task.name == "t"
        assert task.corpus.identity == expected.corpus.identity, name
        assert (task.labels, task.folds, task.groups) == (expected.labels, expected.folds, expected.groups)


def test_duration_alone_says_only_how_long_a_file_is(recordings):
    folder, _ = recordings
    rows = [{"path": f"{i}.wav", "label": "ab"[i // 3], "fold": i % 3, "duration": 5.0} for i in range(6)]
    task = open_task(write(folder / "metadata.csv", rows))
    assert len(task.corpus.wave(0)) == 5 * RATE
    assert task.groups is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"start": 7.0, "end": 8.0}, "line 3: 0.wav: holds no audio samples from 7 s to 8 s .it is 5.0 s long."),
        ({"start": 2.0, "end": 1.0}, "line 3: start 2 s and end 1 s hold no audio"),
        ({"start": "soon"}, "line 3: column 'start': 'soon' is not a number of seconds"),
        ({"start": 0.0, "end": 0.5}, "line 3: 0.wav is in line 2 already"),
    ],
)
def test_clips_that_cannot_be(recordings, row, message):
    folder, rows = recordings
    table = write(folder / "metadata.csv", [rows[0], rows[1] | row, *rows[2:]])
    with pytest.raises(SonoscaleError, match=message):
        open_task(table)
