"""Do intervals hold what they promise? Counted over simulated studies whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from sonoscale.laws import fit_form
from sonoscale.laws._bootstrap import leverage_corrected

STUDIES = 200
CONFIGS = np.repeat(np.arange(10), 2)
X = np.geomspace(100.0, 5000.0, 10)[CONFIGS]
NEW = np.array([700.0, 5000.0])
TRUTHS = {
    "power": (lambda x: 0.1 * x**0.25, 0.25),
    "saturating": (lambda x: 0.9 - 3.0 / x**0.5, 0.5),
}


def parts(found):
    return found.value, found.low, found.high


def study(law, rng, *, between, within):
    """Ten configurations of two seeds, with an error for each configuration and one for each seed."""
    return law(X) + between * rng.normal(size=10)[CONFIGS] + within * rng.normal(size=len(X))


@pytest.mark.parametrize("name", ["power", pytest.param("saturating", marks=pytest.mark.slow)])
def test_coverage_with_ten_clusters_of_two(name):
    law, exponent = TRUTHS[name]
    rng = np.random.default_rng(7)
    covered, new_covered = 0, np.zeros(2)
    for seed in range(STUDIES):
        y = study(law, rng, between=0.007, within=0.007)
        found = fit_form(name, X, y, clusters=CONFIGS, bootstrap=200, seed=seed)
        covered += exponent in found.params["b"]
        score = law(NEW) + 0.007 * np.sqrt(2) * rng.normal(size=2)
        new = found.predict(NEW)
        low, high = new.low, new.high
        new_covered += (low <= score) & (score <= high)
    assert covered / STUDIES >= 0.90
    assert (new_covered / STUDIES >= 0.90).all()
    assert (new_covered / STUDIES <= 0.995).all()


def test_taking_dependent_rows_as_independent_misses_the_truth():
    """The control: the same count, with clusters withheld, falls short. So the count can fail."""
    law, exponent = TRUTHS["power"]
    rng = np.random.default_rng(8)
    rows = np.repeat(np.arange(len(X)), 4)
    covered = 0
    for seed in range(60):
        y = study(law, rng, between=0.02, within=0.0)[rows] + 0.001 * rng.normal(size=len(rows))
        covered += exponent in fit_form("power", X[rows], y, bootstrap=100, seed=seed).params["b"]
    assert covered / 60 < 0.80


@pytest.mark.parametrize("name", TRUTHS)
def test_copies_within_a_cluster_add_no_certainty(name):
    y = study(TRUTHS[name][0], np.random.default_rng(9), between=0.01, within=0.01)
    once = fit_form(name, X, y, clusters=CONFIGS, bootstrap=300)
    rows = np.repeat(np.arange(len(X)), 5)
    often = fit_form(name, X[rows], y[rows], clusters=CONFIGS[rows], bootstrap=300)
    for parameter, span in once.params.items():
        assert often.params[parameter].low == pytest.approx(span.low, rel=1e-5)
        assert often.params[parameter].high == pytest.approx(span.high, rel=1e-5)
    for one, other in zip(parts(once.predict(NEW)), parts(often.predict(NEW)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_more_configurations_narrow_the_exponent_but_not_the_noise_of_one_run():
    rng = np.random.default_rng(10)
    widths, bands = [], []
    for configs in (10, 90):
        x = np.geomspace(100, 5000, configs)
        found = fit_form("power", x, 0.1 * x**0.25 + 0.02 * rng.normal(size=configs))
        widths.append(found.params["b"].high - found.params["b"].low)
        new = found.predict([700.0])
        low, high = new.low, new.high
        bands.append(float(high[0] - low[0]))
    assert widths[1] < 0.6 * widths[0]
    assert bands[1] == pytest.approx(2 * 1.96 * 0.02, rel=0.25)


def test_a_higher_level_is_a_wider_interval():
    y = study(TRUTHS["power"][0], np.random.default_rng(11), between=0.01, within=0.01)
    spans = [fit_form("power", X, y, clusters=CONFIGS, level=level).params["b"] for level in (0.5, 0.8, 0.95)]
    assert spans[0].high - spans[0].low < spans[1].high - spans[1].low < spans[2].high - spans[2].low


def test_corrected_residuals_are_as_large_as_errors():
    """A line through three clusters, one of them far out: its raw residuals are all but fitted away."""
    clusters = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    design = np.stack([np.ones(8), [0.0, 0.1, 0.2, 1.0, 1.1, 1.2, 8.0, 9.0]], axis=1)
    errors = np.random.default_rng(12).normal(size=(4000, 8))
    raw = errors - errors @ np.linalg.pinv(design).T @ design.T
    corrected = np.array([leverage_corrected(row, design, clusters) for row in raw])
    np.testing.assert_allclose((corrected**2).mean(axis=0), 1.0, atol=0.08)
    assert (raw**2).mean(axis=0).min() < 0.6
