"""The evidence beside the verdict, against SciPy, counts by hand, and truths that are known."""

import json
import math
import tracemalloc
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sonoscale.laws._bootstrap import draw_counts
from sonoscale.laws.audit import audit
from sonoscale.laws.audit._marginal import kendall, turning_point

OPTIONS = {"rank": "rank", "y": "quality", "bootstrap": 100, "permutations": 80}


def audited(table, **options) -> Any:
    return audit(table, **options)


def test_spearman_and_kendall_are_those_of_scipy(make):
    table = make(25, 0, extra=0.5)
    found = audited(table, clusters="config", **OPTIONS)
    for one, expected in (
        (found.spearman, stats.spearmanr(table["rank"], table["quality"])),
        (found.kendall, stats.kendalltau(table["rank"], table["quality"])),
    ):
        assert one.value == pytest.approx(expected[0], abs=1e-12)
        assert one.p == pytest.approx(expected[1], rel=1e-9)
        assert one.low < one.value < one.high


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_the_interval_of_kendall_holds_the_truth(rho):
    rng = np.random.default_rng(1)
    truth = 2 / np.pi * np.arcsin(rho)
    hits = 0
    for seed in range(80):
        x, y = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=12).T
        hits += truth in kendall(x, y, level=0.95, bootstrap=100, seed=seed)
    assert hits / 80 >= 0.9


def test_seed_floor_finds_the_spread_of_seeds(make):
    table = make(40, 0, seeds=3, spread=0.5)
    found = audited(table, clusters="config", **OPTIONS).floor_quality
    assert found.df == 80
    assert found.sd == pytest.approx(0.02 * 0.5, rel=0.2)
    groups = np.reshape(table["quality"], (40, 3))
    assert found.sd == pytest.approx(np.sqrt(groups.var(axis=1, ddof=1).mean()), rel=1e-9)
    assert found.f == pytest.approx(stats.f_oneway(*groups).statistic, rel=1e-9)
    assert found.difference == pytest.approx(stats.t.ppf(0.975, 80) * np.sqrt(2) * found.sd)


def test_pairs_by_hand(make):
    table = make(12, 3, seeds=2, spread=0.3)
    table["params"] = [1e6 * (1 + 0.02 * (i // 2 % 4)) * (1 + 3 * (i // 2 % 3)) for i in range(24)]
    found = audited(table, clusters="config", covariates=["params"], **OPTIONS)
    rank, quality = (np.reshape(c, (12, 2)) for c in (np.log(table["rank"]), table["quality"]))
    least = found.floor_quality.difference / np.sqrt(2)
    right = {"pairs": [], "matched": []}
    for i, j in combinations(range(12), 2):
        dq, dr = quality[i].mean() - quality[j].mean(), rank[i].mean() - rank[j].mean()
        if abs(dq) > least:
            right["pairs"].append(dq * dr > 0)
            if (
                max(table["params"][2 * i] / table["params"][2 * j], table["params"][2 * j] / table["params"][2 * i])
                < 1.1
            ):
                right["matched"].append(dq * dr > 0)
    for name, expected in right.items():
        one = getattr(found, name)
        assert (one.counted, one.share.value) == (len(expected), pytest.approx(np.mean(expected)))
        assert 0 <= one.share.low <= one.share.value <= one.share.high <= 1
    assert found.matched.by == "params"
    assert 0 < found.matched.counted < found.pairs.counted < found.pairs.candidates == 66


def test_pairs_of_many_configurations_are_of_some_that_are_drawn(make, monkeypatch):
    table = make(400, 0, extra=0.3)
    options = {**OPTIONS, "clusters": "config"}
    whole = audited(table, **options)
    assert not any("Kendall" in note for note in whole.notes)
    for module in ("_marginal", "_audit"):
        monkeypatch.setattr(f"sonoscale.laws.audit.{module}.MOST_PAIRED", 150)
    some = audited(table, **options)
    assert "pairs, and the interval of Kendall's tau, are of 150 of the 400 configurations, drawn" in some.notes
    assert (whole.pairs.candidates, some.pairs.candidates) == (400 * 399 / 2, 150 * 149 / 2)
    assert some.pairs.share.value == pytest.approx(whole.pairs.share.value, abs=0.05)
    assert some.matched.candidates < whole.matched.candidates
    assert some.kendall.value == whole.kendall.value
    width = [one.kendall.high - one.kendall.low for one in (some, whole)]
    assert width[0] == pytest.approx(width[1], rel=0.25)
    assert (some.verdict, some.spearman) == (whole.verdict, whole.spearman)


def test_resamples_of_many_runs_take_no_square_of_their_number():
    count = 12_000
    tracemalloc.start()
    drawn = draw_counts(
        np.arange(float(count)), np.arange(count), bootstrap=80, distinct=2, rng=np.random.default_rng()
    )
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drawn.shape == (80, count)
    assert most < 100e6


def test_families(make):
    """Simpson's paradox: rank goes with quality across families, and against it within."""
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(6), 6)
    inside = rng.normal(size=36)
    table = {
        "params": np.exp(rng.normal(size=36)),
        "rank": np.exp(family + 0.2 * inside),
        "quality": 0.1 * family - 0.02 * inside + 0.002 * rng.normal(size=36),
        "family": [f"f{i}" for i in family],
    }
    found = audited(table, family="family", **OPTIONS)
    assert found.spearman.value > 0.8
    assert found.across.value == pytest.approx(1.0)
    assert found.across.n == 6
    assert found.within.high < 0
    assert found.verdict == "only_through_capacity"
    ranks = [stats.rankdata(c.reshape(6, 6), axis=1).ravel() - 3.5 for c in (table["rank"], table["quality"])]
    assert found.within.value == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-12)


def test_held_out_families_by_refitting(make):
    table = make(30, 1, extra=2.0, families=3)
    found = audited(table, family="family", clusters="config", **OPTIONS).held_out_families
    rank, quality = np.log(table["rank"]), np.array(table["quality"])
    covariates = np.column_stack([np.log(table["params"]), np.log(table["hours"])])
    errors = {"mean": [], "rank": [], "covariates": [], "both": []}
    for held in set(table["family"]):
        out = np.array([name == held for name in table["family"]])
        for name, design in (
            ("mean", np.empty((30, 0))), ("rank", rank[:, None]), ("covariates", covariates),
            ("both", np.column_stack([covariates, rank])),
        ):  # fmt: skip
            full = np.column_stack([np.ones(30), design])
            beta = np.linalg.lstsq(full[~out], quality[~out], rcond=None)[0]
            errors[name] += list(full[out] @ beta - quality[out])
    for name, expected in errors.items():
        assert getattr(found, name) == pytest.approx(np.sqrt(np.mean(np.square(expected))), rel=1e-6)


def test_regret_of_the_choice(make):
    table = {
        "params": [1e6, 2e6, 4e6, 8e6, 8e6, 3e6, 5e6, 7e6, 1e6 + 1],
        "loss": [0.9, 0.8, 0.1, 0.6, 0.5, 0.9, 0.7, 0.4, 1.0],
        "rank": [5.0, 9, 8, 7, 6, 4, 3, 2, 1],
        "quality": [0.2, 0.5, 0.9, 0.4, 0.6, 0.3, 0.35, 0.45, 0.1],
        "name": list("abcdefghi"),
    }
    found = {one.by: one for one in audited(table, clusters="name", **OPTIONS).regret}
    assert found["rank"].regret == pytest.approx(0.4)
    assert found["loss"].regret == pytest.approx(0.0)  # the lowest, not the highest
    assert found["params"].regret == pytest.approx(0.9 - 0.5)  # the mean of both that have most
    assert found["random"].regret == pytest.approx(0.9 - np.mean(table["quality"]))
    assert found["rank"].relative == pytest.approx(0.4 / (0.9 - np.mean(table["quality"])))
    assert found["oracle"].expected.value == 0
    assert found["rank"].expected.value > 0


def test_a_better_baseline_is_named(make):
    table = make(30, 2, extra=0.0)
    table["better"] = [q + 0.001 * (i % 3) for i, q in enumerate(table["quality"])]
    found = audited(table, clusters="config", baselines=["better"], **OPTIONS)
    better = {one.name: one for one in found.baselines}["better"]
    assert better.spearman.value > 0.98
    assert better.difference.value == pytest.approx(found.spearman.value - better.spearman.value)
    assert better.difference.high < 0
    assert any(caveat.startswith("better orders the runs better") for caveat in found.caveats)
    assert {"params", "hours"} <= {one.name for one in found.baselines}


def test_trajectory_separates_warm_up_from_the_rest(make):
    """Rank falls while quality rises up to step 30, then both rise."""
    steps = np.arange(0, 101, 10)
    rng = np.random.default_rng(0)
    columns = {"config": [], "step": [], "rank": [], "quality": [], "params": []}
    for config in range(10):
        for step in steps:
            columns["config"].append(config)
            columns["step"].append(int(step))
            columns["rank"].append(10 + (30 - step if step <= 30 else step - 30) + config + 0.1 * rng.normal())
            columns["quality"].append(0.2 + 0.005 * step + 0.01 * config)
            columns["params"].append(1e6 * (config + 1))
    found = audited(columns, clusters="config", step="step", warmup=30, **OPTIONS)
    assert found.trajectory.inside.mean.value == pytest.approx(-1)
    assert found.trajectory.after.mean.value == pytest.approx(1)
    assert found.trajectory.after.configurations == 10
    assert found.trajectory.unfinished == 0
    assert (found.n, found.n_clusters) == (110, 10)
    assert found.spearman.value == pytest.approx(1.0)  # at the last step only
    late = audited(columns, clusters="config", step="step", warmup=1000, **OPTIONS)
    assert late.trajectory.unfinished == 10
    assert late.trajectory.after is None
    assert any("inside the warm-up" in caveat for caveat in late.caveats)


def test_layers_that_rank_does_not_choose(make):
    columns = {"config": [], "layer": [], "rank": [], "quality": [], "params": []}
    for config in range(9):
        for layer in range(4):
            columns["config"].append(config)
            columns["layer"].append(layer)
            columns["rank"].append(5.0 + layer + 0.1 * config)  # grows with depth
            columns["quality"].append(0.5 + 0.01 * config - 0.1 * abs(layer - 1))  # best in the second
            columns["params"].append(1e6 * (config + 1))
    found = audited(columns, clusters="config", layer="layer", **OPTIONS)
    assert found.layers.configurations == 9
    assert found.layers.agree == 0
    assert found.layers.chance == 0.25
    assert found.layers.regret == pytest.approx(0.2)
    assert found.layers.last == pytest.approx(0.2)
    assert found.layers.by_layer["2"].value == pytest.approx(1.0)
    assert any("does not choose the layer" in caveat for caveat in found.caveats)


def test_quality_that_turns_is_a_caveat():
    rng = np.random.default_rng(0)
    rank = rng.uniform(0, 10, 40)
    assert turning_point(rank, -((rank - 6) ** 2) + rng.normal(size=40), level=0.95) == pytest.approx(6, abs=1)
    assert turning_point(rank, 1 - np.exp(-rank) + 0.01 * rng.normal(size=40), level=0.95) is None
    table = {"params": np.exp(rng.normal(size=40)), "rank": rank, "quality": 0.5 - (rank - 6) ** 2 / 100}
    found = audited(table, **OPTIONS)
    assert any("it turns near" in caveat for caveat in found.caveats)


def test_order_and_names_change_nothing(make):
    table = make(24, 4, extra=0.7, families=3, seeds=2, spread=0.2)
    options = {**OPTIONS, "clusters": "config", "family": "family"}
    one = audited(table, **options).as_dict()
    order = np.random.default_rng(0).permutation(48)
    names = {"family 0": "zebra", "family 1": "ape", "family 2": "0"}
    other = {name: [column[i] for i in order] for name, column in table.items()}
    other["family"] = [names[name] for name in other["family"]]
    other["config"] = [f"{hash(name)}" for name in other["config"]]
    two = audited(other, **options).as_dict()
    held = [each["held_out_families"].pop("by_family") for each in (one, two)]
    for each in (one, two):
        each["held_out_families"].pop("families")
    assert sorted(map(str, held[0].values())) == pytest.approx(sorted(map(str, held[1].values())))
    assert one == two


def test_everything_is_json_and_says_why_not(make):
    found = audited(make(10, 0), **OPTIONS)
    content = json.loads(found.to_json())
    for name in ("within", "across", "held_out_families", "trajectory", "layers", "floor_quality"):
        assert content[name] is None
        assert content["reasons"][name]
    assert content["verdict"] in content["rules"]
    assert content["covariates"] == ["log params", "log hours"]
    one_family = audited(make(10, 0) | {"family": ["a"] * 10}, family="family", **OPTIONS)
    assert "one family only" in one_family.as_dict()["reasons"]["held_out_families"]
    assert isinstance(one_family.adjusted.partial.value, float)


def test_a_perfect_order_has_the_p_of_all_orders_and_not_zero(make):
    table = make(12, 0)
    table["rank"] = np.exp(table["quality"])
    found = audit(table, rank="rank", y="quality", clusters="config", higher_is_better=True, bootstrap=80)
    assert not isinstance(found.spearman, str)
    assert found.spearman.p == pytest.approx(2 / math.factorial(12))
