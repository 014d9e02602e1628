"""Which way a quantity runs, so that one panel of falling curves serves losses, scores and ranks alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import constant_column
from sonoscale.laws._screen import is_score, mixed_units
from sonoscale.laws.forms._form import Array

__all__ = ["Direction", "Orientation", "orient"]

Direction = Literal["falling", "score", "rising"]


@dataclass(frozen=True)
class Orientation:
    """How y becomes a positive quantity that falls with scale, and back.

    Attributes:
        direction: "falling" (a loss: y itself), "score" (y rises to a known top: top - y) or "rising" (y rises without
            a known top: 1 / y).
        top: 1 or 100 for a score, else infinite.
    """

    direction: Direction
    top: float = np.inf

    def down(self, y: Array) -> Array:
        """y as what falls."""
        if self.direction == "score":
            return self.top - y
        return 1.0 / y if self.direction == "rising" else y

    def up(self, fallen: Array) -> Array:
        """What falls as y again."""
        return self.down(fallen)

    def ends(self, low: Array, high: Array) -> tuple[Array, Array]:
        """An interval of what falls as one of y, lower end first."""
        if self.direction == "falling":
            return low, high
        return self.up(high), self.up(low)

    @property
    def words(self) -> str:
        """What is fitted, in words."""
        if self.direction == "score":
            return f"{self.top:g} - y, since y rises and lies in 0..{self.top:g}"
        return "1 / y, since y rises" if self.direction == "rising" else "y"


def orient(size: Array, y: Array, *, direction: Direction | None, y_name: str) -> Orientation:
    """The orientation of y [n] along size [n]: as told, or by the sign of Spearman's correlation.

    A rising y within 0..1, or 0..100, is a score if it is called one (see `screen`). One within 0..1 that is not is
    taken for a score too if it exceeds 0.1; say the direction where that is wrong.

    Raises:
        SonoscaleError: Where y is not above zero, where it is a score that reaches its top, or where no direction is
            given and all sizes are the same.
    """
    if (y <= 0).any():
        row = int((y <= 0).argmax())
        raise SonoscaleError(f"{y_name}, row {row}: {y[row]:g} is not above zero, and its logarithm is taken")
    if direction is None:
        if constant_column(size, name="size"):
            raise SonoscaleError(
                f"all runs have the same size ({size[0]:g}), along which {y_name} neither falls nor rises: "
                "say the direction, or give another column for size"
            )
        falls = float(np.corrcoef(stats.rankdata(size), stats.rankdata(y))[0, 1]) <= 0
        direction = "falling" if falls else "rising"
        named = is_score(y_name)
        if direction == "rising" and (0.1 < y.max() <= 1.0 or (named and y.max() <= 100.0)):
            direction = "score"
    top = np.inf
    if direction == "score":
        reason = mixed_units(y, y_name)
        if reason:
            raise SonoscaleError(reason)
        top = 1.0 if y.max() <= 1.0 else 100.0
        if y.max() >= top:
            row = int(y.argmax())
            raise SonoscaleError(
                f"{y_name}, row {row}: {y[row]:g} leaves no error below {top:g} whose logarithm could be taken"
            )
    return Orientation(direction, top)
