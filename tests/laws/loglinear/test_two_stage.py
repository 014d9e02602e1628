"""The law through the rank beside the law without it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import fit_form
from sonoscale.laws.loglinear import fit_loglinear, fit_two_stage

DESIGN = ["params", "hours"]
OPTIONS: dict[str, Any] = {
    "x": DESIGN,
    "through": "rank",
    "y": "quality",
    "clusters": "config",
    "bootstrap": 200,
}


def parts(found):
    return found.value, found.low, found.high


def study(rng, configs=30, through=1.0, rank_noise=0.05, noise=0.01):
    """Quality follows the rank by its share `through`, and the rest of it the parameters without the rank."""
    config = np.repeat(np.arange(configs), 2)
    params = np.exp(rng.uniform(0, 4, configs))[config]
    hours = np.exp(rng.uniform(0, 4, configs))[config]
    rank = 20 * params**0.3 * hours**0.2 * np.exp(rank_noise * rng.normal(size=configs)[config])
    quality = (
        0.1 * rank ** (0.25 * through) * params ** (0.3 * (1 - through)) * np.exp(noise * rng.normal(size=2 * configs))
    )
    family = np.array(["mae", "latent", "contrastive"])[config % 3]
    return {"config": config, "family": family, "params": params, "hours": hours, "rank": rank, "quality": quality}


NEW = {"params": [5.0, 30.0], "hours": [5.0, 30.0]}


def test_where_quality_comes_through_the_rank_a_measured_rank_is_all_one_needs():
    found = fit_two_stage(study(np.random.default_rng(0), rank_noise=0.2), **OPTIONS)
    routes = found.routes
    assert (routes["measured rank"].gain_low or 0.0) > 0
    assert routes["direct with rank"].loo_error == pytest.approx(routes["measured rank"].loo_error, rel=0.1)
    assert routes["through rank"].loo_error == pytest.approx(routes["direct"].loo_error, rel=0.1)
    exponents = found.rank_law.coefficients["log params"].value, found.quality_law.values["b"]
    direct = found.direct.coefficients["log params"].value
    assert exponents[0] * exponents[1] == pytest.approx(direct, abs=0.01)
    assert "is not significant" in found.verdict


def test_where_the_rank_misleads_the_detour_loses_and_it_is_said():
    found = fit_two_stage(study(np.random.default_rng(1), through=0.0), **OPTIONS)
    assert (found.routes["through rank"].gain_high or 0.0) < 0
    assert found.routes["direct"].gain is None
    assert "going through rank loses" in found.verdict


@pytest.mark.filterwarnings("ignore:extrapolating")
def test_the_routes_are_what_refits_without_each_cluster_make_of_them():
    table = study(np.random.default_rng(2), configs=12)
    found = fit_two_stage(table, **OPTIONS, family="family")
    whole: dict[str, Any] = {"x": DESIGN, "family": "family", "clusters": "config", "bootstrap": 80}
    with_rank: dict[str, Any] = whole | {"x": [*DESIGN, "rank"]}
    squares = dict.fromkeys(found.routes, 0.0)
    for config in range(12):
        out = table["config"] == config
        rest = {name: column[~out] for name, column in table.items()}
        held = {name: column[out] for name, column in table.items()}
        rank_law = fit_loglinear(rest, y="rank", **whole)
        law = fit_form("power", rest["rank"], rest["quality"], clusters=rest["config"], bootstrap=80)
        made = {
            "through rank": law.form.function(rank_law.predict(held).value, np.array(list(law.values.values()))),
            "measured rank": law.form.function(held["rank"], np.array(list(law.values.values()))),
            "direct": fit_loglinear(rest, y="quality", **whole).predict(held).value,
            "direct with rank": fit_loglinear(rest, y="quality", **with_rank).predict(held).value,
        }
        for name, quality in made.items():
            squares[name] += float(((held["quality"] - quality) ** 2).sum())
    for name, total in squares.items():
        assert found.routes[name].loo_error == pytest.approx(np.sqrt(total / 24), rel=1e-5)


def test_families_left_out():
    table = study(np.random.default_rng(3))
    found = fit_two_stage(table, **OPTIONS, family="family", effects="random")
    squares = 0.0
    for family in ("mae", "latent", "contrastive"):
        out = table["family"] == family
        law = fit_form("power", table["rank"][~out], table["quality"][~out], bootstrap=80)
        at = law.form.function(table["rank"][out], np.array(list(law.values.values())))
        squares += float(((table["quality"][out] - at) ** 2).sum())
    assert found.routes["measured rank"].family_error == pytest.approx(np.sqrt(squares / 60), rel=1e-6)
    assert all(route.family_error is not None for route in found.routes.values())
    assert all(route.family_error is None for route in fit_two_stage(table, **OPTIONS).routes.values())


@pytest.mark.filterwarnings("ignore:extrapolating")
def test_the_interval_carries_both_stages():
    rng = np.random.default_rng(4)
    covered, studies = np.zeros(2), 100
    for seed in range(studies):
        table = study(rng, configs=12, rank_noise=0.2, noise=0.03)
        found = fit_two_stage(table, **OPTIONS, seed=seed)
        params, hours = np.array(NEW["params"]), np.array(NEW["hours"])
        rank = 20 * params**0.3 * hours**0.2 * np.exp(0.2 * rng.normal(size=2))
        quality = 0.1 * rank**0.25 * np.exp(0.03 * rng.normal(size=2))
        new = found.predict(NEW)
        low, high = new.low, new.high
        covered += (low <= quality) & (quality <= high)
    assert (covered / studies >= 0.90).all()
    assert (covered / studies <= 0.995).all()


def test_the_interval_grows_with_the_error_of_the_first_stage():
    spans = []
    for rank_noise in (0.01, 0.3):
        found = fit_two_stage(study(np.random.default_rng(5), rank_noise=rank_noise), **OPTIONS)
        new = found.predict(NEW)
        low, high = new.low, new.high
        spans.append((high - low).mean())
    assert spans[1] > 3 * spans[0]


def test_an_error_of_rank_that_quality_does_not_share_is_not_counted_twice():
    """Quality is exact in the design, the rank is noisy: both stages err, and cancel in one run."""
    rng = np.random.default_rng(6)
    table = study(rng, configs=60, rank_noise=0.0)
    table["rank"] = table["rank"] * np.exp(0.1 * rng.normal(size=60)[table["config"]])
    found = fit_two_stage(table, **OPTIONS)
    new = found.predict(NEW)
    low, high = new.low, new.high
    noise = 0.01 * found.predict(NEW).value
    assert ((high - low) < 2.5 * 2 * 1.96 * noise).all()


def test_the_order_of_rows_changes_nothing_and_json_holds_it():
    table = study(np.random.default_rng(7))
    order = np.random.default_rng(8).permutation(60)
    once = fit_two_stage(table, **OPTIONS)
    other = fit_two_stage({name: column[order] for name, column in table.items()}, **OPTIONS)
    for one, two in zip(parts(once.predict(NEW)), parts(other.predict(NEW)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
    reported = json.loads(json.dumps(once.as_dict(), allow_nan=False))
    assert reported["routes"]["direct"]["loo_error"] == once.routes["direct"].loo_error
    assert reported["verdict"] == once.verdict


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "cubic"}, "no form of a law is called 'cubic'"),
        ({"x": [*DESIGN, "rank"]}, "'rank' is in x and is to be gone through"),
        ({"x": [*DESIGN, "quality"]}, "'quality' is in x and is y"),
        ({"through": "rankme"}, "no column 'rankme'"),
        ({"through": "quality"}, "'quality' is y and is to be gone through"),
        ({"bootstrap": 10}, "bootstrap=10 is too few"),
    ],
)
def test_refuses_and_names(options, message):
    with pytest.raises(SonoscaleError, match=message):
        fit_two_stage(study(np.random.default_rng(9)), **(OPTIONS | options))
