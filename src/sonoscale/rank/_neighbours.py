"""Two-NN: the intrinsic dimension of embeddings, from the distances to the two nearest neighbours of each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.rank._hypersphere import float_rows

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 1024  # rows of the distance matrix held at once
CANDIDATES = 8  # neighbours per row whose distance is computed again from differences
FEWEST = 10  # distinct rows
CLOSEST = 1e-140  # distance over largest magnitude: its square is safely a normal number


@dataclass(frozen=True)
class TwoNN:
    """An intrinsic dimension and how it was found: see `two_nn`.

    `value` is the paper's fit. `low` and `high` bound `mle`, the maximum-likelihood form, at the nominal `level`;
    they are not an interval of `value`, which may lie outside.
    """

    value: float
    mle: float
    low: float
    high: float
    level: float
    n: int  # distinct rows
    duplicates: int  # rows dropped as exact copies of another


def two_nn(embeddings: np.ndarray | Tensor, *, discard: float = 0.1, level: float = 0.95) -> TwoNN:
    """Intrinsic dimension from the ratio of the second to the first nearest-neighbour distance.

    With `mu_i = r2_i / r1_i` over the n distinct rows, and a density that is constant out to r2, mu is Pareto:
    `F(mu) = 1 - mu^-d`. `value` is the paper's estimator: mu sorted, `F(mu_(i)) = i / n`, the `discard` share of the
    largest left out, and the slope d of the least-squares line through the origin of `-ln(1 - F)` on `ln mu`. Facco,
    d'Errico, Rodriguez & Laio, Scientific Reports 7:12140 (2017), the TWO-NN algorithm. `mle` is the
    maximum-likelihood form `n / sum(ln mu)` over all n rows. Were the mu independent, `2 d sum(ln mu)` would be
    chi-squared with 2n degrees of freedom: that gives `low` and `high`.

    The interval is too narrow. Neighbours share distances, so the mu are not independent: on uniform rows without
    a boundary (periodic distances, 2000 trials, 300 at d = 10) a nominal 95% interval covers d = 1, 2, 5 and 10 in
    86 to 89% of trials at n = 100 and 500; with half-widths 1.27 times as wide it is 94 to 96%. Nor does it know of
    bias, which boundaries, curvature and uneven density bring and which grows with d: for the unit cube it covers
    d = 2 in 87% of trials at n = 100, d = 5 in 71% at n = 100 and 24% at n = 2000 (mean `mle` 4.70), and d = 10 in
    none at n = 2000 (mean `mle` 8.59); 2000 trials at n = 100, 400 at n = 2000, seeds from 0. Read it as the least
    uncertainty there is. `tests/rank/test_neighbours.py` repeats most of this with fewer trials.

    Conventions: Euclidean distances. Rows that are exactly equal count once, and the copies in `duplicates`;
    near-copies (one clip embedded in two batches) stay, and their huge mu pull `mle` down. The largest mu (F = 1) is
    always left out of the fit; otherwise the share is rounded to whole rows. Neighbours are exact: a bound picks
    candidates among the centred rows, their distances come from differences of the rows as given, and a row for
    which the bound cannot rule out the others is searched in full. Memory grows with n, in blocks of 1024 rows.
    Scale, rotation and shift do not change the result.

    Arguments:
        embeddings: `[n, dim]`, any float dtype, NumPy or torch; at least 10 distinct rows.
        discard: share of the largest mu that the fit leaves out, in [0, 1); the paper uses 0.1.
        level: nominal coverage of the interval, in (0, 1).

    Returns:
        dimensions, positive numbers without unit; not bounded by `dim`.

    Raises:
        SonoscaleError: anything but floats or two axes, NaN or infinity, fewer than 10 distinct rows, discard or
            level out of range, neighbours at equal distances (a lattice or a simplex: d would be infinite), or
            distinct rows nearer each other than 1e-140 times the largest magnitude.

    Example:
        >>> import numpy as np
        >>> found = two_nn(np.random.default_rng(0).standard_normal((1000, 3)) @ np.ones((3, 8)) * np.arange(1.0, 9))
        >>> print(f"{found.value:.2f}, {found.n} rows")  # on a line, whatever the width
        0.97, 1000 rows
    """
    check_arguments(two_nn, locals())
    from scipy.special import gammaincinv

    if not 0 <= discard < 1:
        raise SonoscaleError(f"discard must be in [0, 1), not {discard}")
    if not 0 < level < 1:
        raise SonoscaleError(f"level must be in (0, 1), not {level}")
    rows = float_rows(embeddings, "embeddings")
    distinct = _distinct(rows)
    n = len(distinct)
    if n < FEWEST:
        raise SonoscaleError(f"two_nn needs at least {FEWEST} distinct rows, not {n} (of {len(rows)} rows)")
    kept = n - max(1, round(discard * n))
    if kept < 2:
        raise SonoscaleError(f"discard={discard} leaves {kept} of {n} distinct rows for the fit, which needs 2")
    first, second = _two_nearest(distinct)
    close = np.count_nonzero(first < CLOSEST)
    if close:
        raise SonoscaleError(
            f"{close} of {n} distinct rows are nearer another than {CLOSEST:g} times the largest magnitude, which "
            "float64 cannot square: drop near-copies"
        )
    log_mu = np.sort(np.log(second / first))
    if log_mu[kept - 1] < 1e-9:  # rounding of the distances, with room
        raise SonoscaleError(
            f"the two nearest neighbours of {np.count_nonzero(log_mu < 1e-9)} of {n} distinct rows are equally far "
            "(a lattice, a simplex or coarse rounding): the dimension would be infinite"
        )
    x, y = log_mu[:kept], -np.log1p(-np.arange(1, kept + 1) / n)
    total = log_mu.sum()
    low, high = gammaincinv(n, [0.5 - level / 2, 0.5 + level / 2]) / total  # half the quantiles of chi-squared
    return TwoNN(
        value=float(x @ y / (x @ x)), mle=float(n / total), low=float(low), high=float(high), level=level,
        n=n, duplicates=len(rows) - n,
    )  # fmt: skip


def _distinct(rows: np.ndarray) -> np.ndarray:
    """The first of each set of equal rows, in order."""
    rows = np.ascontiguousarray(rows + 0.0)  # -0.0 becomes 0.0, so that equal rows have equal bytes
    _, index = np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))), return_index=True)
    return rows[np.sort(index)]


def _two_nearest(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of each row to its nearest and second nearest other row, over a power of two."""
    from scipy.spatial.distance import cdist

    rows = np.ldexp(rows, -np.frexp(np.abs(rows).max())[1])  # largest magnitude in [0.5, 1): squares do not overflow
    centred = rows - rows.mean(axis=0)
    # |x|^2 + |y|^2 - 2 xy is off by at most `slack * (|x|^2 + |y|^2)`: less that, it is a lower bound.
    slack = (2 * rows.shape[1] + 16) * np.finfo(np.float64).eps
    norms = (1.0 - slack) * np.einsum("ij,ij->i", centred, centred)
    squares = np.empty((len(rows), 2))
    for start in range(0, len(rows), BLOCK):
        here = np.arange(start, min(start + BLOCK, len(rows)))
        bound = centred[here] @ centred.T
        bound *= -2.0
        bound += norms
        bound += norms[here, None]
        bound[here - start, here] = np.inf
        near = np.argpartition(bound, CANDIDATES - 1, axis=1)[:, :CANDIDATES]
        exact = np.empty(near.shape)
        for column in range(CANDIDATES):
            difference = rows[here] - rows[near[:, column]]
            exact[:, column] = np.einsum("ij,ij->i", difference, difference)
        squares[here] = np.partition(exact, 1, axis=1)[:, :2]
        elsewhere = np.take_along_axis(bound, near, axis=1).max(axis=1)  # no row outside `near` is closer than this
        unsure = here[squares[here, 1] > elsewhere]
        if unsure.size:
            full = cdist(rows[unsure], rows, "sqeuclidean")  # from differences
            full[np.arange(unsure.size), unsure] = np.inf
            squares[unsure] = np.partition(full, 1, axis=1)[:, :2]
    first, second = np.sqrt(squares).T
    return first, second
