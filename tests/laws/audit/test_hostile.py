"""Tables made to mislead an audit: seeds that pose as configurations, copies, sizes under other names."""

from typing import Any

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import read_runs
from sonoscale.laws.audit import audit

OPTIONS: dict[str, Any] = {"rank": "rank", "y": "quality", "bootstrap": 80, "permutations": 80}


def runs(count=12, seeds=4, *, seed=0, luck=0.05):
    """Runs with names of their own, a few of each size; seeds share their luck between rank and quality."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(size=(2, count))
    i = np.repeat(np.arange(count), seeds)
    shared = luck * rng.normal(size=count * seeds)
    effect = (0.6 * a + 0.4 * b)[i]
    return {
        "run": [f"r{j}" for j in range(count * seeds)], "seed": np.tile(np.arange(seeds), count),
        "params": 1e6 * np.exp(5 * a[i]), "clips": 1e5 * np.exp(4 * b[i]),
        "rank": np.exp(3 + effect + shared), "quality": 0.5 + 0.1 * (effect + shared),
    }  # fmt: skip


def test_seeds_under_names_of_their_own_are_one_configuration():
    table = runs()
    found = audit(table, **OPTIONS)
    assert found.n_clusters == 12
    assert found.verdict != "supported"  # luck of seeds is no merit of rank
    assert any("with the same params, clips and another seed are taken as one configuration" in n for n in found.notes)
    assert read_runs(table, y="quality", clusters="run").n_clusters == 48
    table["seed"] = np.zeros(48)  # all the same: there is nothing that sets rows of one size apart
    assert read_runs(table, y="quality").n_clusters == 48
    table["seed"] = np.tile([0, 1], 24)  # twice in each size: so there is more to a configuration than its size
    assert read_runs(table, y="quality").n_clusters == 48


def test_equal_sizes_under_other_names_are_a_caveat():
    table = {name: column for name, column in runs(24, 2, luck=0.2).items() if name != "seed"}
    noise = 0.02 * np.random.default_rng(1).normal(size=(2, 48))
    table["rank"], table["quality"] = table["rank"] * np.exp(noise[0]), table["quality"] + 0.1 * noise[1]
    found = audit(table, **OPTIONS, reliability=1.0)
    assert found.verdict == "supported"
    assert any("24 of 48 configurations have all sizes of another" in caveat for caveat in found.caveats)


def test_copies_under_other_names_count_once():
    table = {name: np.tile(column, 3) for name, column in runs(20, 1).items() if name not in ("run", "seed")}
    found = audit(table | {"run": [f"r{j}" for j in range(60)]}, **OPTIONS)
    assert found.n_clusters == 20
    assert any("40 rows repeat another configuration in rank, quality and all else" in note for note in found.notes)
    once = audit({name: column[:20] for name, column in table.items()}, **OPTIONS)
    assert found.spearman == once.spearman
    assert found.verdict == once.verdict


def test_sizes_by_other_names_are_covariates_or_a_caveat():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(2, 40))
    link = 0.1 * rng.normal(size=40)
    table = {
        "params": 1e6 * np.exp(5 * a), "rank": np.exp(3 + a + 2 * link),
        "quality": 0.5 + 0.1 * (a + 2 * link + 0.02 * rng.normal(size=40)),
    }  # fmt: skip
    assert audit(table | {"n_tokens": np.exp(b)}, **OPTIONS).covariates == ("log params", "log n_tokens")
    found = audit(table | {"web_tokens": np.exp(b)}, **OPTIONS)
    assert found.verdict == "supported"
    assert any("not adjusted for, though by name a size: web_tokens" in caveat for caveat in found.caveats)
    made_up = audit(table | {"params_total": 3 * table["params"] ** 1.1}, **OPTIONS)
    assert not any("not adjusted for" in caveat for caveat in made_up.caveats)
    named = audit(table | {"web_tokens": np.exp(b)}, **OPTIONS, covariates="params")
    assert not any("not adjusted for" in caveat for caveat in named.caveats)


@pytest.mark.parametrize("option", ["margin", "reliability"])
@pytest.mark.parametrize("value", [None, "x", [0.9], {}, True, np.array([0.6, 0.7]), float("nan")])
def test_margin_and_reliability_are_numbers(option, value):
    with pytest.raises(SonoscaleError, match=f"{option} must lie between"):
        audit(runs(), **OPTIONS, **{option: value})
