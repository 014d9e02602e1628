"""Whether more of a quality is better: as a user says, by its name, and by how it runs in the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import constant_column
from sonoscale.laws._names import more_is_better

__all__ = ["is_better"]

Array = NDArray[np.float64]

_BY_CHANCE = 0.05  # p-value of a direction


def is_better(name: str, y: Array, size: Array | None, *, along: str, told: bool | None) -> bool | None:
    """Whether more of y [n] is better: as told, else by its name, else as it runs along size [n].

    Arguments:
        name: of y.
        along: of size, in words.
        told: what the user says, or None.
        size: what the training cost or was made of, or None where that is not known.

    Returns:
        None where nothing says so.

    Raises:
        SonoscaleError: Where the name says one and the data, beyond chance, the other.
    """
    if told is not None:
        return told
    named = more_is_better(name)
    if size is None or len(y) < 3 or constant_column(size, name=along) or constant_column(y, name=name):
        return named
    rho = float(np.corrcoef(stats.rankdata(size), stats.rankdata(y))[0, 1])
    if named is None:
        return rho > 0
    freedom = len(y) - 2
    p = float(2 * stats.t.sf(abs(rho) * np.sqrt(freedom / max(1 - rho**2, 1e-15)), freedom))
    if (rho < 0) == named and rho != 0 and p < _BY_CHANCE:
        way, kind = ("falls", "a score") if named else ("rises", "a loss")
        raise SonoscaleError(
            f"{name} {way} with {along} (Spearman's rho {rho:.2f} over {len(y)} rows), though by its name it is "
            f"{kind}: say which is better (higher_is_better)"
        )
    return named
