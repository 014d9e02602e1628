"""The quality axis: reliability against a published table, its interval's coverage, and what the rule leaves out."""

import json

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import QualityRule, quality, read_runs, reliability
from sonoscale.laws._ledger import ledger_runs

SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
"""Four ratings of six targets, table 2 of Shrout & Fleiss (1979), doi 10.1037/0033-2909.86.2.420."""


def test_the_published_example():
    """ICC(1,1) = .17 there (table 4); R's psych gives .166 with a 95% interval of [-.13, .72]."""
    scores = np.array(SHROUT_FLEISS, dtype=float)
    found = reliability(scores.ravel(), np.repeat(np.arange(6), 4))
    assert found.value == pytest.approx(0.17, abs=0.005)
    assert found.low == 0  # reliabilities below 0 have no meaning
    assert found.high == pytest.approx(0.72, abs=0.005)
    assert (found.configs, found.runs) == (6, 24)


def test_order_names_and_scale_do_not_matter():
    rng = np.random.default_rng(0)
    configs = np.repeat(list("abcdefgh"), 3)
    scores = rng.normal(size=24) + np.repeat(rng.normal(size=8), 3)
    found, order = reliability(scores, configs), rng.permutation(24)
    for other in (
        reliability(scores[order], configs[order]), reliability(100 * scores - 7, configs),
        reliability(scores, np.char.add("x", configs)),
    ):  # fmt: skip
        assert other.value == pytest.approx(found.value)
        assert (other.low, other.high) == pytest.approx((found.low, found.high))


@pytest.mark.parametrize("counts", [[2] * 8, [4] * 12, [1, 1, 1, 1, 2, 2, 3, 4, 2, 2]])
@pytest.mark.parametrize("truth", [0.0, 0.3, 0.8])
def test_the_interval_covers(counts, truth):
    rng, configs = np.random.default_rng(1), np.repeat(np.arange(len(counts)), counts)
    held, trials = 0, 400
    for _ in range(trials):
        means = rng.normal(size=len(counts)) * np.sqrt(truth)
        found = reliability(means[configs] + rng.normal(size=len(configs)) * np.sqrt(1 - truth), configs)
        held += found.low <= truth <= found.high
    noise = 3 * np.sqrt(0.95 * 0.05 / trials)
    most = 1 if truth == 0 else 0.95 + noise  # at 0 no interval can be too high
    assert 0.95 - noise <= held / trials <= most


@pytest.mark.parametrize(
    ("scores", "configs"),
    [([0.1, 0.2, 0.3, 0.4], "aabb"), ([0.1, 0.2, 0.3, 0.4, 0.5], "aabbc"), ([0.1, 0.2, 0.3], "abc")],
)
def test_too_few_replicates_say_nothing(scores, configs):
    found = reliability(scores, list(configs))
    assert not found.judged
    assert np.isnan([found.value, found.low, found.high]).all()


def test_runs_that_agree_exactly():
    configs = list("aabbcc")
    assert reliability([0.1, 0.1, 0.2, 0.2, 0.3, 0.3], configs).low == 1
    assert reliability([0.5] * 6, configs).high == 0


def ledger(tasks, *, configs=8, seeds=3, rule=None, seed=0, steps=(50, 100)):
    """A study's ledger: task -> (spread between configurations, spread between seeds)."""
    rng = np.random.default_rng(seed)
    levels = {task: 0.6 + between * rng.normal(size=configs) for task, (between, _) in tasks.items()}
    rows = []
    for config in range(configs):
        for one in range(seeds):
            for step in steps:
                for task, (_, within) in tasks.items():
                    score = levels[task][config] + within * rng.normal() - (0.1 if step != steps[-1] else 0)
                    row = {"run": f"{config}-{one}", "config": f"c{config}", "label": f"c{config}", "seed": one}
                    row |= {"step": step, "task": task, "protocol": "knn/1", "metric": "accuracy", "score": score}
                    row |= {"chance": 0.1, "floor_untrained": 0.45, "floor_logmel": 0.5, "ceiling": 0.9}
                    rows.append(row | {"readout": "mean", "rankme": 10.0 + config, "quality_rule": rule})
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_noise_is_left_out_and_what_tells_is_kept():
    """Over 100 studies of 8 configurations and 3 seeds, by the default rule."""
    tasks = {"noise": (0.0, 0.03), "good": (0.06, 0.02)}
    kept = {"noise": 0, "good": 0}
    for seed in range(100):
        for name in quality(ledger(tasks, seed=seed), rule=QualityRule()).weights:
            kept[name] += 1
    assert kept["noise"] <= 7  # 2.5 expected
    assert kept["good"] >= 97


def test_quality_is_the_mean_of_what_is_kept_and_says_what_is_not():
    columns = ledger({"good": (0.06, 0.01), "noise": (0.0, 0.03), "fair": (0.05, 0.02)})
    found = quality(columns, rule=QualityRule("plain"))
    assert set(found.weights) == {"good", "fair"}
    runs = ledger_runs(columns, rule=QualityRule("plain"))
    np.testing.assert_allclose(runs["quality"], (runs["score:good"] + runs["score:fair"]) / 2)
    assert len(found.notes) == 1
    assert found.notes[0].startswith("noise is left out of quality: its reliability is ")
    assert found.meaning == "mean accuracy over 2 tasks (good, fair) by knn/1"
    weighted = quality(columns, rule=QualityRule()).weights
    by_hand = {each.name: each.reliability.value for each in found.scores if each.weight}
    total = sum(by_hand.values())
    assert weighted == pytest.approx({name: value / total for name, value in by_hand.items()})
    runs = ledger_runs(columns, rule=QualityRule())
    np.testing.assert_allclose(runs["quality"], sum(w * runs[f"score:{name}"] for name, w in weighted.items()))


def test_floors_ceiling_and_gain():
    (score,) = quality(ledger({"good": (0.05, 0.0001)}, seed=3)).scores
    columns = ledger({"good": (0.05, 0.0001)}, seed=3)
    last = [s for s, step in zip(columns["score"], columns["step"], strict=True) if step == 100]
    by_config = np.array(last).reshape(8, 3).mean(axis=1)
    found = (score.floor_untrained, score.floor_logmel, score.ceiling, score.chance)
    assert found == pytest.approx((0.45, 0.5, 0.9, 0.1))
    assert score.best == pytest.approx(by_config.max())
    half = 2.3646 * by_config.std(ddof=1) / np.sqrt(8)  # t of 7 degrees of freedom
    assert score.gain == pytest.approx(by_config.mean() - 0.45)
    assert (score.gain_low, score.gain_high) == pytest.approx((score.gain - half, score.gain + half), abs=1e-4)
    whole = quality(columns)
    assert (whole.gain, whole.gain_low) == pytest.approx((score.gain, score.gain_low))
    assert "log-mel statistics 0.500 and untrained networks 0.450; trained minus untrained +0." in repr(whole)


def test_the_gain_of_quality_is_that_of_its_weighted_scores():
    columns = ledger({"good": (0.06, 0.01), "fair": (0.05, 0.03)}, seed=2)
    found = quality(columns, rule=QualityRule())
    gains = {each.name: each.gain for each in found.scores}
    assert found.gain == pytest.approx(sum(weight * gains[name] for name, weight in found.weights.items()))
    assert found.gain_low < found.gain < found.gain_high
    del columns["floor_untrained"]
    assert np.isnan(quality(columns).gain)


def test_the_rule_of_the_ledger_holds_and_another_is_said():
    tasks = {"good": (0.06, 0.01), "noise": (0.0, 0.03)}
    registered = ledger(tasks, rule=QualityRule().text)
    np.testing.assert_allclose(ledger_runs(registered)["quality"], ledger_runs(registered)["score:good"])
    np.testing.assert_allclose(read_runs(registered)["quality"], ledger_runs(registered)["score:good"])
    changed = quality(registered, rule=QualityRule("plain", min_reliability=None))
    assert set(changed.weights) == set(tasks)
    assert "The rule of quality was changed after the scores were seen" in repr(changed)
    assert "was changed" not in repr(quality(registered))
    unnamed = ledger_runs(ledger(tasks))  # as before there were rules
    np.testing.assert_allclose(unnamed["quality"], (unnamed["score:good"] + unnamed["score:noise"]) / 2)


def test_one_seed_keeps_all_and_says_so():
    found = quality(ledger({"a": (0.05, 0.01), "b": (0.0, 0.01)}, seeds=1), rule=QualityRule())
    assert found.weights == {"a": 0.5, "b": 0.5}
    assert "a, b are kept in quality: too few replicates to judge its reliability (8 runs of 8 conf" in found.notes[0]


def test_where_nothing_tells_all_is_kept_and_said():
    found = quality(ledger({"a": (0.0, 0.01), "b": (0.0, 0.01)}, seed=5), rule=QualityRule())
    assert found.weights == {"a": 0.5, "b": 0.5}
    assert "no score has the reliability that the rule asks for" in found.headline


def test_only_the_first_readout_counts_and_the_others_are_shown():
    first, other = ledger({"a": (0.05, 0.01)}), ledger({"a": (0.05, 0.01)}, seed=1)
    other["readout"] = ["mean+std"] * len(other["run"])
    both = {name: [*first[name], *other[name]] for name in first}
    found = quality(both, rule=QualityRule())
    assert [(each.name, each.weight) for each in found.scores] == [("a:mean", 1.0), ("a:mean+std", 0.0)]
    np.testing.assert_allclose(ledger_runs(both)["quality"], ledger_runs(first)["quality"])


def test_a_missing_score_of_what_is_kept_is_a_missing_quality_and_of_what_is_not_is_none():
    columns = ledger({"good": (0.06, 0.01), "noise": (0.0, 0.03)}, rule=QualityRule().text)
    for task, missing in (("noise", 0), ("good", 1)):
        rows = [i for i, one in enumerate(columns["task"]) if one == task]
        kept = {name: [v for i, v in enumerate(values) if i != rows[0]] for name, values in columns.items()}
        assert np.isnan(ledger_runs(kept)["quality"]).sum() == missing


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"weights": "best"}, r"quality: weights = 'best': must be plain or reliability"),
        ({"min_reliability": 1.0}, "quality: min_reliability = 1.0: must be from 0 to below 1"),
        ({"level": 2}, "quality: level = 2: must be between 0.5 and 1"),
    ],
)
def test_rules_that_cannot_be(rule, message):
    with pytest.raises(SonoscaleError, match=message):
        QualityRule(**rule)


@pytest.mark.parametrize("text", ["{}]", "[1]", json.dumps({"weight": "plain"}), json.dumps({"weights": "best"})])
def test_a_rule_in_a_ledger_that_is_none(text):
    with pytest.raises(SonoscaleError, match="quality"):
        ledger_runs(ledger({"a": (0.05, 0.01)}, rule=text))


def test_what_is_no_ledger():
    with pytest.raises(SonoscaleError, match="not the ledger of a study: no column step, task, protocol"):
        quality({"run": ["a"], "score": [0.5]})


def test_json_holds_all_and_no_nan():
    content = json.loads(quality(ledger({"a": (0.05, 0.01)}, seeds=1)).to_json())
    assert content["scores"][0]["reliability"]["value"] is None
    assert content["rule"] == {"weights": "plain", "min_reliability": None, "level": 0.95}
