"""What the answers share: an answer, the power law, and errors on what is left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from table import Table

import sonoscale as so
from sonoscale.laws import fit_form

__all__ = [
    "DRAWS",
    "FEWEST",
    "RANK",
    "Answer",
    "by_budget",
    "common_slope",
    "comparable_loss",
    "exponent_row",
    "known",
    "left_out",
    "left_out_of",
    "line",
    "over_seeds",
    "paired",
    "power",
    "root",
    "within",
]

Array = NDArray[Any]
RANK = "rankme"
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


def power(x: Array, y: Array, clusters: Array, seed: int = 0) -> Any:
    """The power law of y in x, with an interval over configurations."""
    return fit_form("power", x, y, clusters=clusters.tolist(), bootstrap=DRAWS, seed=seed, scale="log")


def line(x: Array, y: Array) -> Callable[[Array], Array]:
    """The same law without an interval, for what is left out and predicted many times over."""
    if np.ptp(np.log(x)) < 1e-9:  # nothing to fit a slope to
        return lambda new: np.full(len(new), np.exp(np.log(y).mean()))
    slope, offset = np.polyfit(np.log(x), np.log(y), 1)
    return lambda new: np.exp(offset + slope * np.log(new))


def within(values: Array, groups: Array) -> Array:
    """log values less the mean of their group [n]."""
    logs = np.log(values.astype(float))
    return logs - np.array([logs[groups == group].mean() for group in groups])


def common_slope(x: Array, y: Array, groups: Array, clusters: Array, seed: int) -> dict[str, Any]:
    """One exponent of y in x with a constant for each group, and its 95% interval over configurations.

    The constants are fitted anew in each draw; a draw in which nothing varies within the groups has no exponent.
    """
    u, v = (np.log(values.astype(float)) for values in (x, y))
    names, codes = np.unique(clusters.astype(str), return_inverse=True)
    draws = np.random.default_rng(seed).integers(len(names), size=(DRAWS, len(names)))
    counts = np.stack([np.bincount(draw, minlength=len(names)) for draw in draws])[:, codes]  # [draws, rows]
    weights = np.vstack([np.ones(len(u)), counts])
    covariance, variance = np.zeros(len(weights)), np.zeros(len(weights))
    for group in dict.fromkeys(groups):
        mine = groups == group
        w, p, q = weights[:, mine], u[mine], v[mine]
        total = np.maximum(w.sum(1), 1e-12)
        covariance += w @ (p * q) - (w @ p) * (w @ q) / total
        variance += w @ (p * p) - (w @ p) ** 2 / total
    slopes = np.divide(covariance, variance, out=np.full(len(weights), np.nan), where=variance > 1e-9)
    low, high = np.nanpercentile(slopes[1:], (2.5, 97.5))
    return {
        "configurations": len(names), "rows": len(x), "exponent": float(slopes[0]), "low": float(low),
        "high": float(high),
    }  # fmt: skip


def over_seeds(x: Array, y: Array, runs: Array) -> dict[str, Any]:
    """The exponent of each run's own checkpoints: their mean, and Student's 95% interval over runs."""
    slopes = np.array([
        np.polyfit(np.log(x[runs == run].astype(float)), np.log(y[runs == run].astype(float)), 1)[0]
        for run in dict.fromkeys(runs) if np.sum(runs == run) > 2
    ])  # fmt: skip
    if len(slopes) < 2:
        raise so.SonoscaleError(f"{len(slopes)} runs have several checkpoints: an interval needs 2")
    error = slopes.std(ddof=1) / math.sqrt(len(slopes))
    half, mean = stats.t.ppf(0.975, len(slopes) - 1) * error, float(slopes.mean())
    return {
        "runs": len(slopes), "rows": len(x), "exponent": mean, "low": mean - half, "high": mean + half,
        "error": float(error),
    }  # fmt: skip


def by_budget(table: Table) -> Table:
    """The table with each budget of a configuration as one of its own, as laws of parameters and examples take it.

    Budgets of one run share its trunk, so that intervals are too narrow where a seed is good or bad for long.
    """
    own = [f"{c} {s}" for c, s in zip(table["config"], table["step"], strict=True)]
    return replace(table, columns=table.columns | {"config": np.array(own, dtype=object)})


def comparable_loss(part: Table) -> Array:
    """Held-out loss over its geometric mean on its scale [n]; NaN on scales of fewer than 3 configurations.

    Of rows that are at one budget.
    """
    scale, logs = part["loss_scale"], np.log(part["loss"].astype(float))
    found = np.full(len(part), np.nan)
    for one in set(scale):
        here = (scale == one) & np.isfinite(logs)
        if len(set(part["config"][here])) >= 3:
            found[here] = np.exp(logs[here] - logs[here].mean())
    return found


def left_out_of(x: Array, y: Array, groups: Array, clusters: Array) -> Array:
    """log y less its prediction by one exponent and a constant for each group, fitted without its cluster [n]."""
    missed = np.full(len(y), np.nan)
    for cluster in dict.fromkeys(clusters):
        here = clusters == cluster
        u, v = within(x[~here], groups[~here]), within(y[~here], groups[~here])
        slope = (u @ v) / (u @ u)
        for row in np.flatnonzero(here):
            own = ~here & (groups == groups[row])
            logs = np.log(x[own].astype(float)), np.log(y[own].astype(float))
            missed[row] = np.log(y[row]) - logs[1].mean() - slope * (np.log(x[row]) - logs[0].mean())
    return missed


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


def known(table: Table, *names: str, of: str = "config") -> Table:
    """Rows that have all of these, of enough configurations (or runs)."""
    kept = np.ones(len(table), dtype=bool)
    for name in names:
        kept &= np.isfinite(table[name].astype(float))
    found = table.where(kept)
    if len(set(found[of])) < FEWEST:
        what = "configurations" if of == "config" else "runs"
        raise so.SonoscaleError(f"{len(set(found[of]))} {what} have {' and '.join(names)}")
    return found


def exponent_row(name: str, x: Array, y: Array, clusters: Array, seed: int) -> dict[str, Any]:
    law = power(x, y, clusters, seed)
    a = law.params[law.exponent]
    return {
        "of": name, "configurations": law.n_clusters, "rows": law.n, "exponent": a.value, "low": a.low, "high": a.high,
        "r2": law.r2, "loo_rmse": law.loo_rmse,
    }  # fmt: skip
