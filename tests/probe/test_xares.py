"""The linear probe of X-ARES, against plain loops over torch.nn modules."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from sonoscale.errors import SonoscaleError
from sonoscale.probe._embeddings import probe_embeddings
from sonoscale.probe._hear import draw_seed
from sonoscale.probe._metrics import find_metric
from sonoscale.probe._rounds import make_rounds
from sonoscale.probe._targets import Kind, Targets, make_targets
from sonoscale.probe._xares import xares

FOLDS = np.array(["a"] * 37 + ["b"] * 64 + ["c"] * 50 + ["d"] * 29)  # no two as large


def _clips(kind: Kind = "multiclass", noise=1.5, seed=0):
    rng = np.random.default_rng(seed)
    n, dim = len(FOLDS), 10
    if kind == "regression":
        x = rng.normal(size=(n, dim))
        return x.astype(np.float32), make_targets(list(x @ rng.normal(size=dim)), kind=kind)
    truth = rng.random((n, 5)) < 0.4 if kind == "multilabel" else np.eye(5, dtype=bool)[rng.integers(5, size=n)]
    x = truth @ rng.normal(size=(5, dim)) * 2 + noise * rng.normal(size=(n, dim)) + 3
    return x.astype(np.float32), Targets(kind, truth if kind == "multilabel" else truth.argmax(1), tuple("vwxyz"))


def _run(x, targets, folds: Sequence[str] | np.ndarray = FOLDS, *, metric=None, seed=0, scheme="folds", **settings):
    rounds = make_rounds([str(each) for each in folds], scheme=scheme)
    return rounds, xares(
        x, targets, rounds, find_metric(metric, targets.kind), seed, "cpu", lambda *_: None, **settings
    )


def _plain_loop(x, targets, train, judge, test, metric, seed, epochs=10, batch=32, lr=1e-3):
    """One fold by torch.nn and torch.optim: best epoch, its predictions."""
    x = torch.from_numpy(x)
    generator = torch.Generator().manual_seed(seed)
    norm, linear = torch.nn.LayerNorm(x.shape[1]), torch.nn.Linear(x.shape[1], targets.outputs)
    with torch.no_grad():
        bound = x.shape[1] ** -0.5
        linear.weight.uniform_(-bound, bound, generator=generator)
        linear.bias.uniform_(-bound, bound, generator=generator)
    model = torch.nn.Sequential(norm, linear)
    if targets.kind == "multiclass":
        y, loss_of = torch.from_numpy(targets.values), torch.nn.CrossEntropyLoss()
    elif targets.kind == "multilabel":
        y, loss_of = torch.from_numpy(targets.values).float(), torch.nn.BCEWithLogitsLoss()
    else:
        y, loss_of = torch.from_numpy(targets.values).float()[:, None], torch.nn.MSELoss()
    adam = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=epochs, eta_min=0.1 * lr)
    best, found = -np.inf, (0, x.numpy())
    for epoch in range(epochs):
        for clips in torch.from_numpy(train)[torch.randperm(len(train), generator=generator)].split(batch):
            adam.zero_grad()
            loss_of(model(x[clips]), y[clips]).backward()
            adam.step()
        schedule.step()
        with torch.no_grad():
            score = metric.of(targets[judge], model(x[judge]).numpy()) * (1 if metric.higher else -1)
            if score > best:
                best, found = score, (epoch + 1, model(x[test]).numpy())
    return found


@pytest.mark.parametrize("as_is", [False, True])
@pytest.mark.parametrize(
    ("kind", "metric"),
    [("multiclass", "accuracy"), ("multilabel", "top1_acc"), ("regression", "mae"), ("regression", "r2")],
)
def test_every_fold_equals_a_plain_loop(kind, metric, as_is):
    x, targets = _clips(kind)
    measure = find_metric(metric, targets.kind)
    rounds, outcomes = _run(x, targets, metric=metric, seed=5, as_is=as_is)
    for each, outcome in zip(rounds, outcomes, strict=True):
        train, judge = (each.fitted, each.test) if as_is else (each.train, each.valid)
        epoch, expected = _plain_loop(x, targets, train, judge, each.test, measure, draw_seed(5, each.name))
        assert outcome.chosen == {"epoch": epoch}
        np.testing.assert_allclose(outcome.predictions, expected, atol=1e-4)


def test_folds_side_by_side_equal_each_alone():
    x, targets = _clips()
    rounds, together = _run(x, targets)
    for each, outcome in zip(rounds, together, strict=True):
        alone = xares(x, targets, [each], find_metric(None, "multiclass"), 0, "cpu", lambda *_: None)[0]
        assert alone.chosen == outcome.chosen
        np.testing.assert_allclose(alone.predictions, outcome.predictions, atol=1e-5)


def _other_labels(targets, clips, seed):
    values = targets.values.copy()
    values[clips] = np.random.default_rng(seed).integers(5, size=len(clips))
    return Targets(targets.kind, values, targets.classes)


def test_test_clips_choose_nothing():
    x, targets = _clips(noise=3.0)
    rounds, before = _run(x, targets)
    for i, each in enumerate(rounds):
        after = _run(x, _other_labels(targets, each.test, seed=i))[1][i]
        assert after.chosen == before[i].chosen
        np.testing.assert_array_equal(after.predictions, before[i].predictions)
        moved = x.copy()
        moved[each.test] *= -1
        after = _run(moved, targets)[1][i]
        assert after.chosen == before[i].chosen


def test_as_is_lets_the_test_fold_choose_the_epoch():
    """What X-ARES does, and what the remark warns of."""
    x, targets = _clips(noise=3.0)
    rounds, before = _run(x, targets, as_is=True)
    after = [_run(x, _other_labels(targets, r.test, seed=i), as_is=True)[1][i] for i, r in enumerate(rounds)]
    assert [each.chosen for each in after] != [each.chosen for each in before]


def test_as_is_treats_a_split_as_given():
    x, targets = _clips()
    split = [("train", "train", "valid", "test")[i % 4] for i in range(len(x))]
    ours = _run(x, targets, split, scheme="split")[1][0]
    theirs = _run(x, targets, split, scheme="split", as_is=True)[1][0]
    assert ours.chosen == theirs.chosen
    np.testing.assert_array_equal(ours.predictions, theirs.predictions)


def test_learns_what_can_be_told_apart_and_nothing_from_noise():
    x, targets = _clips(noise=0.1)
    rounds, outcomes = _run(x, targets, lr=0.03)
    metric = find_metric(None, "multiclass")
    scores = [metric.of(targets[r.test], o.predictions) for r, o in zip(rounds, outcomes, strict=True)]
    assert np.mean(scores) > 0.97
    noise = np.random.default_rng(1).normal(size=x.shape)
    assert abs(probe_embeddings(noise, targets, list(FOLDS), protocol="xares").score - 0.2) < 0.12


def test_result_says_whether_it_is_optimistic():
    x, targets = _clips()
    ours, theirs = (probe_embeddings(x, targets, list(FOLDS), protocol=name) for name in ("xares", "xares-asis"))
    assert (ours.protocol, theirs.protocol) == ("xares/1", "xares-asis/1")
    assert ours.warnings == ()
    assert any("optimistic" in each for each in theirs.warnings)


def test_seed_decides():
    x, targets = _clips()
    first, again, other = (_run(x, targets, seed=seed)[1][1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.predictions, again.predictions)
    assert not np.array_equal(first.predictions, other.predictions)


def test_errors_are_clear():
    x, targets = _clips()
    with pytest.raises(SonoscaleError, match="no finite number"):
        _run(np.full_like(x, np.nan), targets)
    one_class = np.where(targets.values == 0, "valid", np.where(FOLDS == "a", "test", "train"))
    with pytest.raises(SonoscaleError, match="fold 'test' give no aucroc"):
        _run(x, targets, one_class, scheme="split", metric="aucroc")
