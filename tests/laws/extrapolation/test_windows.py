"""Rolling origins and the calibration on examples worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sonoscale.laws.extrapolation._calibrate import Held, calibrate
from sonoscale.laws.extrapolation._windows import rolling_windows


def test_windows_of_powers_of_two():
    """Sizes 1, 2, 4, ... 64: origins at 32, 16, 8 and 4; at least 3 runs leave all of them."""
    size = np.exp2(np.arange(7, dtype=np.float64))
    found = rolling_windows(size, np.arange(7), 3)
    np.testing.assert_array_equal(
        found,
        [
            [1, 1, 1, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 1, 0],
            [1, 1, 1, 1, 1, 0, 0],
            [1, 1, 1, 1, 0, 0, 0],
            [1, 1, 1, 0, 0, 0, 0],
        ],
    )


def test_windows_end_where_too_few_runs_are_left():
    size = np.exp2(np.arange(7, dtype=np.float64))
    assert rolling_windows(size, np.arange(7), 5).sum(axis=1).tolist() == [7, 6, 5]
    assert rolling_windows(size, np.arange(7), 7).sum(axis=1).tolist() == [7]
    # Rows of one cluster are one run: 14 rows, and still nothing below a quarter of the largest for 6 of them.
    twice = rolling_windows(np.repeat(size, 2), np.repeat(np.arange(7), 2), 6)
    assert twice.sum(axis=1).tolist() == [14, 12]


def test_an_origin_that_takes_nothing_away_is_no_origin():
    """Nothing lies between a half and a quarter of the largest size: the second window would be the first."""
    size = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 100])
    assert rolling_windows(size, np.arange(9), 3).sum(axis=1).tolist() == [9, 8, 6]


def test_the_order_of_rows_is_no_matter():
    size, order = np.power(3.0, np.arange(9, dtype=np.float64)), np.random.default_rng(0).permutation(9)
    np.testing.assert_array_equal(
        rolling_windows(size[order], np.arange(9), 3), rolling_windows(size, np.arange(9), 3)[:, order]
    )


def draw(drift, noise, *, origins=200, rows=5, seed=0):
    rng = np.random.default_rng(seed)
    reach = np.linspace(0.3, 2.0, rows)
    return [Held(rng.normal(size=rows) * np.hypot(noise, drift * reach), reach, noise) for _ in range(origins)]


@pytest.mark.parametrize(("drift", "noise"), [(0.05, 0.01), (0.02, 0.02), (0.3, 1e-6)])
def test_the_drift_of_simulated_errors_is_found(drift, noise):
    found, _ = calibrate(draw(drift, noise), noise=noise, freedom=10, level=0.95)
    assert found.drift == pytest.approx(drift, rel=0.08)


def test_no_drift_where_noise_explains_the_errors():
    found, coverage = calibrate(draw(0.0, 0.02), noise=0.02, freedom=100, level=0.95)
    assert found.drift < 0.15 * 0.02
    assert coverage == pytest.approx(0.95, abs=0.02)
    none, unknown = calibrate([], noise=0.02, freedom=10, level=0.95)
    assert (none.drift, unknown) == (0.0, None)
    assert none.half_width(np.array([0.0, 3.0])) == pytest.approx(0.02 * stats.t.ppf(0.975, 10))


def test_an_origin_counts_once_however_many_rows_lie_beyond_it():
    few, many = draw(0.1, 0.01, origins=3), draw(0.1, 0.01, origins=3, seed=1)
    heavy = [Held(np.tile(one.error, 9), np.tile(one.reach, 9), one.noise) for one in many]
    found = calibrate([*few, *heavy], noise=0.01, freedom=10, level=0.95)[0]
    assert found.drift == pytest.approx(calibrate([*few, *many], noise=0.01, freedom=10, level=0.95)[0].drift, rel=1e-4)


def test_half_width_is_the_two_parts_under_a_root():
    found, _ = calibrate(draw(0.1, 0.05, origins=3), noise=0.05, freedom=4, level=0.9)
    reach = np.array([-2.0, 0.0, 1.0, 1e3])
    within = 0.05 * stats.t.ppf(0.95, 4)
    assert found.half_width(reach)[:2] == pytest.approx([within, within])
    assert found.half_width(reach)[3] == pytest.approx(1e3 * found.drift * stats.t.ppf(0.95, 3), rel=1e-3)


def test_coverage_is_that_of_intervals_from_the_other_origins():
    """One origin is 100 times as wrong as the others: intervals from these miss it, and those with it hold all."""
    reach = np.ones(4)
    held = [Held(np.full(4, size), reach, 1e-6) for size in (0.01, -0.01, 0.01, 1.0)]
    assert calibrate(held, noise=0.01, freedom=8, level=0.95)[1] == pytest.approx(0.75)
