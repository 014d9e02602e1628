"""Tables of clips that are to be found by each other."""

import csv

import pytest

from sonoscale.corpora import open_task
from sonoscale.errors import SonoscaleError


@pytest.fixture
def table(audio):
    """Writes a table beside the clips, given a function from the number of a clip to its row; and its path."""

    def make(row, clips=60):
        rows = [{"path": f"{i:02d}.wav", **row(i)} for i in range(clips)]
        with (audio / "covers.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return audio / "covers.csv"

    return make


def role(i):
    return "query" if i % 4 == 0 else "Gallery"


@pytest.mark.parametrize(
    ("row", "options"),
    [
        (lambda i: {"work": f"w{i // 4}"}, {}),
        (lambda i: {"label": f"w{i // 4}"}, {"kind": "retrieval"}),
        (lambda i: {"song": f"w{i // 4}"}, {"kind": "retrieval", "label": "song"}),
        (lambda i: {"label": f"w{i // 4}", "role": role(i)}, {}),
        (lambda i: {"label": f"w{i // 4}", "part": role(i)}, {"role": "part"}),
    ],
)
def test_a_table_without_folds_is_tested_as_a_whole(table, row, options):
    task = open_task(table(row), **options)
    assert (task.kind, task.scheme, set(task.folds), task.own_folds, task.notes) == (
        "retrieval", "split", {"test"}, False, ()
    )  # fmt: skip
    assert task.labels == tuple((f"w{i // 4}",) for i in range(60))
    if {"role", "part"} & set(row(0)):
        assert task.roles == tuple(role(i).lower() for i in range(60))
    else:
        assert task.roles is None


def test_several_labels_and_names_with_marks(table):
    task = open_task(table(lambda i: {"labels": ["a;b", "b|c", "", "d"][i % 4]}), kind="retrieval")
    assert task.labels[:4] == (("a", "b"), ("b", "c"), (), ("d",))
    assert open_task(table(lambda i: {"work": f"AC;DC {i // 2}"})).labels[0] == ("AC;DC 0",)
    assert open_task(table(lambda i: {"work": f"{i // 2},x"}), separator=",").labels[0] == ("0", "x")


def test_folds_splits_and_groups_are_kept(table):
    task = open_task(table(lambda i: {"work": f"w{i // 4}", "fold": i // 30, "recording": f"r{i % 7}"}))
    assert task.groups is not None
    assert (task.scheme, set(task.folds), task.groups[8]) == ("folds", {"0", "1"}, "r1")
    assert task.notes == ()  # a recording on both sides of nothing
    task = open_task(table(lambda i: {"work": f"w{i // 4}", "split": "train" if i < 20 else "test"}))
    assert (task.scheme, task.folds.count("test"), task.own_folds) == ("split", 40, False)


def test_a_column_of_roles_in_a_play_is_no_search(table):
    task = open_task(table(lambda i: {"label": "ab"[i % 2], "role": "hamlet", "fold": i // 2 % 3}))
    assert (task.kind, task.roles) == ("multiclass", None)


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        (lambda i: {"work": i // 4, "role": "query" if i else "target"}, {}, "line 2: column 'role': 'target' is neit"),
        (lambda i: {"work": i // 4, "role": "target"}, {}, "line 2: column 'role': 'target' is neither query nor gall"),
        (lambda i: {"work": i // 4, "role": "query"}, {}, "no clip of part 'test' has the role gallery"),
        (lambda i: {"work": i}, {}, "no query has anything to find: .* at least two clips of one label are needed"),
        (lambda i: {"work": "one"}, {}, "every clip has the label 'one'; nothing to search for"),
        (lambda i: {"work": ""}, {}, "line 2: no value in column 'work'"),
        (lambda i: {"work": i // 4}, {"role": "part"}, "no column 'part'; its columns are path, work"),
        (lambda i: {"label": i // 4}, {"role": "path", "kind": "multiclass"}, "role is for retrieval tasks, and this"),
        (lambda i: {"work": i // 4, "split": "train"}, {}, "a split of a retrieval task needs test; found train"),
        (lambda i: {"work": i // 4}, {"metric": "accuracy"}, "no metric 'accuracy' for retrieval tasks; there are mAP"),
    ],
)
def test_a_table_that_cannot_be_searched(table, row, options, expected):
    with pytest.raises(SonoscaleError, match=expected):
        open_task(table(row), **options)
