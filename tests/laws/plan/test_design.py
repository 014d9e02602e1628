"""The best design: known truths, budgets that bind, ties, and refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

import sonoscale as so
from sonoscale.errors import SonoscaleError
from sonoscale.laws import RunTable, read_runs
from sonoscale.laws.plan import plan_design
from sonoscale.laws.plan._candidates import base_value, ladder


def cost(columns):
    """FLOPs 6 depth width^2 clips; widths above 300 cannot be built."""
    size = np.asarray(columns["depth"]) * np.asarray(columns["width"], dtype=float) ** 2
    size = np.where(np.asarray(columns["width"]) > 300, np.nan, size)
    found = {"params": size, "memory": 16 * size}
    return found | ({"flops": 6 * size * columns["clips_seen"]} if "clips_seen" in columns else {})


def runs(by_width=0.5, by_depth=0.02, by_clips=0.2, noise=0.02, seed=0, seeds=2):
    """All combinations with two seeds each; logit quality is a sum of logarithms."""
    rng = np.random.default_rng(seed)
    width, depth, clips, backbone, _ = (
        one.ravel() for one in np.meshgrid([32, 64, 128], [2, 4], [1000, 4000], [0, 1], np.arange(seeds), indexing="ij")
    )
    z = -3 + by_width * np.log(width) + by_depth * np.log(depth) + by_clips * np.log(clips) + 0.3 * backbone
    z = z + noise * rng.standard_normal(len(z))
    return {
        "width": width, "depth": depth, "clips_seen": clips,
        "backbone": np.array(["conv", "vit"])[backbone].astype(object),
        "quality": 1 / (1 + np.exp(-z)), "seed": np.arange(len(z)) % seeds,
    }  # fmt: skip


X = ["width", "depth", "clips_seen", "backbone"]


def plan(table, **options):
    given = {"x": X, "cost": cost, "amount": "clips_seen", "bootstrap": 100, "clusters": ()}
    given |= {} if isinstance(table, RunTable) else {"y": "quality"}
    return plan_design(table, **(given | options))


def test_the_best_design_of_a_known_law():
    # width^0.5 against width^2 of cost and clips^0.2: per FLOP width gives 0.25, clips 0.2, depth 0.02.
    found = plan(runs(noise=1e-4), budgets={"flops": 6e9})
    best = found.choice.best
    assert best.design["backbone"] == "vit"
    assert best.design["depth"] == 2
    assert best.design["width"] == 256  # one step beyond; 512 cannot be built
    assert best.costs["flops"] <= 6e9
    assert best.design["clips_seen"] == int(6e9 / 6 / 2 / 256**2)
    z = -3 + 0.5 * np.log(256) + 0.02 * np.log(2) + 0.2 * np.log(best.design["clips_seen"]) + 0.3
    assert best.y.value == pytest.approx(1 / (1 + np.exp(-z)), abs=1e-3)
    assert best.y.low < best.y.value < best.y.high
    assert best.share > 0.9
    # and the other way round where clips are worth more than width
    other = plan(runs(by_width=0.2, by_clips=0.4, noise=1e-4), budgets={"flops": 6e9}).choice.best
    assert other.design["width"] == 32


@pytest.mark.filterwarnings("ignore:extrapolating")
def test_no_candidate_within_the_budgets_is_better():
    found = plan(runs(), budgets={"flops": 2e9, "params": 40_000}, shown=1000)
    law = found.law
    for one in found.choice.shown:
        assert one.costs["flops"] <= 2e9 * (1 + 1e-9)
        assert one.costs["params"] <= 40_000
        design = {name: np.array([value]) for name, value in one.design.items()}
        assert law.predict(design)[0].value == pytest.approx(one.y.value)
    values = [one.y.value for one in found.choice.shown]
    assert values == sorted(values, reverse=True)
    assert sum(one.share for one in found.choice.shown) <= 1 + 1e-9
    for shares in found.choice.shares.values():
        assert sum(shares.values()) == pytest.approx(1.0)


def test_a_larger_budget_is_never_worse():
    y = [plan(runs(), budgets={"flops": flops}).choice.best.y.value for flops in (3e8, 1e9, 3e9, 1e10)]
    assert y == sorted(y)


def test_what_makes_no_difference_is_tied_and_the_cheapest_is_planned():
    table = runs(by_depth=0.0, noise=0.05)
    found = plan(table, budgets={"width": 128}, x=["width", "depth", "clips_seen"], shown=500)
    best = found.choice.best
    twins = [
        one for one in found.choice.shown
        if all(one.design[name] == best.design[name] for name in ("width", "clips_seen"))
    ]  # fmt: skip
    assert len(twins) > 1
    assert all(one.tied for one in twins if one is not best)
    assert found.no_effect == {"depth": 2}  # the cheapest
    assert found.best == best.design | {"depth": 2}
    assert "depth" not in found.headline
    assert "No effect shown, keep them cheap or as they are: depth 2." in found.details
    assert found.plan.costs["flops"] <= best.costs["flops"]
    assert found.choice.floor is not None
    if best.design["depth"] > 2:
        assert found.choice.cheapest is not None
        assert found.choice.cheapest.costs["flops"] < best.costs["flops"]
    poor = next(one for one in found.choice.shown if one.design["width"] == 32)
    assert not poor.tied
    assert poor.difference.high < 0


def test_differences_below_the_seeds_are_ties():
    found = plan(runs(noise=0.3), budgets={"flops": 1e9}, shown=500)
    floor = found.choice.floor
    assert floor == pytest.approx(0.3, rel=0.4)
    z = np.array([np.log(one.y.value / (1 - one.y.value)) for one in found.choice.shown])
    tied = np.array([one.tied for one in found.choice.shown])
    assert tied[1:][z[0] - z[1:] < floor].all()
    assert tied.sum() == found.choice.ties
    assert not tied[0]


def test_a_loss_is_made_small():
    table = runs()
    table["loss"] = 1 - table.pop("quality")
    found = plan(table, y="loss", higher_is_better=False, budgets={"flops": 6e9})
    assert found.choice.best.design["width"] == 256
    assert found.law.y_scale == "log"
    values = [one.y.value for one in found.choice.shown]
    assert values == sorted(values)


def test_percentages_are_given_in_percent():
    table = runs()
    found = plan(table, budgets={"flops": 6e9})
    percent = plan(table | {"quality": 100 * table["quality"]}, budgets={"flops": 6e9})
    assert percent.choice.best.y.value == pytest.approx(100 * found.choice.best.y.value)
    assert percent.doublings[0].change.value == pytest.approx(100 * found.doublings[0].change.value)


def test_a_bend_is_found_inside_where_asked_for():
    rng = np.random.default_rng(0)
    ratio, width = (one.ravel() for one in np.meshgrid([0.5, 0.6, 0.75, 0.9, 0.95], [16, 32, 64]))
    z = 0.4 * np.log(width) - 3 * (np.log(ratio) - np.log(0.75)) ** 2 - 2
    table = {"width": width, "mask_ratio": ratio, "quality": 1 / (1 + np.exp(-z - 0.001 * rng.standard_normal(15)))}
    options = {"y": "quality", "x": ["width", "mask_ratio"], "bootstrap": 100, "budgets": {"width": 64}}
    assert plan_design(table, **options, curved=["mask_ratio"]).choice.best.design["mask_ratio"] == 0.75
    straight = plan_design(table, **options)
    assert straight.choice.best.design["mask_ratio"] in (0.5, 0.95)
    assert "mask_ratio" in straight.edges
    assert any("mask_ratio: a law that only rises or falls" in note for note in straight.warnings)


def test_held_out_rows_and_next_runs_and_json():
    table = runs()
    held = (table["width"] == 128) & (table["clips_seen"] == 4000)
    found = plan(table, budgets={"flops": 6e9}, held_out=held, next_runs=3)
    assert found.check is not None
    assert len(found.check.runs) == held.sum()
    assert found.check.coverage >= 0.7
    assert found.next_runs is not None
    assert len(found.next_runs.runs) == 3
    assert all(flops <= cost(table)["flops"][~held].max() for flops in found.next_runs.flops if flops)
    assert found.next_runs.before > found.next_runs.after[0] > found.next_runs.after[-1]
    reported = json.loads(found.to_json())
    assert reported["choice"]["shown"][0]["design"] == found.choice.best.design
    for one in found.doublings:
        assert one.variable != "backbone"
    width = next(one for one in found.doublings if one.variable == "width" and one.at == "the centre of the data")
    assert width.flops is not None
    assert width.change.low < width.change.value < width.change.high


def test_without_a_model_only_columns_can_be_bounded():
    found = plan(runs(), cost=None, budgets={"width": 64})
    assert found.choice.best.design["width"] == 64
    assert found.choice.best.costs == {}
    with pytest.raises(
        SonoscaleError,
        match="no cost or column of the design is called 'flops'; a budget can be on: width, depth, clips_seen",
    ):
        plan(runs(), cost=None, budgets={"flops": 1e9})


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"budgets": {"flops": -1.0}}, "the budget of flops must be a number above zero, not -1"),
        ({}, {"budgets": {"flops": np.nan}}, "the budget of flops must be a number above zero"),
        ({}, {"budgets": {"flops": 1e3}}, r"the budget of 1000 for flops is below the cheapest candidate: 1\.229e\+07"),
        ({}, {"budgets": {"params": 5.0}}, "the budget of 5 for params is below the cheapest candidate: 2048"),
        ({}, {"budgets": {"flops": 1e13}}, "the budget = 1e.13 is .* above the largest in the data"),
        ({}, {"budgets": {"backbone": 1.0}}, "no cost or column of the design is called 'backbone'"),
        ({}, {"budgets": {"params": 2049.0, "flops": 1e7}}, "below the cheapest candidate"),
        ({}, {"curved": ["mask"]}, "'mask' is not among the columns of the design"),
        ({}, {"amount": "hours"}, "'hours' is not among the columns of the design"),
        ({}, {"x": ["width", "quality"], "amount": None}, "'quality' is the quality, and is among the columns"),
        ({}, {"x": [*X, "hours"]}, "no column 'hours'"),
        ({"width": np.full(48, 8)}, {}, "width is constant"),
        ({"quality": np.r_[np.nan, np.full(47, 0.5)]}, {}, "quality, row 0: no value"),
        ({}, {"held_out": np.arange(48) > 3}, "need at least|is constant|in one cluster|combination"),
        ({}, {"next_runs": 2, "next_flops": 1.0}, "no next run costs at most 1 FLOPs"),
    ],
)
def test_refusals(change, options, message):
    with pytest.raises(SonoscaleError, match=message):
        plan(runs() | change, **({"budgets": {"flops": 1e9}} | options))


def test_what_is_tried():
    assert ladder(np.array([12, 24, 48])).tolist() == [12, 24, 36, 48, 96]
    assert ladder(np.array([1, 2, 4])).tolist() == [1, 2, 3, 4, 8]
    assert ladder(np.array([0.5, 0.9])).tolist() == [0.5, 0.9]
    assert ladder(np.array(["vit", "conv"], dtype=object)).tolist() == ["conv", "vit"]
    assert ladder(np.array([1.0, 4.0]), beyond=False).tolist() == [1.0, 2.0, 4.0]
    np.testing.assert_allclose(ladder(np.array([0.5, 8.0])), [0.5, 2.0, 8.0, 128.0])


def test_too_many_designs_are_refused_where_each_variable_has_an_effect():
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(8)]
    table = {name: rng.choice([1.0, 2.0, 4.0, 8.0], 200) for name in names}
    sums = sum(np.log(values) for values in table.values())
    with pytest.raises(SonoscaleError, match="designs are more than 20,000: leave out a variable of x0"):
        plan_design(table | {"quality": 1 / (1 + np.exp(4 - 0.4 * sums))}, y="quality", x=names, bootstrap=100)
    noise = table | {"quality": rng.uniform(0.2, 0.8, 200)}  # none has: each stays as it usually is
    assert set(plan_design(noise, y="quality", x=names, bootstrap=100).no_effect) >= set(names[1:5])


def test_the_name_of_the_quality_says_which_way_a_design_improves():
    table = runs(noise=1e-3)
    best = plan(table, budgets={"flops": 6e9}).choice.best.design
    loss = table | {"loss": 1 - table["quality"]}
    found = plan(loss, y="loss", budgets={"flops": 6e9})
    assert not found.target.higher_is_better
    assert found.choice.best.design == best
    for name, values in (("loss", table["quality"]), ("accuracy", 1 - table["quality"])):
        wrong = table | {name: values}
        with pytest.raises(SonoscaleError, match=f"{name} .* with FLOPs .* \\(higher_is_better\\)"):
            plan(wrong, y=name)
        assert plan(wrong, y=name, higher_is_better=name == "loss", budgets={"flops": 6e9}).choice.best.design == best
    for values in (table["quality"], 1 - table["quality"]):
        unnamed = plan(table | {"y": values}, y="y", budgets={"flops": 6e9})
        assert unnamed.choice.best.design == best
        assert unnamed.target.because.startswith("as it ")
    with pytest.raises(SonoscaleError, match="nothing says whether more y is better"):
        plan({"y": table["quality"], "backbone": table["backbone"]}, y="y", x=["backbone"], cost=None, amount=None)


@pytest.mark.parametrize("held", [False, True])
def test_rows_of_a_part_of_the_runs_are_named_by_their_places_in_the_table(held):
    table = {name: np.concatenate([values[:9], values]) for name, values in runs().items()}
    table["part"] = np.array(["other"] * 9 + ["this"] * 48, dtype=object)
    out = np.zeros(57, dtype=bool)
    out[[11, 16 if held else 29]] = True
    found = plan(read_runs(table, group="part", held_out=out, clusters=()).parts()[1][1], clusters=None)
    assert found.check is not None
    assert [one.row for one in found.check.runs] == sorted([11, 16 if held else 29])
    table["width"] = table["width"].astype(object)
    table["width"][16] = "wide"
    with pytest.raises(SonoscaleError, match=r"^width, row 16: 'wide' is not a number"):
        plan(read_runs(table, group="part", held_out=out, clusters=()).parts()[1][1], clusters=None)


@pytest.mark.parametrize(
    ("value", "message"), [(83.0, "mixes fractions with percentages"), (1.2, "row 5: 1.2 is above 1 in a column of")]
)
def test_scores_in_two_units_are_refused(value, message):
    table = runs()
    table["accuracy"] = table.pop("quality")
    table["accuracy"][5] = value
    with pytest.raises(SonoscaleError, match=f"accuracy.* {message}"):
        plan(table, y="accuracy")
    wider = table | {"loss": 1.3 - runs()["quality"]}
    assert plan(wider, y="loss", budgets={"flops": 6e9}).choice.best.design["backbone"] == "vit"


def test_a_design_of_words_alone_has_no_reach():
    assert plan(runs(), x=["backbone"], cost=None, amount=None).reach == ()


def test_settings_without_a_shown_effect_stay_as_they_are_or_cheap():
    table = runs(by_depth=0.0, noise=0.05)
    rng = np.random.default_rng(5)
    table["lr"] = rng.choice([1e-3, 2e-3, 4e-3], len(table["width"]), p=[0.2, 0.6, 0.2])  # costs nothing, does nothing
    found = plan(table, x=[*X, "lr"], budgets={"flops": 6e9})
    assert found.no_effect == {"depth": 2, "lr": 2e-3}  # the cheapest, and the usual one
    assert "lr" not in found.headline
    assert "depth" not in found.headline
    assert found.plan.costs["flops"] <= 6e9
    with pytest.warns(UserWarning, match="extrapolating"):
        law = found.law.predict({name: np.array([value]) for name, value in found.best.items()})[0]
    assert found.y.value == pytest.approx(law.value)
    assert found.plan.tied


def test_a_setting_without_a_shown_effect_stays_at_the_base_of_a_sweep():
    """Of most runs the depth is 4: it stays, though 2 is tied and cheaper."""
    table = runs(by_depth=0.0, noise=0.05)
    table["depth"] = np.where(np.arange(len(table["depth"])) % 3 > 0, 4, table["depth"])
    found = plan(table, budgets={"width": 128}, x=["width", "depth", "clips_seen"])
    assert found.no_effect == {"depth": 4}
    assert found.choice.cheapest is not None
    assert found.choice.cheapest.design["depth"] < 4


@pytest.mark.parametrize(
    ("values", "base"),
    [
        ([4, 4, 4, 4, 4, 1, 2], 4),
        ([4, 4, 2, 1], 4),  # one at a time
        ([8, 8, 1, 2, 3, 4], 8),
        ([8, 8, 1, 2, 3, 4, 5], None),
        ([1, 1, 2, 2], None),  # a grid
        ([1, 2, 3], None),
        ([5, 5], 5),
        (["vit", "vit", "conv"], "vit"),
    ],
)
def test_the_base_of_a_sweep(values, base):
    assert base_value(np.array(values)) == base


def test_of_a_study_variables_that_others_settle_are_left_out_and_many_values_are_thinned():
    """Two families with rates of their own, many variables, and budgets that end at different numbers of examples."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(120):
        latent = i % 2
        at = {
            "run": f"r{i}", "config": f"c{i}", "step": 100 + i, "objective": ("mae", "latent")[latent],
            "lr": (1e-3, 2e-3)[latent], "width": int(rng.choice([16, 32, 48, 64, 96, 128])),
            "depth": int(rng.choice([1, 2, 3, 4, 6])), "patch_mels": int(rng.choice([8, 16, 32, 64])),
            "patch_frames": int(rng.choice([1, 2, 4, 8])), "batch_size": int(rng.choice([16, 32, 64])),
            "clip_seconds": float(rng.choice([0.5, 1.0, 2.0])), "examples_seen": 1000 + 37 * i,
        }  # fmt: skip
        z = 0.4 * np.log(at["width"]) - 0.2 * np.log(at["patch_mels"]) + 0.3 * np.log(at["examples_seen"]) - 3
        rows.append(at | {"quality": 1 / (1 + np.exp(-z - 0.05 * rng.normal()))})
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    found = so.plan({**table, "objective": table["objective"].astype(object)}, y="quality", clusters="config",
                    limits={"examples_seen": 4000}, bootstrap=100)  # fmt: skip
    assert any(note.startswith("lr: left out of the design, since in these runs it goes with objective") for note in
               found.warnings)  # fmt: skip
    assert "lr" not in found.best
    assert found.best["width"] >= 128
    assert found.best["patch_mels"] == 8


def test_nothing_is_headlined_where_nothing_is_shown():
    table = runs(by_width=0.0, by_depth=0.0, by_clips=0.0, noise=0.5)
    table["backbone"] = np.random.default_rng(1).permutation(table["backbone"])
    found = plan(table, budgets={"flops": 6e9}, level=0.999, bootstrap=4000)
    assert set(found.no_effect) == set(X)
    assert found.headline.startswith("No variable of the design has a significant effect")
    assert found.edges == {}


def test_a_design_at_the_edge_of_what_was_tried_is_said_to_be_there_and_not_certain():
    found = plan(runs(noise=1e-4), budgets={"flops": 6e9})
    assert found.choice.best.share > 0.9  # of resamples of a law that cannot bend
    assert found.edges == {"width": "largest", "depth": "smallest"}
    said = " ".join(found.details)
    assert (
        "Best at the edge of what was tried (width at or beyond its largest, depth at or beyond its smallest)" in said
    )
    assert "the optimum may lie beyond" in said
    assert "% of the resamples" not in said
    capped = plan(runs(noise=1e-4), cost=None, budgets={"width": 128, "depth": 2})
    assert set(capped.edges) == {"clips_seen"}  # a budget that binds is no optimum, an unbounded amount is
    inside = plan(runs(by_clips=0.6, by_depth=0.3, noise=1e-4), budgets={"params": 70_000, "clips_seen": 4000})
    assert "width" not in inside.edges


def test_next_runs_differ_in_what_has_an_effect():
    table = runs(by_depth=0.0, noise=0.05)
    found = plan(table, budgets={"flops": 6e9}, next_runs=4)
    assert found.next_runs is not None
    shown = [tuple(run[name] for name in X if name not in found.no_effect) for run in found.next_runs.runs]
    assert "depth" in found.no_effect
    assert len(set(shown)) == 4
    known = set(zip(*(table[name].tolist() for name in X), strict=True))
    assert [tuple(run[name] for name in X) in known for run in found.next_runs.runs] == list(found.next_runs.repeats)


def test_a_design_prints_and_gives_its_tables():
    found = plan(runs(), budgets={"flops": 6e9})
    assert repr(found).startswith("Train width 256, ")
    assert found.fitted == "logit quality, 48 runs"
    assert found.tables()[0][0] == "the best candidates"
    assert {"width", "quality", "quality_low", "cost:flops"} <= set(found.rows()[0])
    pytest.importorskip("matplotlib").use("agg")
    assert found.plot().get_xlabel() == "quality"
