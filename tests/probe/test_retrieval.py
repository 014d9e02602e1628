"""Query by example: what it finds, what it must not be rewarded for, and what cannot be searched."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from sonoscale.errors import SonoscaleError
from sonoscale.probe import ProbeResult, _retrieval, probe_embeddings
from sonoscale.probe._ranking import RETRIEVAL_METRICS
from sonoscale.probe._targets import make_targets


def clips(n=120, dim=8, classes=4, apart=1.0, seed=0):
    """Blobs, their classes, and folds of thirty."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = apart * rng.standard_normal((classes, dim))[y] + rng.standard_normal((n, dim))
    return x.astype(np.float32), [f"class {c}" for c in y], [str(i // 30) for i in range(n)]


def find(x, y, folds, **options):
    return probe_embeddings(x, y, folds, **{"protocol": "retrieval", **options})


def reference(x, relevant, there):
    """Mean over queries of scikit-learn's average precision, of those that have anything to find."""
    similar = cosine_similarity(x.astype(np.float64))
    found = [
        average_precision_score(r[t], s[t]) for s, r, t in zip(similar, relevant, there, strict=True) if (r & t).any()
    ]
    return np.mean(found), len(found)


def same(names):
    return np.array(names)[:, None] == np.array(names)


def test_it_is_the_mean_average_precision_of_scikit_learn():
    x, y, folds = clips()
    result = find(x, y, folds)
    for fold in "0123":
        inside = np.array(folds) == fold
        expected, _ = reference(x[inside], same(y)[inside][:, inside], ~np.eye(30, dtype=bool))
        assert result.per_fold[fold] == pytest.approx(expected, abs=1e-9)
    assert result.score == pytest.approx(np.mean(list(result.per_fold.values())))
    assert (result.n, result.classes, result.metric, result.kind) == (120, 4, "mAP", "retrieval")
    assert (result.protocol, result.warnings, result.chosen) == ("retrieval/1", (), {})
    assert list(result.others) == [name for name in RETRIEVAL_METRICS if name != "mAP"]
    for said in result.others.values():
        assert said["low"] <= said["score"] <= said["high"]
    assert result.low < result.score < result.high
    assert ProbeResult.from_dict(json.loads(json.dumps(result.as_dict()))) == result


def test_a_split_is_tested_on_its_test_part_alone():
    x, y, _ = clips()
    parts = ["train"] * 50 + ["test"] * 70
    spoilt = x.copy()
    spoilt[:50] = 99
    result = find(x, y, parts, scheme="split")
    assert result == find(spoilt, y, parts, scheme="split")
    assert result == find(x, y, ["valid"] * 50 + ["test"] * 70, scheme="split")
    assert list(result.per_fold) == ["test"]
    assert result.n == 70


def test_groups_of_the_query_are_not_searched_unless_asked_for():
    x, y, folds = clips(apart=0.5)
    speakers = [f"s{i // 4 % 5}" for i in range(120)]
    x = x + 3 * np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)[np.arange(120) // 4 % 5]
    without, everyone = (find(x, y, folds, groups=speakers, protocol=p) for p in ("retrieval", "retrieval-all"))
    for fold in "0123":
        inside = np.array(folds) == fold
        others = ~same(speakers)[inside][:, inside]
        expected, _ = reference(x[inside], same(y)[inside][:, inside], others)
        assert without.per_fold[fold] == pytest.approx(expected, abs=1e-9)
    assert everyone.score == find(x, y, folds).score
    assert (without.protocol, everyone.protocol) == ("retrieval/1", "retrieval-all/1")
    assert any("own group (speaker, recording) are not searched" in warning for warning in without.warnings)
    assert not everyone.warnings
    # Clips of a group are not independent, so its queries are drawn together.
    widths = [r.high - r.low for r in (everyone, find(x, y, folds))]
    assert widths[0] != widths[1]


def test_queries_search_the_gallery_alone():
    x, y, _ = clips()
    roles = ["query" if i % 3 == 0 else "gallery" for i in range(120)]
    asked = np.array(roles) == "query"
    similar, relevant = cosine_similarity(x.astype(np.float64))[asked][:, ~asked], same(y)[asked][:, ~asked]
    expected = np.mean([average_precision_score(r, s) for s, r in zip(similar, relevant, strict=True)])
    result = find(x, y, ["test"] * 120, scheme="split", roles=roles)
    assert result.score == pytest.approx(expected, abs=1e-9)
    assert result.n == 40


def test_one_label_in_common_is_enough():
    x, _, folds = clips()
    rng = np.random.default_rng(0)
    truth = rng.random((120, 6)) < 0.15
    labels = [[f"l{i}" for i in np.flatnonzero(row)] for row in truth]
    result = find(x, labels, folds, kind="multilabel")
    relevant, left = truth.astype(int) @ truth.T > 0, 0
    for fold in "0123":
        inside = np.array(folds) == fold
        expected, asked = reference(x[inside], relevant[inside][:, inside], ~np.eye(30, dtype=bool))
        assert result.per_fold[fold] == pytest.approx(expected, abs=1e-9)
        left += 30 - asked
    assert left > 0
    assert result.n == 120 - left
    assert result.warnings == (
        "relevant is a clip with at least one label in common",
        f"{left} of 120 queries are left out: nothing that they search has their label",
    )
    assert result == find(x, labels, folds, kind="retrieval")


@pytest.mark.parametrize(("apart", "fold"), [(0.0, 30), (0.5, 30), (0.5, 60)])
def test_the_interval_holds_the_true_value(apart, fold):
    rng, results = np.random.default_rng(3), []
    centres = rng.standard_normal((4, 8))
    for _ in range(100):
        x = apart * centres[np.arange(60) % 4] + rng.standard_normal((60, 8))
        results.append(find(x.astype(np.float32), [str(i % 4) for i in range(60)], [str(i // fold) for i in range(60)]))
    truth = np.mean([result.score for result in results])
    assert sum(result.low <= truth <= result.high for result in results) >= 90
    spread = np.std([result.score for result in results])
    width = np.mean([result.high - result.low for result in results]) / 3.92
    assert 0.8 * spread < width < 1.6 * spread


def test_separation_is_perfect_and_noise_is_chance():
    _, y, folds = clips()
    perfect = find(np.eye(4, dtype=np.float32)[np.arange(120) % 4], y, folds)
    assert perfect.score == 1
    assert [said["score"] for said in perfect.others.values()] == pytest.approx([1] * 5)
    assert (perfect.low, perfect.high) == (1, 1)
    inside = 0
    for seed in range(40):
        noise = find(np.random.default_rng(seed).standard_normal((120, 16)).astype(np.float32), y, folds)
        inside += noise.low <= noise.chance <= noise.high
    assert inside >= 35


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -3e4])
def test_an_encoder_to_which_all_is_alike_scores_as_chance(value):
    _, y, folds = clips()
    y = sorted(y)  # not even if the order of the clips gives the class away
    folds = [str(i % 4) for i in range(120)]
    flat = find(np.full((120, 7), value, dtype=np.float32), y, folds)
    assert flat.score == flat.chance
    assert {name: said["score"] for name, said in flat.others.items()} == {
        name: said["chance"] for name, said in flat.others.items()
    }
    assert any("equal in 4 of 4 folds: scored as chance" in warning for warning in flat.warnings)
    # The same direction at different lengths is as much alike.
    x = np.outer(np.arange(1, 121), np.linspace(0.3, 0.8, 7)).astype(np.float32)
    assert find(x, y, folds).score == pytest.approx(flat.chance, abs=1e-6)


def test_the_order_of_clips_and_the_size_of_embeddings_do_not_count(monkeypatch):
    x, y, folds = clips()
    result = find(x, y, folds)
    order = np.random.default_rng(0).permutation(120)
    shuffled = find(x[order], [y[i] for i in order], [folds[i] for i in order])
    assert shuffled.per_fold == pytest.approx(result.per_fold, abs=1e-12)
    assert find(1024 * x, y, folds).per_fold == result.per_fold
    longer = x * np.random.default_rng(0).uniform(0.1, 9, (120, 1)).astype(np.float32)
    assert find(longer, y, folds).score == pytest.approx(result.score, abs=1e-4)
    monkeypatch.setattr(_retrieval, "BLOCK", 70)  # two queries at a time
    assert find(x, y, folds).per_fold == pytest.approx(result.per_fold, abs=1e-12)


def test_another_metric_may_be_the_main_one():
    x, y, folds = clips()
    result, usual = find(x, y, folds, metric="recall@5"), find(x, y, folds)
    assert result.score == usual.others["recall@5"]["score"]
    assert result.chance == usual.others["recall@5"]["chance"]
    assert result.others["mAP"]["score"] == usual.score
    with pytest.raises(SonoscaleError, match="no metric 'accuracy' for retrieval; there are mAP, recall@1"):
        find(x, y, folds, metric="accuracy")


def test_progress_goes_to_the_end(monkeypatch):
    monkeypatch.setattr(_retrieval, "BLOCK", 300)
    reported = []
    find(*clips(), progress=lambda *at: reported.append(at))
    assert reported == sorted(reported)
    assert len(reported) > 8
    assert reported[-1] == (120, 120)


def test_folds_in_which_nothing_is_found_do_not_count():
    x, y, _ = clips()
    y = [f"alone {i}" if i < 30 else name for i, name in enumerate(y)]
    result = find(x, y, [str(i // 30) for i in range(120)])
    assert list(result.per_fold) == ["1", "2", "3"]
    assert "30 of 120 queries are left out: nothing that they search has their label" in result.warnings
    assert "no query of fold '0' is left, and it does not count" in result.warnings


def tied(kind):
    """Embeddings of which many are equally similar."""
    x, y, folds = clips(classes=8, apart=0.7)
    if kind == "signs":
        return np.sign(x), y, folds
    if kind == "few signs":
        return np.sign(x[:, :3]), y, folds
    if kind == "pairs of unlike class":
        return np.repeat(x[:60], 2, axis=0), y, folds
    if kind == "half of them equal":
        return np.where(np.arange(120)[:, None] % 2, x, x[:1]), y, folds
    return np.where(np.arange(120)[:, None] % 3, x, 0), y, folds


@pytest.mark.parametrize(
    "kind", ["signs", "few signs", "pairs of unlike class", "half of them equal", "a third of them 0"]
)
@pytest.mark.parametrize("fold", [30, 120])
def test_the_interval_holds_the_score_where_clips_are_tied(kind, fold):
    x, y, _ = tied(kind)
    result = find(x, y, [str(i // fold) for i in range(120)])
    assert result.low < result.score < result.high
    # As wide as it is with an order of what is tied, taken at random.
    rng, widths = np.random.default_rng(0), []
    for _ in range(5):
        ordered = find((x + 1e-5 * rng.standard_normal(x.shape)).astype(np.float32), y,
                       [str(i // fold) for i in range(120)])  # fmt: skip
        widths.append(ordered.high - ordered.low)
    assert 0.5 < (result.high - result.low) / np.mean(widths) < 1.3


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e30])
def test_the_scale_of_embeddings_does_not_count(size):
    x, y, folds = clips()
    result, scaled = find(x, y, folds), find((x * size).astype(np.float32), y, folds)
    assert scaled.score == pytest.approx(result.score, abs=1e-4)
    assert (scaled.low, scaled.high) == pytest.approx((result.low, result.high), abs=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused_by_the_protocol_itself(value):
    x, y, folds = clips()
    x[17, 3] = value
    with pytest.raises(SonoscaleError, match="the embedding of clip 17 is not finite"):
        _retrieval.probe_retrieval(x, make_targets(y), folds)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"y": ["same"] * 120}, "every clip has the label"),
        ({"y": [f"c{i}" for i in range(120)]}, "none of 120 queries has anything to find.*at least two clips of one"),
        ({"x": np.full((120, 3), np.nan, dtype=np.float32)}, "embedding of clip 0 is not finite"),
        ({"groups": [str(i // 30) for i in range(120)]}, "120 of 120 queries have a gallery of their own group alone.*"
         "retrieval-all searches it"),
        ({"groups": [str(i % 4) for i in range(120)]}, "at least two clips of one label.*of different groups, or"),
        ({"roles": ["query"] * 120}, "fold '0' has no gallery"),
        ({"roles": ["gallery"] * 120}, "fold '0' has no queries"),
        ({"roles": ["query"] * 3}, "3 roles for 120 embeddings"),
        ({"roles": ["query"] * 120, "protocol": "linear"}, "120 roles for 120 embeddings and protocol linear"),
        ({"scheme": "split"}, "retrieval is tested on the part test; found 0, 1, 2, 3"),
        ({"y": np.arange(120.0), "kind": "regression"}, "protocol retrieval is for retrieval, multiclass, multilabel "
         "tasks, not for regression"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_named(options, expected):
    x, y, folds = clips()
    with pytest.raises(SonoscaleError, match=expected):
        find(options.pop("x", x), options.pop("y", y), folds, **options)
