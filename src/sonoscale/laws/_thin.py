"""Large tables: what is searched and resampled on some of the clusters, and finished on all rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._newton import Objective, minimise
from sonoscale.laws.forms._form import Array

__all__ = ["MOST_RESAMPLED", "polished", "shrunk", "thinned", "thinned_note"]

MOST_RESAMPLED = 5000
"""Rows that are resampled at most; of larger tables, about so many are drawn."""

_LEAST_CLUSTERS = 500  # drawn whole before rows within clusters are left out
_FARTHEST = 20.0  # of the search parameter: a draw at a bound lies there


def thinned(clusters: NDArray[np.intp], most: int, seed: int = 0) -> NDArray[np.intp] | None:
    """About `most` of the rows, in order, or None where there are no more.

    Whole clusters at random, 500 of them at least; where their rows are still more, each keeps its share, one row at
    least. All clusters stay where there are no more than 500.
    """
    n = len(clusters)
    if n <= most:
        return None
    rng = np.random.default_rng(seed)
    rows_of = np.bincount(clusters)
    order = rng.permutation(len(rows_of))
    whole = int(np.searchsorted(np.cumsum(rows_of[order]), most, side="right"))
    chosen = np.zeros(len(rows_of), dtype=bool)
    chosen[order[: max(whole, min(_LEAST_CLUSTERS, len(rows_of)))]] = True
    rows = np.flatnonzero(chosen[clusters])
    if len(rows) <= most:
        return rows
    shuffled = rng.permutation(rows)
    _, first = np.unique(clusters[shuffled], return_index=True)
    rest = np.delete(shuffled, first)
    more = max(most - len(first), 0)
    return np.sort(np.concatenate([shuffled[first], rest[:more]]))


def thinned_note(n: int, drawn: int, what: str) -> str:
    """What a reader must know of a table that was thinned."""
    return f"{what} of {drawn} of the {n} rows, drawn by configuration; the law itself is fitted to all"


def polished(objective: Objective, start: Array) -> Array:
    """The minimum [P] of the objective over all rows, next to one that some of the rows gave.

    A few Newton steps: one alone from an estimate of some of the rows is as good as the minimum to first order
    (Le Cam, University of California Publications in Statistics 3, 1956). Parameters at a bound stay there.
    """
    held = tuple(i for i, (low, high) in enumerate(objective.form.bounds) if not low < start[i] < high)
    found, _ = minimise(
        replace(objective, held=held), np.ones((1, len(objective.y))), start[None], tolerance=1e-10, iterations=20
    )
    return np.where(np.isin(np.arange(len(start)), held), start, found[0])


def shrunk(objective: Objective, draws: Array, about: Array, best: Array, share: float) -> Array:
    """Draws [R, P] about the estimate of some of the clusters, as draws about that of all of them.

    Deviations of the search parameters shrink by the root of the share of clusters that were drawn: the bootstrap of m
    of n (Bickel, Goetze and van Zwet, Statistica Sinica 7, 1997).
    """
    off = np.clip(objective.to_search(draws) - objective.to_search(about), -_FARTHEST, _FARTHEST)
    moved = objective.from_search(objective.to_search(best) + np.sqrt(share) * off)[0]
    low, high = np.array(objective.form.bounds).T
    return np.where((best > low) & (best < high), moved, best)
