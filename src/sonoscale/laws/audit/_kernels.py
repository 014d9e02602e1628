"""How sizes may act on rank and quality: linear columns, smooth kernels, and a step at every cut of every size."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws.audit._bases import orthonormal

__all__ = ["Spectra", "spectra"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

LENGTHS = (1.5, 6.0)
"""Of a kernel along each axis, in its standard deviations. Shorter ones take what is peculiar to a configuration."""
MOST_AXES = 3
"""Axes with lengths of their own; with more, all have the same."""
STEP = 30.0
"""Prior variance of the height of a step, in that of the smooth part."""
ALIKE = 0.95
"""Correlation of two axes above which principal components take their place."""
OTHER_FAMILY = 0.3
"""Prior correlation of the smooth parts of two families."""
LEAST_SPARE = 3
"""Configurations of a family beyond its slopes, for it to have slopes of its own."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """Kernels over the configurations, the linear columns projected out.

    Attributes:
        values: [M, k] eigenvalues, above zero;
        vectors: [M, k, G] rows to multiply columns with.
        weights: [M] prior, log: half for the smooth kernels, half for the steps.
        linear: [G, K] orthonormal columns that were projected out.
    """

    values: Array
    vectors: Array
    weights: Array
    linear: Array


def spectra(covariates: Array, family: Index | None, sums: list[list[int]]) -> Spectra:
    """The kernels of the covariates [G, C] and the families [G].

    Arguments:
        sums: columns whose sum may step too: the logarithms of parameters and data, whose sum is that of compute.
    """
    count = len(covariates)
    groups = np.ones((count, 1)) if family is None else (family[:, None] == np.unique(family)).astype(np.float64)
    z = _standard(covariates)
    linear = orthonormal(np.concatenate([groups, z], axis=1))
    own = z.shape[1] + 1 + LEAST_SPARE
    if groups.shape[1] > 1 and z.shape[1] and groups.sum(axis=0).min() >= own:
        linear = orthonormal((groups[:, :, None] * np.column_stack([np.ones(count), z])[:, None, :]).reshape(count, -1))
    full = np.linalg.qr(linear, mode="complete")[0]
    rest = full[:, linear.shape[1] :]
    if family is None:
        near = step_near = np.ones((count, count))
    else:
        same = family[:, None] == family
        near, step_near = np.where(same, 1.0, OTHER_FAMILY), np.where(same, 1.0, 0.5)
    axes = _axes(z)
    squares = (axes[:, None, :] - axes) ** 2
    d = axes.shape[1]
    grids = itertools.product(LENGTHS, repeat=d) if d <= MOST_AXES else ([one] * d for one in LENGTHS)
    smooth = []
    for lengths in grids:
        distance = np.sqrt(squares @ (1.0 / np.square(lengths)))
        smooth += [np.exp(-distance) * near, (1 + np.sqrt(3) * distance) * np.exp(-np.sqrt(3) * distance) * near]
    distance = np.sqrt(3 * squares.sum(axis=2)) / LENGTHS[-1]
    base = (1 + distance) * np.exp(-distance) * near
    steps = _steps(covariates, sums)
    k = rest.shape[1]
    projected = np.empty((len(smooth) + steps.shape[1], k, k))
    for i, kernel in enumerate(smooth):
        projected[i] = rest.T @ kernel @ rest
    plain = rest.T @ base @ rest
    for i, step in enumerate(steps.T, start=len(smooth)):
        if family is None:
            left = rest.T @ step
            projected[i] = plain + STEP * np.outer(left, left)
        else:
            projected[i] = plain + STEP * (rest.T @ (np.outer(step, step) * step_near) @ rest)
    values, inner = np.linalg.eigh(projected)
    share = 0.5 if steps.shape[1] else 1.0
    weights = np.full(len(values), np.log(share / len(smooth)))
    weights[len(smooth) :] = np.log(0.5 / max(steps.shape[1], 1))
    vectors = np.matmul(np.swapaxes(inner, 1, 2), rest.T)
    return Spectra(values=np.maximum(values, 1e-6), vectors=vectors, weights=weights, linear=linear)


def _standard(columns: Array) -> Array:
    """Columns of mean 0 and standard deviation 1, without those that the ones before make up."""
    z = (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-300)
    kept = np.empty((len(z), 0))
    for column in z.T:
        basis = orthonormal(np.column_stack([np.ones(len(z)), kept]))
        left = column - basis @ (basis.T @ column)
        if left @ left > 1e-6 * len(z):
            kept = np.column_stack([kept, column])
    return kept


def _axes(z: Array) -> Array:
    """The axes of the kernels: the columns, or their principal components where two are nearly the same."""
    if z.shape[1] < 2 or np.abs(np.corrcoef(z.T) - np.eye(z.shape[1])).max() <= ALIKE:
        return z
    left, size, _ = np.linalg.svd(z, full_matrices=False)
    return left[:, size > 1e-3 * size[0]] * np.sqrt(len(z))


def _steps(covariates: Array, sums: list[list[int]]) -> Array:
    """Every way to cut a column or a sum of columns in two parts of at least two: [G, S], 1 above the cut."""
    columns = [*covariates.T, *(covariates[:, one].sum(axis=1) for one in sums)]
    found: dict[bytes, Array] = {}
    for column in columns:
        for cut in np.unique(column)[1:]:
            above = column >= cut
            if 2 <= above.sum() <= len(column) - 2:
                key = above if not above[0] else ~above
                found.setdefault(key.tobytes(), above.astype(np.float64))
    return np.array(list(found.values())).reshape(-1, len(covariates)).T
