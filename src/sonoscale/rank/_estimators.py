"""Effective-rank estimators: singular values in, one number out."""

from __future__ import annotations

import numpy as np

from sonoscale.errors import SonoscaleError


def rankme(singular_values: np.ndarray, *, eps: float = 0.0) -> float:
    """RankMe: the exponential of the Shannon entropy of the normalised singular values.

    With `p_k = s_k / sum(s) + eps`, `RankMe = exp(-sum(p_k ln p_k))`, and `0 ln 0 = 0`. Garrido et al.,
    arXiv 2210.02885, equation 1, use `eps = 1e-7`, added after normalising, which inflates the value with the
    number of singular values; the default here is 0. The same quantity is the effective rank of Roy & Vetterli
    (EUSIPCO 2007).

    Arguments:
        singular_values: `[k]`, non-negative, in any order, not all zero.
        eps: added to every normalised singular value.

    Returns:
        a number in [1, k] when `eps` is 0.

    Raises:
        SonoscaleError: negative or non-finite values, none at all, or all zero.
    """
    s = np.asarray(singular_values, dtype=np.float64)
    if s.ndim != 1 or s.size == 0:
        raise SonoscaleError(f"singular values must be a non-empty vector, not of shape {list(s.shape)}")
    if not np.isfinite(s).all() or (s < 0).any():
        raise SonoscaleError("singular values must be finite and non-negative")
    total = s.sum()
    if total == 0:
        raise SonoscaleError("all singular values are zero: the embeddings are all zero (or all equal, if centred)")
    p = s / total + eps
    p = p[p > 0]
    return float(np.exp(-np.sum(p * np.log(p))))
