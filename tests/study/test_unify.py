"""The analysis of the study of unification, on made-up runs of which the truth is known."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

FOLDER = Path(__file__).parents[2] / "studies" / "unify"
sys.path.insert(0, str(FOLDER))

from answers import answers  # noqa: E402
from fitting import left_out, paired  # noqa: E402
from law_of_rank import h1, h2, h3  # noqa: E402
from others import best_encoder  # noqa: E402
from planning import h10  # noqa: E402
from proxy import h5, h6, h7  # noqa: E402
from table import Table, load  # noqa: E402

FAMILIES = ("contrastive", "latent", "mae")


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
                        "rankme_centred_readout": 6 * rank, "quality": quality,
                        **{f"quality:{d}": quality for d in ("speech", "music", "environment")},
                        **{f"by:{p}": quality for p in ("knn", "few-shot", "linear")},
                    })  # fmt: skip
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns = {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in columns.items()}
    return Table(columns, SimpleNamespace())  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("exponent", [0.25, 0.0])
def test_the_exponent_over_all_runs_is_found(exponent):
    found = h1(made_up(exponent), 0)
    row = found.tables["The law over all runs"][0]
    assert row["low"] <= exponent <= row["high"]
    assert row["configurations"] == 33
    assert (found.decided == "yes") == (exponent > 0)


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


def test_one_law_where_there_is_one_and_many_where_the_families_differ():
    one = made_up(0.25)
    assert h2(one, 0).decided == "yes"
    many = made_up(0.25)
    steep = many["family"] == "mae"
    many.columns["quality"][steep] = 0.3 * 20**0.5 * many["rankme"][steep] ** -0.25
    found = h2(many, 0)
    assert found.decided == "no"
    assert "below in 2" in found.said


def test_a_family_that_follows_the_law_of_the_others_is_predicted_best_by_rank():
    found = h3(made_up(0.25), 0)
    rows = {row["left_out"]: row for row in next(iter(found.tables.values()))}
    assert {f"objective {family}" for family in FAMILIES} <= rows.keys()
    assert found.decided == "yes"
    shifted = made_up(0.25)
    shifted.columns["quality"][shifted["family"] == "mae"] *= 1.5
    assert h3(shifted, 0).decided == "no"


def test_shares_of_variance_are_those_that_were_put_in():
    first = h5(made_up(0.25, seeds=4), 0).tables["Shares of variance"][0]
    assert first["of"] == "log rank"
    assert first["low"] <= 0.3**2 / (0.3**2 + 0.02**2) <= first["high"]
    assert first["sd_seeds"] == pytest.approx(0.02, rel=0.3)


def test_rank_of_an_early_checkpoint_orders_the_ends():
    rows = h6(made_up(0.25), 0).tables["Correlation with the final quality"]
    early = {row["predictor"]: row["spearman"] for row in rows if row["share_of_compute"] == 0.25}
    assert early["rank"] > 0.95
    assert abs(early["loss"]) < 0.5


def test_correlations_are_those_of_scipy():
    table = made_up(0.25, seeds=1, noise=0.1)
    rows = {row["of"]: row for row in next(iter(h7(table, 0).tables.values()))}
    final = table.final()
    for what, here in (("all", np.ones(len(final), bool)), ("mae", final["objective"] == "mae")):
        for name, column in (("RankMe, token mean", "rankme"), ("parameters", "params")):
            expected = stats.spearmanr(final[column][here], final["quality"][here])[0]
            assert rows[name][what] == pytest.approx(expected)
    assert np.isnan(rows["loss (of one objective)"]["all"])


def test_the_choice_by_rank_loses_nothing_where_rank_is_all():
    rows = {row["chosen_by"]: row for row in next(iter(h10(made_up(0.25, noise=0.0), 0).tables.values()))}
    assert rows["rank"]["lost"] < 0.01 < rows["chance"]["lost"]
    assert rows["parameters"]["lost"] > rows["rank"]["lost"]


def test_a_question_that_the_runs_cannot_answer_is_undecided():
    found = answers(made_up(0.25).where(np.arange(132) < 12), 0)
    assert found["H8"].decided == "undecided"
    assert found["H8"].said.startswith("Cannot be answered from these runs: ")


def test_the_best_encoder_is_listed_with_means_of_the_ledgers_themselves():
    ledgers = FOLDER / "ledgers"
    table = load({"variables": ledgers / "variables.parquet"})
    found = best_encoder(table, ledgers / "third-party.parquet")
    (rows,) = found.tables.values()
    rows = {row["encoder"]: row for row in rows}
    (ours,) = (name for name in rows if "best of this study" in name)
    assert rows[ours]["quality"] == table.final()["quality"].max()
    for name, file, keys in (
        ("silero_vad", "third-party", {"label": "silero_vad"}),
        (ours, "variables", {"run": found.said.split("`")[1], "is_final": True}),
    ):
        cells = pq.read_table(ledgers / f"{file}.parquet").to_pylist()
        scores = [row["score"] for row in cells if row["task"] == "esc10" and keys.items() <= row.items()]
        assert len(scores) == 3
        assert rows[name]["esc10"] == pytest.approx(sum(scores) / 3)
