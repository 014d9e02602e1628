"""Log-linear laws know which end of y is good and where it ends; laws through a rank take a score of 0."""

import warnings
from typing import Any

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import fit, fit_loglinear, fit_two_stage


def table():
    rng = np.random.default_rng(0)
    params = np.geomspace(1e6, 1e8, 12)
    score = 0.9 * (params / 1e8) ** 0.3 * np.exp(0.02 * rng.standard_normal(12))
    return {"params": params, "accuracy": score, "rankme": params**0.2 * np.exp(0.02 * rng.standard_normal(12))}


def test_predictions_stay_within_the_ends_of_a_score():
    law = fit_loglinear(table(), "params", y="accuracy", bootstrap=80)
    assert law.target is not None
    assert (law.target.higher_is_better, law.target.ceiling) == (True, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = law.predict({"params": [1e7, 1e9]})
    assert found.value[0] == pytest.approx(0.9 * 0.1**0.3, rel=0.05)
    assert (found.value[1], found.high[1]) == (1.0, 1.0)  # the law alone says 1.8
    assert law.as_dict()["target"]["higher_is_better"]


def test_a_column_of_which_nothing_says_the_direction_is_fitted_all_the_same():
    law = fit_loglinear({"depth": [2.0, 4, 8, 16, 32], "stuff": [3.0, 1, 4, 1.5, 3]}, "depth", y="stuff", bootstrap=80)
    assert law.target is None or not np.isfinite(law.target.ceiling)


def test_mixed_units_are_refused_as_by_every_verb():
    runs = table()
    runs["accuracy"][3] *= 100
    with pytest.raises(SonoscaleError, match="mixes fractions with percentages"):
        fit_loglinear(runs, "params", y="accuracy", bootstrap=80)


def test_through_a_rank_with_a_score_of_zero():
    runs: dict[str, Any] = table()
    runs["accuracy"][0] = 0.0
    found = fit_two_stage(runs, "params", y="accuracy", bootstrap=80)
    assert any("accuracy is not above zero in all rows" in note for note in found.warnings)
    assert found.direct.y_scale == "linear"
    laws = fit(
        runs | {"large": [0] * 10 + [1] * 2}, "params", y="accuracy", through="rankme", held_out="large", bootstrap=80
    )
    assert laws.groups[0].coverage is not None


def test_a_held_out_score_of_zero_counts_for_coverage():
    runs: dict[str, Any] = table()
    runs["accuracy"][-1] = 0.0  # the largest run failed
    law = fit(runs | {"large": [0] * 10 + [1] * 2}, "params", y="accuracy", held_out="large", level=0.999).groups[0]
    assert law.coverage == 0.5
    assert law.rmse_log is not None
    assert law.rmse_log < 0.5  # of the one whose logarithm there is
