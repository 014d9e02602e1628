"""What a design can tell apart, before anything is trained: from the logarithms of what its runs differ in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.study._work import Work

__all__ = ["Exponent", "Identified", "identify"]

Array = NDArray[np.float64]

SIZES = ("params", "train_clips", "examples_seen")
"""What laws are usually fitted in; a study in which one is constant says nothing of it."""

_ALIASED = 0.98  # of the variance of a column that others explain
_SHARED = 0.5  # of a run's noise (its variance) that all its budgets have in common


@dataclass(frozen=True)
class Exponent:
    """How well the exponent of one variable could be known, in a law that has all of them.

    Attributes:
        name: of the column; of a name, such as the objective, `column=value` against the first value.
        low, high: the smallest and the largest value; None of a name.
        half_width: of the interval of the exponent (of a name: of the difference in log y); infinite if it is aliased.
        explained: share of its variance that the others explain.
        aliased: with which column, or None.
    """

    name: str
    low: float | None
    high: float | None
    half_width: float
    explained: float
    aliased: str | None


@dataclass(frozen=True)
class Identified:
    """What a design can tell apart.

    Attributes:
        configurations: different ones, without seeds and budgets.
        constant: columns among the usual sizes and the axes that do not vary.
        exponents: of the columns that do.
        condition: of the matrix of standardised columns: 1 is best, above 30 is trouble.
        degrees: configurations less the numbers to be estimated.
        noise: standard deviation of log y between runs that was assumed.
        level: of the intervals.
    """

    configurations: int
    constant: tuple[str, ...]
    exponents: tuple[Exponent, ...]
    condition: float
    degrees: int
    noise: float
    level: float


def identify(
    works: Sequence[Work], configurations: Sequence[str], families: Sequence[str | None], *,
    axes: Mapping[str, Sequence[Any]], noise: float, level: float,
) -> Identified:  # fmt: skip
    """What the runs of a study can tell apart.

    One row per configuration and budget. Seeds are averaged: the variance of log y is `noise`^2 over their number, half
    of it shared by the budgets of a configuration. The intervals of the exponents are those of generalised least
    squares, with Student's t on the degrees of freedom that the configurations leave.

    Arguments:
        works: of each run.
        configurations: of each run, what it shares with the other seeds.
        families: of each run; None where there is one only.
        axes: swept key -> its value in each run.
        noise: standard deviation of log y between runs that differ in their seed.
        level: of the intervals.
    """
    order = list(dict.fromkeys(configurations))
    first = [configurations.index(one) for one in order]
    seeds = [configurations.count(one) for one in order]
    rows = [(place, i, budget) for place, i in enumerate(first) for budget in works[i].budgets]
    columns: dict[str, list[Any]] = {
        "params": [works[i].cost.params_encoder for _, i, _ in rows],
        "train_clips": [_clips(works[i]) for _, i, _ in rows],
        "examples_seen": [budget * works[i].config.train.batch_size for _, i, budget in rows],
        "family": [families[i] or "" for _, i, _ in rows],
    }
    taken = ("encoder.width", "data.clips", "data.hours", "train.budgets", "train.flops")
    columns |= {key: [values[i] for _, i, _ in rows] for key, values in axes.items() if key not in taken}
    constant = [name for name in [*SIZES, *axes] if name in columns and len({str(v) for v in columns[name]}) == 1]
    names, X, spans = _matrix({name: values for name, values in columns.items() if name not in constant})
    blocks = np.array([place for place, _, _ in rows])
    same = blocks[:, None] == blocks[None, :]
    V = noise**2 * np.where(same, _SHARED, 0.0) + (1 - _SHARED) * noise**2 * np.eye(len(rows))
    V /= np.sqrt(np.outer(np.array(seeds)[blocks], np.array(seeds)[blocks]))
    degrees = len(order) - X.shape[1] - 1
    width, condition = _half_widths(X, V, degrees, level)
    exponents = []
    for i, name in enumerate(names):
        explained, alias = _explained(X, i, names)
        half = math.inf if explained > 1 - 1e-9 else float(width[i])
        exponents.append(Exponent(name, *spans[i], half, explained, alias if explained > _ALIASED else None))
    return Identified(len(order), tuple(dict.fromkeys(constant)), tuple(exponents), condition, degrees, noise, level)


def _clips(work: Work) -> float:
    return round(work.examples / max(work.epochs, 1e-12))


def _matrix(columns: Mapping[str, Sequence[Any]]) -> tuple[list[str], Array, list[tuple[float | None, float | None]]]:
    """Logarithms of numbers, indicators of names; those that vary."""
    names: list[str] = []
    found: list[Array] = []
    spans: list[tuple[float | None, float | None]] = []
    for name, values in columns.items():
        if len({str(value) for value in values}) < 2:
            continue
        if all(isinstance(value, int | float) and not isinstance(value, bool) and value > 0 for value in values):
            x = np.array(values, dtype=np.float64)
            names.append(name)
            found.append(np.log(x))
            spans.append((float(x.min()), float(x.max())))
            continue
        for value in list(dict.fromkeys(map(str, values)))[1:]:
            names.append(f"{name}={value}")
            found.append(np.array([float(str(one) == value) for one in values]))
            spans.append((None, None))
    rows = len(next(iter(columns.values()), ()))
    return names, np.array(found).T.reshape(rows, len(names)), spans


def _half_widths(X: Array, V: Array, degrees: int, level: float) -> tuple[Array, float]:
    from scipy import stats

    if not X.shape[1]:
        return np.empty(0), 1.0
    centred = X - X.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=0)
    values = np.linalg.svd(unit, compute_uv=False)
    condition = float(values[0] / values[-1]) if len(values) == X.shape[1] and values[-1] > 1e-9 else math.inf
    full = np.column_stack([np.ones(len(X)), X])
    information = full.T @ np.linalg.solve(V, full)
    covariance = np.linalg.pinv(information, rcond=1e-12, hermitian=True)
    if degrees < 1:
        return np.full(X.shape[1], math.inf), condition
    return stats.t.ppf(0.5 + level / 2, degrees) * np.sqrt(np.diag(covariance)[1:]), condition


def _explained(X: Array, column: int, names: Sequence[str]) -> tuple[float, str | None]:
    """How much of a column the others explain, and which of them goes with it most."""
    y = X[:, column] - X[:, column].mean()
    others = np.delete(X, column, axis=1)
    if not others.shape[1]:
        return 0.0, None
    others = others - others.mean(axis=0)
    left = y - others @ np.linalg.lstsq(others, y, rcond=1e-9)[0]
    explained = 1.0 - float(left @ left) / float(y @ y)
    agrees = np.abs(others.T @ y) / (np.linalg.norm(others, axis=0) * np.linalg.norm(y))
    rest = [name for i, name in enumerate(names) if i != column]
    return explained, rest[int(agrees.argmax())]
