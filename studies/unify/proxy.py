"""H4 to H7: what rank knows beyond size and loss, its noise, how early it tells, and which estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from fitting import FEWEST, RANK, Answer, known
from table import Table

import sonoscale as so
from sonoscale.laws import reliability, spearman

__all__ = ["h4", "h5", "h6", "h7"]


def h4(table: Table, seed: int) -> Answer:
    """Beyond parameters, data, compute and loss."""
    rows, said, decided = [], [], "undecided"
    for name, part in (("all strata", table.final()), ("main stratum", table.of("variables").final())):
        part = known(part, RANK, "quality")
        found = so.audit(
            part.runs(RANK, "rankme_centred", "params", "examples_seen", "train_hours", "flops", "family"),
            rank=RANK, baselines=["rankme_centred"], seed=seed,
        )  # fmt: skip
        rows.append(
            {"over": name, "configurations": found.n_clusters, "verdict": found.verdict, "reason": found.reason}
        )
        if not said:
            decided = {"supported": "yes", "only_through_capacity": "no"}.get(
                found.verdict, "undecided" if found.verdict == "insufficient_data" else "no"
            )
            said.append(f"{found.headline.splitlines()[0]}")
    return Answer("H4", " ".join(said), decided, {"Verdict of the audit": rows})


def h5(table: Table, seed: int) -> Answer:
    """Shares of the variance of log rank."""
    part = known(table.final(), RANK, "quality")
    sizes = {config: int(np.sum(part["config"] == config)) for config in set(part["config"])}
    many = np.array([sizes[config] > 1 for config in part["config"]])
    rows = []
    for name, values in (
        ("log rank", np.log(part[RANK])), ("log centred rank", np.log(part["rankme_centred"])),
        ("quality", part["quality"]), ("loss", part["loss"]),
    ):  # fmt: skip
        found = reliability(values[many], part["config"][many])
        rows.append({
            "of": name, "share_between": found.value, "low": found.low, "high": found.high,
            "configurations": found.configs, "runs": found.runs, "sd_between": found.between_sd,
            "sd_seeds": found.within_sd,
        })  # fmt: skip
    first = rows[0]
    if np.isnan(first["share_between"]):
        raise so.SonoscaleError("too few configurations have several seeds")
    said = (
        f"{first['share_between']:.1%} [{first['low']:.1%}, {first['high']:.1%}] of the variance of log rank over "
        f"{first['configurations']} replicated configurations is between configurations; seeds alone move rank by "
        f"{first['sd_seeds']:.1%}, and quality by {rows[2]['sd_seeds']:.4f}."
    )
    return Answer("H5", said, "answered", {"Shares of variance": rows})


def h6(table: Table, seed: int) -> Answer:
    """How early rank predicts the end."""
    main = table.of("variables")
    finals = dict(zip(main.final()["run"], main.final()["quality"], strict=True))
    share = np.array(
        [f / max(main["flops"][main["run"] == r]) for f, r in zip(main["flops"], main["run"], strict=True)]
    )
    level = np.array(
        [int(np.sum((main["run"] == r) & (main["step"] < s))) for r, s in zip(main["run"], main["step"], strict=True)]
    )
    rows = []
    for place in sorted(set(level)):
        here = (level == place) & np.array([r in finals for r in main["run"]])
        end = np.array([finals[r] for r in main["run"][here]], dtype=float)
        for name, column in (
            ("rank", RANK),
            ("centred rank", "rankme_centred"),
            ("loss", "loss"),
            ("k-NN, all labels", "by:knn"),
            ("few-shot, 8 labels a class", "by:few-shot"),
        ):
            x = main[column][here].astype(float)
            good = np.isfinite(x) & np.isfinite(end)
            if len(set(main["config"][here][good])) < FEWEST:
                continue
            rho = spearman(
                -x[good] if name == "loss" else x[good],
                end[good],
                clusters=main["config"][here][good].tolist(),
                seed=seed,
            )
            rows.append(
                {
                    "share_of_compute": float(np.median(share[here])),
                    "predictor": name,
                    "spearman": rho.value,
                    "low": rho.low,
                    "high": rho.high,
                    "runs": int(good.sum()),
                }
            )
    if not rows:
        raise so.SonoscaleError("too few finished runs")
    first = [row for row in rows if row["share_of_compute"] == rows[0]["share_of_compute"]]
    by = {row["predictor"]: row["spearman"] for row in first}
    said = (
        f"At {first[0]['share_of_compute']:.0%} of the compute, Spearman's correlation with the final quality is "
        + ", ".join(f"{value:.2f} for {name}" for name, value in by.items())
        + "."
    )
    return Answer("H6", said, "answered", {"Correlation with the final quality": rows})


def h7(table: Table, seed: int) -> Answer:
    """Which estimator, embedding and layer."""
    part = known(table.final(), RANK, "quality")
    rows = []
    for name, column, sign in (
        ("RankMe, token mean", RANK, 1), ("centred, token mean", "rankme_centred", 1),
        ("RankMe, readout", "rankme_readout", 1),
        ("centred, readout", "rankme_centred_readout", 1), ("RankMe, patches", "rankme_first", 1),
        ("RankMe, middle layer", "rankme_middle", 1), ("RankMe, largest of all layers", "rankme_largest", 1),
        ("parameters", "params", 1), ("compute", "flops", 1),
        ("examples", "examples_seen", 1), ("hours of audio", "train_hours", 1),
        ("loss (of one objective)", "loss", -1),
    ):  # fmt: skip
        if column not in part.columns:
            continue
        x = sign * part[column].astype(float)
        row: dict[str, Any] = {"of": name}
        for what, mask in [("all", np.ones(len(part), bool))] + [
            (o, part["objective"] == o) for o in sorted(set(part["objective"]))
        ]:
            good = mask & np.isfinite(x)
            if name.startswith("loss") and what == "all":
                row[what] = float("nan")
                continue
            try:
                row[what] = spearman(
                    x[good], part["quality"][good], clusters=part["config"][good].tolist(), seed=seed, bootstrap=100
                ).value
            except so.SonoscaleError:
                row[what] = float("nan")
        rows.append(row)
    best = max(rows, key=lambda row: row["all"] if row["all"] == row["all"] else -2)
    said = (
        f"Over all runs the largest correlation with quality is that of {best['of']}, {best['all']:.2f}; RankMe of the "
        f"token mean has {rows[0]['all']:.2f}."
    )
    return Answer("H7", said, "descriptive", {"Spearman's correlation with quality, final checkpoints": rows})
