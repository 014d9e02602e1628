"""Decisions, reliability, robustness values and verdicts for groups: against hand counts and published numbers."""

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws import read_runs
from sonoscale.laws.audit import audit, audit_groups
from sonoscale.laws.audit._decisions import decision_accuracy
from sonoscale.laws.audit._gather import gather
from sonoscale.laws.audit._groups import holm
from sonoscale.laws.audit._pairs import SeedFloor
from sonoscale.laws.audit._robustness import robustness_value
from sonoscale.laws.audit._seeds import errors, reliability_of

OPTIONS: dict[str, Any] = {"bootstrap": 80, "permutations": 80}


def test_pairs_counted_by_hand():
    table = {"params": [1.0, 2, 3, 4], "rank": [1.0, 3, 2, 2], "quality": [0.1, 0.2, 0.25, 0.6]}
    runs = gather(read_runs(table, y="quality"), rank="rank")
    floor = SeedFloor(sd=0.05, difference=0.12, df=3, f=None, p=None)
    columns = {"rank": runs.rank, "params": runs.covariates[:, 0]}
    found = decision_accuracy(runs, columns, floor, level=0.95, bootstrap=80, seed=0)
    assert not isinstance(found, str)
    by = {one.by: one for one in found}
    # Pairs by quality: 12 and 23 are within the floor; rank is right in 13 and 14, wrong in 24, even in 34.
    assert (by["rank"].pairs, by["rank"].ties) == (4, 2)
    assert by["rank"].accuracy.value == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert by["params"].accuracy.value == 1.0
    assert by["params"].difference.value == pytest.approx(0.625 - 1.0)
    assert by["rank"].accuracy.low <= 0.625 <= by["rank"].accuracy.high
    wide = SeedFloor(sd=1.0, difference=2.0, df=3, f=None, p=None)
    assert "none of 6 pairs" in str(decision_accuracy(runs, columns, wide, level=0.95, bootstrap=80, seed=0))


def test_intraclass_correlation_of_shrout_and_fleiss():
    """Six targets, four ratings each (Psychological Bulletin 86, 1979, table 2): ICC(1,1) = .17, ICC(1,4) = .44."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    table = {
        "config": np.repeat(np.arange(6), 4), "params": np.repeat([1.0, 2, 4, 8, 16, 32], 4),
        "quality": ratings.ravel(),
        "rank": np.exp(ratings.ravel()), "seed": np.tile(np.arange(4), 6),
    }  # fmt: skip
    runs = gather(read_runs(table, y="quality", clusters="config", higher_is_better=True), rank="rank")
    for column in ("quality", "rank"):
        found = reliability_of(runs, column, level=0.95)
        assert not isinstance(found, str)
        assert found.value == pytest.approx(0.17, abs=0.005)
        assert found.of_means == pytest.approx(0.44, abs=0.005)
        assert (found.low, found.high) == (pytest.approx(0.0), pytest.approx(0.72, abs=0.02))
    assert errors(runs).shared == pytest.approx(errors(runs).rank)  # rank and quality share all of a seed's luck


def test_interval_of_rank_is_its_error():
    rng = np.random.default_rng(0)
    params, rank = np.exp(rng.uniform(0, 5, 30)), np.exp(3 + rng.normal(size=30))
    table = {"params": params, "rankme": rank, "quality": rng.uniform(size=30)}
    table |= {"rankme_low": rank * np.exp(-1.96 * 0.1), "rankme_high": rank * np.exp(1.96 * 0.1)}
    runs = gather(read_runs(table, y="quality"), rank="rankme")
    assert runs.rank_error == pytest.approx(0.01, rel=1e-3)
    found = audit(table | {"rankme_centred": rank**2}, rank="rankme", y="quality", **OPTIONS)
    assert not isinstance(found.joint, str)
    assert not isinstance(found.decisions, str)
    assert [one.by for one in found.decisions] == ["rankme", "rankme_centred", "params"]
    assert found.joint.rank_reliability == pytest.approx(0.99, abs=0.01)


def test_robustness_value_as_published():
    """Violence and attitudes to peace in Darfur (Cinelli and Hazlett 2020, table 1): t 4.18, 783 degrees of freedom."""
    assert robustness_value(4.18, 783) == pytest.approx(0.139, abs=5e-4)
    assert robustness_value(4.18, 783, quantile=1.963) == pytest.approx(0.076, abs=5e-4)
    assert robustness_value(1.0, 783, quantile=1.963) == 0.0


@pytest.mark.parametrize(("t", "df"), [(4.18, 783), (3.0, 15), (12.0, 15), (3.0, 5), (6.0, 5), (20.0, 30)])
def test_robustness_value_is_the_weakest_covariate_that_undoes_it(t, df):
    """Over a grid of covariates, by the adjusted estimate and standard error of Cinelli and Hazlett 2020, section 4."""
    critical = float(stats.t.ppf(0.95, df - 1))

    def undone(most):
        of_quality, of_rank = np.linspace(0, most, 401)[:, None], np.linspace(0, most, 401)
        left = t / np.sqrt(df) - np.sqrt(of_quality * of_rank / (1 - of_rank))
        return (left * np.sqrt((1 - of_rank) / (1 - of_quality) * (df - 1))).min() <= critical

    value = robustness_value(t, df, quantile=critical)
    assert undone(value + 2e-4)
    assert not undone(value - 2e-4)


def test_holm():
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([None, 0.5, 0.9]) == [None, 1.0, 1.0]
    assert holm([]) == []


def test_groups_are_corrected_for_their_number(make):
    tasks = [make(24, seed, extra=3.0 if seed == 0 else 0.0) for seed in range(4)]
    table = {name: np.concatenate([task[name] for task in tasks]) for name in tasks[0]}
    table["task"] = np.repeat(["music", "speech", "birds", "alarms"], 24)
    found = audit_groups(table, group="task", rank="rank", y="quality", clusters="config", **OPTIONS)
    assert [one.label for one in found.groups] == ["task=music", "task=speech", "task=birds", "task=alarms"]
    assert found.groups[0].verdict == "supported"
    p = [one.audit.p for one in found.groups if one.audit is not None]
    assert found.tested == 4
    assert found.groups[0].p == pytest.approx(found.tested * min(one for one in p if one is not None))
    alone = audit(tasks[1], rank="rank", y="quality", clusters="config", **OPTIONS)
    assert alone.p == found.groups[1].audit.p  # pyright: ignore[reportOptionalMemberAccess]
    content = json.loads(found.to_json())
    assert content["groups"][0]["audit"]["verdict"] == "supported"
    assert "supported" in repr(found)
    assert len(found.rows()) == 4


def test_support_that_does_not_survive_correction_is_withdrawn(make):
    """The same table with ever more others beside it."""
    task = make(24, 0, extra=1.2)
    alone = audit(task, rank="rank", y="quality", clusters="config", **OPTIONS)
    assert alone.verdict == "supported"
    assert alone.p is not None
    copies = int(0.05 / alone.p) + 2  # three
    table = {name: np.tile(column, copies) for name, column in task.items()}
    table["task"] = np.repeat(np.arange(copies), 24)
    found = audit_groups(table, group="task", rank="rank", y="quality", clusters="config", **OPTIONS)
    assert all(one.verdict == "insufficient_data" and one.withdrawn for one in found.groups)
    assert f"{copies} more would be supported without it" in found.headline


def test_groups_that_cannot_be_audited(make):
    table = make(24, 0)
    table["task"] = np.repeat(["a", "b"], 12)
    table["quality"] = np.r_[np.full(12, 0.5), table["quality"][12:]]
    found = audit_groups(table, group="task", rank="rank", y="quality", clusters="config", **OPTIONS)
    assert found.groups[0].verdict is None
    assert "constant" in str(found.groups[0].error)
    assert found.groups[1].audit is not None
    with pytest.raises(SonoscaleError, match="constant"):
        audit_groups(
            {**table, "quality": np.full(24, 0.5)}, group="task", rank="rank", y="quality", clusters="config", **OPTIONS
        )
    with pytest.raises(SonoscaleError, match="audit_groups"):
        audit(table, rank="rank", y="quality", clusters="config", group="task")


def test_groups_that_did_not_come_to_a_test_count_too(make):
    """Where rank and quality have nothing to do with size, few of many tables pass the first rule, by chance."""
    tables = [make(24, seed, capacity=0.0, extra=2.0 if seed == 0 else 0.0) for seed in range(10)]
    table = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
    table["task"] = np.repeat(np.arange(10), 24)
    found = audit_groups(table, group="task", rank="rank", y="quality", clusters="config", **OPTIONS)
    first = found.groups[0]
    assert first.audit is not None
    assert first.audit.p is not None
    assert sum(one.p is not None for one in found.groups) < 4
    assert found.tested == 10
    assert "corrected for 10 tests" in found.headline
    assert first.p == pytest.approx(10 * first.audit.p)


def test_a_verdict_that_is_withdrawn_is_so_in_the_group_s_own_audit(make):
    task = make(24, 0, extra=1.2)
    table = {name: np.tile(column, 6) for name, column in task.items()} | {"task": np.repeat(np.arange(6), 24)}
    found = audit_groups(table, group="task", rank="rank", y="quality", clusters="config", **OPTIONS)
    for one in found.groups:
        assert one.withdrawn
        assert one.audit is not None
        assert one.audit.verdict == "insufficient_data"
        assert "not after correction for 6 tests" in one.audit.headline
        assert "settled" not in one.audit.needed


def test_why_a_group_was_not_audited_is_a_note_and_no_column(make):
    table = make(24, 0) | {"task": np.repeat(["a", "b"], 12)}
    table["quality"] = np.r_[np.full(12, 0.5), table["quality"][12:]]
    found = audit_groups(table, group="task", rank="rank", y="quality", clusters="config", **OPTIONS)
    assert found.notes[0].startswith("task=a: not audited: quality is constant")
    assert "covariates, by their names: params, hours" in found.notes
    assert "reason" not in found.rows()[0]
    assert all(any(row[name] is not None for row in found.rows()) for name in found.rows()[0])
