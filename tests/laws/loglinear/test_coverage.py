"""Do intervals hold what they promise? Counted over simulated studies whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from sonoscale.laws.loglinear import fit_loglinear

STUDIES = 200


def study(rng, configs, seeds, families=0, between=0.0):
    config = np.repeat(np.arange(configs), seeds)
    params = np.exp(rng.uniform(0, 6, configs))[config]
    hours = np.exp(rng.uniform(0, 4, configs))[config]
    noise = 0.05 * rng.normal(size=configs)[config] + 0.05 * rng.normal(size=len(config))
    table = {"config": config, "params": params, "hours": hours}
    if families:
        table["family"] = np.array([f"f{i}" for i in range(families)])[config % families]
        noise = noise + (between * rng.normal(size=families))[config % families]
    return table | {"quality": np.exp(-1 + 0.2 * np.log(params) - 0.1 * np.log(hours) + noise)}


NEW = {"params": [20.0, 400.0], "hours": [7.0, 50.0]}
EXPECTED = -1 + 0.2 * np.log(NEW["params"]) - 0.1 * np.log(NEW["hours"])


@pytest.mark.filterwarnings("ignore:extrapolating")
def test_coefficients_and_predictions_with_ten_clusters_of_two():
    rng = np.random.default_rng(6)
    covered, new = np.zeros(2), np.zeros(2)
    for seed in range(STUDIES):
        model = fit_loglinear(
            study(rng, 10, 2), y="quality", x=["params", "hours"], clusters="config", bootstrap=200, seed=seed
        )
        slopes = model.coefficients["log params"], model.coefficients["log hours"]
        covered += [one.low < true < one.high for one, true in zip(slopes, (0.2, -0.1), strict=True)]
        found = model.predict(NEW)
        low, high = found.low, found.high
        score = np.exp(EXPECTED + 0.05 * np.sqrt(2) * rng.normal(size=2))
        new += (low <= score) & (score <= high)
    assert (covered / STUDIES >= 0.92).all()
    assert (covered / STUDIES <= 0.995).all()
    assert (new / STUDIES >= 0.90).all()
    assert (new / STUDIES <= 0.995).all()


@pytest.mark.filterwarnings("ignore:extrapolating")
def test_a_run_of_a_new_family_and_one_of_a_known():
    rng = np.random.default_rng(7)
    new, known = 0, 0
    for seed in range(STUDIES):
        table = study(rng, 33, 1, families=8, between=0.2)
        held = table["family"] == "f7"
        row = int(np.flatnonzero(held)[0])
        rest = {name: column[~held] for name, column in table.items()}
        options = {"y": "quality", "x": ["params", "hours"], "family": "family", "effects": "random"}
        one = {name: table[name][row] for name in ("params", "hours", "family")}
        model = fit_loglinear(rest, bootstrap=200, seed=seed, **options)
        found = model.predict(one)
        low, high = found.low, found.high
        new += bool(low[0] <= table["quality"][row] <= high[0])
        kept = np.arange(33) != row
        model = fit_loglinear({name: column[kept] for name, column in table.items()}, bootstrap=200, **options)
        found = model.predict(one)
        low, high = found.low, found.high
        known += bool(low[0] <= table["quality"][row] <= high[0])
    assert 0.90 <= new / STUDIES <= 0.99
    assert 0.90 <= known / STUDIES <= 0.99


def test_taking_dependent_rows_as_independent_misses_the_truth():
    """The control: the same count, with clusters withheld, falls short. So the count can fail."""
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(STUDIES):
        table = study(rng, 10, 6)
        model = fit_loglinear(table, y="quality", x=["params", "hours"], clusters=(), bootstrap=80)
        one = model.coefficients["log params"]
        covered += one.low < 0.2 < one.high
    assert covered / STUDIES < 0.80
