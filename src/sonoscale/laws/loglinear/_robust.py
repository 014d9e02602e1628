"""Standard errors that hold when the rows of a cluster depend on one another, and few clusters are few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws.loglinear._solve import Solved, group_spectrum, group_sums

__all__ = ["corrected_errors", "robust_covariance"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

_SMALLEST = 0.01  # what is left of an error that its own cluster has all but fitted away


def robust_covariance(solved: Solved, clusters: Codes) -> tuple[Array, Array]:
    """The covariance of beta [P, P], and the degrees of freedom of each of its t-statistics [P].

    CR2 (Bell and McCaffrey, Survey Methodology 28, 2002): residuals of cluster g are multiplied by
    (I - H_gg)^(-1/2), so that the covariance is unbiased if whitened errors are independent and alike. The
    degrees of freedom are Satterthwaite's under the same working model (Pustejovsky and Tipton, Journal of
    Business & Economic Statistics 36, 2018). In coordinates where the design is orthonormal all that is needed
    of a cluster is the eigendecomposition of its P x P Gram matrix.
    """
    values, vectors = group_spectrum(solved.basis, clusters)
    kept = np.maximum(1.0 - values, _SMALLEST)
    scores = group_sums(solved.basis * solved.innovation[:, None], clusters)
    scores = _apply(vectors, 1.0 / np.sqrt(kept), scores)
    into = solved.into
    covariance = into @ (scores.T @ scores) @ into.T

    freedom = np.empty(len(into))
    for i, direction in enumerate(into):
        one = np.broadcast_to(direction, scores.shape)
        inner = np.einsum("gab,ga->gb", vectors, one)
        own = np.einsum("gb,gb->g", inner**2, values / kept)  # |a_g|^2
        shared = _apply(vectors, values / np.sqrt(kept), one)  # Q_g' a_g
        lost = np.einsum("ga,ga->g", shared, shared)
        product = shared.T @ shared
        square = float((own**2).sum() - 2.0 * (own * lost).sum() + (product**2).sum())
        freedom[i] = max(float((own - lost).sum()) ** 2 / max(square, 1e-300), 1.0)
    return covariance, np.minimum(freedom, len(scores) - 1.0)


def corrected_errors(solved: Solved, clusters: Codes) -> Array:
    """Whitened residuals as large as errors are, (I - H_gg)^(-1/2) e_g for each cluster g: [n]."""
    values, vectors = group_spectrum(solved.basis, clusters)
    growth = 1.0 / np.sqrt(np.maximum(1.0 - values, _SMALLEST)) - 1.0
    ratio = np.where(values > 1e-12, growth / np.maximum(values, 1e-12), 0.5)
    scores = group_sums(solved.basis * solved.innovation[:, None], clusters)
    added = _apply(vectors, ratio, scores)
    return solved.innovation + np.einsum("na,na->n", solved.basis, added[clusters])


def _apply(vectors: Array, diagonal: Array, columns: Array) -> Array:
    """V_g diag V_g' times a vector for each g: [G, P]."""
    inner = np.einsum("gab,ga->gb", vectors, columns)
    return np.einsum("gab,gb->ga", vectors, diagonal * inner)
