"""Designs of growing richness, in which the covariates' effect may bend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ENOUGH",
    "RICHEST",
    "SLOPES",
    "bases",
    "leave_one_out",
    "linear_basis",
    "orthonormal",
    "predictable",
    "residual",
]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

ENOUGH = "cubes and products"
"""The basis that must be within reach where the covariates' effect is found to bend."""
RICHEST = "fourth powers"
"""The last of the list."""
SLOPES = "slopes by family"
"""The basis that must be within reach where there are families."""


def bases(covariates: Array, family: Index | None, *, most: int | None = None) -> list[tuple[str, Array]]:
    """Orthonormal bases [G, K] of growing richness, each holding the one before; columns that others make up are out.

    A constant for each family and the covariates; the square of their first principal component; a slope along it
    for each family; the squares of all; slopes along all for each family; the cube of the component; cubes and
    products; fourth powers. `most`: how many of them.
    """
    count = len(covariates)
    groups = np.ones((count, 1)) if family is None else (family[:, None] == np.unique(family)).astype(np.float64)
    if covariates.shape[1] == 0:
        return [("nothing" if groups.shape[1] == 1 else "family", orthonormal(groups))]
    spread = covariates.std(axis=0)
    z = (covariates - covariates.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    first = np.linalg.svd(z, full_matrices=False)[0][:, :1] * np.sqrt(count)
    i, j = np.triu_indices(z.shape[1], 1)
    steps = [("linear", z), ("the square of the first component", first**2)]
    if groups.shape[1] > 1:
        steps.append((SLOPES, groups * first))
    steps.append(("squares", z**2))
    if groups.shape[1] > 1:
        steps.append(("all slopes by family", (groups[:, :, None] * z[:, None, :]).reshape(count, -1)))
    steps.append(("the cube of the first component", first**3))
    steps.append((ENOUGH, np.concatenate([z**3, z[:, i] * z[:, j]], axis=1)))
    steps.append((RICHEST, z**4))
    out, columns = [], groups
    for name, more in steps[:most]:
        columns = np.concatenate([columns, more], axis=1)
        out.append((name, orthonormal(columns)))
    return out


def columns_to_resolve(covariates: Array, family: Index | None) -> int:
    """Columns of the basis `ENOUGH` where there are runs enough for all of them; collinear covariates count once."""
    groups = 1 if family is None else len(np.unique(family))
    r = linear_basis(covariates, family).shape[1] - groups
    return groups + 3 * r + r * (r - 1) // 2 + (r > 1) + (groups - 1) * r


def linear_basis(covariates: Array, family: Index | None) -> Array:
    """The plainest of `bases`: [G, K]."""
    return bases(covariates, family, most=1)[0][1]


def residual(basis: Array, column: Array) -> Array:
    """What the orthonormal basis [G, K] leaves of a column [G] or of columns [G, R]."""
    return column - basis @ (basis.T @ column)


def leave_one_out(basis: Array, column: Array, among: NDArray[np.bool_]) -> float:
    """Root mean squared error of each of the values `among` [G] predicted from the others by least squares (PRESS)."""
    leverage = np.einsum("gk,gk->g", basis, basis)
    return float(np.sqrt(np.mean((residual(basis, column) / np.maximum(1 - leverage, 1e-9))[among] ** 2)))


def predictable(basis: Array) -> NDArray[np.bool_]:
    """Which points the others can predict [G]: all but the only run of a family."""
    return np.einsum("gk,gk->g", basis, basis) < 1 - 1e-9


def orthonormal(columns: Array) -> Array:
    norms = np.linalg.norm(columns, axis=0)
    left, s, _ = np.linalg.svd(columns / np.where(norms > 0, norms, 1.0), full_matrices=False)
    return left[:, s > 1e-7 * s[0]]
