"""Which way a quantity runs, for plans."""

from __future__ import annotations

import numpy as np
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import constant_column
from sonoscale.laws._names import is_score
from sonoscale.laws._target import Direction, Target, mixed_units
from sonoscale.laws.forms._form import Array

__all__ = ["Direction", "orient"]


def orient(size: Array, y: Array, *, direction: Direction | None, y_name: str) -> Target:
    """The target of y [n] along size [n]: as told, or by the sign of Spearman's correlation."""
    if direction is None:
        if constant_column(size, name="size"):
            raise SonoscaleError(
                f"all runs have the same size ({size[0]:g}), along which {y_name} neither falls nor rises: "
                "say the direction, or give another column for size"
            )
        falls = float(np.corrcoef(stats.rankdata(size), stats.rankdata(y))[0, 1]) <= 0
        direction = "falling" if falls else "rising"
        if direction == "rising" and (0.1 < y.max() <= 1.0 or (is_score(y_name) and y.max() <= 100.0)):
            direction = "score"
    ceiling = np.inf
    if direction == "score":
        reason = mixed_units(y, y_name)
        if reason:
            raise SonoscaleError(reason)
        ceiling = 1.0 if y.max() <= 1.0 else 100.0
    target = Target(y_name, direction != "falling", ceiling)
    target.check(y)
    return target
