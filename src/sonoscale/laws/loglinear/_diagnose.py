"""What a design cannot separate, and which rows do not belong to the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws.loglinear._solve import Solved
from sonoscale.laws.loglinear._terms import Term

__all__ = ["Outlier", "condition_number", "dependent_terms", "find_outliers", "variance_inflation"]

Array = NDArray[np.float64]

_ALPHA = 0.05


@dataclass(frozen=True)
class Outlier:
    """A row that the model does not expect.

    Attributes:
        row: its index in the table, from 0.
        value: its y.
        residual: its externally studentised residual: in standard errors of a fit without it.
    """

    row: int
    value: float
    residual: float


def dependent_terms(X: Array, terms: Sequence[Term]) -> list[str]:
    """Names of terms of which one is a combination of the others; empty if there are none. X [n, 1 + terms]."""
    if not terms:
        return []
    scaled = _standardised(X)
    _, singular, right = np.linalg.svd(np.linalg.qr(scaled, mode="r"))
    singular = np.concatenate([singular, np.zeros(scaled.shape[1] - len(singular))])
    null = right[singular <= 1e-9 * max(singular[0], 1e-300)]
    if not len(null):
        return []
    involved = np.abs(null).max(axis=0) > 1e-6
    return [term.name for term, one in zip(terms, involved, strict=True) if one]


def variance_inflation(X: Array, terms: Sequence[Term]) -> dict[str, float]:
    """By how much the other terms widen the variance of each coefficient (1: not at all), interactions aside."""
    scaled, names = _main_effects(X, terms)
    if len(names) < 2:
        return dict.fromkeys(names, 1.0)
    _, singular, right = np.linalg.svd(scaled, full_matrices=False)
    inverse = (right.T / np.maximum(singular, 1e-150) ** 2) @ right
    return dict(zip(names, np.diag(inverse).tolist(), strict=True))


def condition_number(X: Array, terms: Sequence[Term]) -> float:
    """Largest over smallest singular value of the centred and scaled columns, interactions aside."""
    singular = np.linalg.svd(_main_effects(X, terms)[0], compute_uv=False)
    return float(singular[0] / singular[-1]) if len(singular) else 1.0


def find_outliers(solved: Solved, y: Array, rows: NDArray[np.intp]) -> tuple[Outlier, ...]:
    """Rows beyond the two-sided 5 % quantile of t, shared among all rows (Bonferroni), worst first."""
    from scipy import stats

    n, size = solved.X.shape
    freedom = n - size - 1
    if freedom < 1:
        return ()
    kept = np.maximum(1.0 - (solved.basis**2).sum(axis=1), 1e-12)
    squares = float(solved.innovation @ solved.innovation)
    without = np.maximum(squares - solved.innovation**2 / kept, 1e-14 * squares) / freedom
    with np.errstate(invalid="ignore", divide="ignore"):
        studentised = np.nan_to_num(solved.innovation / np.sqrt(without * kept))
    beyond = np.flatnonzero(np.abs(studentised) > stats.t.ppf(1.0 - 0.5 * _ALPHA / n, freedom))
    if squares <= 1e-20 * float(solved.z @ solved.z):  # rounding alone
        return ()
    worst = beyond[np.argsort(-np.abs(studentised[beyond]))]
    return tuple(Outlier(int(rows[i]), float(y[i]), float(studentised[i])) for i in worst)


def _standardised(X: Array) -> Array:
    centred = X[:, 1:] - X[:, 1:].mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    return centred / np.where(length > 0, length, 1.0)


def _main_effects(X: Array, terms: Sequence[Term]) -> tuple[Array, list[str]]:
    main = [i for i, term in enumerate(terms) if not term.is_interaction]
    return _standardised(X)[:, main], [terms[i].name for i in main]
