"""Which clips fit, choose and are tested."""

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.probe._rounds import check_rounds, folds_by_group, make_rounds
from sonoscale.probe._targets import make_targets

FOLDS = ["1", "2", "10", "2", "1", "10", "3"]


def test_each_fold_is_tested_once_and_the_next_validates():
    rounds = make_rounds(FOLDS)
    assert [each.name for each in rounds] == ["1", "2", "3", "10"]  # by length, then by name
    parts = np.array(FOLDS)
    for each, valid in zip(rounds, ["2", "3", "10", "1"], strict=True):
        assert set(parts[each.test]) == {each.name}
        assert set(parts[each.valid]) == {valid}
        every = np.concatenate([each.train, each.valid, each.test])
        assert sorted(every) == list(range(7))
        assert each.fitted.tolist() == sorted([*each.train, *each.valid])


def test_a_split_is_one_round():
    (each,) = make_rounds(["test", "train", "valid", "train"], scheme="split")
    assert (each.name, each.train.tolist(), each.valid.tolist(), each.test.tolist()) == ("test", [1, 3], [2], [0])


@pytest.mark.parametrize(
    ("folds", "scheme", "expected"),
    [
        (["a", "b"], "folds", "at least 3 folds are needed; found a, b"),
        (["train", "test"], "split", "a split needs train, valid and test; found test, train"),
        (["train", "test", "valid", "extra"], "split", "found"),
    ],
)
def test_folds_that_cannot_be_used(folds, scheme, expected):
    with pytest.raises(SonoscaleError, match=expected):
        make_rounds(folds, scheme=scheme)


def test_groups_stay_whole_and_folds_are_about_equal():
    names = np.random.default_rng(0).choice(40, size=1000, p=np.arange(1, 41) / 820).astype(str)
    groups = [str(name) for name in names]
    folds = np.array(folds_by_group(groups, folds=5))
    assert all(len(set(folds[names == group])) == 1 for group in set(groups))
    sizes = np.unique(folds, return_counts=True)[1]
    assert len(sizes) == 5
    assert sizes.max() - sizes.min() < 20
    assert folds_by_group(groups, seed=0) == folds_by_group(groups, seed=0) != folds_by_group(groups, seed=1)


def test_too_few_groups():
    with pytest.raises(SonoscaleError, match="2 groups cannot be dealt into 3 folds"):
        folds_by_group(["a", "b", "a"], folds=3)


@pytest.mark.parametrize(
    ("labels", "kind", "expected"),
    [
        (["a", "a", "a", "b", "a", "b"], "multiclass", "fold '1': the clips of the test fold have one class only"),
        (["a", "b", "a", "a", "a", "a"], "multiclass", "fold '1': the clips to train on have one class only"),
        (["a", "c", "a", "b", "a", "b"], "multiclass", "class 'c' of fold '1' is in no other fold"),
        ([["a"], [], [], [], [], []], "multilabel", "no clip to train on for fold '1' has any label"),
    ],
)
def test_rounds_that_cannot_be_fitted(labels, kind, expected):
    targets, rounds = make_targets(labels, kind=kind), make_rounds(["1", "1", "2", "2", "3", "3"])
    with pytest.raises(SonoscaleError, match=expected):
        check_rounds(targets, rounds)


def test_a_group_on_both_sides_is_told_once():
    targets, rounds = make_targets(["a", "b"] * 3), make_rounds(["1", "1", "2", "2", "3", "3"])
    assert check_rounds(targets, rounds, list("uvwxyz")) == []
    (remark,) = check_rounds(targets, rounds, list("uvuxyz"))
    assert "1 groups (such as 'u') are in fold '1'" in remark
