"""H8 to H10: prediction of more compute, the split of a budget, and what each way to choose loses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fitting import DRAWS, RANK, Answer, exponent_row, known
from table import Table

import sonoscale as so
from sonoscale.laws import fit_loglinear

__all__ = ["h8", "h9", "h10"]

LEVELS = (0.5, 0.8, 0.95)


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
                if law.error or law.observed is None or law.prediction is None:
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
        for y in ("quality", RANK, "loss"):
            name = f"{family}: {y.replace(RANK, 'rank')}"
            for x, part in (("params", main), ("train_hours", hours), ("flops", of.where(of["axis"] == "base"))):
                exponents.append(
                    _said({"law": f"{name} ~ {x}"}, lambda x=x, y=y, part=part: _exponent(part, x, y, seed))
                )
            if y == RANK:
                continue
            split.append(_said({"of": name}, lambda y=y, part=by_size: _split(part, y, seed)))
            chinchilla += _parameters(by_size, ["params", "examples_seen"], y, "chinchilla", name, seed)
            repeated += _parameters(
                by_data, ["params", "examples_seen", "train_clips"], y, "data_constrained", name, seed
            )
    planned = [row for row in split if "said" in row]
    found = {
        row["of"]: row for row in chinchilla
        if row.get("parameter") == "alpha" and row["low"] > 0 and not row["note"]
    }  # fmt: skip
    said = (
        f"{len(planned)} of {len(split)} pairs of family and quantity give a split between parameters and examples; "
        f"Chinchilla's exponent of parameters is above zero in {len(found)} of {len(split)}."
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
    part = known(part, x, y, of="run" if x == "flops" else "config")
    clusters = part["run" if x == "flops" else "config"]  # of compute there is one configuration, in several runs
    found = exponent_row("", part[x].astype(float), part[y].astype(float), clusters, seed)
    del found["of"]
    return found


def _split(part: Table, y: str, seed: int) -> dict[str, Any]:
    found = so.plan(
        part.runs("params", "examples_seen", "flops", y=y), flops=1e15, n="params", d="examples_seen",
        flops_column="flops", seed=seed, bootstrap=300, force=True,
    )  # fmt: skip
    return {
        "params": found.best["params"], "examples": found.best["examples_seen"],
        "said": found.headline.splitlines()[0],
    }  # fmt: skip


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
