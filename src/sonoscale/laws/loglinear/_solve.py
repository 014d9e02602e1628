"""Least squares with family effects: one fit, and as many reweighted ones as are wanted, at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Solved", "reml_ratio", "solve_linear"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Solved:
    """z = X beta + u[family] + error, with var(u) = ratio * var(error); ratio = 0 is ordinary least squares.

    With V = I + ratio * Z Z' (Z the indicator of families), rows are whitened by V^(-1/2), which takes from each
    value a part of its family's mean. T makes the whitened columns of X orthonormal.

    Attributes:
        X: [n, P], `z` [n], `families` [n] (all 0 without families).
        ratio: variance between families over that within.
        into: T [P, P].
        basis: V^(-1/2) X T [n, P], orthonormal.
        beta: [P].
        innovation: V^(-1/2) (z - X beta) [n].
        sigma2: variance within families, the restricted maximum-likelihood estimate (n - P).
    """

    X: Array
    z: Array
    families: Codes
    ratio: float
    into: Array
    basis: Array
    beta: Array
    innovation: Array
    sigma2: float

    @property
    def shrinkage(self) -> Array:
        """k with V^(-1) = I - Z diag(k) Z': ratio / (1 + ratio * rows of the family): [F]."""
        return self.ratio / (1.0 + self.ratio * np.bincount(self.families).astype(np.float64))

    def effects(self, beta: Array) -> Array:
        """Best linear unbiased predictions of u for these beta [..., P]: [..., F]."""
        count = int(self.families.max()) + 1
        total_z = np.bincount(self.families, weights=self.z, minlength=count)
        total_x = np.stack([np.bincount(self.families, weights=column, minlength=count) for column in self.X.T])
        return self.shrinkage * (total_z - beta @ total_x)

    def conditional(self) -> Array:
        """z - X beta - u[family]: [n]."""
        return self.z - self.X @ self.beta - self.effects(self.beta)[self.families]

    def missed(self, groups: Codes) -> Array:
        """z minus its prediction from all other groups, u of a family that is in them included: [n].

        The prediction error of a group left out of generalised least squares is P_gg^(-1) (P z)_g with
        P = V^-1 - V^-1 X (X' V^-1 X)^-1 X' V^-1 (Dubrule, Mathematical Geology 15, 1983), where P is here
        I minus a product of thin matrices. The ratio of variances is held. NaN where the others do not
        determine the prediction.
        """
        columns = [whiten(self.basis, self.families, self.ratio)]
        if self.ratio > 0:
            columns.append(np.sqrt(self.shrinkage) * (self.families[:, None] == np.arange(len(self.shrinkage))))
        thin = np.concatenate(columns, axis=1)
        values, vectors = group_spectrum(thin, groups)
        undetermined = values[:, -1] > 1.0 - 1e-10
        v = whiten(self.innovation, self.families, self.ratio)
        inner = np.einsum("gab,ga->gb", vectors, group_sums(thin * v[:, None], groups))
        inner = np.einsum("gab,gb->ga", vectors, inner / np.maximum(1.0 - values, 1e-10))
        missed = v + np.einsum("na,na->n", thin, inner[groups])
        return np.where(undetermined[groups], np.nan, missed)

    def reweighted(self, weights: Array, clusters: Codes) -> Array:
        """beta with the rows of cluster g weighted by weights[r, g], for each r: [R, P]. The ratio is held."""
        basis = self.X @ self.into
        size = basis.shape[1]
        squares = group_sums((basis[:, :, None] * basis[:, None, :]).reshape(len(basis), -1), clusters)
        gram = (weights @ squares).reshape(-1, size, size)
        aim = weights @ group_sums(basis * self.z[:, None], clusters)
        if self.ratio > 0:
            for family in range(int(self.families.max()) + 1):
                rows = np.flatnonzero(self.families == family)
                part = np.column_stack([np.ones(len(rows)), self.z[rows], basis[rows]])
                sums = np.zeros((weights.shape[1], part.shape[1]))
                np.add.at(sums, clusters[rows], part)
                total = weights @ sums  # [R, 1 + 1 + P]
                k = self.ratio / (1.0 + self.ratio * total[:, 0])
                gram -= k[:, None, None] * total[:, 2:, None] * total[:, None, 2:]
                aim -= (k * total[:, 1])[:, None] * total[:, 2:]
        return np.linalg.solve(gram, aim[:, :, None])[:, :, 0] @ self.into.T


def solve_linear(X: Array, z: Array, families: Codes, ratio: float) -> Solved:
    """Generalised least squares at this ratio of variances. X has full column rank."""
    basis, upper = np.linalg.qr(whiten(X, families, ratio))
    into = np.linalg.inv(upper)
    white = whiten(z, families, ratio)
    innovation = white - basis @ (basis.T @ white)
    sigma2 = float(innovation @ innovation) / max(len(z) - X.shape[1], 1)
    return Solved(X, z, families, ratio, into, basis, into @ (basis.T @ white), innovation, sigma2)


def reml_ratio(X: Array, z: Array, families: Codes) -> float:
    """The variance between families over that within which maximises the restricted likelihood; may be 0.

    beta and the variance within are profiled out (Patterson and Thompson, Biometrika 58, 1971), and the logarithm
    of the ratio is searched on grids, each around the best point of the one before. In an orthonormal basis of
    X, and with what that basis leaves of z, all that is needed of the data are sums over families.
    """
    n, size = X.shape
    rows = np.bincount(families).astype(np.float64)
    basis, _ = np.linalg.qr(X)
    rest = z - basis @ (basis.T @ z)
    rest = rest - basis @ (basis.T @ rest)
    sums, totals = group_sums(basis, families), group_sums(rest, families)
    squares = float(rest @ rest)

    def deviance(log_ratio: Array) -> Array:
        ratio = np.exp(log_ratio)[:, None]
        k = ratio / (1.0 + ratio * rows)  # [K, F]
        gram = np.eye(size) - np.einsum("kf,fp,fq->kpq", k, sums, sums)
        aim = -(k * totals) @ sums
        beta = np.linalg.solve(gram, aim[:, :, None])[:, :, 0]
        left = squares - k @ totals**2 - np.einsum("kp,kp->k", aim, beta)
        volume = np.log1p(ratio * rows).sum(axis=1) + np.linalg.slogdet(gram)[1]
        return (n - size) * np.log(np.maximum(left, 1e-300)) + volume

    grid = np.linspace(-16.0, 16.0, 65)
    for _ in range(6):
        best = int(deviance(grid).argmin())
        if best == 0 and grid[0] == -16.0:
            return 0.0
        grid = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 33)
    return float(np.exp(grid[16]))


def whiten(values: Array, families: Codes, ratio: float) -> Array:
    """V^(-1/2) values, along the first axis."""
    if ratio == 0:
        return values
    rows = np.bincount(families)
    part = (1.0 - 1.0 / np.sqrt(1.0 + ratio * rows)) / rows
    return values - (group_sums(values, families).T * part).T[families]


def group_sums(values: Array, groups: Codes) -> Array:
    """Sums over the rows of each group: [n, ...] -> [G, ...]."""
    sums = np.zeros((int(groups.max()) + 1, *values.shape[1:]))
    np.add.at(sums, groups, values)
    return sums


def group_spectrum(thin: Array, groups: Codes) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors of B_g' B_g, for the rows B_g of each group: [G, K], [G, K, K]."""
    width = thin.shape[1]
    squares = group_sums((thin[:, :, None] * thin[:, None, :]).reshape(len(thin), -1), groups)
    values, vectors = np.linalg.eigh(squares.reshape(-1, width, width))
    return np.maximum(values, 0.0), vectors
