"""Checks of what a user hands in: every refusal names the column, the row and the value."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws.forms import Form

__all__ = [
    "as_clusters",
    "as_column",
    "as_names",
    "as_variables",
    "canonical_order",
    "check_draws",
    "check_level",
    "check_pair",
    "codes_of",
    "constant_column",
    "distinct_rows",
    "numbered",
    "shortfall",
]


def as_names(given: Any, option: str) -> tuple[str, ...]:
    """Names of columns: of one, or of several.

    Raises:
        SonoscaleError: With the option, for what is neither.
    """
    if isinstance(given, str):
        return (given,)
    if isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)):
        names = tuple(given)
        if all(isinstance(name, str) for name in names):
            return tuple(map(str, names))
    raise SonoscaleError(f"{option} must be the name of a column, or a list of names, not {given!r}")


def as_column(
    values: Any, *, name: str, positive: bool = False, rows: Sequence[int] | NDArray[np.intp] | None = None
) -> NDArray[np.float64]:
    """The values as float64 [n]; `rows` [n] are their places in the user's table, for messages.

    Raises:
        SonoscaleError: Unless they are a flat sequence of finite numbers (above zero if `positive`).
    """
    raw = np.asarray(values)
    places = range(len(raw)) if rows is None and raw.ndim else rows
    if raw.ndim != 1 or places is None:
        raise SonoscaleError(f"{name} must be a flat sequence of numbers, not an array of shape {raw.shape}")
    if raw.dtype.kind not in "biuf":
        wrong = [row for row, value in enumerate(raw.tolist()) if not isinstance(value, (int, float, np.number))]
        # One word in a column of numbers makes words of them all: the word is what to name.
        row = next((row for row in wrong if not _reads_as_number(raw[row])), wrong[0] if wrong else None)
        if row is not None:
            raise SonoscaleError(f"{name}, row {places[row]}: {raw.tolist()[row]!r} is not a number")
    try:
        column = raw.astype(np.float64)
    except OverflowError:  # whole numbers that no float holds
        column = np.array([_as_float(value) for value in raw.tolist()])
    bad = ~np.isfinite(column)
    if bad.any():
        row = int(bad.argmax())
        raise SonoscaleError(f"{name}, row {places[row]}: {column[row]} is not a finite number")
    if positive and (column <= 0).any():
        row = int((column <= 0).argmax())
        raise SonoscaleError(f"{name}, row {places[row]}: {column[row]:g} is not above zero, as a power of it needs")
    return column


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _reads_as_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def check_pair(x: NDArray[np.float64], y: NDArray[np.float64], *, x_name: str, y_name: str) -> None:
    """Refuse what cannot be used.

    Raises:
        SonoscaleError: Where the two columns differ in length or are empty.
    """
    if len(x) != len(y):
        raise SonoscaleError(f"{x_name} has {len(x)} rows but {y_name} has {len(y)}")
    if len(x) == 0:
        raise SonoscaleError(f"{x_name} and {y_name} have no rows")


def as_clusters(clusters: Iterable[Hashable] | None, n: int) -> NDArray[np.intp]:
    """The cluster of each row, numbered in order of first appearance: [n]. None: each row is its own."""
    if clusters is None:
        return np.arange(n)
    if isinstance(clusters, np.ndarray) and clusters.dtype.kind in "iu" and clusters.shape == (n,):
        return numbered(clusters)
    labels = list(clusters)
    if len(labels) != n:
        raise SonoscaleError(f"clusters has {len(labels)} rows but the data have {n}")
    numbers: dict[Hashable, int] = {}
    for row, label in enumerate(labels):
        if label is None or (isinstance(label, (float, np.floating)) and math.isnan(label)):
            raise SonoscaleError(f"clusters, row {row}: {label!r} names no cluster")
        try:
            numbers.setdefault(label, len(numbers))
        except TypeError:
            raise SonoscaleError(f"clusters, row {row}: {label!r} is a list, not a label") from None
    return np.array([numbers[label] for label in labels], dtype=np.intp)


def numbered(labels: Sequence[Hashable] | NDArray[Any]) -> NDArray[np.intp]:
    """The number of each label, in order of first appearance: [n]."""
    if isinstance(labels, np.ndarray):
        _, first, place = np.unique(labels, return_index=True, return_inverse=True)
        order = np.empty(len(first), dtype=np.intp)
        order[np.argsort(first)] = np.arange(len(first))
        return order[place]
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.intp)


def canonical_order(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """An order of the rows that depends on their values alone, so that their order in a file changes nothing.

    Arguments:
        *columns: [n] or [n, V], numbers; the last sorts first.
    """
    return np.lexsort(np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1).T)


def codes_of(values: NDArray[Any]) -> NDArray[np.intp]:
    """A number for each value [n], equal where the values are; NaN equals NaN, and 1 is not 1.0 nor true."""
    if values.dtype.kind == "f":
        bits = np.where(np.isnan(values), np.nan, values.astype(np.float64)).view(np.int64)
        return np.unique(bits, return_inverse=True)[1].reshape(-1)
    if values.dtype.kind in "biu":
        return np.unique(values, return_inverse=True)[1].reshape(-1)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(repr(one), len(numbers)) for one in values.tolist()], dtype=np.intp)


def constant_column(column: NDArray[np.float64], *, name: str) -> str | None:
    """Why nothing can be learnt along this column, or None where it varies."""
    if np.ptp(column) <= 1e-12 * np.abs(column).max():
        if len(column) == 1:
            return f"{name} has one value only ({column[0]:g}): there is a single row"
        return f"{name} is constant ({column[0]:g} in all {len(column)} rows)"
    return None


def as_variables(x: Any, names: tuple[str, ...], form: Form) -> NDArray[np.float64]:
    """x as [n] for a form of one variable, as [n, V] for more.

    Raises:
        SonoscaleError: Unless there is one column, above zero, for each of the form's variables.
    """
    wanted = form.variables
    if len(names) != len(wanted):
        raise SonoscaleError(
            f"form {form.name!r} has {len(wanted)} variable{'s' * (len(wanted) > 1)} ({', '.join(wanted)}), "
            f"but x has {len(names)} ({', '.join(names)})"
        )
    raw = np.asarray(x)
    if len(wanted) == 1:
        one = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else x
        return as_column(one, name=names[0], positive=True)
    if raw.ndim != 2 or raw.shape[1] != len(wanted):
        raise SonoscaleError(f"x must be [n, {len(wanted)}] for {', '.join(names)}, not of shape {raw.shape}")
    return np.stack([as_column(raw[:, i], name=name, positive=True) for i, name in enumerate(names)], axis=1)


def distinct_rows(x: NDArray[np.float64], enough: int) -> int:
    """How many different rows x [n] or [n, V] has, or a lower bound of them that is `enough`."""
    few = len(np.unique(x[:10000], axis=0))
    return few if few >= enough or len(x) <= 10000 else len(np.unique(x, axis=0))


def shortfall(form: Form, x: NDArray[np.float64], clusters: NDArray[np.intp], *, x_name: str) -> str | None:
    """Why these data are too few for this form, or None where they suffice. x_name: names joined by commas."""
    needed = len(form.parameters)
    for column, name in zip(x.T if x.ndim == 2 else (x,), x_name.split(", "), strict=False):
        constant = constant_column(column, name=name)
        if constant:
            return constant
    groups = int(clusters.max()) + 1
    if groups < needed + 1:
        return (
            f"form {form.name!r} has {needed} parameters and needs at least {needed + 1} clusters, "
            f"but there are {groups}"
        )
    distinct = distinct_rows(x, needed)
    if distinct < needed:
        return f"form {form.name!r} has {needed} parameters, but {x_name} has only {distinct} different values"
    return None


def check_level(level: Any, *, least: float = 0.0, most: float = 1.0) -> None:
    """Refuse what cannot be used.

    Raises:
        SonoscaleError: Unless the level of intervals is a number in (0, 1), from `least` to `most`.
    """
    if not isinstance(level, (float, np.floating)) or not (0.0 < level < 1.0 and least <= level <= most):
        raise SonoscaleError(f"level must lie between {least:g} and {most:g} (such as 0.95), not {level!r}")


def check_draws(bootstrap: Any, level: Any, seed: Any = 0, *, name: str = "bootstrap") -> None:
    """Refuse what cannot be used; `name` of the resamples, for messages.

    Raises:
        SonoscaleError: Unless the level is in (0, 1), the resamples reach its tails, and the seed is a whole number.
    """
    check_level(level)
    for option, value in ((name, bootstrap), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise SonoscaleError(f"{option} must be a whole number, 0 or more, not {value!r}")
    least = math.ceil(round(4.0 / (1.0 - level), 6))
    if bootstrap < least:
        raise SonoscaleError(f"{name}={bootstrap} is too few for level={level:g}: take at least {least}")
