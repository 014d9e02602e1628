"""Folds that are made here."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonoscale.corpora.tasks import folds_by_group
from sonoscale.corpora.tasks._folds import divide
from sonoscale.errors import SonoscaleError

clips = st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc")), min_size=40, max_size=120)


@settings(deadline=None, max_examples=25)
@given(clips, st.integers(2, 5), st.integers(0, 3))
def test_every_clip_has_one_fold_and_every_group_too(clips, folds, seed):
    groups = [f"speaker{group}" for group, _ in clips]
    if len(set(groups)) < folds:
        return
    for classes in (None, [label for _, label in clips]):
        dealt = folds_by_group(groups, folds=folds, seed=seed, classes=classes)
        assert len(dealt) == len(clips)
        assert set(dealt) == {str(fold) for fold in range(folds)}
        assert all(len({f for f, g in zip(dealt, groups, strict=True) if g == group}) == 1 for group in set(groups))
        assert dealt == folds_by_group(groups, folds=folds, seed=seed, classes=classes)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from("aaaabbc"), min_size=20, max_size=200), st.integers(0, 3))
def test_without_groups_every_class_is_spread_evenly(labels, seed):
    dealt = folds_by_group([str(i) for i in range(len(labels))], seed=seed, classes=labels)
    for label in set(labels):
        counts = Counter(fold for fold, found in zip(dealt, labels, strict=True) if found == label)
        assert max(counts.values()) - min(counts.get(str(fold), 0) for fold in range(5)) <= 1


@settings(deadline=None, max_examples=25)
@given(clips, st.integers(0, 3), st.booleans())
def test_a_validation_part_is_cut_from_training_only(clips, seed, grouped):
    labels = [label for _, label in clips]
    groups = [f"{group}" for group, _ in clips]
    parts = ["test" if i % 4 == 0 else "train" for i in range(len(clips))]
    if len({g for g, p in zip(groups, parts, strict=True) if p == "train"}) < 2:
        return
    given_groups = groups if grouped else None
    made = divide("toy", parts, "split", labels, kind="multiclass", groups=given_groups, make_folds=5, seed=seed)
    assert [fold == "test" for fold in made.folds] == [part == "test" for part in parts]
    valid = {i for i, fold in enumerate(made.folds) if fold == "valid"}
    train = {i for i, fold in enumerate(made.folds) if fold == "train"}
    assert valid
    assert train
    assert made.own
    assert made.notes[0].startswith(f"the data have no validation part: {len(valid)} of {len(train | valid)} training")
    if grouped:
        assert not {groups[i] for i in valid} & {groups[i] for i in train}
    else:
        assert abs(len(valid) - 0.1 * len(train | valid)) <= 3


def test_fewer_groups_than_folds():
    with pytest.raises(SonoscaleError, match="2 groups cannot be dealt into 5 folds; ask for fewer folds"):
        folds_by_group(["a", "b", "a"])
    with pytest.raises(SonoscaleError, match="toy: no validation part, and one group only to cut it from"):
        divide(
            "toy", ["train", "test"], "split", ["a", "b"], kind="multiclass", groups=["x", "y"], make_folds=5, seed=0
        )
