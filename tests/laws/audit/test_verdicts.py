"""Is the verdict right? Counted over tables whose truth is known."""

from collections import Counter
from typing import Any

import pytest
from scipy import stats

from sonoscale.laws.audit import audit_rank

TABLES = 80
AT_MOST = int(stats.binom.ppf(0.995, TABLES, 0.05))
"""What a rate of 5 % exceeds in one case of 200."""


def audited(table, **options) -> Any:
    return audit_rank(table, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"count": 12},
        {"count": 20},
        {"count": 40, "bend": True},
        {"count": 40, "bend": True, "noise": 0.15},
        {"count": 30, "families": 3},
        {"count": 24, "seeds": 3, "spread": 0.3},
        {"count": 30, "tails": True},
    ],
    ids=str,
)
def test_rank_that_follows_capacity_only_is_not_supported(make, verdict, options):
    found = Counter(verdict(make(seed=seed, **options)) for seed in range(TABLES))
    assert found["supported"] <= AT_MOST, found
    if options["count"] >= 30 and "families" not in options:
        assert found["only_through_capacity"] >= 0.85 * TABLES, found


@pytest.mark.parametrize("options", [{"count": 30}, {"count": 12}, {"count": 20, "seeds": 3, "spread": 0.3}], ids=str)
def test_rank_that_has_nothing_to_do_with_quality(make, verdict, options):
    found = Counter()
    for seed in range(TABLES):
        table = make(seed=seed, **options)
        table["quality"] = make(seed=seed + 10_000, **options)["quality"]  # of other runs
        found[verdict(table)] += 1
    assert found["supported"] + found["only_through_capacity"] <= AT_MOST, found
    if options["count"] >= 20:
        assert found["not_supported"] >= 0.9 * TABLES, found
    else:
        assert found["insufficient_data"] >= 0.8 * TABLES, found


@pytest.mark.parametrize(
    "options",
    [{}, {"bend": True}, {"families": 3}, {"seeds": 2, "spread": 0.2}, {"tails": True}],
    ids=str,
)
def test_rank_that_tells_more_than_capacity_is_supported(make, verdict, options):
    found = Counter(verdict(make(40, seed, extra=3.0, **options)) for seed in range(60))
    assert found["supported"] >= 54, found


def test_the_linear_test_alone_would_take_a_bend_for_rank(make, gathered):
    """The control: what the squares and the rest of the bases are for."""
    from sonoscale.laws.audit._partial import adjust

    fooled = 0
    for seed in range(40):
        runs = gathered(make(40, seed, bend=True, noise=0.15))
        found: Any = adjust(
            runs.rank, runs.quality, runs.covariates, None, ["a", "b"], level=0.95, permutations=80, seed=0
        )
        fooled += found.linear.p < 0.05 and found.linear.value > 0
    assert fooled >= 20


@pytest.mark.parametrize("count", [3, 7])
def test_too_few_runs(make, count):
    found = audited(make(count, 0, extra=9.0), rank="rank", quality="quality", bootstrap=80, permutations=80)
    assert found.verdict == "insufficient_data"
    assert f"{count} independent configurations, and 8 are the least" in found.reason
    assert found.needed_assumed > 20


def test_more_covariates_need_more_runs(make, verdict):
    table = make(9, 0, extra=9.0, noise=1.0)
    others = {f"kind{i}": [(j * 7 + i * j * j) % 11 + 1.0 for j in range(9)] for i in range(4)}
    names = ["params", "hours", *others]
    assert verdict(table | others, covariates=names) == "insufficient_data"


def test_what_lies_within_the_seeds_is_no_finding(make):
    """Rank and quality share each seed's luck, and configurations are all alike."""
    table = make(20, 0, capacity=0.0, noise=0.0, seeds=4, spread=1.0)
    found = audited(table, rank="rank", quality="quality", replicate="config", bootstrap=80, permutations=80)
    assert found.verdict == "insufficient_data"
    assert found.reason.startswith("quality differs no more between configurations than between seeds")


def test_the_wrong_direction_is_not_supported(make, verdict):
    table = make(20, 0)
    table["quality"] = 1 - table["quality"]
    assert verdict(table) == "not_supported"
    assert verdict(table, higher_is_better=False) != "not_supported"


def test_without_covariates_nothing_is_supported(make):
    options = {"rank": "rank", "quality": "quality", "bootstrap": 80, "permutations": 80}
    table = make(30, 0, extra=3.0)
    found = audited(table, covariates=(), **options)
    assert found.verdict == "insufficient_data"
    assert "without covariates" in found.reason
    alike = {"params": [5e6] * 30, "rank": table["rank"], "quality": table["quality"]}
    assert audited(alike, replicate=None, **options).verdict == "supported"  # equal capacity by design


def test_rank_that_covariates_determine(make, verdict):
    table = make(30, 0)
    table["rank"] = table["params"] ** 0.3 * table["hours"] ** 0.1
    assert verdict(table) == "insufficient_data"


def test_a_bend_that_too_few_runs_can_show(make):
    """Rank is capacity, and looks like more to any model that these runs allow."""
    found = audited(make(9, 3, bend=True, noise=0.02), rank="rank", quality="quality", bootstrap=80, permutations=80)
    assert found.adjusted.exhausted
    assert found.verdict == "insufficient_data"
    assert found.needed_assumed >= found.adjusted.resolved_by > 9
    many = audited(make(60, 3), rank="rank", quality="quality", bootstrap=80, permutations=80)
    assert not many.adjusted.exhausted


@pytest.mark.parametrize("copies", [3])
def test_copied_rows_change_nothing(make, copies):
    options = {"rank": "rank", "quality": "quality", "replicate": "config", "bootstrap": 80, "permutations": 80}
    for seed in (0, 1, 2):
        table = make(14, seed, extra=1.0)
        once = audited(table, **options)
        rows = [i for i in range(14) for _ in range(copies)]
        often = audited(
            {name: [column[i] for i in rows] for name, column in table.items()} | {"seed": list(range(14 * copies))},
            **options,
        )
        assert often.verdict == once.verdict
        assert often.configurations == once.configurations == 14
        assert often.spearman.interval.low == pytest.approx(once.spearman.interval.low, abs=1e-9)
        assert often.adjusted.partial.interval.high == pytest.approx(once.adjusted.partial.interval.high, abs=1e-9)
        assert often.adjusted.partial.p == pytest.approx(once.adjusted.partial.p, abs=1e-9)
        for pairs in ("pairs", "matched"):
            one, many = getattr(once, pairs), getattr(often, pairs)
            if not isinstance(one, str):
                assert many.interval.low <= one.interval.low + 1e-9
