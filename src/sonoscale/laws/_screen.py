"""What is wrong with a table, before anything is fitted to it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_clusters, as_column, constant_column
from sonoscale.laws._names import is_score
from sonoscale.laws._runs import RunTable
from sonoscale.laws._target import mixed_units

__all__ = ["Screened", "as_given", "check_columns", "screen", "screen_runs"]

Array = NDArray[np.float64]
Table = Mapping[str, Sequence[Any] | NDArray[Any]]

_CLUSTER, _PLACE = " cluster", " place"  # columns that no table has, as names are stripped
_ALPHA = 0.025  # one-sided, on each side of a turning point


@dataclass(frozen=True, eq=False, kw_only=True)
class Screened:
    """The columns of a table that can be fitted.

    Attributes:
        columns: x and y, name -> finite float64 [n], in their own units.
        clusters: the cluster of each row, numbered from 0: [n]. Rows that repeat one another are in one.
        families: the family of each row: [n], or None.
        warnings: what a reader of any fit to this table must know, one sentence each.
    """

    columns: dict[str, Array]
    clusters: NDArray[np.intp]
    families: list[Hashable] | None
    warnings: tuple[str, ...]


def screen(
    table: Table,
    *,
    x: str | Sequence[str],
    y: str,
    log: str | Sequence[str] = (),
    clusters: str | Sequence[str] | None = None,
    family: str | None = None,
    least: int = 2,
    rows: Sequence[int] | NDArray[np.intp] | None = None,
) -> Screened:
    """Refuses a table that cannot be fitted, and says what is doubtful about one that can. Rows count from 0.

    A score (a column called score, quality, accuracy, error, F1, mAP, AUC, WER or the like) mixes percentages
    with fractions if all its values lie in 0..100, some in (0, 1] and some above 1.5, none between, and the
    smallest of the latter is at least 5 times the largest of the former. Nor may a few values
    (a tenth at most) lie between 1 and 1.5 in a score of which all others are at or below 1.

    Rows that are equal in all columns of the table are kept, weigh twice, and share a cluster (as do the
    clusters that they were in), so that they add no certainty.

    y turns in x if a parabola (in log x where x is in `log`) has its vertex inside the data and straight lines
    on both sides of it have slopes of unlike sign, each beyond 0 at one-sided 2.5 % with errors clustered
    (the two lines of Simonsohn, Advances in Methods and Practices in Psychological Science 1, 2018). The slope
    over any part of a law that rises is not below 0, whether it saturates or not, so that a bend alone does not
    count. Other x, and the means of families, are taken out linearly.

    Arguments:
        table: column name -> values, all of one length n.
        x, y: the columns to be fitted; numbers.
        log: those of them whose logarithm is taken.
        clusters: the column, or columns together, that say which rows depend on one another; None: none do.
        family: the column of families.
        least: how many rows the fit needs.
        rows: [n] places in the user's table, for messages; None: 0, 1, 2, ...

    Returns:
        The `Screened`.

    Raises:
        SonoscaleError: With column, row and value, for a column that is not in the table or of another length, a value
            that is missing, no number, infinite, or not above zero where the logarithm is taken, a constant column,
            percentages mixed with fractions, and fewer rows than `least`.
    """
    xs, logs = _names(x), _names(log)
    labels = _names(clusters)
    n = check_columns(table, y, *xs, *labels, *_names(family))
    if n < least:
        raise SonoscaleError(f"the table has {n} row{'s' * (n != 1)}, but this fit needs at least {least}")
    columns = {name: as_column(as_given(table[name]), name=name, positive=name in logs, rows=rows) for name in (*xs, y)}
    for name, column in columns.items():
        reason = constant_column(column, name=name) or (mixed_units(column, name, rows) if is_score(name) else None)
        if reason:
            raise SonoscaleError(reason)

    groups = as_clusters(None if not labels else list(zip(*(_checked(table, c) for c in labels), strict=True)), n)
    families = None if family is None else _checked(table, family)
    notes: list[str] = []
    repeats = _repeats(table, n)
    if repeats:
        groups = _merged(groups, repeats)
        notes.append(_repeats_note(repeats))
    if families is not None and len(set(families)) == 1:
        notes.append(f"{family} is {families[0]!r} in all rows: nothing is learnt about other families")
    scaled = {name: np.log(column) if name in logs else column for name, column in columns.items()}
    notes += [note for name in xs if (note := _turn(name, xs, y, scaled, columns, groups, families))]
    return Screened(columns=columns, clusters=groups, families=families, warnings=tuple(notes))


def screen_runs(runs: RunTable, *, x: Sequence[str], log: Sequence[str] = (), least: int = 2) -> Screened:
    """The same of runs whose columns were checked: they have their clusters and places, and no copies.

    Raises:
        SonoscaleError: As `screen`.
    """
    columns = {name: runs[name] for name in (*x, runs.y)} | {_CLUSTER: runs.clusters, _PLACE: runs.rows}
    return screen(columns, x=x, y=runs.y, log=log, clusters=_CLUSTER, least=least, rows=runs.rows)


def check_columns(table: Table, y: str, *others: str) -> int:
    """The number of rows.

    Raises:
        SonoscaleError: For a column that is not in the table, and for columns of unlike lengths.
    """
    for name in (y, *others):
        if name not in table:
            raise SonoscaleError(f"the table has no column {name!r}; there are: {', '.join(map(str, table))}")
    n = len(table[y])
    for name, column in table.items():
        if len(column) != n:
            raise SonoscaleError(f"{name} has {len(column)} rows but {y} has {n}")
    return n


def as_given(values: Any) -> NDArray[Any]:
    """The values as an array that keeps numbers among text as numbers."""
    if not isinstance(values, np.ndarray) and any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.asarray(values)


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _checked(table: Table, name: str) -> list[Hashable]:
    values = as_given(table[name]).tolist()
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            raise SonoscaleError(f"{name}, row {row}: no value")
    return values


def _repeats(table: Table, n: int) -> list[list[int]]:
    """Rows that are equal in all columns, by twos or more, in order."""
    columns = [as_given(column).tolist() for column in table.values()]
    rows_of: dict[str, list[int]] = {}
    for row in range(n):  # as text, for which NaN equals NaN
        rows_of.setdefault(repr([column[row] for column in columns]), []).append(row)
    return [rows for rows in rows_of.values() if len(rows) > 1]


def _merged(clusters: NDArray[np.intp], repeats: list[list[int]]) -> NDArray[np.intp]:
    merged = clusters.copy()
    for rows in repeats:
        merged[np.isin(merged, merged[rows])] = merged[rows].min()
    return as_clusters(merged.tolist(), len(merged))


def _repeats_note(repeats: list[list[int]]) -> str:
    shown = "; ".join(", ".join(map(str, rows[:6])) + (", ..." if len(rows) > 6 else "") for rows in repeats[:5])
    more = f"; and {len(repeats) - 5} more" if len(repeats) > 5 else ""
    return (
        f"rows are the same in all columns (rows {shown}{more}): each keeps its weight, but they count as one "
        "cluster and add no certainty"
    )


def _turn(
    name: str,
    xs: Sequence[str],
    y: str,
    scaled: Mapping[str, Array],
    columns: Mapping[str, Array],
    groups: NDArray[np.intp],
    families: list[Hashable] | None,
) -> str | None:
    """Where y turns in this x, or None where it does not."""
    u, v = scaled[name], scaled[y]
    others = [np.ones_like(u)] + [scaled[other] for other in xs if other != name]
    if families is not None:
        names = list(dict.fromkeys(families))
        others += [np.array([one == label for one in families], dtype=float) for label in names[1:]]
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
    rest = np.stack(others, axis=1)[rows]
    numbers = np.unique(groups[rows], return_inverse=True)[1]
    freedom = int(numbers.max(initial=-1)) - int(np.linalg.matrix_rank(rest))
    if freedom < 1:
        return None
    left = u[rows] - rest @ np.linalg.lstsq(rest, u[rows], rcond=None)[0]
    aim = v[rows] - rest @ np.linalg.lstsq(rest, v[rows], rcond=None)[0]
    total = float(left @ left)
    if total <= 1e-12 * float(u[rows] @ u[rows]):
        return None
    slope = float(left @ aim) / total
    scores = np.bincount(numbers, weights=left * (aim - slope * left))
    error = math.sqrt(float(scores @ scores) * len(scores) / freedom) / total
    p = 0.0 if error == 0 else float(stats.t.sf(abs(slope) / error, freedom))
    return slope, p
