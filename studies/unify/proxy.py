"""H4 to H7: what rank knows beyond size and loss, its noise, how early it tells, and which estimator."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from fitting import DRAWS, FEWEST, RANK, Answer, Array, by_budget, comparable_loss, known
from scipy import stats
from table import Table

import sonoscale as so
from sonoscale.laws import reliability, spearman

__all__ = ["h4", "h5", "h6", "h7"]

Row = dict[str, Any]
SIZES = ("params", "examples_seen", "train_hours", "flops")
EVIDENCE = ("within families", "given all", "beyond any common", "an unrecorded covariate")
"""Of an audit's rows, those that the registered question asks for."""


def h4(table: Table, seed: int) -> Answer:
    """Beyond parameters, data, compute and loss."""
    verdicts: list[Row] = []
    evidence: list[Row] = []
    final = by_budget(known(table.final(), RANK, "quality"))
    main = final.of("variables")
    parts = {"all strata": final, "main stratum": main}
    parts |= {f"main stratum, {family}": main.where(main["family"] == family) for family in sorted(set(main["family"]))}
    loss = comparable_loss(main)
    compared = replace(main, columns=main.columns | {"comparable_loss": loss}).where(np.isfinite(loss))
    parts["main stratum, loss too, where losses are on one scale"] = compared
    found: dict[str, Any] = {}
    for name, part in parts.items():
        alone = len(set(part["family"])) < 2
        columns = [column for column in (*SIZES, "comparable_loss") if column in part.columns]
        columns = [column for column in columns if np.ptp(np.log(part[column].astype(float))) > 0.05]
        try:
            audit = so.audit(
                part.runs(RANK, "rankme_centred", *columns, "family", **({} if alone else {"family": "family"})),
                rank=RANK, covariates=columns, baselines=["rankme_centred"], seed=seed,
            )  # fmt: skip
        except (so.SonoscaleError, ValueError) as error:
            verdicts.append({"over": name, "reason": str(error)})
            continue
        found[name] = audit
        verdicts.append({
            "over": name, "configurations": audit.n_clusters, "covariates": ", ".join(columns),
            "verdict": audit.verdict, "reason": audit.reason, "caveats": "; ".join(audit.caveats),
        })  # fmt: skip
        for row in audit.rows():
            if str(row["evidence"]).startswith("Spearman") or any(w in str(row["evidence"]) for w in EVIDENCE):
                evidence.append({"over": name} | {k: row[k] for k in ("evidence", "value", "low", "high", "p")})
    if "all strata" not in found:
        raise so.SonoscaleError(verdicts[0]["reason"])
    first, last = found["all strata"], found.get(list(parts)[-1])
    said = first.headline.splitlines()[0]
    said += f" Against that: {'; '.join(first.caveats)}." if first.caveats else ""
    for row in evidence:
        if row["over"] == "all strata" and row["evidence"].startswith("partial correlation, given all, linear"):
            value, low, high = (row[n] for n in ("value", "low", "high"))
            said += f" At equal covariates the partial correlation is {value:.2f} [{low:.2f}, {high:.2f}]"
        if row["over"] == "all strata" and "unrecorded" in row["evidence"]:
            said += f"; an unrecorded covariate would have to explain {row['value']:.0%} of both to undo it."
    if last is not None:
        said += f" With loss too, on the {last.n_clusters} configurations whose losses compare: {last.words}."
    return Answer(
        "H4", said, first.verdict.replace("_", " "), {"Verdict of the audit": verdicts, "What it rests on": evidence}
    )


def h5(table: Table, seed: int) -> Answer:
    """Shares of the variance of log rank."""
    part = known(table.final(), RANK, "quality")
    point = np.array([f"{c} {s}" for c, s in zip(part["config"], part["step"], strict=True)], dtype=object)
    many = np.array([np.sum(point == one) > 1 for one in point])
    main = part["stratum"] == "variables"
    parts = [("all strata", many), ("main stratum", many & main)]
    parts += [(f"main stratum, {f}", many & main & (part["family"] == f)) for f in sorted(set(part["family"]))]
    rows = []
    for over, mask in parts:
        for name, column in (
            ("log rank", np.log(part[RANK])), ("log centred rank", np.log(part["rankme_centred"])),
            ("quality", part["quality"]), ("log loss (within its scale)", np.log(comparable_loss(part))),
        ):  # fmt: skip
            good = mask & np.isfinite(column.astype(float))
            found = reliability(column[good], point[good])
            rows.append({
                "of": name, "over": over, "share_between": found.value, "low": found.low, "high": found.high,
                "configurations": found.configs, "runs": found.runs, "sd_between": found.between_sd,
                "sd_seeds": found.within_sd,
            })  # fmt: skip
    first = rows[0]
    if np.isnan(first["share_between"]):
        raise so.SonoscaleError("too few configurations have several seeds")
    said = (
        f"{first['share_between']:.1%} [{first['low']:.1%}, {first['high']:.1%}] of the variance of log rank over "
        f"{first['configurations']} replicated configurations is between configurations; seeds alone move rank by "
        f"{first['sd_seeds']:.1%}, and quality by {rows[2]['sd_seeds']:.4f}. The share is one of the configurations "
        "that were replicated, and another set of them would have another."
    )
    most = {name: max((row[name] for row in table.repeats), default=0.0) for name in (RANK, "loss", "quality")}
    if table.repeats:
        said += (
            f" {len(table.repeats)} checkpoints were trained twice from the same seed, in two strata: rank differs by "
            f"at most {most[RANK]:.2g}, loss by {most['loss']:.2g}, quality by {most['quality']:.2g}: the share of the "
            "arithmetic, on one kind of machine."
        )
    return Answer("H5", said, "answered", {"Shares of variance": rows, "Trained twice, differences": table.repeats})


EARLY = (
    ("rank", RANK), ("centred rank", "rankme_centred"), ("loss, within its scale", "loss"),
    ("k-NN, all labels", "by:knn"), ("few-shot, 8 labels a class", "by:few-shot"),
)  # fmt: skip
ENDS = {"quality": "quality", "linear probe": "by:linear"}
"""What is predicted; k-NN and few-shot are parts of quality, and not of the linear probe."""


def h6(table: Table, seed: int) -> Answer:
    """How early rank predicts the end."""
    main = table.of("variables")
    final = main.final()
    level = np.array(
        [int(np.sum((main["run"] == r) & (main["step"] < s))) for r, s in zip(main["run"], main["step"], strict=True)]
    )
    most = {r: max(main["flops"][main["run"] == r]) for r in set(main["run"])}
    rows: list[Row] = []
    differences: list[Row] = []
    for target, column in ENDS.items():
        finals = dict(zip(final["run"], final[column].astype(float), strict=True))
        for place in sorted(set(level)):
            here = main.where((level == place) & np.array([np.isfinite(finals.get(r, np.nan)) for r in main["run"]]))
            if len(set(here["config"])) < FEWEST:
                continue
            end = np.array([finals[r] for r in here["run"]])
            share = float(np.median([f / most[r] for f, r in zip(here["flops"], here["run"], strict=True)]))
            early = {name: here[c].astype(float) if c != "loss" else -comparable_loss(here) for name, c in EARLY}
            for name, x in early.items():
                good = np.isfinite(x)
                if len(set(here["config"][good])) < FEWEST:
                    continue
                rho = spearman(x[good], end[good], clusters=here["config"][good].tolist(), seed=seed)
                row = {"of": target, "share_of_compute": share, "predictor": name, "spearman": rho.value,
                       "low": rho.low, "high": rho.high, "runs": int(good.sum())}  # fmt: skip
                for family in sorted(set(here["family"])):
                    mask = good & (here["family"] == family)
                    row[family] = _rho(x[mask], end[mask]) if mask.sum() > 3 and np.ptp(x[mask]) else float("nan")
                rows.append(row)
                for over, inside in (("all", False), ("within families", True)) if name != "rank" else ():
                    differences.append(
                        {"of": target, "share_of_compute": share, "rank_less": name, "over": over}
                        | _difference(early["rank"][good], x[good], end[good], here.where(good), inside, seed)
                    )
    if not rows:
        raise so.SonoscaleError("too few finished runs")
    first = [row for row in rows if row["share_of_compute"] == rows[0]["share_of_compute"] and row["of"] == "quality"]
    families = sorted(set(main["family"]))
    by_family = ", ".join(f"{first[0][f]:.2f} in {f}" for f in families)
    inside = next(
        d for d in differences
        if d["share_of_compute"] == first[0]["share_of_compute"] and d["over"] == "within families"
        and d["rank_less"].startswith("few-shot") and d["of"] == "quality"
    )  # fmt: skip
    said = (
        f"At {first[0]['share_of_compute']:.0%} of the compute, Spearman's correlation with the final quality is "
        + ", ".join(f"{row['spearman']:.2f} for {row['predictor']}" for row in first)
        + f". Within families rank's is {by_family}, and less few-shot's on average "
        f"{inside['difference']:+.2f} [{inside['low']:+.2f}, {inside['high']:+.2f}]."
    )
    return Answer("H6", said, "answered", {
        "Correlation with the final quality, and within each family": rows,
        "Rank's correlation less that of others, paired over configurations": differences,
    })  # fmt: skip


def _difference(rank: Array, other: Array, end: Array, part: Table, inside: bool, seed: int) -> Row:
    """Rank's correlation less the other's, a mean over families if inside, and its 95% interval over configurations."""
    family = part["family"] if inside else np.zeros(len(end))
    rows_of: dict[Any, dict[Any, list[int]]] = {}
    for row, (of, config) in enumerate(zip(family, part["config"], strict=True)):
        rows_of.setdefault(of, {}).setdefault(config, []).append(row)

    def value(rows: list[list[int]]) -> float:
        return float(np.mean([_rho(rank[of], end[of]) - _rho(other[of], end[of]) for of in rows]))

    rng = np.random.default_rng(seed)
    groups = [list(configs.values()) for configs in rows_of.values()]
    draws = [
        value([[row for one in rng.integers(len(of), size=len(of)) for row in of[one]] for of in groups])
        for _ in range(DRAWS // 4)
    ]
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return {
        "difference": value([list(chain.from_iterable(of)) for of in groups]),
        "low": float(low),
        "high": float(high),
    }


def _rho(x: Array, y: Array) -> float:
    return float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])


RANKS = (
    ("RankMe, token mean", RANK), ("centred, token mean", "rankme_centred"), ("RankMe, readout", "rankme_readout"),
    ("centred, readout", "rankme_centred_readout"), ("RankMe, patches", "rankme_first"),
    ("RankMe, middle layer", "rankme_middle"), ("RankMe, largest of all layers", "rankme_largest"),
)  # fmt: skip
OTHERS = (
    ("parameters", "params"), ("examples", "examples_seen"), ("hours of audio", "train_hours"),
    ("loss (within its scale)", "loss"),
)  # fmt: skip


def h7(table: Table, seed: int) -> Answer:
    """Which estimator, embedding and layer: over the final checkpoints of the main stratum."""
    part = known(table.of("variables").final(), RANK, "quality")
    ranks = [_correlations(name, column, part, seed) for name, column in RANKS if column in part.columns]
    others = [_correlations(name, column, part, seed) for name, column in OTHERS if column in part.columns]
    best = max(ranks, key=lambda row: row["all"] if row["all"] == row["all"] else -2)
    inside = max(ranks, key=lambda row: row["within"] if row["within"] == row["within"] else -2)
    said = (
        f"Of {len(ranks)} kinds of rank, {best['of']} has the largest correlation with quality over all "
        f"{len(set(part['config']))} configurations, {best['all']:.2f} [{best['low']:.2f}, {best['high']:.2f}], and "
        f"{inside['of']} within families, {inside['within']:.2f}; RankMe of the token mean has {ranks[0]['all']:.2f} "
        f"and {ranks[0]['within']:.2f}. Chosen after looking, all of it."
    )
    return Answer("H7", said, "descriptive", {
        "Spearman's correlation of ranks with quality, final checkpoints of the main stratum": ranks,
        "The same of what is not a rank": others,
    })  # fmt: skip


def _correlations(name: str, column: str, part: Table, seed: int) -> Row:
    x = part[column].astype(float) if column != "loss" else -comparable_loss(part)
    good = np.isfinite(x)
    x, here = x[good], part.where(good)
    row: Row = {"of": name, "runs": len(x)}
    try:
        found = spearman(x, here["quality"], clusters=here["config"].tolist(), seed=seed)
        row |= {"all": found.value, "low": found.low, "high": found.high}
    except so.SonoscaleError:
        row |= {"all": float("nan"), "low": float("nan"), "high": float("nan")}
    each = {}
    for family in sorted(set(here["family"])):
        mask = here["family"] == family
        each[family] = _rho(x[mask], here["quality"][mask]) if np.ptp(x[mask]) else float("nan")
    known_ones = [value for value in each.values() if value == value]
    return row | {"within": float(np.mean(known_ones)) if known_ones else float("nan")} | each
