"""How evenly the energy is spread, without logarithms. All take singular values `[k]`, non-negative, in any order."""

from __future__ import annotations

import numpy as np

from sonoscale.rank._entropy import relative


def participation_ratio(singular_values: np.ndarray) -> float:
    """`(sum(l))**2 / sum(l**2)` over eigenvalues `l = s**2`.

    Gao et al., "A theory of multineuronal dimensionality, dynamics and measurement" (bioRxiv 214262, 2017), for
    centred embeddings. The Hill number of order 2 of the eigenvalues.

    Returns:
        a number in [1, k].
    """
    eigenvalues = relative(singular_values) ** 2
    return float(eigenvalues.sum() ** 2 / np.square(eigenvalues).sum())


def stable_rank(singular_values: np.ndarray) -> float:
    """`sum(s**2) / max(s)**2`, the squared Frobenius norm over the squared spectral norm.

    Rudelson & Vershynin, J. ACM 54 (2007). Never above the rank, and insensitive to small singular values.

    Returns:
        a number in [1, k].
    """
    return float(np.square(relative(singular_values)).sum())


def nesum(singular_values: np.ndarray) -> float:
    """Normalised eigenvalue sum: `sum(l) / max(l)` over the eigenvalues `l = s**2` of the covariance (centred).

    He & Ozay, "Exploring the gap between collapsed & whitened features in self-supervised learning", ICML 2022.
    The stable rank of the centred embeddings.

    Returns:
        a number in [1, k].
    """
    return stable_rank(singular_values)


def numerical_rank(singular_values: np.ndarray, *, rtol: float) -> int:
    """The number of singular values above `rtol` times the largest.

    Golub & Van Loan, Matrix Computations, section 5.4; `numpy.linalg.matrix_rank` takes
    `rtol = max(n, dim) * machine epsilon`.

    Returns:
        an integer in [1, k].
    """
    return int((relative(singular_values) > rtol).sum())


def condition_number(singular_values: np.ndarray) -> float:
    """The largest singular value over the smallest.

    Returns:
        a number in [1, inf]; infinite where the smallest is zero.
    """
    smallest = float(relative(singular_values).min())
    return 1.0 / smallest if smallest > 0 else float("inf")
