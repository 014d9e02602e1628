"""The formulas of the estimators: one number out of the singular values of embeddings.

All take singular values `[k]`, non-negative, in any order. Those by Shannon entropy (RankMe, and every way in which it
has been computed) differ in what is made a distribution, singular values or their squares, and in where a small
constant is added, if any; others measure how evenly the energy is spread without logarithms; one fits the decay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sonoscale.errors import SonoscaleError


def spectrum_rankme(singular_values: np.ndarray, *, eps: float = 0.0) -> float:
    """RankMe: the exponential of the Shannon entropy of the normalised singular values.

    `p_k = s_k / sum(s) + eps`, `RankMe = exp(-sum(p_k ln p_k))`, `0 ln 0 = 0`. Garrido et al., arXiv 2210.02885,
    equation 1, with `eps = 1e-7` there (float32); the default here is 0, as a constant added after normalising grows
    the value with the number of dimensions. With `eps = 0` it is the effective rank of Roy & Vetterli (EUSIPCO 2007,
    definition 1).

    Arguments:
        singular_values: `[k]`, non-negative, not all zero.
        eps: added to every normalised singular value, zeros included.

    Returns:
        a number in [1, k] when `eps` is 0.

    Raises:
        SonoscaleError: negative or non-finite values, none at all, or all zero.
    """
    return entropy_rank(relative(singular_values), eps=eps)


def rankme_eigenvalues(singular_values: np.ndarray, *, eps: float = 0.0) -> float:
    """The same entropy over eigenvalues of the covariance, that is over squared singular values.

    `p_k = s_k**2 / sum(s**2) + eps`. Lower than RankMe, as squaring widens the spectrum. reptrix 0.1.0
    (`reptrix.rankme.get_rankme`) computes this, centred, with `eps = 1e-7`, under the name RankMe.

    Returns:
        a number in [1, k] when `eps` is 0.
    """
    return entropy_rank(np.square(relative(singular_values)), eps=eps)


def rankme_twice_smoothed(singular_values: np.ndarray, *, eps: float = 1e-7) -> float:
    """`p_k = s_k / (sum(s) + eps) + eps`: the JAX variant of stable-pretraining 0.1.8.

    Not invariant to scale where `sum(s)` is not large against `eps`.
    """
    s = checked(singular_values)
    p = s / (s.sum() + eps) + eps
    return float(np.exp(-np.sum(p * np.log(p))))


def rankme_positive(singular_values: np.ndarray, *, eps: float = 1e-7) -> float:
    """`p_k = s_k / (sum(s) + eps)` over the positive `s_k`: RADIO (`examples/ssl_metrics.py`, `smooth_rank`)."""
    s = checked(singular_values)
    p = s[s > 0] / (s.sum() + eps)
    return float(np.exp(-np.sum(p * np.log(p))))


def rankme_share(singular_values: np.ndarray, *, eps: float = 1e-12) -> float:
    """`exp(-sum(p_k ln(p_k + eps))) / k` with `p_k = s_k / (sum(s) + eps)`: lightly 1.6 (`DSERegularizer`).

    `k` is the number of singular values, min(n, dim).

    Returns:
        a share in (0, 1].
    """
    s = checked(singular_values)
    p = s / (s.sum() + eps)
    return float(np.exp(-np.sum(p * np.log(p + eps))) / len(s))


def collapse(singular_values: np.ndarray, *, most: int) -> float:
    """`1 - RankMe / most`: the collapse score of MONAI 1.6 (`EmbeddingCollapseMetric`), from centred singular values.

    Arguments:
        most: the largest rank there can be, min(n - 1, dim).

    Returns:
        0 for a flat spectrum, towards 1 for a collapsed one; all singular values zero give 1.
    """
    s = np.asarray(singular_values, dtype=np.float64)
    if not s.any():
        return 1.0
    return float(np.clip(1.0 - spectrum_rankme(s) / most, 0.0, 1.0))


def renyi(singular_values: np.ndarray, order: float) -> float:
    """The exponential of the Renyi entropy of the normalised singular values: a Hill number.

    `(sum(p_k**order))**(1 / (1 - order))`. Order 0 counts the non-zero values, order 1 is RankMe, order 2 the inverse
    Simpson index, order infinity `sum(s) / max(s)`. Never rises with the order. Renyi (1961); Hill, Ecology 54 (1973).

    Arguments:
        order: at least 0.

    Returns:
        a number in [1, k].
    """
    s = relative(singular_values)
    if not order >= 0:
        raise SonoscaleError(f"the order of a Renyi entropy must be at least 0, not {order}")
    p = s[s > 0] / s.sum()
    if order == 1:
        return entropy_rank(p)
    if abs(order - 1) < 0.1:  # the sum is near 1, and what matters is by how little it differs
        return float(np.exp(np.log1p(np.sum(p * np.expm1((order - 1) * np.log(p)))) / (1 - order)))
    if np.isinf(order):
        return float(1.0 / p.max())
    # Relative to the largest, so that no power underflows.
    log_sum = np.log(np.sum((p / p.max()) ** order)) + order * np.log(p.max())
    return float(np.exp(log_sum / (1.0 - order)))


def entropy_rank(weights: np.ndarray, *, eps: float = 0.0) -> float:
    """The exponential of the entropy of weights made to sum to one, plus `eps`."""
    p = weights / weights.sum() + eps
    p = p[p > 0]
    return float(np.exp(-np.sum(p * np.log(p))))


def checked(singular_values: np.ndarray) -> np.ndarray:
    """Singular values as float64.

    Raises:
        SonoscaleError: not a vector, empty, negative, non-finite, or all zero.
    """
    s = np.asarray(singular_values, dtype=np.float64)
    if s.ndim != 1 or s.size == 0:
        raise SonoscaleError(f"singular values must be a non-empty vector, not of shape {list(s.shape)}")
    if not np.isfinite(s).all() or (s < 0).any():
        raise SonoscaleError("singular values must be finite and non-negative")
    if not s.any():
        raise SonoscaleError("all singular values are zero: the embeddings are all zero (or all equal, if centred)")
    return s


def relative(singular_values: np.ndarray) -> np.ndarray:
    """Singular values over the largest, so that no power or sum leaves float64."""
    s = checked(singular_values)
    return s / s.max()


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


FEWEST = 5
"""Eigenvalues that a power law is fitted on, at least."""


@dataclass(frozen=True)
class PowerLaw:
    """`eigenvalue ~ scale * index**-alpha` over the indices `first` to `last`, counted from 1."""

    alpha: float
    scale: float
    first: int
    last: int
    r2: float


def alpha_req(singular_values: np.ndarray, *, fit_range: tuple[int, int] = (11, 100)) -> PowerLaw:
    """alpha-ReQ: the exponent of the power law that the eigenvalues of the covariance follow.

    Least squares of `ln(s**2)` on `ln(index)`, each index weighted by one over itself (so that the crowded end of the
    logarithmic axis does not decide), after Stringer et al., Nature 571 (2019). Agrawal et al., "alpha-ReQ", NeurIPS
    2022, take centred embeddings and hold that the best ones have alpha near 1. As in reptrix 0.1.0, whose default
    range is the same.

    Arguments:
        singular_values: `[k]`, centred.
        fit_range: first and last index of the fit, counted from 1, both in it. What lies beyond k, or is zero, is left
            out.

    Returns:
        alpha (larger is steeper), with the range it was fitted on and the weighted R2 of the fit there.

    Raises:
        SonoscaleError: fewer than 5 positive eigenvalues in the range.
    """
    s = np.sort(checked(singular_values))[::-1]
    first, last = fit_range
    if not 1 <= first < last:
        raise SonoscaleError(f"fit_range must be 1 <= first < last, not {first}, {last}")
    s = s[first - 1 : last]
    s = s[s > 0]
    if len(s) < FEWEST:
        raise SonoscaleError(
            f"alpha-ReQ needs at least {FEWEST} positive eigenvalues of index {first} to {last}, and {len(s)} are there"
        )
    index = np.arange(first, first + len(s), dtype=np.float64)
    x, y = np.log(index), 2 * np.log(s)
    slope, intercept = np.polyfit(x, y, 1, w=np.sqrt(1 / index))
    left = y - (slope * x + intercept)
    around = y - np.average(y, weights=1 / index)
    r2 = 1.0 - float(np.sum(left**2 / index) / np.sum(around**2 / index)) if np.ptp(y) > 0 else 1.0
    return PowerLaw(-float(slope), float(np.exp(intercept)), first, first + len(s) - 1, r2)
