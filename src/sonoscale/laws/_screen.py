"""What is wrong with runs, and what is doubtful, before anything is fitted to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_column, constant_column
from sonoscale.laws._names import is_score
from sonoscale.laws._runs import RunTable
from sonoscale.laws._target import mixed_units

__all__ = ["Screened", "as_given", "screen_runs"]

Array = NDArray[np.float64]

_ALPHA = 0.025  # one-sided, on each side of a turning point


@dataclass(frozen=True, eq=False, kw_only=True)
class Screened:
    """The columns of runs that can be fitted.

    Attributes:
        columns: x and y, name -> finite float64 [n], in their own units.
        warnings: what a reader of any fit to them must know, one sentence each.
    """

    columns: dict[str, Array]
    warnings: tuple[str, ...]


def screen_runs(runs: RunTable, *, x: Sequence[str], log: Sequence[str] = (), least: int = 2) -> Screened:
    """Refuses runs that cannot be fitted, and says what is doubtful about those that can.

    A score (a column called score, quality, accuracy, error, F1, mAP, AUC, WER or the like) mixes percentages
    with fractions if all its values lie in 0..100, some in (0, 1] and some above 1.5, none between, and the
    smallest of the latter is at least 5 times the largest of the former. Nor may a few values
    (a tenth at most) lie between 1 and 1.5 in a score of which all others are at or below 1.

    y turns in x if a parabola (in log x where x is in `log`) has its vertex inside the data and straight lines
    on both sides of it have slopes of unlike sign, each beyond 0 at one-sided 2.5 % with errors clustered
    (the two lines of Simonsohn, Advances in Methods and Practices in Psychological Science 1, 2018). The slope
    over any part of a law that rises is not below 0, whether it saturates or not, so that a bend alone does not
    count. Other x are taken out linearly.

    Arguments:
        runs: the rows to fit.
        x: the columns that y is fitted to; numbers.
        log: those of them whose logarithm is taken.
        least: how many rows the fit needs.

    Raises:
        SonoscaleError: With column, row and value, for a value that is no number, infinite, or not above zero where the
            logarithm is taken, a constant column, percentages mixed with fractions, and fewer rows than `least`.
    """
    n, y = len(runs), runs.y
    if n < least:
        raise SonoscaleError(f"{n} row{'s' * (n != 1)} to fit, but this fit needs at least {least}")
    columns = {
        name: as_column(runs[name], name=name, positive=name in log, rows=runs.rows) for name in dict.fromkeys((*x, y))
    }
    for name, column in columns.items():
        reason = constant_column(column, name=name) or (
            mixed_units(column, name, runs.rows) if is_score(name) else None
        )
        if reason:
            raise SonoscaleError(reason)
    scaled = {name: np.log(column) if name in log else column for name, column in columns.items()}
    notes = [note for name in x if (note := _turn(name, x, y, scaled, columns, runs.clusters))]
    return Screened(columns=columns, warnings=tuple(notes))


def as_given(values: Any) -> NDArray[Any]:
    """The values as an array that keeps numbers among text as numbers."""
    if not isinstance(values, np.ndarray) and any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.asarray(values)


def _turn(
    name: str,
    xs: Sequence[str],
    y: str,
    scaled: Mapping[str, Array],
    columns: Mapping[str, Array],
    groups: NDArray[np.intp],
) -> str | None:
    """Where y turns in this x, or None where it does not."""
    u, v = scaled[name], scaled[y]
    others = [np.ones_like(u)] + [scaled[other] for other in xs if other != name]
    centred = (u - u.mean()) / u.std()
    parabola = np.linalg.lstsq(np.stack([centred, centred**2, *others], axis=1), v, rcond=None)[0]
    if parabola[1] == 0:
        return None
    vertex = u.mean() - 0.5 * parabola[0] / parabola[1] * u.std()
    if not u.min() < vertex < u.max():
        return None
    before = _slope(u, v, others, groups, u <= vertex)
    after = _slope(u, v, others, groups, u >= vertex)
    if before is None or after is None or not max(before[1], after[1]) < _ALPHA or before[0] * after[0] >= 0:
        return None
    at = columns[name][np.abs(u - vertex).argmin()]
    ways = ("rises", "falls") if before[0] > 0 else ("falls", "rises")
    return (
        f"{y} {ways[0]} with {name} up to about {at:.3g} and {ways[1]} beyond it: no law that only rises or falls fits"
    )


def _slope(
    u: Array, v: Array, others: list[Array], groups: NDArray[np.intp], rows: NDArray[np.bool_]
) -> tuple[float, float] | None:
    """The slope of v in u over these rows, and the one-sided p-value of its sign with clustered errors."""
    from scipy import stats

    rest = np.stack(others, axis=1)[rows]
    present = np.bincount(groups[rows]) > 0
    freedom = int(present.sum()) - 1 - int(np.linalg.matrix_rank(rest))
    if freedom < 1:
        return None
    left = u[rows] - rest @ np.linalg.lstsq(rest, u[rows], rcond=None)[0]
    aim = v[rows] - rest @ np.linalg.lstsq(rest, v[rows], rcond=None)[0]
    total = float(left @ left)
    if total <= 1e-12 * float(u[rows] @ u[rows]):
        return None
    slope = float(left @ aim) / total
    scores = np.bincount(groups[rows], weights=left * (aim - slope * left))[present]
    error = math.sqrt(float(scores @ scores) * len(scores) / freedom) / total
    p = 0.0 if error == 0 else float(stats.t.sf(abs(slope) / error, freedom))
    return slope, p
