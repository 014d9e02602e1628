"""The interval over test clips holds what it says."""

import numpy as np
import pytest

from sonoscale.probe import METRICS
from sonoscale.probe._interval import Scored, clip_draws, ends
from sonoscale.probe._targets import Targets, make_targets


def interval(folds, metric, *, level=0.95, **settings):
    return ends(clip_draws(folds, metric, **settings), level=level)


def coins(n, p, rng, groups=None, repeats=1):
    """Clips of which a share p is classified correctly, alike within a group."""
    names = np.arange(n) if groups is None else np.arange(n) % groups
    right = (rng.random(names.max() + 1) < p)[names]
    targets = Targets("multiclass", rng.integers(2, size=n), ("a", "b"))
    guesses = np.where(right, targets.values, 1 - targets.values)
    return Scored(targets, (np.eye(2)[guesses],) * repeats, names)


def test_coverage_of_an_accuracy():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        folds = [coins(40, 0.7, rng) for _ in range(3)]
        lower, upper = interval(folds, METRICS["accuracy"], draws=300)
        inside += lower <= 0.7 <= upper
    assert 0.90 <= inside / 200 <= 0.99


def test_groups_widen_it():
    def width(groups):
        lower, upper = interval([coins(400, 0.5, np.random.default_rng(1), groups)], METRICS["accuracy"])
        return upper - lower

    assert width(20) > 2.5 * width(None)


def test_a_metric_that_is_no_average_agrees_with_one_that_is():
    fold = coins(100, 0.7, np.random.default_rng(0))
    average = interval([fold], METRICS["accuracy"], draws=2000)
    ranked = interval([fold], METRICS["aucroc"], draws=2000)  # of guesses: the mean of two accuracies
    assert ranked == pytest.approx(average, abs=0.03)


def test_repeats_that_agree_change_nothing():
    one, three = (coins(50, 0.7, np.random.default_rng(0), repeats=n) for n in (1, 3))
    assert one.score(METRICS["accuracy"]) == pytest.approx(three.score(METRICS["accuracy"]))
    assert interval([one], METRICS["accuracy"]) == pytest.approx(interval([three], METRICS["accuracy"]))


def test_one_group_tells_nothing_of_others():
    assert np.isnan(interval([coins(50, 0.7, np.random.default_rng(0), groups=1)], METRICS["accuracy"])).all()


def test_it_is_repeatable_and_narrows_with_the_level():
    fold = [coins(50, 0.7, np.random.default_rng(0))]
    wide, narrow = (interval(fold, METRICS["accuracy"], level=level) for level in (0.95, 0.5))
    assert wide == interval(fold, METRICS["accuracy"])
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_one_speaker_left_out_at_a_time_draws_speakers():
    rng = np.random.default_rng(0)
    folds = []
    for speaker, right in enumerate([0.9, 0.5, 0.7, 0.6]):
        labels = make_targets(["a", "b"] * 50)
        guesses = np.where(rng.random(100) < right, labels.values, 1 - labels.values)
        folds.append(Scored(labels, (np.eye(2)[guesses],), np.full(100, str(speaker))))
    lower, upper = interval(folds, METRICS["accuracy"])
    scores = [fold.score(METRICS["accuracy"]) for fold in folds]
    assert min(scores) <= lower < np.mean(scores) < upper <= max(scores)
    assert upper - lower > 0.1
