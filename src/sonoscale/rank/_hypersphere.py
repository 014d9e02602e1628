"""Alignment and uniformity: how close positive pairs lie on the unit sphere, and how evenly rows cover it.

Both are of Wang & Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
Hypersphere", ICML 2020 (arXiv 2005.10242), section 4.1. Rows are scaled to unit length first, so neither depends on
the lengths of the embeddings; both are dimensionless, and lower is better for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 1024  # rows of the matrix of pairs held at once


def alignment(first: np.ndarray | Tensor, second: np.ndarray | Tensor, *, alpha: float = 2.0) -> float:
    """Mean distance, to the power `alpha`, between the two embeddings of a positive pair.

    `mean_i ||x_i - y_i||^alpha`, with `x_i` and `y_i` row i of `first` and `second` scaled to unit length: Wang &
    Isola, section 4.1, `L_align(f; alpha)`. The paper reports alpha = 2, where it is 2 - 2 * (mean cosine).

    Arguments:
        first, second: `[n, dim]`, n >= 2, any float dtype, NumPy or torch; row i of both is one positive pair.
        alpha: in (0, 1000].

    Returns:
        a number in [0, 2^alpha]: 0 when the rows of every pair point the same way, 2^alpha when they are all opposite.
        Lower is better.

    Raises:
        SonoscaleError: different shapes, anything but floats or two axes, fewer than 2 rows, NaN or infinity, a row
            of zeros (no direction), or alpha out of range.

    Example:
        >>> import numpy as np
        >>> clips = np.random.default_rng(0).standard_normal((200, 16))
        >>> alignment(clips, clips + 0.1) < alignment(clips, clips[::-1])
        True
    """
    check_arguments(alignment, locals())
    if not 0 < alpha <= 1000:
        raise SonoscaleError(f"alpha must be in (0, 1000], not {alpha}")
    x, y = unit_rows(first, "first embeddings"), unit_rows(second, "second embeddings")
    if x.shape != y.shape:
        raise SonoscaleError(f"positive pairs need embeddings of one shape, not {list(x.shape)} and {list(y.shape)}")
    distance = np.minimum(np.linalg.norm(x - y, axis=1), 2.0)  # over 2 by rounding only
    return float(min(np.mean(distance**alpha), 2.0**alpha))  # over it by rounding only


def uniformity(embeddings: np.ndarray | Tensor, *, t: float = 2.0) -> float:
    """Logarithm of the mean Gaussian potential over all pairs of different rows.

    `ln mean_{i < j} exp(-t ||x_i - x_j||^2)`, with `x_i` row i scaled to unit length: Wang & Isola, section 4.1,
    `L_uniform(f; t)`, as their code estimates it, each pair once and no row with itself. The paper reports t = 2.
    Summed as a log-sum-exp over blocks of 1024 rows: a large t does not underflow, and memory grows with n, not n^2.

    Arguments:
        embeddings: `[n, dim]`, n >= 2, any float dtype, NumPy or torch.
        t: inverse width of the kernel, in (0, 1e6].

    Returns:
        a number in [-4t, 0], in nats: 0 when all rows point one way; -4t only for two opposite rows. Lower is better.
        Rows uniform on the sphere tend to -2t as dim grows.

    Raises:
        SonoscaleError: anything but floats or two axes, fewer than 2 rows, NaN or infinity, a row of zeros (no
            direction), or t out of range.

    Example:
        >>> import numpy as np
        >>> clips = np.random.default_rng(0).standard_normal((200, 64))
        >>> uniformity(clips) < uniformity(clips + 3.0)  # a common offset crowds them
        True
    """
    check_arguments(uniformity, locals())
    from scipy.special import logsumexp

    if not 0 < t <= 1e6:
        raise SonoscaleError(f"t must be in (0, 1e6], not {t}")
    x = unit_rows(embeddings, "embeddings")
    n = len(x)
    sums = []
    for start in range(0, n - 1, BLOCK):
        exponent = x[start : start + BLOCK] @ x[start:].T  # cosines; ||x - y||^2 = 2 - 2 cos
        exponent -= 1.0
        exponent *= 2.0 * t
        exponent[np.tril_indices(len(exponent))] = -np.inf  # pairs seen already, and rows with themselves
        sums.append(logsumexp(exponent))
    value = float(logsumexp(sums)) - np.log(n * (n - 1) / 2)
    return float(np.clip(value, -4.0 * t, 0.0))  # outside by rounding only


def unit_rows(embeddings: Any, name: str) -> np.ndarray:
    """`float_rows` scaled to unit length; rows of zeros are refused."""
    rows = float_rows(embeddings, name)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    zero = np.flatnonzero(largest == 0)
    if zero.size:
        raise SonoscaleError(
            f"{zero.size} of {len(rows)} {name} are all zero, the first is row {zero[0]}: they cannot be scaled to "
            "unit length; leave them out"
        )
    rows = rows / largest  # so that no square over- or underflows
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def float_rows(embeddings: Any, name: str) -> np.ndarray:
    """Embeddings, NumPy or torch, as float64 `[n, dim]` with n >= 2 and dim >= 1, all finite."""
    if hasattr(embeddings, "detach"):  # a torch tensor, without importing torch
        floating, kind = embeddings.is_floating_point(), str(embeddings.dtype).removeprefix("torch.")
        if floating:
            embeddings = embeddings.detach().cpu().double().numpy()  # on the CPU first: some devices have no float64
    else:
        embeddings = np.asarray(embeddings)
        floating, kind = embeddings.dtype.kind == "f", str(embeddings.dtype)
    if not floating:
        raise SonoscaleError(f"{name} are {kind}: they must be floating point (convert them if they really are)")
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[0] < 2 or rows.shape[1] < 1:
        raise SonoscaleError(f"{name} must be [n, dim] with n >= 2 and dim >= 1, not {list(rows.shape)}")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise SonoscaleError(f"{bad.size} of {len(rows)} {name} hold NaN or infinity, the first is row {bad[0]}")
    return rows
