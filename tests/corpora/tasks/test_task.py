"""What a task may be, of every kind, and what is said of one that cannot be."""

from dataclasses import replace

import numpy as np
import pytest

from sonoscale.corpora import Task
from sonoscale.corpora.tasks import METRICS_OF, Event
from sonoscale.errors import SonoscaleError
from sonoscale.probe._event_scores import EVENT_METRICS
from sonoscale.probe._metrics import METRICS
from sonoscale.probe._ranking import RETRIEVAL_METRICS


class Silence:
    sample_rate = 16_000
    identity = {"kind": "silence"}  # noqa: RUF012

    def __init__(self, clips):
        self.clips = clips

    def __len__(self):
        return self.clips

    def wave(self, index):
        return np.zeros(100, dtype=np.float32)

    def name(self, index):
        return f"clip{index}"


LABELS = {
    "multiclass": tuple("ab" * 6),
    "multilabel": (("a",), ("a", "b"), (), ("b",)) * 3,
    "regression": tuple(float(i) for i in range(12)),
    "events": ((Event("a", 0, 10), Event("b", 5, 20)), ()) * 6,
    "retrieval": (("a",), ("b",)) * 6,
}


def task(of="multiclass", **changes):
    made = {
        "name": "toy", "corpus": Silence(12), "labels": LABELS[of], "folds": tuple("001122001122"),
        "scheme": "folds", "kind": of,
    }  # fmt: skip
    return Task(**{**made, **changes})


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("folds", [("folds", tuple("001122001122")), ("split", ("train", "valid", "test") * 4)])
def test_every_kind_has_folds_or_a_split(kind, folds):
    scheme, folds = folds
    if scheme == "split":
        folds = tuple(part for part in ("train", "valid", "test") for _ in range(4))
    made = task(kind, folds=folds, scheme=scheme, metric=METRICS_OF[kind][0])
    assert made.labels == LABELS[kind]
    assert not made.own_folds
    assert made.notes == (("3 clips have no label",) if kind == "multilabel" else ())
    assert replace(made, name="again").notes == made.notes


def test_the_probe_knows_the_same_metrics():
    for kind in ("multiclass", "multilabel", "regression"):
        assert set(METRICS_OF[kind]) == {name for name, metric in METRICS.items() if kind in metric.kinds}
    assert set(METRICS_OF["events"]) == set(EVENT_METRICS)
    assert METRICS_OF["retrieval"] == tuple(RETRIEVAL_METRICS)


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("multiclass", {"kind": "multi"}, "no kind of task 'multi'; there are multiclass, multilabel"),
        ("multiclass", {"metric": "mae"}, "no metric 'mae' for multiclass tasks; there are accuracy"),
        ("multiclass", {"labels": ("a",) * 5}, "12 clips, 5 labels and 12 folds"),
        ("multiclass", {"groups": ("a",) * 5}, "12 clips and 5 groups"),
        ("multiclass", {"labels": (3, *"ababababab", "a")}, "clip0: 3 is no label of a multiclass task: .* a name"),
        ("multiclass", {"labels": ("a",) * 12}, "every clip has the label 'a'; nothing to predict"),
        ("multiclass", {"classes": ("a", "c")}, "clip1: label 'b' is none of the task's 2 classes"),
        ("multiclass", {"classes": ("a", "b", "a")}, "class 'a' is listed twice"),
        ("multiclass", {"scheme": "fold"}, "scheme = 'fold'; there are folds and split"),
        ("multiclass", {"scheme": "split"}, "a split needs train, valid and test; found 0, 1, 2"),
        ("multiclass", {"folds": tuple("01" * 6)}, "2 fold.s. .0, 1.; at least 3"),
        ("multiclass", {"labels": tuple("aababbaababb")}, "fold '0' holds one class only .'a'."),
        ("multiclass", {"labels": ("x", *"bababababab")}, "class 'x' of fold '0' is in no other fold"),
        ("multilabel", {"labels": ("a", *LABELS["multilabel"][1:])}, "clip0: 'a' is no label of a multilabel task"),
        ("multilabel", {"labels": (("x",), *LABELS["multilabel"][1:])}, "class 'x' of fold '0' is in no other"),
        ("multilabel", {"folds": tuple("110122011202")}, "no clip of fold '0' has any label"),
        ("regression", {"labels": (float("nan"), *range(11))}, "clip0: nan is no label of a regression task"),
        ("regression", {"labels": (1.0, 1.0, *range(4), 1.0, 1.0, *range(4))}, "every clip of fold '0' has the label"),
        ("events", {"labels": ((Event("a", 9, 3),), *LABELS["events"][1:])}, "each ending no earlier than it begins"),
        ("events", {"folds": tuple("102010211221")}, "no clip of fold '0' has any event"),
        ("events", {"labels": ((),) * 12}, "every clip has the label nothing"),
        ("multiclass", {"roles": ("query",) * 12}, "is multiclass, and clips have roles in retrieval tasks only"),
        ("retrieval", {"labels": tuple("ab" * 6)}, "clip0: 'a' is no label of a retrieval task: .* a tuple of names"),
        ("retrieval", {"labels": (("a",),) * 12}, "every clip has the label 'a'; nothing to search for"),
        ("retrieval", {"labels": tuple((c,) for c in "abcdefghijkl")}, "no query has anything to find: .* two clips"),
        ("retrieval", {"labels": tuple((c,) for c in "ababcdcdefef")}, "no query has anything to find"),  # across folds
        ("retrieval", {"roles": ("query",) * 5}, "12 clips and 5 roles"),
        ("retrieval", {"roles": ("query", "target") * 6}, "clip1: no role 'target'; there are query and gallery"),
        ("retrieval", {"roles": ("query",) * 12}, "no clip of part '0' has the role gallery"),
        ("retrieval", {"roles": ("gallery",) * 12}, "no clip of part '0' has the role query"),
        ("retrieval", {"roles": ("gallery", "query") * 6}, "no query has anything to find"),
        ("retrieval", {"scheme": "split", "folds": ("train", "valid") * 6}, "needs test; found train, valid"),
        ("retrieval", {"metric": "accuracy"}, "no metric 'accuracy' for retrieval tasks; there are mAP, recall@1"),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be(kind, changes, expected):
    with pytest.raises(SonoscaleError, match="task toy: .*" + expected):
        task(kind, **changes)


@pytest.mark.parametrize("folds", [("split", ("test",) * 12), ("folds", ("0",) * 12), ("folds", tuple("01" * 6))])
def test_retrieval_trains_nothing_and_needs_no_other_part(folds):
    made = task("retrieval", scheme=folds[0], folds=folds[1], labels=tuple((c,) for c in "aabbccaabbxy"))
    assert made.notes == ()
    # The clip that is alone in its class, and groups that are in several folds, are nobody's fault.
    assert task("retrieval", groups=tuple("abcdef" * 2)).notes == ()


def test_an_event_that_is_only_in_the_test_is_noted():
    made = task("events", labels=((Event("rare", 0, 1), *LABELS["events"][0]), *LABELS["events"][1:]))
    assert made.notes == ("1 classes of fold '0' (such as 'rare') are in no other fold: they cannot be found",)


def test_groups_in_several_folds_are_noted():
    groups = ("anna", "ben", "anna", "cy", "dan", "eve", *"uvwxyz")
    [note] = task(groups=groups).notes
    assert note == "1 of 11 groups are in more than one fold (such as 'anna' in 0, 1): scores may be too high"
    assert task(groups=tuple("abcdefabcdef")).notes == ()
