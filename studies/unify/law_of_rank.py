"""H1 to H3 and H11: is there a law of quality in rank, is it one, and does it help?"""

from __future__ import annotations

from typing import Any

import numpy as np
from fitting import FEWEST, RANK, Answer, Array, exponent_row, known, left_out, line, paired, root
from table import DOMAINS, Table

import sonoscale as so
from sonoscale.laws import fit_two_stage, spearman

__all__ = ["h1", "h2", "h3", "h11"]


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
    difference, low, high = paired(one[big], own[big], config[big], seed)
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


def h11(table: Table, seed: int) -> Answer:
    """The two-stage law."""
    part = known(table.final(), RANK, "quality")
    found = fit_two_stage(
        part.runs(RANK, "params", "flops", "examples_seen", "train_hours", "family", family="family"),
        ["params", "flops", "examples_seen", "train_hours"], through=RANK, bootstrap=300, seed=seed,
    )  # fmt: skip
    return Answer("H11", found.verdict, "answered", {"Routes": found.rows()})
