"""The minima of one objective, from many starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.laws._newton import Objective, minimise
from sonoscale.laws.forms._form import Array

__all__ = ["Search", "search"]

_FOLLOWED = 8  # starts that are followed to the bottom
_SAME = 1e-6  # relative difference of objectives that are one minimum


@dataclass(frozen=True, eq=False)
class Search:
    """Minima of one objective, best first.

    Attributes:
        params: [M, P], minima that differ.
        value: [M], the objective there.
        starts: how many starts were followed.
        agreed: how many of them ended at the best minimum.
    """

    params: Array
    value: Array
    starts: int
    agreed: int


def search(objective: Objective) -> Search:
    """Follows the most promising of the form's starts to the bottom.

    Raises:
        SonoscaleError: Where the form is not finite at any of its starts.
    """
    starts = objective.form.starts(objective.x, objective.y)
    first = objective.value(objective.to_search(starts), np.ones((len(starts), len(objective.y))))
    chosen = starts[np.argsort(first)[:_FOLLOWED]]
    weights = np.ones((len(chosen), len(objective.y)))
    params, value = minimise(objective, weights, chosen)
    if not np.isfinite(value).any():
        raise SonoscaleError(
            f"form {objective.form.name!r}: no start of the search gives a finite curve on these data; "
            "rescale x or y, or try another form"
        )
    order = np.argsort(value)
    params, value = params[order], value[order]
    same = value <= value[0] * (1 + _SAME) + 1e-300
    kept = [0]
    for i in range(1, len(value)):
        if np.isfinite(value[i]) and value[i] > value[kept[-1]] * (1 + _SAME) + 1e-300:
            kept.append(i)
    return Search(params[kept], value[kept], len(chosen), int(same.sum()))
