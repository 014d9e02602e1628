"""Labels as arrays."""

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.probe._targets import make_targets


def test_classes_are_sorted_numbers_by_value():
    targets = make_targets(["10", "9", "-1", "b", "a", "9"])
    assert targets.classes == ("-1", "9", "10", "a", "b")
    assert targets.values.tolist() == [2, 1, 0, 4, 3, 1]
    assert targets.outputs == 5
    assert targets.one_hot().sum(axis=1).tolist() == [1] * 6


def test_several_labels_or_none():
    targets = make_targets([["b", "a"], [], ["a", "a"]], kind="multilabel")
    assert targets.classes == ("a", "b")
    assert targets.values.tolist() == [[True, True], [False, False], [True, False]]
    assert targets.one_hot() is targets.values


def test_numbers():
    targets = make_targets(["1.5", 2, np.float32(3)], kind="regression")
    assert targets.values.tolist() == [1.5, 2.0, 3.0]
    assert (targets.outputs, targets.classes) == (1, ())
    with pytest.raises(TypeError):
        targets.one_hot()


def test_some_clips_keep_all_classes():
    targets = make_targets(["a", "b", "c"])
    assert len(targets[np.array([0, 2])]) == 2
    assert targets[np.array([True, False, False])].classes == ("a", "b", "c")


def test_given_classes_keep_their_order():
    assert make_targets(["a", "b"], classes=["b", "x", "a"]).values.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("labels", "options", "expected"),
    [
        (["a", "b"], {"kind": "ordinal"}, "no kind of labels 'ordinal'; there are multiclass"),
        (["a", "a"], {}, "every clip has the label 'a'"),
        (["a", "z"], {"classes": ["a", "b"]}, "label 'z' is none of the task's 2 classes"),
        (["a", ["b"]], {"kind": "multilabel"}, "must be a list of names, not one text"),
        ([1, "x"], {"kind": "regression"}, "is no number"),
        ([1, None], {"kind": "regression"}, "is no number"),
        ([1, float("nan")], {"kind": "regression"}, "label nan of a regression task is no finite number"),
        ([2, 2], {"kind": "regression"}, "every clip has the label 2; nothing to predict"),
        ([["a"], ["a"]], {"kind": "multilabel"}, "every clip has the label"),
    ],
)
def test_bad_labels_are_named(labels, options, expected):
    with pytest.raises(SonoscaleError, match=expected):
        make_targets(labels, **options)
