"""Tables that invite a confident wrong answer: each is refused, or its interval says how little is known."""

from __future__ import annotations

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import extrapolate, fit, fit_form

X = np.geomspace(10.0, 1000.0, 12)


def table(**changes):
    columns = {"x": X, "acc": 0.9 - 2.0 * X**-0.5, "held": np.r_[np.zeros(9), np.ones(3)]}
    return {**columns, **changes}


def fitted(columns, **options):
    (law,) = fit(columns, **({"x": ["x"], "y": "acc", "held_out": "held"} | options))
    return law


def test_without_an_origin_the_interval_still_widens_beyond_the_data():
    rng = np.random.default_rng(3)
    inside, widths = [], []
    for _ in range(30):
        x = np.geomspace(100.0, 190.0, 8)  # no run at half the largest
        y = (2.0 + 300.0 * x**-0.9) * np.exp(0.005 * rng.normal(size=8))
        law = extrapolate(x, y)
        assert law.origins == 0
        new = np.array([380.0, 1900.0])
        found = law.predict(new)
        truth = 2.0 + 300.0 * new**-0.9
        inside.append((found.low <= truth) & (truth <= found.high))
        widths.append(np.log(found.high / found.low))
    assert np.mean(inside, axis=0) == pytest.approx([1.0, 1.0], abs=0.15)
    assert np.median(widths, axis=0)[1] > 2 * np.median(widths, axis=0)[0]


def test_a_variable_far_outside_widens_the_interval_though_the_product_does_not_grow():
    rng = np.random.default_rng(0)
    n, d = np.exp(rng.uniform(10, 14, 60)), np.exp(rng.uniform(12, 16, 60))
    y = (1.5 + 40 * n**-0.35 + 60 * d**-0.3) * np.exp(0.01 * rng.normal(size=60))
    law = extrapolate(np.stack([n, d], axis=1), y, x_names=("n", "d"))
    centre = np.exp([12.0, 14.0])
    found = law.predict(np.array([centre, centre * [1e3, 1e-3]]))
    assert found.naive_low is not None
    assert found.naive_high is not None
    assert found.reach is not None
    assert found.reach[0] == pytest.approx(found.reach[1])
    widths = np.log(found.high / found.low)
    assert widths[1] > 3 * widths[0]


def test_a_form_that_turns_upwards_far_out_has_no_say_there():
    x = np.geomspace(1.0, 100.0, 12)
    y = np.array([2.48, 2.44, 2.39, 2.36, 2.33, 2.31, 2.28, 2.25, 2.23, 2.20, 2.18, 2.15])
    found = extrapolate(x, y).predict(np.geomspace(100.0, 1e6, 30))
    assert (found.value <= 2.17).all()


def test_what_rises_within_0_and_1_without_being_called_a_score_may_be_no_score():
    seconds = 1e-6 * np.geomspace(1e6, 1e9, 20) ** 0.5
    law = extrapolate(np.geomspace(1e6, 1e9, 20), seconds, y_name="sec")
    assert law.fitted == "log(1 / sec)"
    assert law.predict([4e10]).value[0] == pytest.approx(1e-6 * 4e10**0.5, rel=0.1)
    assert extrapolate(X, 0.9 - 2.0 * X**-0.5, y_name="acc").fitted == "log(1 - acc)"


RISING = 0.9 - 2.0 * X**-0.5


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (table(acc=np.r_[RISING[:8], 1.2, [0.8] * 3]), {}, "row 8: 1.2 is above 1"),
        (table(acc=np.r_[RISING[:9], [81.0] * 3]), {}, "mixes fractions with percentages"),
        (table(acc=np.r_[RISING[:9], 0.8, -0.1, 0.8]), {}, "acc, row 10: -0.1 is outside 0 to 1"),
        (table(acc=np.r_[RISING[:9], 0.8, np.inf, 0.8]), {}, "acc, row 10: inf is not a finite number"),
        (table(acc=np.array([*map(str, RISING[:5]), "oops", *["0.7"] * 6], dtype=object)), {}, "row 5: 'oops'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_row(columns, options, message):
    with pytest.raises(SonoscaleError) as caught:
        fitted(columns, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": ["x", "x"]}, "'x' is named twice"),
        ({"y": "x"}, "'x' is named twice"),
        ({"huber": 1e-3}, "huber is for a named form"),
    ],
)
def test_what_makes_no_sense_is_refused_for_all_groups(options, message):
    with pytest.raises(SonoscaleError, match=message):
        fitted(table(), **options)


def test_a_missing_held_out_score_is_predicted_and_not_scored():
    law = fitted(table(acc=np.r_[RISING[:9], np.nan, 0.83, 0.837]))
    assert law.error is None
    held = law.as_dict()["held_out"]
    assert [row["observed"] is None for row in held] == [True, False, False]
    assert law.coverage in (0.0, 0.5, 1.0)


def test_lists_are_no_labels():
    with pytest.raises(SonoscaleError, match=r"row 0: .* is a list"):
        fit_form("power", X, X**0.3, clusters=[[1]] * 12, bootstrap=100)  # pyright: ignore[reportArgumentType]


def test_sizes_that_no_number_holds_are_refused():
    far = np.stack([X * 1e200, X[::-1] * 1e200], axis=1)
    with pytest.raises(SonoscaleError, match="give the size"):
        extrapolate(far, 1.0 + X**-0.3, x_names=("a", "b"))


def test_seeds_of_a_configuration_do_not_narrow_parameter_intervals():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        x = np.repeat(np.geomspace(1.0, 100.0, 8), 3)
        labels = np.repeat(np.arange(8), 3)
        y = 2.0 * x**-0.4 * np.exp(0.03 * rng.normal(size=8)[labels] + 0.005 * rng.normal(size=24))
        span = extrapolate(x, y, form="M1", clusters=labels).panel[0].params["b"]
        covered += span.low <= 0.4 <= span.high
    assert covered >= 51  # 57 expected at 95 %; without clusters it is about 45


def test_many_clusters_are_left_out_in_folds():
    rng = np.random.default_rng(2)
    x = np.exp(rng.uniform(0, 8, 1200))
    y = 3.0 * x**-0.2 * np.exp(0.1 * rng.normal(size=1200))
    found = fit_form("M1", x, y, bootstrap=100)
    assert found.loo_rmse == pytest.approx(0.1, rel=0.08)
    assert found.loo_rmse > found.rmse
