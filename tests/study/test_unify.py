"""The analysis of the study of unification, on made-up runs of which the truth is known."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from sonoscale.errors import SonoscaleError

FOLDER = Path(__file__).parents[2] / "studies" / "unify"
sys.path.insert(0, str(FOLDER))

import analyse  # noqa: E402
from answers import answers  # noqa: E402
from fitting import common_slope, comparable_loss, left_out, left_out_of, over_seeds, paired  # noqa: E402
from law_of_rank import h1, h2, h3  # noqa: E402
from others import best_encoder  # noqa: E402
from planning import h8, h10  # noqa: E402
from proxy import h4, h5, h6, h7  # noqa: E402
from table import RANKS, Table, load  # noqa: E402

FAMILIES = ("contrastive", "latent", "mae")
LOSS = "loss, within its scale"


def made_up(exponent, *, noise=0.005, seed=0, seeds=2, between=0.3) -> Any:
    """Runs of three families by six widths and five clip lengths, two checkpoints each, quality of a power of rank."""
    rng = np.random.default_rng(seed)
    rows = []
    for family in FAMILIES:
        points = [("base", 64, 2.0), *(("width", w, 2.0) for w in (16, 24, 32, 48, 96, 128))]
        points += [("clip_seconds", 64, s) for s in (0.5, 1.0, 3.0, 4.0)]
        for axis, width, clip in points:
            true = np.log(20) + between * rng.normal()
            for each in range(seeds):
                for step, flops in enumerate((1e12, 4e12)):
                    rank = np.exp(true + 0.1 * step + 0.02 * rng.normal())
                    quality = 0.3 * rank**exponent * np.exp(noise * rng.normal())
                    rows.append({
                        "run": f"{family}{width}{clip}{each}", "config": f"{family}{width}{clip}", "family": family,
                        "objective": family, "axis": axis, "backbone": "cnn" if family == "contrastive" else "vit",
                        "stratum": "variables", "seed": each, "width": width, "depth": 2, "clip_seconds": clip,
                        "batch_size": 64, "patch_mels": 64, "patch_frames": 4, "step": step, "is_final": step == 1,
                        "params": width**2 * 10.0, "flops": flops, "examples_seen": flops / width**2,
                        "train_clips": 6000, "train_hours": 7.0,
                        "loss": 2.0 - 0.1 * step + 0.01 * rng.normal(), "rankme": rank,
                        "rankme_centred": rank * np.exp(0.05 * rng.normal()), "rankme_readout": 5 * rank,
                        "rankme_centred_readout": 6 * rank, "quality": quality, "plain": quality,
                        "loss_scale": family, "label": axis, "seconds": 60.0,
                        **{f"quality:{d}": quality for d in ("speech", "music", "environment")},
                        **{f"by:{p}": quality for p in ("knn", "few-shot", "linear")},
                    })  # fmt: skip
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns = {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in columns.items()}
    return Table(columns, SimpleNamespace(), {"variables": 66})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("exponent", "decided"), [(0.25, "yes"), (0.0, "no"), (-0.25, "no")])
def test_the_exponent_over_all_runs_is_found(exponent, decided):
    found = h1(made_up(exponent), 0)
    row = found.tables["The law over all runs"][0]
    assert row["low"] <= exponent <= row["high"]
    assert row["configurations"] == 33
    assert found.decided == decided


def test_levels_of_families_hide_a_law_from_all_runs_and_not_from_the_constants_of_each():
    """Simpson's paradox: within each family quality rises with rank, and over all it falls."""
    table = made_up(0.25, between=0.1)
    for place, family in enumerate(FAMILIES):
        mine = table["family"] == family
        table.columns["rankme"][mine] *= 2.0**place
        table.columns["quality"][mine] *= 0.6**place
    found = h1(table, 0)
    assert found.tables["The law over all runs"][0]["high"] < 0
    same = found.tables["By family, and one exponent with a constant for each (exploratory)"][-1]
    assert same["low"] <= 0.25 * np.log(1) + same["exponent"] <= same["high"]
    dummies = np.stack([table.final()["family"] == family for family in FAMILIES], axis=1).astype(float)
    design = np.column_stack([np.log(table.final()["rankme"]), dummies])
    expected = np.linalg.lstsq(design, np.log(table.final()["quality"]), rcond=None)[0][0]
    assert same["exponent"] == pytest.approx(expected)
    assert same["exponent"] == pytest.approx(0.25, abs=0.05)
    audits = h4(table, 0)
    assert audits.decided == "not supported"
    within = [row for row in audits.tables["What it rests on"] if "within families" in row["evidence"]]
    assert within[0]["value"] > 0.5


def test_one_exponent_is_left_out_as_by_least_squares():
    rng = np.random.default_rng(2)
    x, groups, clusters = rng.uniform(5, 50, 24), np.repeat(list("ab"), 12), np.repeat(np.arange(12), 2)
    y = np.where(groups == "a", 0.2, 0.4) * x**0.3 * np.exp(0.1 * rng.normal(size=24))
    design = np.column_stack([np.log(x), groups == "a", groups == "b"]).astype(float)
    expected = np.empty(24)
    for cluster in range(12):
        here = clusters == cluster
        fitted = np.linalg.lstsq(design[~here], np.log(y[~here]), rcond=None)[0]
        expected[here] = np.log(y[here]) - design[here] @ fitted
    np.testing.assert_allclose(left_out_of(x, y, groups, clusters), expected, atol=1e-9)


def test_exponents_of_runs_have_the_interval_of_student():
    rng = np.random.default_rng(3)
    runs = np.repeat(list("abcd"), 5)
    x = np.tile(np.geomspace(1, 100, 5), 4)
    y = x**0.2 * np.exp(0.05 * rng.normal(size=20))
    slopes = np.array([np.cov(np.log(x[runs == r]), np.log(y[runs == r]))[0, 1] for r in "abcd"]) / np.var(
        np.log(x[:5]), ddof=1
    )
    low, high = stats.t.interval(0.95, 3, np.mean(slopes), stats.sem(slopes))
    found = over_seeds(x, y, runs)
    assert (found["low"], found["high"]) == pytest.approx((low, high))


def test_what_is_left_out_is_predicted_as_by_another_library():
    rng = np.random.default_rng(0)
    x, groups = rng.uniform(5, 50, 40), np.repeat(np.arange(10), 4)
    y = 0.2 * x**0.3 * np.exp(0.1 * rng.normal(size=40))
    predicted = cross_val_predict(
        LinearRegression(), np.log(x)[:, None], np.log(y), groups=groups, cv=LeaveOneGroupOut()
    )
    np.testing.assert_allclose(left_out(x, y, groups), np.log(y) - predicted, atol=1e-9)
    means = np.array([np.log(y[groups != g]).mean() for g in groups])
    np.testing.assert_allclose(left_out(None, y, groups), np.log(y) - means, atol=1e-9)


def test_the_interval_of_a_difference_holds_what_is_true_of_equal_errors():
    rng = np.random.default_rng(1)
    groups, inside = np.repeat(np.arange(30), 2), 0
    for trial in range(40):
        first, second = rng.normal(size=(2, 60))
        difference, low, high = paired(first, second, groups, trial)
        assert low <= difference <= high
        inside += low <= 0 <= high
    assert inside >= stats.binom.ppf(0.001, 40, 0.95)
    first, second = 2.5 * rng.normal(size=60), rng.normal(size=60)
    assert paired(first, second, groups, 0)[1] > 0  # and it is no wider than to see this


def test_one_law_where_there_is_one_and_many_where_the_families_differ():
    one = h2(made_up(0.25), 0)
    assert one.decided != "no"
    exponents = [row for row in one.tables["Exponent by variable"] if "low" in row]
    mean = np.average(
        [row["exponent"] for row in exponents], weights=[(row["high"] - row["low"]) ** -2 for row in exponents]
    )
    assert mean == pytest.approx(0.25, abs=0.01)
    many = made_up(0.25)
    steep = many["family"] == "mae"
    many.columns["quality"][steep] = 0.3 * 20**0.5 * many["rankme"][steep] ** -0.25
    found = h2(many, 0)
    assert found.decided == "no"
    assert "above zero and 2 below" in found.said


def test_a_family_that_follows_the_law_of_the_others_is_predicted_best_by_rank():
    found = h3(made_up(0.25), 0)
    rows = {row["left_out"]: row for row in next(iter(found.tables.values()))}
    assert {row["left_out"] for row in found.tables["Not asked"]} >= {"backbone cnn"}  # the split of the contrast
    assert {f"objective {family}" for family in FAMILIES} <= rows.keys()
    assert found.decided == "yes"
    shifted = made_up(0.25)
    shifted.columns["quality"][shifted["family"] == "mae"] *= 1.5
    assert h3(shifted, 0).decided == "undecided"  # neither rank nor anything else knows of the step
    flat = made_up(0.25)
    mine = flat["family"] == "mae"
    level = np.log(flat["quality"][~mine]).mean()
    flat.columns["quality"][mine] = np.exp(level + 1e-4 * np.random.default_rng(0).normal(size=mine.sum()))
    found = h3(flat, 0)
    assert found.decided == "no"
    rows = {row["left_out"]: row for row in next(iter(found.tables.values()))}
    assert "mean" in rows["objective mae"]["worse_than"]


def test_shares_of_variance_are_those_that_were_put_in():
    first = h5(made_up(0.25, seeds=4), 0).tables["Shares of variance"][0]
    assert first["of"] == "log rank"
    assert first["low"] <= 0.3**2 / (0.3**2 + 0.02**2) <= first["high"]
    assert first["sd_seeds"] == pytest.approx(0.02, rel=0.3)


def test_rank_of_an_early_checkpoint_orders_the_ends():
    table = made_up(0.25)
    found = h6(table, 0)
    rows = [row for row in found.tables["Correlation with the final quality, and within each family"]
            if row["share_of_compute"] == 0.25 and row["of"] == "quality"]  # fmt: skip
    early = {row["predictor"]: row for row in rows}
    assert early["rank"]["spearman"] > 0.95
    assert abs(early[LOSS]["spearman"]) < 0.5
    ends = dict(zip(table.final()["run"], table.final()["quality"], strict=True))
    first = table.where((table["family"] == "mae") & ~table["is_final"])
    expected = stats.spearmanr(first["rankme"], [ends[run] for run in first["run"]])[0]
    assert early["rank"]["mae"] == pytest.approx(expected)
    differences = found.tables["Rank's correlation less that of others, paired over configurations"]
    loss = next(row for row in differences if row["rank_less"].startswith("loss") and row["over"] == "all")
    assert loss["difference"] == pytest.approx(early["rank"]["spearman"] - early[LOSS]["spearman"])
    assert 0 < loss["low"] <= loss["difference"] <= loss["high"]


def test_correlations_are_those_of_scipy():
    table = made_up(0.25, seeds=1, noise=0.1)
    ranks, others = h7(table, 0).tables.values()
    rows = {row["of"]: row for row in [*ranks, *others]}
    final = table.final()
    for what, here in (("all", np.ones(len(final), bool)), ("mae", final["objective"] == "mae")):
        for name, column in (("RankMe, token mean", "rankme"), ("parameters", "params")):
            expected = stats.spearmanr(final[column][here], final["quality"][here])[0]
            assert rows[name][what] == pytest.approx(expected)
    assert rows["RankMe, token mean"]["within"] == pytest.approx(
        np.mean([rows["RankMe, token mean"][family] for family in FAMILIES])
    )
    assert rows["RankMe, token mean"]["low"] <= rows["RankMe, token mean"]["all"] <= rows["RankMe, token mean"]["high"]


def test_the_choice_by_rank_loses_nothing_where_rank_is_all():
    rows = {row["chosen_by"]: row for row in next(iter(h10(made_up(0.25, noise=0.0), 0).tables.values()))}
    assert rows["rank"]["lost"] < 0.01 < rows["chance"]["lost"]
    assert rows["parameters"]["lost"] > rows["rank"]["lost"]


def long_runs(bend=0.0, *, noise=0.01, seed=0):
    """The stratum of compute: three seeds of two configurations, whose quality is a power of compute, or bends."""
    rng = np.random.default_rng(seed)
    rows = []
    for family in ("contrastive", "latent"):
        for each in range(3):
            for step, flops in enumerate((1e12, 3.2e12, 1e13, 3.2e13, 1e14)):
                decades = np.log10(flops / 1e12)
                quality = 0.4 * 1.1**decades * np.exp(noise * rng.normal()) - bend * max(0.0, decades - 1)
                rank = 20 * 1.2**decades * np.exp(noise * rng.normal())
                rows.append({
                    "run": f"{family}{each}", "config": family, "family": family, "seed": each, "step": step,
                    "stratum": "compute", "axis": "base", "flops": flops, "quality": quality, "rankme": rank,
                    "loss": 3 * 0.9**decades * np.exp(noise * rng.normal()), "is_final": step == 4,
                })  # fmt: skip
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns = {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in columns.items()}
    return Table(columns, SimpleNamespace())  # pyright: ignore[reportArgumentType]


def test_the_largest_compute_is_predicted_where_the_law_goes_on_and_not_where_it_breaks():
    assert h8(long_runs(), 0).decided == "yes"
    broken = h8(long_runs(bend=0.08), 0)
    assert broken.decided == "no"
    of = {row["of"]: row for row in broken.tables["Coverage of the intervals"]}
    assert of["quality"]["verdict"] == "no"
    assert of["rank"]["verdict"] == "yes"
    assert (of["quality"]["predicted"], of["quality"]["runs"]) == (12, 6)
    assert of["rank"]["low_0.95"] == pytest.approx(
        stats.binomtest(6, 6).proportion_ci().low if of["rank"]["share_0.95"] == 1 else of["rank"]["low_0.95"]
    )
    with pytest.raises(SonoscaleError, match="no run of the stratum of compute has finished"):
        h8(made_up(0.25), 0)


def test_too_few_runs_answer_nothing_and_say_why():
    found = answers(made_up(0.25).where(np.arange(132) < 12), 0)
    for question in ("H1", "H4", "H8"):
        assert found[question].decided == "undecided", question
        assert found[question].said.startswith("Cannot be answered from these runs: "), question


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """The main stratum, and a part of it as another stratum would have trained it: other runs, one budget each."""
    ledger = pq.read_table(FOLDER / "ledgers" / "variables.parquet")
    rows = [row for row in ledger.to_pylist() if row["seed"] == 0 and row["axis"] == "encoder.width"]
    for row in rows:
        settings = json.loads(row["configuration"])
        settings["train"] |= {"flops": [row["flops"]], "budgets": [row["step"]], "rank_points": 3}
        row |= {"configuration": json.dumps(settings), "run": f"{row['run'][:6]}{row['step']:06d}", "is_final": True}
        row |= {"config": row["run"], "rankme": row["rankme"] + 1e-3}
    file = tmp_path_factory.mktemp("twice") / "isoflop.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=ledger.schema.remove_metadata()), file)
    return file


def test_what_two_strata_trained_alike_counts_once_and_shows_the_share_of_the_arithmetic(twice):
    main = FOLDER / "ledgers" / "variables.parquet"
    alone, both = load({"variables": main}), load({"variables": main, "isoflop": twice})
    assert both.trained["isoflop"] > 0
    assert len(both) == len(alone)
    np.testing.assert_array_equal(both["rankme"], alone["rankme"])
    assert len(both.repeats) == both.trained["isoflop"]
    assert {round(row["rankme"], 9) for row in both.repeats} == {1e-3}
    assert {row["quality"] for row in both.repeats} == {0.0}
    assert "rank differs by at most 0.001" in h5(both, 0).said


def test_one_exponent_has_the_interval_that_draws_with_constants_of_their_own_have():
    rng = np.random.default_rng(5)
    x, groups, clusters = rng.uniform(5, 50, 24), np.repeat(list("ab"), 12), np.repeat(np.arange(12), 2)
    y = np.where(groups == "a", 0.2, 0.4) * x**0.3 * np.exp(0.1 * rng.normal(size=24))
    found = common_slope(x, y, groups, clusters, 0)
    slopes = []
    for draw in np.random.default_rng(1).integers(12, size=(800, 12)):
        rows = np.concatenate([np.flatnonzero(clusters == one) for one in draw])
        design = np.column_stack([np.log(x[rows]), groups[rows] == "a", groups[rows] == "b"]).astype(float)
        slopes.append(np.linalg.lstsq(design, np.log(y[rows]), rcond=None)[0][0])
    low, high = np.percentile(slopes, (2.5, 97.5))
    assert found["low"] == pytest.approx(low, abs=0.15 * (high - low))
    assert found["high"] == pytest.approx(high, abs=0.15 * (high - low))


def test_losses_compare_only_on_their_scale():
    table = made_up(0.25).final()
    table.columns["loss_scale"][table["family"] == "mae"] = [
        f"own {c}" for c in table["config"][table["family"] == "mae"]
    ]
    found = comparable_loss(table)
    assert np.isnan(found[table["family"] == "mae"]).all()
    mine = table["family"] == "latent"
    assert found[mine] == pytest.approx(table["loss"][mine] / stats.gmean(table["loss"][mine]))


def test_ranks_of_the_control_are_those_on_the_clips_of_the_others(tmp_path):
    ledgers = {name: FOLDER / "ledgers" / f"{name}.parquet" for name in ("variables", "procedural")}
    without = load(ledgers).of("procedural")
    assert np.isnan(without["rankme"].astype(float)).all()
    assert np.isfinite(without["quality"].astype(float)).all()
    first = without["run"][0], without["step"][0]
    pq.write_table(
        pa.Table.from_pylist([{"run": first[0], "step": first[1], **dict.fromkeys(RANKS, 7.5)}]),
        tmp_path / "pool.parquet",
    )
    found = load(ledgers, pool=tmp_path / "pool.parquet").of("procedural")
    assert found["rankme"][0] == 7.5
    assert np.isfinite(found["rankme"].astype(float)).sum() == 1


def test_complete_is_what_is_finished_or_has_failed():
    table = made_up(0.25)
    short = replace(table, trained={**analyse.PLANNED, "compute": 5})
    assert not analyse.is_complete(short)
    assert analyse.is_complete(replace(short, failed=[{"stratum": "compute"}]))


def test_what_the_readme_says_is_what_was_decided():
    table = replace(made_up(0.25), spent={"seconds": 7200.0, "flops": 1e14})
    found = {"H1": h1(table, 0), "H2": h2(table, 0), "H4": h4(table, 0), "H10": h10(table, 0)}
    found["H2"].decided = "yes"
    said = " ".join(analyse.claim(table, found).split())
    assert "rank unifies the variables" in said
    assert "over 66 encoders" in said
    assert "one for each variable" in said
    assert "1e+14 operations" in said
    found["H2"].decided = "no"
    assert "rank does not unify the variables" in " ".join(analyse.claim(table, found).split())


def test_the_best_encoder_is_listed_with_means_of_the_ledgers_themselves():
    ledgers = FOLDER / "ledgers"
    table = load({"variables": ledgers / "variables.parquet"})
    found = best_encoder(table, ledgers / "third-party.parquet")
    (rows,) = found.tables.values()
    rows = {row["encoder"]: row for row in rows}
    (ours,) = (name for name in rows if "best of this study" in name)
    finals = table.final()
    assert rows[ours]["quality"] == pytest.approx(sorted(finals["quality"])[-1])
    for name, file, keys in (
        ("silero_vad", "third-party", {"label": "silero_vad"}),
        (ours, "variables", {"run": found.said.split("`")[1], "is_final": True}),
    ):
        cells = pq.read_table(ledgers / f"{file}.parquet").to_pylist()
        scores = [row["score"] for row in cells if row["task"] == "esc10" and keys.items() <= row.items()]
        assert len(scores) == 3
        assert rows[name]["esc10"] == pytest.approx(sum(scores) / 3)
