"""Which rows of a table are fitted and held out, and where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._screen import check_columns

__all__ = ["row_places", "split_rows"]

Table = Mapping[str, Sequence[Any] | NDArray[Any]]


def split_rows(table: Table, y: str, held_out: ArrayLike | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to fit and rows to hold out."""
    count = check_columns(table, y)
    if held_out is None:
        return np.arange(count), np.arange(0)
    held = np.asarray(held_out, dtype=bool)
    if held.shape != (count,):
        raise SonoscaleError(f"held_out must be [{count}], one for each row, not of shape {held.shape}")
    if not held.any() or held.all():
        raise SonoscaleError(f"{'no row is' if not held.any() else 'all rows are'} held out: nothing to compare")
    return np.flatnonzero(~held), np.flatnonzero(held)


def row_places(places: ArrayLike | None, count: int) -> NDArray[np.intp]:
    """Places of the rows [n] in the user's table."""
    found = np.arange(count) if places is None else np.asarray(places, dtype=np.intp)
    if found.shape != (count,):
        raise SonoscaleError(f"places must be [{count}], one for each row, not of shape {found.shape}")
    return found
