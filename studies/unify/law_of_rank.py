"""H1 to H3 and H11: is there a law of quality in rank, is it one, and does it help?"""

from __future__ import annotations

from typing import Any

import numpy as np
from fitting import (
    FEWEST,
    RANK,
    Answer,
    Array,
    common_slope,
    exponent_row,
    known,
    left_out,
    left_out_of,
    line,
    over_seeds,
    paired,
    root,
)
from scipy import stats
from table import DOMAINS, Table

import sonoscale as so
from sonoscale.laws import fit_two_stage, spearman

__all__ = ["h1", "h2", "h3", "h11"]

Row = dict[str, Any]


def h1(table: Table, seed: int) -> Answer:
    """A power law of quality in rank over all runs: over their final checkpoints."""
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
    first, every = rows
    decided = (
        "yes" if first["low"] > 0 and first["difference_high"] < 0
        else "no" if first["high"] < 0 or first["difference_low"] > 0
        else "undecided"
    )  # fmt: skip
    part = known(table.final(), RANK, "quality")
    same = common_slope(part[RANK], part["quality"], part["family"], part["config"], seed)
    said = (
        f"Over the final checkpoints of {first['configurations']} configurations quality goes as rank to the power "
        f"{first['exponent']:.3f} [{first['low']:.3f}, {first['high']:.3f}]; of a configuration left out the law "
        f"misses {first['error']:.1%}, the mean {first['error_of_mean']:.1%} (difference {_signed(first)}). With "
        f"earlier checkpoints, which differ by how long they trained, the power is {every['exponent']:.3f} "
        f"[{every['low']:.3f}, {every['high']:.3f}] and the difference {_signed(every)}. With a constant for each "
        f"family, which was not registered, it is {same['exponent']:.3f} [{same['low']:.3f}, {same['high']:.3f}]."
    )
    return Answer("H1", said, decided, {
        "The law over all runs": rows,
        "The same of other ranks and of other qualities": _others(part, seed),
        "By family, and one exponent with a constant for each (exploratory)": [
            *(_row(family, part.where(part["family"] == family), "quality", seed) for family in _names(part, "family")),
            {"of": "one exponent, a constant for each", **same},
        ],
    })  # fmt: skip


def _signed(row: Row) -> str:
    return f"{row['difference']:+.4f} [{row['difference_low']:+.4f}, {row['difference_high']:+.4f}]"


def _others(part: Table, seed: int) -> list[Row]:
    """The exponent with the secondary ranks, the plain mean of scores, and each task."""
    found = [
        _row(f"quality on {name}", part, "quality", seed, x)
        for name, x in (
            ("centred rank", "rankme_centred"), ("rank of the readout", "rankme_readout"),
            ("centred rank of the readout", "rankme_centred_readout"),
        ) if x in part.columns
    ]  # fmt: skip
    tasks = [task for of in DOMAINS.values() for task in of]
    named = [("plain mean of all scores", "plain"), *((task, f"task:{task}") for task in tasks)]
    return found + [_row(f"{name} on rank", part, y, seed) for name, y in named if y in part.columns]


def _names(table: Table, column: str) -> list[str]:
    return sorted(set(table[column]))


def _row(name: str, part: Table, y: str, seed: int, x: str = RANK) -> Row:
    """Its exponent, or why it has none."""
    try:
        part = known(part, x, y)
        return exponent_row(name, part[x].astype(float), part[y].astype(float), part["config"], seed)
    except so.SonoscaleError as error:
        return {"of": name, "why": str(error)}


def of_compute(table: Table) -> dict[str, Table]:
    """Of each family all checkpoints of the runs that were trained longest: of compute alone.

    Before the stratum of compute is there, those of the base of the main stratum.
    """
    found = {}
    for family in _names(table, "family"):
        of = table.where((table["family"] == family) & (table["stratum"] != "procedural"))
        main = of.of("variables")
        configs = set(of.of("compute", "compute-mae")["config"]) or set(main["config"][main["axis"] == "base"])
        part = of.where(np.isin(of["config"], list(configs)))
        if not len(part):
            continue
        trunk, top = trunks(part), part["flops"].astype(float).max()
        whole = [one for one in set(trunk) if part["flops"][trunk == one].astype(float).max() > 0.95 * top]
        found[family] = part.where(np.isin(trunk, whole))
    return found


def trunks(part: Table) -> Array:
    """The trunk of each row: a configuration and a seed, whichever stratum trained it."""
    return np.array([f"{c} {s}" for c, s in zip(part["config"], part["seed"], strict=True)], dtype=object)


def h2(table: Table, seed: int) -> Answer:
    """One exponent for each variable and domain."""
    main = known(table.of("variables").final(), RANK, "quality")
    rows: list[Row] = []
    for family in _names(main, "family"):
        of = main.where(main["family"] == family)
        for axis in sorted(set(of["axis"]) - {"base"}):
            part = of.where((of["axis"] == axis) | (of["axis"] == "base"))
            count = len(set(part["config"]))
            name = f"{family}: {axis}"
            rows.append(
                _exponent(name, part, seed) if count >= 4 else
                {"of": name, "configurations": count, "why": "4 configurations are needed"}
            )  # fmt: skip
    for family, part in of_compute(known(table, RANK, "quality")).items():
        try:
            rows.append({"of": f"{family}: compute", **over_seeds(part[RANK], part["quality"], trunks(part))})
        except so.SonoscaleError as error:
            rows.append({"of": f"{family}: compute", "why": str(error)})
    everything = known(table.final(), RANK, "quality")
    by_domain = [_row(domain, everything, f"quality:{domain}", seed) for domain in DOMAINS]
    pooled = []
    for axis in sorted(set(main["axis"]) - {"base"}):
        varied = set(main["family"][main["axis"] == axis])
        part = main.where(np.isin(main["axis"], (axis, "base")) & np.isin(main["family"], list(varied)))
        if len(set(part["config"])) >= 4:
            pooled.append({
                "of": axis, **common_slope(part[RANK], part["quality"], part["family"], part["config"], seed),
            })  # fmt: skip
    agree = [_agree(kind) for kind in (rows, by_domain)]
    laws = _one_or_many(main, seed)
    one, each, difference, low, high = (
        laws[0][n] for n in ("error_of_one", "error_of_each", "difference", "low", "high")
    )
    decided = "yes" if all(agree) and low <= 0 else "no" if low > 0 else "undecided"
    negative = sum(row.get("high", 1) < 0 for row in rows)
    positive = sum(row.get("low", -1) > 0 for row in rows)
    states = [f"{'lie' if a else 'do not all lie'} in each other's intervals" for a in agree]
    chance = _alike(rows)
    said = (
        f"Of {sum('low' in row for row in rows)} exponents of a variable in a family {positive} are above zero and "
        f"{negative} below (95%); those of variables {states[0]} (roughly, by Cochran's Q, p = {chance:.2g} that "
        f"they are one), those of domains {states[1]}. One law for all misses {one:.1%}, one for each variable "
        f"{each:.1%} (difference {difference:+.3f} [{low:+.3f}, {high:+.3f}]); one exponent with a constant for each "
        f"family, "
        f"which was not registered, misses {laws[1]['error_of_one']:.1%}."
    )
    return Answer("H2", said, decided, {
        "Exponent by variable": rows, "Exponent by domain": by_domain, "One law or many": laws,
        "Exponent by variable, families pooled, a constant for each (exploratory)": pooled,
    })  # fmt: skip


def _exponent(name: str, part: Table, seed: int) -> Row:
    try:
        return exponent_row(name, part[RANK].astype(float), part["quality"].astype(float), part["config"], seed)
    except so.SonoscaleError as error:
        return {"of": name, "why": str(error)}


def _agree(rows: list[Row]) -> bool:
    """Whether each exponent lies in the interval of each other, as registered.

    A strict rule: of many equal exponents with 95% intervals some lie outside another's by chance.
    """
    found = [row for row in rows if "low" in row]
    return all(a["low"] <= b["exponent"] <= a["high"] for a in found for b in found)


def _alike(rows: list[Row]) -> float:
    """p of Cochran's Q that all exponents are one; rough, for those of a family share its base."""
    found = [row for row in rows if "low" in row and row["high"] > row["low"]]
    if len(found) < 2:
        return float("nan")
    errors = np.array([row.get("error") or (row["high"] - row["low"]) / (2 * 1.96) for row in found])
    values = np.array([row["exponent"] for row in found])
    mean = values @ errors**-2 / (errors**-2).sum()
    return float(stats.chi2.sf(errors**-2 @ (values - mean) ** 2, len(found) - 1))


def _one_or_many(main: Table, seed: int) -> list[Row]:
    """One law for all against one for each variable, and against one exponent, on the same left-out configurations."""
    kinds = np.array([f"{f}: {a}" for f, a in zip(main["family"], main["axis"], strict=True)], dtype=object)
    counts = {kind: len(set(main["config"][kinds == kind])) for kind in set(kinds)}
    big = np.array([counts[kind] >= FEWEST - 1 and not kind.endswith(": base") for kind in kinds])
    if not big.any():
        raise so.SonoscaleError("no variable of a family has enough configurations")
    rank, y, config, family = (main[name] for name in (RANK, "quality", "config", "family"))
    one = left_out(rank, y, config)
    own = np.full(len(y), np.nan)
    for kind in dict.fromkeys(kinds[big]):
        here = (kinds == kind) | (kinds == f"{kind.split(':')[0]}: base")
        own[kinds == kind] = left_out(rank[here], y[here], config[here])[(kinds == kind)[here]]
    same = left_out_of(rank, y, family, config)
    rows = []
    for name, first in (
        ("one for all, less one for each variable", one),
        ("one exponent with a constant for each family, less one for each variable (exploratory)", same),
    ):
        difference, low, high = paired(first[big], own[big], config[big], seed)
        rows.append({
            "law": name, "runs": int(big.sum()), "error_of_one": root(first[big]), "error_of_each": root(own[big]),
            "difference": difference, "low": low, "high": high,
        })  # fmt: skip
    return rows


def kinds_of(table: Table) -> dict[str, tuple[Array, Array]]:
    """What a family can be: of each, the name of every row's, and the rows that it is asked of."""
    every = np.ones(len(table), dtype=bool)
    patches = [f"{m:g} x {f:g}" for m, f in zip(table["patch_mels"], table["patch_frames"], strict=True)]
    return {
        "objective": (table["objective"], every), "backbone": (table["backbone"], every),
        "patches (transformers)": (np.array(patches, dtype=object), table["backbone"] == "vit"),
    }  # fmt: skip


def h3(table: Table, seed: int) -> Answer:
    """Objectives, backbones and families that were left out."""
    every = known(table.final(), RANK, "quality", "params", "flops")
    rows: list[Row] = []
    skipped: list[Row] = []
    seen: set[bytes] = set()
    for kind, (families, asked) in kinds_of(every).items():
        for family in sorted(set(families[asked])):
            here, others = asked & (families == family), asked & (families != family)
            name = f"{kind} {family}"
            inside, outside = (len(set(every["config"][rows])) for rows in (here, others))
            if inside < 2 or outside < FEWEST:
                skipped.append({"left_out": name, "why": f"{inside} configurations, and {outside} others to fit"})
            elif (key := here.tobytes() + others.tobytes()) in seen:
                skipped.append({"left_out": name, "why": "the same runs as one above"})
            else:
                seen.add(key)
                rows.append({"left_out": name} | _without(every, here, others, seed))
    if not rows:
        raise so.SonoscaleError("no family of 2 configurations to leave out")
    best = [row["best"] == "rank" for row in rows]
    worse = [row["worse_than"] for row in rows]
    said = (
        f"In {sum(best)} of {len(rows)} left-out objectives, backbones and patch shapes the law of rank, fitted on the "
        f"others, has the smallest error; in {sum(map(bool, worse))} it is worse than a law of parameters, of compute "
        "or the mean by more than chance (95%)."
    )
    decided = "yes" if all(best) else "no" if any(worse) else "undecided"
    return Answer("H3", said, decided, {
        "Families left out: RMS error of log quality": rows, "Not asked": skipped,
    })  # fmt: skip


def _without(part: Table, here: Array, others: Array, seed: int) -> Row:
    """Errors of each law on a family, fitted on the others, and by which the law of rank is beaten."""
    y = part["quality"]
    row: Row = {"runs": int(here.sum()), "configurations": len(set(part["config"][here]))}
    missed = {}
    for name, x in (("rank", part[RANK]), ("params", part["params"]), ("flops", part["flops"]), ("mean", None)):
        flat = x is None or np.ptp(np.log(x[others].astype(float))) < 0.05  # equal but for the rounding of steps
        guess = (
            np.full(here.sum(), np.exp(np.log(y[others]).mean())) if flat or x is None
            else line(x[others].astype(float), y[others])(x[here].astype(float))
        )  # fmt: skip
        missed[name] = np.log(y[here]) - np.log(guess)
        row[name] = root(missed[name])
    row["best"] = min(missed, key=lambda name: row[name])
    config = part["config"][here]
    beaten = []
    for name in ("params", "flops", "mean"):
        if row["configurations"] > 2:
            difference, low, high = paired(missed["rank"], missed[name], config, seed)
            row[f"rank_less_{name}"] = f"{difference:+.3f} [{low:+.3f}, {high:+.3f}]"
            beaten += [name] if low > 0 else []
    row["worse_than"] = ", ".join(beaten)
    row["spearman"] = float("nan")
    if row["configurations"] > 3:
        row["spearman"] = spearman(part[RANK][here], y[here], clusters=config.tolist(), seed=seed).value
    return row


def h11(table: Table, seed: int) -> Answer:
    """The two-stage law."""
    part = known(table.final(), RANK, "quality")
    found = fit_two_stage(
        part.runs(RANK, "params", "flops", "examples_seen", "train_hours", "family", family="family"),
        ["params", "flops", "examples_seen", "train_hours"], through=RANK, bootstrap=300, seed=seed,
    )  # fmt: skip
    said = f"{found.verdict[:1].upper()}{found.verdict[1:]}."
    rows = found.rows()
    for row in rows:
        if row["route"] == "direct with rank":
            said += (
                f" Beside parameters, compute, examples and hours, measured rank gains {row['gain']:+.4f} "
                f"[{row['gain_low']:+.4f}, {row['gain_high']:+.4f}]: it knows something that these do not."
                if row["gain_low"] > 0 else ""
            )  # fmt: skip
    return Answer("H11", said, "answered", {"Routes": rows})
