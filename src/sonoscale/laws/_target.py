"""What is fitted: y, which end of it is good, its ceiling, and the falling positive quantity that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._names import is_bounded, is_error_rate, is_score, more_is_better

__all__ = ["UNITS", "Direction", "Target", "Unit", "find_target", "mixed_units"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Direction = Literal["falling", "score", "rising"]
Unit = Literal["fraction", "percent", "none"]

UNITS: tuple[Unit, ...] = ("fraction", "percent", "none")
"""Of a y of which more is better: it ends at 1, at 100, or nowhere."""

_TOPS: dict[Unit, float] = {"fraction": 1.0, "percent": 100.0, "none": np.inf}
_BY_CHANCE = 0.05  # p-value of a direction
_GAP = 5.0  # between the largest fraction and the smallest percentage of a mixed column


@dataclass(frozen=True)
class Target:
    """y, and how it becomes a positive quantity that falls with scale.

    Attributes:
        name: the column.
        higher_is_better: which end of it is good.
        ceiling: 1 or 100 for a score, infinite for what has no top, or where less is better.
        because: how that is known: "as asked", "by its name", "as it rises with flops".
        most: 1 or 100 for an error rate, of which less is better, else infinite: where intervals end.
    """

    name: str
    higher_is_better: bool
    ceiling: float = np.inf
    because: str = "as asked"
    most: float = np.inf

    @property
    def direction(self) -> Direction:
        """`falling`: fitted as it is; `score`: as its distance from the ceiling; `rising`: as its inverse."""
        if not self.higher_is_better:
            return "falling"
        return "score" if np.isfinite(self.ceiling) else "rising"

    @property
    def words(self) -> str:
        """What is fitted, in words: `loss`, `100 - esc50`, `1 / rankme`."""
        return {"falling": self.name, "score": f"{self.ceiling:g} - {self.name}", "rising": f"1 / {self.name}"}[
            self.direction
        ]

    def down(self, y: Array) -> Array:
        """y as what falls."""
        if self.direction == "score":
            return self.ceiling - y
        return 1.0 / y if self.direction == "rising" else y

    def up(self, fallen: Array) -> Array:
        """What falls as y again."""
        return self.down(fallen)

    def ends(self, low: Array, high: Array) -> tuple[Array, Array]:
        """An interval of what falls as one of y, lower end first, within what y can be."""
        low, high = (low, high) if self.direction == "falling" else (self.up(high), self.up(low))
        return self.clip(low), self.clip(high)

    def clip(self, y: Array) -> Array:
        """y within what it can be: 0 to the ceiling of a score, 0 to 1 (or 100) for an error rate."""
        top = min(self.ceiling, self.most)
        return np.clip(y, 0.0, top) if np.isfinite(top) else y

    def check(self, y: Array, rows: Sequence[int] | Index | None = None) -> None:
        """Refuse y [n] of which what is fitted has no logarithm; `rows` [n] are its places in the table.

        Raises:
            SonoscaleError: With column, row and value.
        """
        bad = y >= self.ceiling if self.direction == "score" else y <= 0
        if bad.any():
            i = int(bad.argmax())
            where = f"{self.name}, row {i if rows is None else rows[i]}: {y[i]:g}"
            if self.direction == "score":
                raise SonoscaleError(f"{where} leaves no error below {self.ceiling:g} whose logarithm could be taken")
            raise SonoscaleError(f"{where} is not above zero, and the logarithm of {self.words} is fitted")


def find_target(
    name: str,
    y: Array,
    *,
    size: Array | None,
    along: str,
    clusters: Index | None = None,
    higher_is_better: bool | None = None,
    unit: Unit | None = None,
    rows: Sequence[int] | Index | None = None,
    unsure: bool = False,
) -> Target | None:
    """Which end of y is good and where it ends: as asked, else by its name, else as it runs along size.

    Arguments:
        name: of y. `along`: of size, in words.
        y: [n], finite.
        size: [n], what the training cost or was made of, above zero; None where that is not known.
        clusters: [n]; directions are judged over their means, so that copies of a run prove nothing. None: each row
            is one.
        higher_is_better: what the user says, or None.
        unit: what the user says of a y of which more is better, or None: a fraction if it is called a score or lies
            within 0 to 1, a percentage if it is called one.
        rows: [n] places in the user's table, for messages; None: 0, 1, 2, ...
        unsure: what may as well be a percentage as have no ceiling is taken to have none, and not refused.

    Returns:
        The `Target`, or None where nothing says which end is good.

    Raises:
        SonoscaleError: Where the name says one and the data, beyond chance, the other; for fractions mixed with
            percentages; for a value above the ceiling; and where y may as well be a percentage as have no ceiling.
    """
    better, because = higher_is_better, "as asked"
    rho, p, count = _trend(size, y, clusters)
    if better is None:
        better, because = more_is_better(name), "by its name"
        if better is None:
            if rho == 0.0:
                if unit is None:
                    return None
                better, because = True, "as it has a unit"
            else:
                better, because = rho > 0, f"as it {'rises' if rho > 0 else 'falls'} with {along}"
        elif (rho < 0) == better and rho != 0.0 and p < _BY_CHANCE:
            way, kind = ("falls", "a score") if better else ("rises", "a loss")
            raise SonoscaleError(
                f"{name} {way} with {along} (Spearman's rho {rho:.2f} over {count} runs), though by its name it is "
                f"{kind}: say which is better (higher_is_better)"
            )
    ceiling = _ceiling(name, y, better, unit, rows, unsure)
    return Target(name, better, ceiling, because, np.inf if better else _most(name, y, unit))


def _most(name: str, y: Array, unit: Unit | None) -> float:
    """The most that y can be, of which less is better: of an error rate 1, or 100."""
    top = float(y.max(initial=0.0))
    if unit is not None:
        return _TOPS[unit] if top <= _TOPS[unit] else np.inf
    if not is_error_rate(name) or top > 100.0 or float(y.min(initial=0.0)) < 0.0:
        return np.inf
    return 1.0 if top <= 1.0 else 100.0 if top > 1.5 else np.inf


def _trend(size: Array | None, y: Array, clusters: Index | None) -> tuple[float, float, int]:
    """Spearman's rho of y and size over means of clusters, its p-value, and how many there are."""
    from scipy import stats

    if size is None:
        return 0.0, 1.0, 0
    known = np.isfinite(size) & np.isfinite(y) & (size > 0)
    s, v = np.log(size[known]), y[known]
    if clusters is not None and len(s):
        groups = np.unique(clusters[known], return_inverse=True)[1]
        count = np.bincount(groups)
        s, v = np.bincount(groups, s) / count, np.bincount(groups, v) / count
    n = len(s)
    if n < 3 or np.ptp(s) <= 1e-12 * np.abs(s).max() or np.ptp(v) <= 1e-12 * np.abs(v).max():
        return 0.0, 1.0, n
    rho = float(np.corrcoef(stats.rankdata(s), stats.rankdata(v))[0, 1])
    freedom = n - 2
    return rho, float(2 * stats.t.sf(abs(rho) * np.sqrt(freedom / max(1 - rho**2, 1e-15)), freedom)), n


def _ceiling(
    name: str, y: Array, higher_is_better: bool, unit: Unit | None, rows: Sequence[int] | Index | None, unsure: bool
) -> float:
    places = range(len(y)) if rows is None else rows
    if not higher_is_better:
        reason = mixed_units(y, name, places) if is_score(name) else None
        if reason:
            raise SonoscaleError(reason)
        return np.inf
    top, low = float(y.max(initial=-np.inf)), float(y.min(initial=np.inf))
    if unit is None:
        bounded = is_bounded(name)
        if bounded is None and is_score(name):
            bounded = top <= 100.0
        if low < 0 or top > 100.0 or bounded is False:
            return np.inf
        reason = mixed_units(y, name, places)
        if reason and (bounded or top <= 1.5):
            raise SonoscaleError(reason)
        if bounded or 0.1 < top <= 1.0:
            unit = "fraction" if top <= 1.0 else "percent"
        elif top > 1.0 and not unsure:
            raise SonoscaleError(
                f"{name} rises and lies within 0 to 100 ({low:g} to {top:g}): say whether it is a percentage, which "
                "ends at 100, or has no ceiling (unit: percent or none)"
            )
        else:
            return np.inf
    elif unit not in UNITS:
        raise SonoscaleError(f"unit must be one of {', '.join(UNITS)}, not {unit!r}")
    ceiling = _TOPS[unit]
    if top > ceiling or (np.isfinite(ceiling) and low < 0):
        i = int(y.argmax() if top > ceiling else y.argmin())
        raise SonoscaleError(f"{name}, row {places[i]}: {y[i]:g} is no {unit.replace('percent', 'percentage')}")
    return ceiling


def mixed_units(column: Array, name: str, rows: Sequence[int] | Index | None = None) -> str | None:
    """Why a score [n] seems to mix percentages with fractions (see `screen_runs`), or None where it does not."""
    places = range(len(column)) if rows is None else rows
    if not len(column) or column.min() < 0 or column.max() > 100:
        return None
    fractions, percentages = (column > 0) & (column <= 1), column > 1.5
    if is_bounded(name) and 1 < column.max() <= 1.5 and np.mean(column <= 1) >= 0.9:
        row = int(column.argmax())
        return f"{name}, row {places[row]}: {column[row]:g} is above 1 in a column of fractions"
    if not fractions.any() or not percentages.any() or ((column > 1) & ~percentages).any():
        return None
    one = int(np.where(fractions, column, -np.inf).argmax())
    other = int(np.where(percentages, column, np.inf).argmin())
    if column[other] < _GAP * column[one]:
        return None
    return (
        f"{name} mixes fractions with percentages: {column[one]:g} in row {places[one]}, {column[other]:g} in row "
        f"{places[other]}; write all as fractions (a column of percentages divided by 100 passes)"
    )
