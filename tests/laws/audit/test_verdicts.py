"""Is the verdict right? On tables whose truth is known."""

from collections import Counter
from typing import Any

import pytest

from sonoscale.laws.audit import audit
from sonoscale.laws.audit._partial import adjust


def audited(table, **options) -> Any:
    return audit(table, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"count": 40},
        {"count": 40, "bend": True, "noise": 0.15},
        {"count": 40, "families": 3},
        {"count": 40, "seeds": 3, "spread": 0.3},
        {"count": 40, "tails": True},
    ],
    ids=str,
)
def test_rank_that_follows_capacity_only_and_rank_that_adds_to_it(make, verdict, options):
    """The rates over many tables are in `docs/audit-verdicts.md`."""
    found = Counter(verdict(make(seed=seed, **options)) for seed in range(10))
    assert found["only_through_capacity"] >= 8, found
    found = Counter(verdict(make(seed=seed, extra=3.0, **options)) for seed in range(10))
    assert found["supported"] >= 8, found


def test_rank_that_has_nothing_to_do_with_quality(make, verdict):
    found = {12: Counter(), 30: Counter()}
    for count, verdicts in found.items():
        for seed in range(10):
            other = make(count, seed + 10_000)["quality"]  # of other runs
            verdicts[verdict(make(count, seed) | {"quality": other})] += 1
    assert set(found[12]) <= {"insufficient_data", "not_supported"}, found
    assert found[12]["insufficient_data"] >= 4, found
    assert found[30]["not_supported"] >= 8, found


def test_the_linear_test_alone_would_take_a_bend_for_rank(make, gathered):
    """The control: what the squares and the rest of the bases are for."""
    fooled = 0
    for seed in range(10):
        runs = gathered(make(40, seed, bend=True, noise=0.15))
        found: Any = adjust(
            runs.rank, runs.quality, runs.covariates, None, ["a", "b"], level=0.95, permutations=80, seed=0
        )
        fooled += found.linear.p < 0.05 and found.linear.value > 0
    assert fooled >= 5


@pytest.mark.parametrize("count", [3, 7])
def test_too_few_runs(make, count):
    found = audited(make(count, 0, extra=9.0), rank="rank", y="quality", bootstrap=80, permutations=80)
    assert found.verdict == "insufficient_data"
    assert f"{count} independent configurations; at least 8 are needed" in found.reason
    assert found.needed_assumed > 20


def test_more_covariates_need_more_runs(make, verdict):
    table = make(9, 0, extra=9.0, noise=1.0)
    others = {f"kind{i}": [(j * 7 + i * j * j) % 11 + 1.0 for j in range(9)] for i in range(4)}
    names = ["params", "hours", *others]
    assert verdict(table | others, covariates=names) == "insufficient_data"


def test_what_lies_within_the_seeds_is_no_finding(make):
    """Rank and quality share each seed's luck, and configurations are all alike."""
    table = make(20, 0, capacity=0.0, noise=0.0, seeds=4, spread=1.0)
    found = audited(table, rank="rank", y="quality", clusters="config", bootstrap=80, permutations=80)
    assert found.verdict == "insufficient_data"
    assert found.reason.startswith("quality differs no more between configurations than between seeds")


def test_the_wrong_direction_is_not_supported(make, verdict):
    table = make(20, 0)
    table["quality"] = 1 - table["quality"]
    assert verdict(table) == "not_supported"
    assert verdict(table, higher_is_better=False) != "not_supported"


def test_without_covariates_nothing_is_supported(make):
    options = {"rank": "rank", "y": "quality", "bootstrap": 80, "permutations": 80}
    table = make(30, 0, extra=3.0)
    found = audited(table, covariates=(), **options)
    assert found.verdict == "insufficient_data"
    assert "without covariates" in found.reason
    alike = {"params": [5e6] * 30, "rank": table["rank"], "quality": table["quality"]}
    assert audited(alike, **options).verdict == "supported"  # equal capacity by design


def test_rank_that_covariates_determine(make, verdict):
    table = make(30, 0)
    table["rank"] = table["params"] ** 0.3 * table["hours"] ** 0.1
    assert verdict(table) == "insufficient_data"


def test_a_bend_that_too_few_runs_can_show(make):
    """Rank is capacity, and looks like more to any model that these runs allow."""
    found = audited(make(9, 3, bend=True, noise=0.02), rank="rank", y="quality", bootstrap=80, permutations=80)
    assert found.adjusted.exhausted
    assert found.verdict == "insufficient_data"
    assert found.needed_assumed >= found.adjusted.resolved_by > 9
    many = audited(make(60, 3), rank="rank", y="quality", bootstrap=80, permutations=80)
    assert not many.adjusted.exhausted


def test_seeds_that_differ_in_nothing_change_nothing(make):
    copies = 3
    options = {"rank": "rank", "y": "quality", "clusters": "config", "bootstrap": 80, "permutations": 80}
    for seed in (0, 1):
        table = make(14, seed, extra=1.0)
        once = audited(table, **options)
        rows = [i for i in range(14) for _ in range(copies)]
        often = audited(
            {name: [column[i] for i in rows] for name, column in table.items()} | {"seed": list(range(14 * copies))},
            **options,
        )
        assert often.verdict == once.verdict
        assert often.n_clusters == once.n_clusters == 14
        assert often.spearman.low == pytest.approx(once.spearman.low, abs=1e-9)
        assert often.adjusted.partial.high == pytest.approx(once.adjusted.partial.high, abs=1e-9)
        assert often.adjusted.partial.p == pytest.approx(once.adjusted.partial.p, abs=1e-9)
        for pairs in ("pairs", "matched"):
            one, many = getattr(once, pairs), getattr(often, pairs)
            if not isinstance(one, str):
                assert many.share.low <= one.share.low + 1e-9
