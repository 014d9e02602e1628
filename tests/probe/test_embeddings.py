"""One call for every protocol: what it takes, refuses and returns."""

import json

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.probe import PROTOCOLS, ProbeResult, find_protocol, probe_embeddings


def blobs(n=300, dim=12, classes=4, distance=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = distance * rng.standard_normal((classes, dim))[y] + rng.standard_normal((n, dim))
    folds = rng.integers(1, 6, n)
    return (x * 7 + 100).astype(np.float32), [f"class {c}" for c in y], [str(f) for f in folds]


@pytest.mark.parametrize(("rare", "expected"), [(0.5, 0.5), (0.2, 0.8)])
def test_chance_is_the_most_frequent_class_of_the_fitted_clips(rare, expected):
    x, _, _ = blobs()
    y = ["rare" if i % 10 < 10 * rare else "common" for i in range(300)]
    folds = [str(i // 10 % 5) for i in range(300)]  # every fold has the classes in the same shares
    assert probe_embeddings(x, y, folds).chance == pytest.approx(expected)


def test_a_result_tells_what_it_is_of():
    x, y, folds = blobs()
    result = probe_embeddings(x, y, folds)
    assert (result.n, result.classes, result.metric, result.kind) == (300, 4, "accuracy", "multiclass")
    assert result.protocol == "linear/2"
    assert list(result.per_fold) == list(result.chosen) == list("12345")
    assert result.score == pytest.approx(np.mean(list(result.per_fold.values())))
    assert result.fold_std == pytest.approx(np.std(list(result.per_fold.values()), ddof=1))
    assert result.low < result.score < result.high
    assert ProbeResult.from_dict(json.loads(json.dumps(result.as_dict()))) == result


def test_a_split_is_tested_once():
    x, y, _ = blobs(n=400)
    result = probe_embeddings(x, y, ["train"] * 200 + ["valid"] * 100 + ["test"] * 100, scheme="split")
    assert list(result.per_fold) == ["test"]
    assert result.fold_std is None


def test_groups_on_both_sides_are_told_and_those_of_one_fold_are_not():
    x, y, folds = blobs()
    (warning,) = probe_embeddings(x, y, folds, groups=[f"speaker {i % 7}" for i in range(300)]).warnings
    assert "7 groups (such as 'speaker 0') are in fold '1'" in warning
    assert probe_embeddings(x, y, folds, groups=[f"speaker {fold}" for fold in folds]).warnings == ()


def test_progress_goes_to_the_end():
    x, y, folds = blobs()
    for protocol in ("linear", "knn", "few-shot"):
        reported = []
        probe_embeddings(x, y, folds, protocol=protocol, progress=lambda *at, reported=reported: reported.append(at))
        assert reported[-1] == (5, 5)


def test_the_same_call_gives_the_same_result():
    x, y, folds = blobs()
    for protocol in ("linear", "knn", "knn-tuned", "few-shot"):
        assert probe_embeddings(x, y, folds, protocol=protocol) == probe_embeddings(x, y, folds, protocol=protocol)


def test_folds_and_labels_may_be_arrays_of_numbers():
    x, y, folds = blobs()
    numbers = probe_embeddings(x, np.array([int(name[-1]) for name in y]), np.array(folds, dtype=int))
    assert numbers.per_fold == probe_embeddings(x, y, folds).per_fold


def test_protocols_are_found_by_name_and_have_a_version_of_it():
    for name, each in PROTOCOLS.items():
        assert find_protocol(name) is each
        assert each.version.rpartition("/")[0].startswith(name.partition("-")[0])
    with pytest.raises(SonoscaleError, match="no protocol 'liner'; there are linear, knn"):
        find_protocol("liner")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x, y, f: (x, y, ["1"] * 150 + ["2"] * 150), "at least 3 folds"),
        (lambda x, y, f: (x[:-1], y, f), r"embeddings \[299, 12\], 300 labels and 300 folds do not agree"),
        (lambda x, y, f: (x[:, 0], y, f), "do not agree"),
        (lambda x, y, f: (np.where(np.arange(300)[:, None] == 7, np.nan, x), y, f), "clip 7 is not finite"),
        (lambda x, y, f: (np.where(np.arange(300)[:, None] == 9, np.inf, x), y, f), "clip 9 is not finite"),
        (lambda x, y, f: (x, ["rare" if k == 0 else c for k, c in enumerate(y)], f), "'rare'.* is in no other fold"),
        (lambda x, y, f: (x, ["same"] * 300, f), "every clip has the label 'same'"),
        (lambda x, y, f: (x, [c if k == "1" else "class 0" for c, k in zip(y, f, strict=True)], f), "one class only"),
        (lambda x, y, f: (["a"] * 300, y, f), "embeddings must be an array of numbers"),
        (lambda x, y, f: (x, y, ["train", "test"] * 150), "a split needs train, valid and test"),
    ],
)
def test_bad_input_is_named(change, expected):
    x, y, folds = change(*blobs())
    with pytest.raises(SonoscaleError, match=expected):
        probe_embeddings(x, y, folds, scheme="split" if "train" in folds else "folds")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"metric": "mAP50"}, "no metric 'mAP50' for multiclass tasks; there are accuracy"),
        ({"kind": "regression"}, "no number"),
        ({"groups": ["a"]}, "300 embeddings and 1 groups"),
        ({"protocol": "mlp"}, "no protocol 'mlp'"),
        ({"scheme": "fold"}, "scheme = 'fold': must be 'folds' or 'split'"),
    ],
)
def test_bad_options_are_named(options, expected):
    with pytest.raises(SonoscaleError, match=expected):
        probe_embeddings(*blobs(), **options)


def test_scores_of_each_class_and_what_is_taken_for_what():
    """Of four classes, two lie apart from all and two on one another."""
    rng = np.random.default_rng(0)
    labels = np.array(list("abcd") * 30)
    centres = {"a": [5, 0], "b": [0, 5], "c": [-5, -5], "d": [-5, -5]}
    x = np.array([centres[label] for label in labels]) + rng.normal(size=(120, 2))
    folds = [str(i // 40) for i in range(120)]
    found = probe_embeddings(x, labels, folds, protocol="knn")
    assert list(found.per_class) == list("abcd")
    assert all(each["n"] == 30 for each in found.per_class.values())
    confusion = np.array(found.confusion)
    assert confusion.sum() == found.n == 120
    assert confusion.trace() / 120 == pytest.approx(found.score)
    assert found.per_class["a"]["score"] == found.per_class["b"]["score"] == 1
    assert found.per_class["c"]["score"] + found.per_class["d"]["score"] == pytest.approx(1, abs=0.35)
    assert confusion[:2, 2:].sum() == 0
    assert confusion[2, 3] > 0
    assert confusion[3, 2] > 0
    few = probe_embeddings(x, labels, folds, protocol="few-shot")
    assert np.array(few.confusion).sum(axis=1) == pytest.approx([30] * 4)  # the mean of ten trainings
    assert np.array(few.confusion).trace() / 120 == pytest.approx(few.score)


def test_average_precision_of_each_label_is_that_of_scikit_learn():
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(1)
    truth = rng.random((90, 3)) < 0.4
    labels = [tuple(name for name, has in zip("xyz", row, strict=True) if has) for row in truth]
    x, folds = truth @ rng.normal(size=(3, 6)) + rng.normal(size=(90, 6)), np.array([str(i % 3) for i in range(90)])
    found = probe_embeddings(x, labels, folds.tolist(), kind="multilabel", protocol="knn")
    assert [each["n"] for each in found.per_class.values()] == truth.sum(axis=0).tolist()
    assert np.mean([each["score"] for each in found.per_class.values()]) == pytest.approx(found.score, abs=1e-9)
    votes = []
    for fold in "012":  # of the ten nearest of the other folds, by cosine
        fitted, tested = folds != fold, folds == fold
        a, b = (x[part] / np.linalg.norm(x[part], axis=1, keepdims=True) for part in (tested, fitted))
        similar = a @ b.T
        nearest = np.argsort(-similar, axis=1)[:, :10]
        weights = np.exp(np.take_along_axis(similar, nearest, axis=1) / 0.07)
        weights /= weights.sum(axis=1, keepdims=True)
        votes.append(average_precision_score(truth[tested, 0], (weights * truth[fitted, 0][nearest]).sum(axis=1)))
    assert found.per_class["x"]["score"] == pytest.approx(np.mean(votes), abs=1e-6)
    assert found.confusion == []


OWN = """
import numpy as np
from sonoscale.probe import Outcome, Protocol
from sonoscale.probe._knn import KNN

def short(x, targets, rounds, *others):
    return [Outcome(np.zeros((1, targets.outputs))) for _ in rounds]

def broken(x, *others):
    raise ValueError("no such thing")

def made(run, version="mine/1"):
    return Protocol("mine", version, ("multiclass",), run, "")

SAME, SHORT, BROKEN = made(KNN.run), made(short), made(broken)
TAKEN, NUMBER = made(KNN.run, "knn/1"), 7
"""


def test_a_protocol_of_the_users_own_is_scored_under_its_own_version(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    x, labels, folds = blobs(n=60, classes=2)
    own = probe_embeddings(x, labels, folds, protocol=f"python:{file}:SAME")
    ours = probe_embeddings(x, labels, folds, protocol="knn")
    assert own.protocol == "mine/1"
    assert (own.score, own.low, own.high, own.per_fold) == (ours.score, ours.low, ours.high, ours.per_fold)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SHORT", r"SHORT: gave predictions of the shapes \[\(1, 2\), .*and must give"),
        ("BROKEN", "BROKEN: failed: ValueError: no such thing"),
        ("TAKEN", "its version 'knn/1' is that of a protocol of Sonoscale"),
        ("NUMBER", "is a int, and must be a sonoscale.probe.Protocol"),
        ("MISSING", "has no MISSING"),
    ],
)
def test_what_is_wrong_with_a_protocol_of_the_users_own_is_one_line(name, message, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    x, labels, folds = blobs(n=60, classes=2)
    with pytest.raises(SonoscaleError, match=message):
        probe_embeddings(x, labels, folds, protocol=f"python:{file}:{name}")


def test_a_protocol_of_an_installed_package_goes_by_the_name_of_its_entry_point(tmp_path, monkeypatch):
    (tmp_path / "nearby.py").write_text(OWN)
    about = tmp_path / "nearby-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nearby\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[sonoscale.protocols]\nnearby = nearby:SAME\nlost = nearby:NOWHERE\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert (find_protocol("nearby").name, find_protocol("nearby").version) == ("nearby", "mine/1")
    with pytest.raises(SonoscaleError, match="protocol lost: importing nearby:NOWHERE failed: AttributeError"):
        find_protocol("lost")
