"""Second moments of a set of rows, in two forms: a Gram matrix (fast) and a triangular factor (resolves more).

Both keep the count, the mean and the scatter about that mean, so that a large common offset never costs precision,
and both are merged by the pairwise update of Chan, Golub & LeVeque (1979): the scatter of a union is the sum of the
scatters plus `n1 n2 / (n1 + n2)` times the outer product of the difference of the means. That product is one more
row, `sqrt(n1 n2 / (n1 + n2)) (m1 - m2)`, and is added as one.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self, TypeVar

import numpy as np

from sonoscale.errors import SonoscaleError

About = Literal["uncentred", "centred", "standardised"]

EPS = float(np.finfo(np.float64).eps)

M = TypeVar("M", bound="Moments")


class Moments(ABC):
    """Count, mean and scatter of rows, float64.

    Attributes:
        count: number of rows.
        mean: `[dim]`.
        factor: what stands for the scatter about the mean.
    """

    count: int
    mean: np.ndarray
    factor: np.ndarray

    def __init__(self, count: int, mean: np.ndarray, factor: np.ndarray) -> None:
        self.count = count
        self.mean = mean
        self.factor = factor

    @classmethod
    @abstractmethod
    def empty(cls, dim: int) -> Self:
        """Of no rows."""

    @abstractmethod
    def add(self, rows: np.ndarray) -> None:
        """Take in all rows of `[k + 1, dim]` but the last, which is room to work in; both are overwritten."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in all the rows of `other`."""

    @abstractmethod
    def spectrum(self, about: About) -> np.ndarray:
        """Singular values of the rows, descending, `[min(count, dim)]`."""

    def copy(self) -> Self:
        """A copy that shares nothing."""
        return type(self)(self.count, self.mean.copy(), self.factor.copy())

    def _known(self, values: np.ndarray, about: About) -> np.ndarray:
        """The values that `count` rows can have, those that are the rounding of the mean set to zero."""
        values = values[: min(self.count, len(self.mean))].copy()
        if about != "uncentred":
            values[self.count - 1 :] = 0.0  # taking out the mean takes one away
        if about == "centred":
            values[values <= 64 * EPS * np.sqrt(self.count) * np.linalg.norm(self.mean)] = 0.0
        return values


class Gram(Moments):
    """Scatter matrix, of which only the upper triangle is kept up to date (BLAS `syrk`, half of a product).

    Resolves singular values down to about 4e-8 of the largest; what is below is rounding and is set to zero.
    """

    @classmethod
    def empty(cls, dim: int) -> Gram:
        return cls(0, np.zeros(dim), np.zeros((dim, dim)))

    def add(self, rows: np.ndarray) -> None:
        self._update(len(rows) - 1, centre(rows[:-1]), rows)

    def merge(self, other: Gram) -> None:
        self.factor += other.factor
        self._update(other.count, other.mean, np.empty((1, len(self.mean))))

    def spectrum(self, about: About) -> np.ndarray:
        scatter = self.factor
        if about == "uncentred":
            scatter = scatter + np.outer(self.count * self.mean, self.mean)
        elif about == "standardised":
            scale = inverse_deviations(np.diag(scatter), self.mean, self.count)
            scatter = scatter * np.outer(scale, scale)
        with refused():
            few = 2 * self.count < len(scatter)
            values = _eigenvalues_of_few(scatter) if few else np.linalg.eigvalsh(scatter, UPLO="U")[::-1]
        # Rounding leaves eigenvalues of a few eps of the largest where there should be none.
        values = np.where(values > 8 * EPS * values[0], values, 0.0)
        return self._known(np.sqrt(values), about)

    def _update(self, count: int, mean: np.ndarray, rows: np.ndarray) -> None:
        """Add the outer products of `rows` but for the last: deviations of `count` more rows from their own mean."""
        gap = mean - self.mean
        together = self.count + count
        rows[-1] = gap * np.sqrt(self.count * (count / together))
        # In Fortran's order the upper triangle of the factor is the lower one of its transpose.
        _syrk()(1.0, rows.T, beta=1.0, c=self.factor.T, lower=1, overwrite_c=1)
        self.mean = self.mean + gap * (count / together)
        self.count = together


class Triangle(Moments):
    """Triangular factor of the rows about their mean, by QR, `[<= dim, dim]`.

    Resolves singular values down to `dim` times 2e-16 of the largest.
    """

    @classmethod
    def empty(cls, dim: int) -> Triangle:
        return cls(0, np.zeros(dim), np.zeros((0, dim)))

    def add(self, rows: np.ndarray) -> None:
        self._update(len(rows) - 1, centre(rows[:-1]), rows[:-1])

    def merge(self, other: Triangle) -> None:
        self._update(other.count, other.mean, other.factor)

    def spectrum(self, about: About) -> np.ndarray:
        rows = self.factor
        if about == "uncentred":
            rows = np.vstack([rows, self.mean * np.sqrt(self.count)])
        elif about == "standardised":
            rows = rows * inverse_deviations(np.square(rows).sum(axis=0), self.mean, self.count)
        with refused():
            values = np.linalg.svd(rows, compute_uv=False)
        values[values <= len(self.mean) * EPS * values[0]] = 0.0  # rounding, as in numpy.linalg.matrix_rank
        return self._known(np.r_[values, np.zeros(len(self.mean))][: len(self.mean)], about)

    def _update(self, count: int, mean: np.ndarray, deviations: np.ndarray) -> None:
        gap = mean - self.mean
        together = self.count + count
        row = gap * np.sqrt(self.count * (count / together))
        self.factor = np.asarray(np.linalg.qr(np.vstack([self.factor, deviations, row]), mode="r"))
        self.mean = self.mean + gap * (count / together)
        self.count = together


@functools.cache
def _syrk() -> Any:
    from scipy.linalg import get_blas_funcs

    return get_blas_funcs("syrk", dtype=np.float64)


@functools.cache
def _pstrf() -> Any:
    from scipy.linalg import get_lapack_funcs

    return get_lapack_funcs("pstrf", dtype=np.float64)


def _eigenvalues_of_few(scatter: np.ndarray) -> np.ndarray:
    """Eigenvalues, descending, of a positive semi-definite matrix of low rank, from its upper triangle.

    Through `P^T scatter P = L L^T`, `L` `[dim, rank]` (Cholesky with pivots), as those of `L^T L`: `dim * rank**2`
    operations in place of `dim**3`.
    """
    dim, largest = len(scatter), float(np.diag(scatter).max())
    # In Fortran's order the upper triangle is the lower one of the transpose.
    lower, _, rank, info = _pstrf()(scatter.T, tol=EPS * largest, lower=1)
    if info < 0 or not 0 < rank < dim:
        return np.linalg.eigvalsh(scatter, UPLO="U")[::-1]
    factor = np.tril(lower)[:, :rank]
    values = np.linalg.eigvalsh(factor.T @ factor)[::-1]
    return np.r_[values, np.zeros(dim - rank)]


def leave_one_out(parts: Sequence[M]) -> Iterator[M]:
    """The moments of all parts but one, for each of two or more.

    By adding up those before and those after: to subtract one from the whole would leave rounding where nothing is,
    as in a dimension that is zero in all other parts.
    """
    after: list[list[M]] = [[]]  # the parts behind as one, or none; nearest last
    for part in parts[:0:-1]:
        after.append([merged([part, *after[-1]])])
    before: list[M] = []
    for part in parts:
        yield merged([*before, *after.pop()])
        before = [merged([*before, part])]


def merged(parts: Sequence[M]) -> M:
    """The moments of all the rows of one or more parts."""
    total = parts[0].copy()
    for part in parts[1:]:
        total.merge(part)
    return total


@contextmanager
def refused() -> Iterator[None]:
    """A decomposition that does not converge, as an error that a user can understand."""
    try:
        yield
    except np.linalg.LinAlgError as error:
        raise SonoscaleError(f"the spectrum cannot be computed: {error}") from error


def centre(rows: np.ndarray) -> np.ndarray:
    """Subtract the mean from rows `[k, dim]` in place, and return it."""
    mean = np.full(len(rows), 1 / len(rows)) @ rows  # twice as fast as rows.mean(axis=0)
    rows -= mean
    return mean


def inverse_deviations(squares: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """One over the standard deviation of each dimension, 0 where it is constant.

    A deviation under 1e-12 of the mean is the rounding of a constant.
    """
    deviation = np.sqrt(squares / count)
    constant = deviation <= 1e-12 * np.abs(mean)
    return np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
