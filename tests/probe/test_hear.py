"""The scene probe of HEAR: same networks, same training, same choices."""

import dataclasses
import itertools
import random
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.probe._embeddings import probe_embeddings
from sonoscale.probe._hear import GRID, HEAR, GridPoint, Lesson, Training, build_mlp, fit_grid, fit_mlp, hear
from sonoscale.probe._metrics import find_metric
from sonoscale.probe._protocols import PROTOCOLS
from sonoscale.probe._rounds import make_rounds
from sonoscale.probe._targets import Targets, make_targets

TINY = Training(
    grid=(GridPoint(1, "normal", 1e-2), GridPoint(2, "uniform", 1e-3)),
    epochs=21,
    every=3,
    patience=4,
    batch=32,
    width=16,
)


def _clips(n=72, dim=6, classes=3, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n) % classes)
    x = rng.normal(size=(classes, dim))[codes] + noise * rng.normal(size=(n, dim))
    return x.astype(np.float32), make_targets([f"class {code}" for code in codes])


def _run(x, targets, folds, *, metric=None, seed=0, training=TINY, scheme="folds"):
    rounds = make_rounds(folds, scheme=scheme)
    measure = find_metric(metric, targets.kind)
    outcomes = hear(x, targets, rounds, measure, seed, "cpu", lambda done, total: None, training=training)
    scores = [measure.of(targets[r.test], o.predictions) for r, o in zip(rounds, outcomes, strict=True)]
    return outcomes, float(np.mean(scores))


def _folds(n, count=3):
    return [str(i % count) for i in range(n)]


def _split(n):
    return [("train", "train", "valid", "test")[i % 4] for i in range(n)]


def test_grid_is_the_first_half_of_hears_under_its_seed():
    points = [
        GridPoint(layers, init, lr)
        for layers, init, lr in itertools.product((1, 2), ("uniform", "normal"), (3.2e-3, 1e-3, 3.2e-4, 1e-4))
    ]
    random.Random(42).shuffle(points)
    assert tuple(points[:8]) == GRID


@pytest.mark.parametrize(("init", "kurtosis"), [("uniform", 1.8), ("normal", 3.0)])
def test_first_weights_have_the_gain_of_what_comes_before(init, kurtosis):
    torch.manual_seed(0)
    model = build_mlp(300, 200, GridPoint(2, init, 1e-3), Training(width=400))
    assert [type(each).__name__ for each in model] == ["Linear", "BatchNorm1d", "Dropout", "ReLU"] * 2 + ["Linear"]
    linears = [each for each in model if isinstance(each, torch.nn.Linear)]
    for linear, gain in zip(linears, (1, 2**0.5, 2**0.5), strict=True):
        expected = gain * (2 / (linear.in_features + linear.out_features)) ** 0.5
        assert float(linear.weight.detach().std()) == pytest.approx(expected, rel=0.02)
        assert float(stats.kurtosis(linear.weight.detach().ravel(), fisher=False)) == pytest.approx(kurtosis, rel=0.05)


def _plain_loop(x, y, valid, truth, test, *, lr, epochs, every, patience, batches, width, dropout, outputs):
    """Two layers with normal weights, written out: best check, its probabilities."""
    nn = torch.nn
    first, second, last = nn.Linear(x.shape[1], width), None, None
    nn.init.xavier_normal_(first.weight, gain=1.0)
    norm1 = nn.BatchNorm1d(width)
    second = nn.Linear(width, width)
    nn.init.xavier_normal_(second.weight, gain=2**0.5)
    norm2, last = nn.BatchNorm1d(width), nn.Linear(width, outputs)
    nn.init.xavier_normal_(last.weight, gain=2**0.5)
    modules = nn.ModuleList([first, norm1, second, norm2, last])
    adam = torch.optim.Adam(modules.parameters(), lr=lr)

    def forward(z, training):
        z = nn.functional.dropout(norm1(first(z)), dropout, training).relu()
        return last(nn.functional.dropout(norm2(second(z)), dropout, training).relu())

    best, since, found = -1.0, 0, (0, test.numpy())
    for epoch in range(epochs):
        modules.train()
        for batch in batches:
            adam.zero_grad()
            nn.functional.cross_entropy(forward(x[batch], True), y[batch]).backward()
            adam.step()
        if (epoch + 1) % every == 0:
            modules.eval()
            with torch.no_grad():
                score = float((forward(valid, False).argmax(1) == truth).float().mean())
                if score > best:
                    best, since, found = score, 0, (epoch + 1, forward(test, False).softmax(1).numpy())
                else:
                    since += 1
            if since == patience:
                break
    return found


@pytest.mark.parametrize("rows", [60, 65])  # 65: a last batch of one, which goes with the one before
def test_training_equals_a_plain_loop(rows):
    x, targets = _clips(n=120, noise=2.0)
    z, y = torch.from_numpy(x), torch.from_numpy(targets.values)
    valid, test = slice(70, 95), slice(95, 120)
    settings = Training(epochs=30, every=3, patience=5, batch=32, width=24, dropout=0.3)
    metric = find_metric("accuracy", "multiclass")
    task = Lesson("a", z[:rows], y[:rows], 3, z[valid], z[test], lambda p: (metric.of(targets[valid], p), {}), True)
    fitted = fit_mlp(task, GridPoint(2, "normal", 3e-3), settings, 11)
    torch.manual_seed(11)
    epoch, expected = _plain_loop(
        z[:rows], y[:rows], z[valid], y[valid], z[test],
        lr=3e-3, epochs=30, every=3, patience=5, width=24, dropout=0.3, outputs=3,
        batches=[slice(0, 32), slice(32, rows)],
    )  # fmt: skip
    assert fitted.chosen["epoch"] == epoch
    np.testing.assert_allclose(fitted.probabilities(task.test), expected, atol=1e-4)


def test_training_stops_when_patience_is_out_and_leaves_the_global_generator_alone():
    x, targets = _clips()
    checked = []
    task = Lesson("a", torch.from_numpy(x), torch.from_numpy(targets.values), 3, torch.from_numpy(x),
                  torch.from_numpy(x), lambda p: (1.0, {}), True)  # fmt: skip
    before = torch.get_rng_state()
    fitted = fit_mlp(task, TINY.grid[0], Training(epochs=500, every=3, patience=20, width=4), 0, checked.append)
    assert checked == list(range(3, 64, 3))  # the first check is the best; 20 more
    assert fitted.chosen["epoch"] == 3
    assert torch.equal(before, torch.get_rng_state())


def test_grid_point_is_chosen_on_the_first_fold_for_all():
    x, targets = _clips(noise=1.5)
    outcomes, _ = _run(x, targets, _folds(len(x)))
    points = [{key: o.chosen[key] for key in ("layers", "init", "lr")} for o in outcomes]
    assert points[1:] == points[:1] * 2
    worst = Training(**{**vars(TINY), "grid": (GridPoint(1, "normal", 1e-9), *TINY.grid)})
    x, targets = _clips(noise=0.2)
    assert _run(x, targets, _folds(len(x)), training=worst)[0][0].chosen["lr"] != 1e-9


def test_each_training_is_independent_of_the_others():
    x, targets = _clips(noise=1.5)
    one = Training(**{**vars(TINY), "grid": TINY.grid[:1]})
    rounds, metric = make_rounds(_folds(len(x))), find_metric(None, "multiclass")
    together = hear(x, targets, rounds, metric, 4, "cpu", lambda done, total: None, training=one)
    alone = hear(x, targets, rounds[2:], metric, 4, "cpu", lambda done, total: None, training=one)
    np.testing.assert_array_equal(together[2].predictions, alone[0].predictions)
    assert together[2].chosen == alone[0].chosen


@pytest.mark.parametrize("scheme", ["split", "folds"])
def test_test_clips_choose_nothing(scheme):
    """With folds this holds for the first; its other clips are, as in HEAR, those that the others are tested on."""
    x, targets = _clips(noise=1.5)
    folds = _split(len(x)) if scheme == "split" else _folds(len(x))
    before = _run(x, targets, folds, scheme=scheme)[0][0]
    tested = make_rounds(folds, scheme=scheme)[0].test
    values = targets.values.copy()
    values[tested] = (values[tested] + 1) % 3
    after = _run(x, Targets("multiclass", values, targets.classes), folds, scheme=scheme)[0][0]
    assert after.chosen == before.chosen
    np.testing.assert_array_equal(after.predictions, before.predictions)
    moved = x.copy()
    moved[tested] += 5
    other = _run(moved, targets, folds, scheme=scheme)[0][0]
    assert other.chosen == before.chosen
    assert not np.allclose(other.predictions, before.predictions)


def test_learns_what_can_be_told_apart_and_nothing_from_noise():
    x, targets = _clips(n=120, noise=0.2)
    outcomes, score = _run(x, targets, _folds(len(x)))
    assert score > 0.97
    for each in outcomes:
        np.testing.assert_allclose(each.predictions.sum(axis=1), 1, atol=1e-5)
    noise = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    assert abs(_run(noise, targets, _folds(len(x)))[1] - 1 / 3) < 0.15


def test_several_labels_at_once():
    rng = np.random.default_rng(0)
    truth = rng.random((120, 4)) < 0.4
    truth[0] = True
    x = (truth @ rng.normal(size=(4, 8)) + 0.2 * rng.normal(size=(120, 8))).astype(np.float32)
    targets = make_targets([[f"label {i}" for i in np.flatnonzero(row)] for row in truth], kind="multilabel")
    outcomes, score = _run(x, targets, _folds(120), metric="mAP")
    assert score > 0.9
    assert 0 <= outcomes[0].predictions.min() <= outcomes[0].predictions.max() <= 1


def test_seed_decides():
    x, targets = _clips(noise=1.5)
    first, again, other = (_run(x, targets, _folds(len(x)), seed=seed)[0][1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.predictions, again.predictions)
    assert not np.array_equal(first.predictions, other.predictions)


def test_lower_scores_are_better_where_the_metric_says_so():
    x, targets = _clips()
    scores = iter([3.0, 1.0, 2.0])
    z = torch.from_numpy(x)
    task = Lesson("a", z, torch.from_numpy(targets.values), 3, z, z, lambda p: (next(scores), {}), False)
    assert fit_mlp(task, TINY.grid[0], Training(epochs=9, every=3, width=4), 0).chosen["epoch"] == 6


def test_progress_ends_at_its_total():
    x, targets = _clips()
    reported = []
    z = torch.from_numpy(x)
    tasks = [Lesson(n, z, torch.from_numpy(targets.values), 3, z, z, lambda p: (0.0, {}), True) for n in "ab"]
    fit_grid(tasks, TINY, 0, lambda done, total: reported.append((done, total)))
    assert reported[-1] == (63, 63)
    assert reported == sorted(reported)


def test_probe_names_protocol_and_remark(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "hear", dataclasses.replace(HEAR, run=partial(hear, training=TINY)))
    x, targets = _clips()
    result = probe_embeddings(x, targets, _folds(len(x)), protocol="hear")
    assert result.protocol == "hear/1"
    assert result.chosen["0"].keys() == {"layers", "init", "lr", "epoch"}
    assert any("first fold" in each for each in result.warnings)


def test_errors_are_clear():
    x, targets = _clips()
    folds = np.array(_folds(len(x)))
    one_class = np.where(targets.values == 0, "valid", np.where(folds == "0", "test", "train"))
    with pytest.raises(SonoscaleError, match="validation clips of fold 'test' give no score"):
        _run(x, targets, list(one_class), scheme="split", metric="aucroc")
    with pytest.raises(SonoscaleError, match="no finite number"):
        _run(x * 1e38, targets, list(folds))
    z = torch.from_numpy(x)
    single = Lesson("a", z[:1], torch.zeros(1).long(), 3, z, z, lambda p: (1.0, {}), True)
    with pytest.raises(SonoscaleError, match="has 1 clips or frames"):
        fit_mlp(single, GRID[0], TINY, 0)
    with pytest.raises(SonoscaleError, match="a check every 3"):
        Training(epochs=2)
