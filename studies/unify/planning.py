"""H8 to H10: prediction of more compute, the split of a budget, and what each way to choose loses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from fitting import DRAWS, FEWEST, RANK, Answer, Array, by_budget, exponent_row, known, over_seeds
from law_of_rank import of_compute, trunks
from scipy import stats
from table import Table

import sonoscale as so
from sonoscale.laws import fit_loglinear

__all__ = ["h8", "h9", "h10"]

LEVELS = (0.5, 0.8, 0.95)


def h8(table: Table, seed: int) -> Answer:
    """Laws of the smaller compute, and the largest."""
    if not len(table.of("compute", "compute-mae")):
        raise so.SonoscaleError("no run of the stratum of compute has finished")
    rows: list[dict[str, Any]] = []
    totals: list[dict[str, Any]] = []
    for y in ("quality", RANK, "loss"):
        of_y = []
        for family, of in of_compute(table).items():
            top = max(of["flops"])
            held = of["flops"] > top / 10 * 1.05
            runs = len(set(trunks(of)[held]))
            if not set(of["stratum"]) & {"compute", "compute-mae"} or held.sum() < 2 or (~held).sum() < 4:
                continue
            row: dict[str, Any] = {
                "of": y.replace(RANK, "rank"), "family": family, "fitted": int((~held).sum()),
                "predicted": int(held.sum()), "of_runs": runs,
            }  # fmt: skip
            for level in LEVELS:
                table_of = of.runs("flops", y=y, held_out=held, clusters=())
                law = so.fit(table_of, "flops", level=level, seed=seed).groups[0]
                if law.error or law.observed is None or law.prediction is None:
                    row["why"] = law.error
                    break
                row[f"inside_{level:g}"] = int(
                    np.sum((law.observed >= law.prediction.low) & (law.observed <= law.prediction.high))
                )
                row["rmse_log"] = law.rmse_log
            rows.append(row)
            of_y += [row] if "inside_0.95" in row else []
        if of_y:
            totals.append({"of": y.replace(RANK, "rank")} | _coverage(of_y))
    if not totals:
        raise so.SonoscaleError("no run of 1e13 operations and more has finished")
    states = [row["verdict"] for row in totals]
    decided = "no" if "no" in states else "yes" if set(states) == {"yes"} else "undecided"
    said = " ".join(
        f"Of {row['predicted']} values of {row['of']} in the largest decade, of {row['runs']} runs, "
        + ", ".join(f"{row[f'share_{level:g}']:.0%} lie in the {level:.0%} interval" for level in LEVELS)
        + "."
        for row in totals
    )
    return Answer("H8", said, decided, {
        "Coverage of the intervals": totals, "Prediction of the largest decade from the smaller ones": rows,
    })  # fmt: skip


def _coverage(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares of the values in each interval, with a binomial interval as if each run were one value.

    Values of one run miss together, so that the runs are what is independent, at the most.
    """
    predicted, runs = (sum(row[name] for row in rows) for name in ("predicted", "of_runs"))
    found: dict[str, Any] = {"predicted": predicted, "runs": runs}
    within = []
    for level in LEVELS:
        share = sum(row[f"inside_{level:g}"] for row in rows) / predicted
        hits = share * runs
        low = float(stats.beta.ppf(0.025, hits, runs - hits + 1)) if hits > 0 else 0.0
        high = float(stats.beta.ppf(0.975, hits + 1, runs - hits)) if hits < runs else 1.0
        found |= {f"share_{level:g}": share, f"low_{level:g}": low, f"high_{level:g}": high}
        within.append(low <= level <= high)
    verdict = "yes" if all(within) else "no"
    return found | {"verdict": verdict if runs >= FEWEST or verdict == "no" else "undecided"}


def h9(table: Table, seed: int) -> Answer:
    """Compute-optimal parameters and examples; repeated data."""
    split, chinchilla, repeated, exponents = [], [], [], []
    for family in sorted(set(table.of("variables")["family"])):
        of = table.of("isoflop", "variables", "compute", "compute-mae")
        of = of.where(of["family"] == family)
        sliced = np.array([str(axis).startswith("flops=") for axis in of["axis"]])
        by_size = of.where(sliced | np.isin(of["axis"], ("base", "encoder.width")))
        by_data = of.where(
            (of["stratum"] == "variables") & np.isin(of["axis"], ("base", "data.clips", "encoder.width"))
        )
        main = by_size.of("variables").final()
        hours = by_data.where(by_data["axis"] != "encoder.width").final()
        by_size, by_data = by_budget(by_size), by_budget(by_data)
        for y in ("quality", RANK, "loss"):
            name = f"{family}: {y.replace(RANK, 'rank')}"
            for x, part in (("params", main), ("train_hours", hours)):
                exponents.append(
                    _said({"law": f"{name} ~ {x}"}, lambda x=x, y=y, part=part: _exponent(part, x, y, seed))
                )
            longest = of_compute(table).get(family)
            if longest is not None:
                exponents.append(_said({"law": f"{name} ~ flops"}, lambda y=y, part=longest: _of_compute(part, y)))
            if y == RANK:
                continue
            split.append(_said({"of": name}, lambda y=y, part=by_size: _split(part, y, seed)))
            chinchilla += _parameters(by_size, ["params", "examples_seen"], y, "chinchilla", name, seed)
            repeated += _parameters(
                by_data, ["params", "examples_seen", "train_clips"], y, "data_constrained", name, seed
            )
    planned = [row for row in split if "said" in row]
    vague = {row["of"] for row in chinchilla if row.get("note")}
    found = {
        row["of"] for row in chinchilla
        if row.get("parameter") == "alpha" and row["low"] > 0 and row["of"] not in vague
    }  # fmt: skip
    said = (
        f"{len(planned)} of {len(split)} pairs of family and quantity give a split between parameters and examples; "
        f"Chinchilla's exponent of parameters is above zero in {len(found)} of {len(split)}, of which "
        f"{len(vague)} have a parameter that the runs do not identify."
    )
    return Answer("H9", said, "answered" if planned else "undecided", {
        "Power laws of one variable (of parameters and hours: at 4e12 operations)": exponents,
        "Split of 1e15 operations": split, "Chinchilla's law": chinchilla, "The law for repeated data": repeated,
    })  # fmt: skip


def _said(row: dict[str, Any], ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A row with what was found, or why nothing was."""
    try:
        return row | ask()
    except so.SonoscaleError as error:
        return row | {"why": str(error)}


def _exponent(part: Table, x: str, y: str, seed: int) -> dict[str, Any]:
    part = known(part, x, y)
    found = exponent_row("", part[x].astype(float), part[y].astype(float), part["config"], seed)
    del found["of"]
    return found


def _of_compute(part: Table, y: str) -> dict[str, Any]:
    """The exponent of compute of one configuration, over its runs."""
    part = part.where(np.isfinite(part[y].astype(float)))
    return over_seeds(part["flops"].astype(float), part[y].astype(float), trunks(part))


def _split(part: Table, y: str, seed: int) -> dict[str, Any]:
    found = so.plan(
        part.runs("params", "examples_seen", "flops", y=y), flops=1e15, n="params", d="examples_seen",
        flops_column="flops", seed=seed, bootstrap=300, force=True,
    )  # fmt: skip
    row: dict[str, Any] = {"params": found.best["params"], "examples": found.best["examples_seen"]}
    for name, one in (("exponent_of_params", "a"), ("exponent_of_examples", "b")):
        end = getattr(found, one, None)
        row[name] = "" if end is None else f"{end.value:.2f} [{end.low:.2f}, {end.high:.2f}]"
    return row | {"said": found.headline.splitlines()[0], "warnings": "; ".join(getattr(found, "warnings", ()))}


def _parameters(part: Table, x: list[str], y: str, form: str, name: str, seed: int) -> list[dict[str, Any]]:
    """The parameters of a form of several variables, with what the tool says of each."""
    try:
        laws = so.fit(part.runs(*x, "flops", y=y), x, form=form, flops="flops", bootstrap=300, seed=seed)
    except so.SonoscaleError as error:
        return [{"of": name, "why": str(error)}]
    return [
        {"of": name, "parameter": row["parameter"], "value": row["value"], "low": row["low"], "high": row["high"],
         "note": row.get("note") or ""}
        for row in laws.rows() if "parameter" in row
    ]  # fmt: skip


def h10(table: Table, seed: int) -> Answer:
    """What each way to choose would have lost."""
    main = known(table.of("variables"), RANK, "quality")
    final = main.final()
    configs = np.array(sorted(set(final["config"])), dtype=object)
    mean = {
        c: {
            name: float(np.mean(final[name][final["config"] == c].astype(float)))
            for name in (RANK, "rankme_centred", "params", "quality")
        }
        for c in configs
    }
    small = main.where(~main["is_final"].astype(bool))
    columns = ("width", "depth", "clip_seconds", "batch_size", "train_clips", "flops")
    columns = [name for name in columns if len(set(small[name].astype(float))) > 1]
    law = fit_loglinear(
        small.runs(*columns, "objective", "backbone"), [*columns, "objective"], y_scale="logit", bootstrap=100,
        seed=seed,
    )  # fmt: skip
    at = {name: np.array([final[name][final["config"] == c][0] for c in configs]) for name in (*columns, "objective")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # to extrapolate is what is asked
        predicted = law.predict({name: values.tolist() for name, values in at.items()}).value
    early: dict[Any, float] = {}
    for c in configs:
        rows = small.where(small["config"] == c)
        early[c] = float(rows["by:few-shot"][np.argmax(rows["step"])]) if len(rows) else np.nan
    ways = {
        "the law of the smaller budgets": np.asarray(predicted, dtype=float),
        "rank": np.array([mean[c][RANK] for c in configs]),
        "centred rank": np.array([mean[c]["rankme_centred"] for c in configs]),
        "parameters": np.array([mean[c]["params"] for c in configs]),
        "few-shot at half the compute": np.array([early[c] for c in configs]),
    }
    truth = np.array([mean[c]["quality"] for c in configs])
    rows = [{"chosen_by": name} | _regret(values, truth, seed) for name, values in ways.items()]
    rows.append({"chosen_by": "chance"} | _regret(None, truth, seed))
    by = {row["chosen_by"]: row["lost"] for row in rows}
    luck = _difference_to_chance(ways["rank"], truth, seed)
    slices = _of_slices(table, seed)
    said = (
        f"Among {len(configs)} configurations at the largest budget that all have, and against the best of them, the "
        f"choice by the law of their own smaller budgets loses {by['the law of the smaller budgets']:.3f} of quality, "
        f"by rank {by['rank']:.3f}, by parameters {by['parameters']:.3f}, at random {by['chance']:.3f}; rank's loss "
        f"less that of chance is {luck['difference']:+.3f} [{luck['low']:+.3f}, {luck['high']:+.3f}]. Losses of unlike "
        "objectives do not compare; among those of one scale, see the table."
    )
    for row in slices:
        if "plan" in row:
            said += (
                f" Of {row['widths']} widths at {row['flops']:.2g} operations ({row['family']}), the plan fitted on "
                f"the "
                f"smaller slices loses {row['plan']:.3f}, the largest rank {row['rank']:.3f}, the lowest loss "
                f"{row['loss']:.3f}, the most parameters {row['parameters']:.3f}, chance {row['chance']:.3f} (one "
                f"seed: "
                "no interval)."
            )
        elif "why" in row:
            said += f" For {row['family']} there is no plan: {row['why']}."
    return Answer("H10", said, "answered", {
        "Quality lost by each way to choose": rows, "Rank's loss less that of chance": [luck],
        "By loss, among the configurations whose losses are on one scale": _by_loss(final, seed),
        "The planner on slices of equal compute": slices,
    })  # fmt: skip


def _difference_to_chance(values: Array, truth: Array, seed: int) -> dict[str, float]:
    """What the choice of the largest value loses more than chance, and 95% of it over sets of configurations."""
    rng = np.random.default_rng(seed)

    def difference(of: Array) -> float:
        return float(truth[of].mean() - truth[of][values[of] == values[of].max()].mean())

    draws = [difference(rng.integers(len(truth), size=len(truth))) for _ in range(DRAWS)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return {"difference": difference(np.arange(len(truth))), "low": float(low), "high": float(high)}


def _by_loss(final: Table, seed: int) -> list[dict[str, Any]]:
    """Quality lost by the lowest loss, the largest rank, the most parameters and chance, on the scale of most runs."""
    found = []
    for family in sorted(set(final["family"])):
        of = final.where(final["family"] == family)
        scales = [str(one) for one in of["loss_scale"]]
        common = of.where(np.array([one == max(sorted(set(scales)), key=scales.count) for one in scales]))
        configs = sorted(set(common["config"]))
        if len(configs) < FEWEST:
            continue
        mean = {
            name: np.array([common[name][common["config"] == c].astype(float).mean() for c in configs])
            for name in ("loss", RANK, "params", "quality")
        }
        row: dict[str, Any] = {"family": family, "configurations": len(configs)}
        ways = (("loss", -mean["loss"]), ("rank", mean[RANK]), ("parameters", mean["params"]), ("chance", None))
        for name, values in ways:
            lost = _regret(values, mean["quality"], seed)
            row[name] = f"{lost['lost']:.3f} [{lost['low']:.3f}, {lost['high']:.3f}]"
        found.append(row)
    return found


def _regret(values: Array | None, truth: Array, seed: int) -> dict[str, float]:
    """Quality of the best less that of the choice, and 95% of it over resampled sets of configurations.

    Equal values are chosen among at random, and None stands for chance.
    """
    rng = np.random.default_rng(seed)

    def lost(of: Array) -> float:
        if values is None:
            return float(truth[of].max() - truth[of].mean())
        best = values[of] == np.nanmax(values[of])
        return max(0.0, float(truth[of].max() - truth[of][best].mean()))

    low, high = np.percentile([lost(rng.integers(len(truth), size=len(truth))) for _ in range(DRAWS)], (2.5, 97.5))
    return {"lost": lost(np.arange(len(truth))), "low": float(low), "high": float(high)}


def _of_slices(table: Table, seed: int) -> list[dict[str, Any]]:
    """What `so.plan`, fitted on the smaller slices of equal compute, would have chosen among the widths of the last."""
    found = []
    for family in sorted(set(table.of("isoflop")["family"])):
        mine = set(table.of("isoflop")["config"][table.of("isoflop")["family"] == family])
        of = known(table.of("isoflop", "variables"), "quality", RANK)
        of = of.where(np.isin(of["config"], list(mine)))
        budgets = of["flops"].astype(float)
        top = budgets.max()
        large = of.where(budgets > 0.95 * top)
        small = by_budget(of.where(budgets < 0.5 * top))
        row: dict[str, Any] = {"family": family, "flops": float(top), "widths": len(large)}
        found.append(row)
        if len(large) < 3:
            row["why"] = "too few widths have finished"
            continue
        truth = large["quality"].astype(float)
        for name, values in (
            ("rank", large[RANK]), ("loss", -large["loss"].astype(float)), ("parameters", large["params"]),
            ("chance", None),
        ):  # fmt: skip
            row[name] = _regret(None if values is None else values.astype(float), truth, seed)["lost"]
        try:
            plan = so.plan(
                small.runs("params", "examples_seen", "flops"), flops=float(top), n="params", d="examples_seen",
                flops_column="flops", seed=seed, bootstrap=300, force=True,
            )  # fmt: skip
        except so.SonoscaleError as error:
            row["why"] = str(error)
            continue
        near = int(np.argmin(np.abs(np.log(large["params"].astype(float) / plan.best["params"]))))
        row |= {"plan": float(truth.max() - truth[near]), "planned_params": plan.best["params"],
                "chosen_width": large["width"][near], "best_width": large["width"][int(truth.argmax())]}  # fmt: skip
    return found
