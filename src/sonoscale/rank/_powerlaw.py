"""The decay of the spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.rank._entropy import checked

FEWEST = 5


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
            f"alpha-ReQ is fitted on eigenvalues {first} to {last}, of which {len(s)} are there and positive: "
            f"at least {FEWEST} are needed"
        )
    index = np.arange(first, first + len(s), dtype=np.float64)
    x, y = np.log(index), 2 * np.log(s)
    slope, intercept = np.polyfit(x, y, 1, w=np.sqrt(1 / index))
    left = y - (slope * x + intercept)
    around = y - np.average(y, weights=1 / index)
    r2 = 1.0 - float(np.sum(left**2 / index) / np.sum(around**2 / index)) if np.ptp(y) > 0 else 1.0
    return PowerLaw(-float(slope), float(np.exp(intercept)), first, first + len(s) - 1, r2)
