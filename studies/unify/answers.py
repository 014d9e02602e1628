"""The registered questions, H1 to H11, each answered from the table: a row of findings, and what it rests on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from table import DOMAINS, Table

import sonoscale as so
from sonoscale.laws import fit_form, fit_loglinear, fit_two_stage, reliability, spearman

__all__ = ["QUESTIONS", "Answer", "answers"]

Array = NDArray[Any]
RANK = "rankme"
LEVELS = (0.5, 0.8, 0.95)
DRAWS = 1000
FEWEST = 5
"""Configurations that a law of its own needs."""


@dataclass
class Answer:
    """What the data say to one question.

    Attributes:
        question: its number in the registration.
        said: the answer in a sentence, by the registered rule.
        decided: yes, no or undecided.
        tables: title -> rows.
    """

    question: str
    said: str
    decided: str = "undecided"
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def answers(table: Table, seed: int = 0) -> dict[str, Answer]:
    """All of them; one that the data cannot answer yet says why."""
    found = {}
    for name, ask in QUESTIONS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = ask(table, seed)
        except so.SonoscaleError as error:
            found[name] = Answer(name, f"Cannot be answered from these runs: {error}")
    return found


def power(x: Array, y: Array, clusters: Array, seed: int = 0) -> Any:
    """The power law of y in x, with an interval over configurations."""
    return fit_form("power", x, y, clusters=clusters.tolist(), bootstrap=DRAWS, seed=seed, scale="log")


def line(x: Array, y: Array) -> Callable[[Array], Array]:
    """The same law without an interval, for what is left out and predicted many times over."""
    slope, offset = np.polyfit(np.log(x), np.log(y), 1)
    return lambda new: np.exp(offset + slope * np.log(new))


def left_out(x: Array | None, y: Array, groups: Array) -> Array:
    """log y less its prediction by the power law in x (the mean, for None) of all other groups [n]."""
    missed = np.full(len(y), np.nan)
    for group in dict.fromkeys(groups):
        here = groups == group
        if x is None:
            missed[here] = np.log(y[here]) - np.log(y[~here]).mean()
        else:
            missed[here] = np.log(y[here]) - np.log(line(x[~here], y[~here])(x[here]))
    return missed


def paired(first: Array, second: Array, clusters: Array, seed: int) -> tuple[float, float, float]:
    """RMS of first less RMS of second, with a 95% interval over configurations."""
    names, codes = np.unique(clusters.astype(str), return_inverse=True)
    rng = np.random.default_rng(seed)
    sums = np.array([np.bincount(codes, weights=v, minlength=len(names)) for v in (first**2, second**2)])
    sizes = np.bincount(codes, minlength=len(names))
    draws = rng.integers(len(names), size=(DRAWS, len(names)))
    roots = np.sqrt(sums[:, draws].sum(2) / sizes[draws].sum(1))
    low, high = np.percentile(roots[0] - roots[1], (2.5, 97.5))
    return float(np.sqrt((first**2).mean()) - np.sqrt((second**2).mean())), float(low), float(high)


def root(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def known(table: Table, *names: str) -> Table:
    """Rows that have all of these."""
    kept = np.ones(len(table), dtype=bool)
    for name in names:
        kept &= np.isfinite(table[name].astype(float))
    found = table.where(kept)
    if len(set(found["config"])) < FEWEST:
        raise so.SonoscaleError(f"{len(set(found['config']))} configurations have {' and '.join(names)}")
    return found


def exponent_row(name: str, x: Array, y: Array, clusters: Array, seed: int) -> dict[str, Any]:
    law = power(x, y, clusters, seed)
    a = law.params[law.exponent]
    return {
        "of": name, "configurations": law.n_clusters, "rows": law.n, "exponent": a.value, "low": a.low, "high": a.high,
        "r2": law.r2, "loo_rmse": law.loo_rmse,
    }  # fmt: skip


def h1(table: Table, seed: int) -> Answer:
    """A power law of quality in rank over all runs."""
    rows = []
    for name, part in (("final checkpoints", table.final()), ("all checkpoints", table)):
        part = known(part, RANK, "quality")
        rank, y, config = (part[c] for c in (RANK, "quality", "config"))
        row = exponent_row(name, rank, y, config, seed)
        law, mean = left_out(rank, y, config), left_out(None, y, config)
        difference, low, high = paired(law, mean, config, seed)
        rho = spearman(rank, y, clusters=config.tolist(), seed=seed)
        row |= {
            "error": root(law), "error_of_mean": root(mean), "difference": difference, "difference_low": low,
            "difference_high": high, "spearman": rho.value, "spearman_low": rho.low, "spearman_high": rho.high,
        }  # fmt: skip
        rows.append(row)
    first = rows[0]
    yes = first["low"] > 0 and first["difference"] < 0
    decided = (
        "yes"
        if yes and first["difference_high"] < 0
        else "undecided"
        if first["low"] <= 0 <= first["high"] or yes
        else "no"
    )
    said = (
        f"Over {first['configurations']} configurations quality goes as rank to the power "
        f"{first['exponent']:.3f} [{first['low']:.3f}, {first['high']:.3f}]; of a configuration left out the law "
        f"misses {first['error']:.1%}, the mean {first['error_of_mean']:.1%}."
    )
    return Answer("H1", said, decided, {"The law over all runs": rows})


def variables_of(table: Table) -> dict[str, Table]:
    """Final runs of the main stratum: those that vary one variable of a family, with the family's base."""
    main = table.of("variables").final()
    found = {}
    for family in sorted(set(main["family"])):
        of = main.where(main["family"] == family)
        for axis in sorted(set(of["axis"]) - {"base"}):
            part = of.where((of["axis"] == axis) | (of["axis"] == "base"))
            if len(set(part["config"])) >= 4:
                found[f"{family}: {axis}"] = part
    for family in sorted(set(main["family"])):
        of = table.of("variables").where(table.of("variables")["family"] == family)
        base = of.where(of["axis"] == "base")
        if len(base):
            found[f"{family}: compute"] = base
    return found


def h2(table: Table, seed: int) -> Answer:
    """One exponent for each variable and domain."""
    rows = []
    for name, part in variables_of(table).items():
        rank, y = part[RANK].astype(float), part["quality"].astype(float)
        config = (
            part["config"]
            if "compute" not in name
            else np.array([f"{c}{s}" for c, s in zip(part["config"], part["step"], strict=True)], dtype=object)
        )
        try:
            rows.append(exponent_row(name, rank, y, config, seed))
        except so.SonoscaleError as error:
            rows.append({"of": name, "why": str(error)})
    main = known(table.final(), RANK, "quality")
    by_domain = []
    for domain in DOMAINS:
        try:
            part = known(main, f"quality:{domain}")
            by_domain.append(exponent_row(domain, part[RANK], part[f"quality:{domain}"], part["config"], seed))
        except so.SonoscaleError as error:
            by_domain.append({"of": domain, "why": str(error)})
    intervals = [(row["low"], row["high"]) for row in rows + by_domain if "low" in row]
    agree = max(low for low, _ in intervals) <= min(high for _, high in intervals)
    # One law for all against one for each variable, on the same left-out configurations.
    one_part = known(table.of("variables").final(), RANK, "quality")
    kinds = np.array([f"{f}: {a}" for f, a in zip(one_part["family"], one_part["axis"], strict=True)], dtype=object)
    big = np.array([np.sum(kinds == kind) >= FEWEST and not kind.endswith(": base") for kind in kinds])
    rank, y, config = one_part[RANK], one_part["quality"], one_part["config"]
    one = left_out(rank, y, config)
    own = np.full(len(y), np.nan)
    for kind in dict.fromkeys(kinds[big]):
        here = (kinds == kind) | (kinds == f"{kind.split(':')[0]}: base")
        own[kinds == kind] = left_out(rank[here], y[here], config[here])[(kinds == kind)[here]]
    strata = [one[big], own[big], config[big]]
    difference, low, high = paired(*strata, seed)
    together = {
        "law": "one for all less one for each variable", "runs": int(big.sum()), "error_of_one": root(one[big]),
        "error_of_each": root(own[big]), "difference": difference, "low": low, "high": high,
    }  # fmt: skip
    negative = sum(row.get("high", 1) < 0 for row in rows)
    positive = sum(row.get("low", -1) > 0 for row in rows)
    decided = "yes" if agree and low <= 0 else "no" if not agree and low > 0 else "undecided"
    said = (
        f"Of {sum('low' in row for row in rows)} variables the exponent is above zero in {positive} and below in "
        f"{negative} (95%); the intervals of variables and domains {'share' if agree else 'do not share'} a value; one "
        f"law for all misses {together['error_of_one']:.1%}, one for each variable {together['error_of_each']:.1%} "
        f"(difference {difference:+.3f} [{low:+.3f}, {high:+.3f}])."
    )
    return Answer(
        "H2",
        said,
        decided,
        {"Exponent by variable": rows, "Exponent by domain": by_domain, "One law or many": [together]},
    )


def kinds_of(table: Table) -> dict[str, Array]:
    """What a family can be: of each, the name of every row's."""
    return {"objective": table["objective"], "backbone": table["backbone"], "patches": np.array([
        f"{m:g} x {f:g}" for m, f in zip(table["patch_mels"], table["patch_frames"], strict=True)
    ], dtype=object)}  # fmt: skip


def h3(table: Table, seed: int) -> Answer:
    """Objectives, backbones and families that were left out."""
    part = known(table.final(), RANK, "quality", "params", "flops")
    y = part["quality"]
    rows, better = [], []
    for kind, families in kinds_of(part).items():
        for family in sorted(set(families)):
            here = families == family
            if len(set(part["config"][here])) < 3 or len(set(part["config"][~here])) < FEWEST:
                continue
            row: dict[str, Any] = {"left_out": f"{kind} {family}", "runs": int(here.sum())}
            for name, x in (("rank", part[RANK]), ("params", part["params"]), ("flops", part["flops"]), ("mean", None)):
                guess = (
                    np.full(here.sum(), np.exp(np.log(y[~here]).mean()))
                    if x is None
                    else line(x[~here], y[~here])(x[here])
                )
                row[name] = root(np.log(y[here]) - np.log(guess))
            row["spearman"] = float("nan")
            if len(set(part["config"][here])) > 3:
                row["spearman"] = spearman(
                    part[RANK][here], y[here], clusters=part["config"][here].tolist(), seed=seed
                ).value
            best = min(("rank", "params", "flops", "mean"), key=lambda name: row[name])
            row["best"] = best
            better.append(best == "rank")
            rows.append(row)
    if not rows:
        raise so.SonoscaleError("no family of 3 configurations to leave out")
    said = (
        f"In {sum(better)} of {len(better)} left-out objectives, backbones and patch shapes the law of rank, fitted on "
        "the others, has the smallest error; in the rest a law of parameters, of compute, or the mean has."
    )
    return Answer("H3", said, "yes" if all(better) else "no", {"Families left out: RMS error of log quality": rows})


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
    """Which estimator and embedding."""
    part = known(table.final(), RANK, "quality")
    rows = []
    for name, column, sign in (
        ("RankMe, token mean", RANK, 1), ("centred, token mean", "rankme_centred", 1),
        ("RankMe, readout", "rankme_readout", 1),
        ("centred, readout", "rankme_centred_readout", 1), ("parameters", "params", 1), ("compute", "flops", 1),
        ("examples", "examples_seen", 1), ("hours of audio", "train_hours", 1),
        ("loss (of one objective)", "loss", -1),
    ):  # fmt: skip
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


def h8(table: Table, seed: int) -> Answer:
    """Laws of the smaller compute, and the largest."""
    part = table.of("compute", "compute-mae")
    if not len(part):
        raise so.SonoscaleError("no run of the stratum of compute has finished")
    top = part["flops"].max()
    rows = []
    for y in ("quality", RANK, "loss"):
        for family in sorted(set(part["family"])):
            of = part.where(part["family"] == family)
            held = of["flops"] > top / 10 * 1.05
            if held.sum() < 2 or (~held).sum() < 4:
                continue
            row: dict[str, Any] = {
                "of": y.replace(RANK, "rank"),
                "family": family,
                "fitted": int((~held).sum()),
                "predicted": int(held.sum()),
            }
            for level in LEVELS:
                runs = of.runs("flops", y=y, held_out=held, clusters=())
                law = so.fit(runs, "flops", level=level, seed=seed).groups[0]
                if law.error:
                    row["why"] = law.error
                    break
                row[f"inside_{level:g}"] = int(
                    np.sum((law.observed >= law.prediction.low) & (law.observed <= law.prediction.high))
                )
                row["rmse_log"] = law.rmse_log
            rows.append(row)
    if not rows:
        raise so.SonoscaleError("no run of 1e13 operations and more has finished")
    total = sum(row["predicted"] for row in rows if "inside_0.95" in row)
    inside = {level: sum(row.get(f"inside_{level:g}", 0) for row in rows) for level in LEVELS}
    said = (
        f"Of {total} predicted values of the largest decade, "
        + ", ".join(f"{count} lie in the {level:.0%} interval" for level, count in inside.items())
        + "."
    )
    return Answer("H8", said, "answered", {"Prediction of the largest decade from the smaller ones": rows})


def h9(table: Table, seed: int) -> Answer:
    """Compute-optimal parameters and examples; repeated data."""
    rows = []
    for family in sorted(set(table["family"])):
        part = table.of("isoflop", "variables", "compute").where(
            table.of("isoflop", "variables", "compute")["family"] == family
        )
        part = part.where(np.isin(part["axis"], ("base", "width", "encoder.width")))
        for y in ("loss", "quality"):
            row: dict[str, Any] = {"family": family, "of": y}
            try:
                found = so.plan(
                    part.runs("params", "examples_seen", "flops", y=y),
                    flops=1e15,
                    n="params",
                    d="examples_seen",
                    flops_column="flops",
                    seed=seed,
                    bootstrap=300,
                    force=True,
                )
                best = found.best
                row |= {
                    "params": best["params"],
                    "examples": best["examples_seen"],
                    "said": found.headline.splitlines()[0],
                }
            except so.SonoscaleError as error:
                row["why"] = str(error)
            rows.append(row)
    planned = [row for row in rows if "said" in row]
    said = f"{len(planned)} of {len(rows)} pairs of family and quantity give a split between parameters and examples."
    return Answer("H9", said, "answered" if planned else "undecided", {"Split of 1e15 operations": rows})


def h10(table: Table, seed: int) -> Answer:
    """What each way to choose would have lost."""
    main = known(table.of("variables"), RANK, "quality")
    final = main.final()
    configs = np.array(sorted(set(final["config"])), dtype=object)
    mean = {
        c: {
            name: float(np.mean(final[name][final["config"] == c].astype(float)))
            for name in (RANK, "rankme_centred", "loss", "params", "quality")
        }
        for c in configs
    }
    small = main.where(~main["is_final"].astype(bool))
    columns = ("width", "depth", "clip_seconds", "batch_size", "train_clips", "flops")
    columns = [name for name in columns if len(set(small[name].astype(float))) > 1]
    law = fit_loglinear(
        small.runs(*columns, "objective", "backbone"),
        [*columns, "objective"],
        y_scale="logit",
        bootstrap=100,
        seed=seed,
    )
    at = {name: np.array([final[name][final["config"] == c][0] for c in configs]) for name in (*columns, "objective")}
    predicted = np.asarray(law.predict({name: values.tolist() for name, values in at.items()}).value, dtype=float)
    truth = np.array([mean[c]["quality"] for c in configs])
    early: dict[Any, float] = {}
    for c in configs:
        rows = small.where(small["config"] == c)
        early[c] = float(rows["by:few-shot"][np.argmax(rows["step"])]) if len(rows) else np.nan
    ways = {
        "the law of the smaller budgets": predicted,
        "rank": np.array([mean[c][RANK] for c in configs]),
        "centred rank": np.array([mean[c]["rankme_centred"] for c in configs]),
        "loss (of unlike objectives)": -np.array([mean[c]["loss"] for c in configs]),
        "parameters": np.array([mean[c]["params"] for c in configs]),
        "few-shot at half the compute": np.array([early[c] for c in configs]),
    }
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(configs), size=(DRAWS, len(configs)))
    rows = []
    for name, values in ways.items():
        lost = np.array([truth[d].max() - truth[d][np.nanargmax(values[d])] for d in draws])
        low, high = np.percentile(lost, (2.5, 97.5))
        rows.append(
            {
                "chosen_by": name,
                "lost": float(truth.max() - truth[np.nanargmax(values)]),
                "low": float(low),
                "high": float(high),
            }
        )
    lost = np.array([truth[d].max() - truth[d].mean() for d in draws])
    low, high = np.percentile(lost, (2.5, 97.5))
    rows.append(
        {"chosen_by": "chance", "lost": float(truth.max() - truth.mean()), "low": float(low), "high": float(high)}
    )
    by = {row["chosen_by"]: row["lost"] for row in rows}
    said = (
        f"Against the best of {len(configs)} configurations at the largest budget, the choice by the law of the "
        f"smaller budgets loses {by['the law of the smaller budgets']:.3f} of quality, by rank {by['rank']:.3f}, by "
        "parameters "
        f"{by['parameters']:.3f}, at random {by['chance']:.3f}."
    )
    return Answer("H10", said, "answered", {"Quality lost by each way to choose": rows})


def h11(table: Table, seed: int) -> Answer:
    """The two-stage law."""
    part = known(table.final(), RANK, "quality")
    found = fit_two_stage(
        part.runs(RANK, "params", "flops", "examples_seen", "train_hours", "family", family="family"),
        ["params", "flops", "examples_seen", "train_hours"], through=RANK, bootstrap=300, seed=seed,
    )  # fmt: skip
    return Answer("H11", found.verdict, "answered", {"Routes": found.rows()})


QUESTIONS: dict[str, Callable[[Table, int], Answer]] = {
    "H1": h1, "H2": h2, "H3": h3, "H4": h4, "H5": h5, "H6": h6, "H7": h7, "H8": h8, "H9": h9, "H10": h10, "H11": h11,
}  # fmt: skip
