"""The terms of a log-linear model, and their columns over any table."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_column, as_names
from sonoscale.laws._names import is_size
from sonoscale.laws._screen import as_given

__all__ = ["Part", "Term", "family_terms", "is_categorical", "labels_of", "make_terms", "term_matrix"]

Array = NDArray[np.float64]
Table = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """One factor of a term: the log of a column, the column itself, or whether it holds this level."""

    column: str
    kind: Literal["log", "number", "level"]
    level: Hashable = None

    @property
    def name(self) -> str:
        if self.kind == "level":
            return f"{self.column}={self.level}"
        return f"log {self.column}" if self.kind == "log" else self.column


@dataclass(frozen=True)
class Term:
    """A product of parts, with one coefficient."""

    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return " * ".join(part.name for part in self.parts)

    @property
    def is_interaction(self) -> bool:
        return len(self.parts) > 1


def make_terms(
    table: Table,
    x: Sequence[str],
    log: Sequence[str] | None,
    interactions: Sequence[tuple[str, str]],
    rows: Sequence[int] | NDArray[np.intp] | None = None,
) -> tuple[tuple[Term, ...], dict[str, tuple[Hashable, ...]]]:
    """The terms of these columns, and the levels of the categorical ones (the first is the reference).

    Raises:
        SonoscaleError: For a column of `log` or `interactions` that is not in x, for a column of text that is logged,
            has one level only, or holds numbers and text.
    """
    if len(set(x)) < len(x):
        raise SonoscaleError(f"x names a column twice: {', '.join(x)}")
    log = None if log is None else as_names(log, "log")
    for name in log or ():
        if name not in x:
            raise SonoscaleError(f"log names {name!r}, which is not in x: {', '.join(x)}")
    parts: dict[str, tuple[Part, ...]] = {}
    levels: dict[str, tuple[Hashable, ...]] = {}
    for name in x:
        if is_categorical(table, name):
            if log is not None and name in log:
                raise SonoscaleError(f"log names {name!r}, which holds text")
            levels[name] = _levels(table, name)
            parts[name] = tuple(Part(name, "level", level) for level in levels[name][1:])
        else:
            column = as_column(table[name], name=name, rows=rows)
            if is_size(name) if log is None else name in log:
                as_column(column, name=name, positive=True, rows=rows)
            logged = name in log if log is not None else _can_be_logged(table[name], column)
            parts[name] = (Part(name, "log" if logged else "number"),)
    terms = [Term((part,)) for name in x for part in parts[name]]
    if isinstance(interactions, (str, bytes)) or not isinstance(interactions, Iterable):
        raise SonoscaleError(f"interactions must be a list of pairs of columns of x, not {interactions!r}")
    for given in interactions:
        pair = as_names(given, "a pair of interactions")
        if len(pair) != 2:
            raise SonoscaleError(f"interactions are pairs of columns of x, not {given!r}")
        one, other = pair
        for name in pair:
            if name not in x:
                raise SonoscaleError(f"interactions name {name!r}, which is not in x: {', '.join(x)}")
        if one == other and one in levels:
            raise SonoscaleError(f"interactions name {one!r} twice, which holds text")
        terms += [Term((a, b)) for a in parts[one] for b in parts[other]]
    return tuple(terms), levels


def family_terms(families: Sequence[Hashable], name: str) -> tuple[tuple[Hashable, ...], tuple[Term, ...]]:
    """The families in order, and a term for each but the first, which is the reference."""
    labels = tuple(_sorted(set(families)))
    return labels, tuple(Term((Part(name, "level", label),)) for label in labels[1:])


def term_matrix(terms: Sequence[Term], table: Table, n: int, rows: NDArray[np.intp] | None = None) -> Array:
    """The columns of the terms, after a column of ones: [n, 1 + terms]; `rows` [n] are places, for messages."""
    columns = [np.ones(n)]
    numbers: dict[tuple[str, bool], Array] = {}
    for term in terms:
        column = np.ones(n)
        for part in term.parts:
            if part.kind == "level":
                column = column * np.array([value == part.level for value in labels_of(table, part.column)])
            else:
                key = part.column, part.kind == "log"
                if key not in numbers:
                    numbers[key] = as_column(table[part.column], name=part.column, positive=key[1], rows=rows)
                column = column * (np.log(numbers[key]) if key[1] else numbers[key])
        columns.append(column)
    return np.stack(columns, axis=1)


def is_categorical(table: Table, name: str, rows: Sequence[int] | NDArray[np.intp] | None = None) -> bool:
    """Whether a column holds text; `rows` [n] are its places in the user's table, for messages.

    Raises:
        SonoscaleError: With the row, where text stands among numbers.
    """
    raw = as_given(table[name])
    if raw.dtype.kind in "biuf":
        return False
    values = raw.tolist()
    numeric = [_is_number(value) for value in values]
    if any(numeric):
        if all(isinstance(value, (int, float)) for value in values):
            return False
        odd = [not isinstance(v, (int, float)) for v in values]
        row = numeric.index(False) if False in numeric else odd.index(True)
        raise SonoscaleError(f"{name}, row {row if rows is None else rows[row]}: {values[row]!r} is not a number")
    return True


def labels_of(table: Table, name: str) -> list[Hashable]:
    """The values of a column of labels.

    Raises:
        SonoscaleError: With the row, where one is missing.
    """
    values = as_given(table[name]).tolist()
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            raise SonoscaleError(f"{name}, row {row}: no value")
    return values


def _can_be_logged(raw: Any, column: Array) -> bool:
    return as_given(raw).dtype.kind != "b" and bool((column > 0).all())


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _levels(table: Table, name: str) -> tuple[Hashable, ...]:
    found = _sorted(set(labels_of(table, name)))
    if len(found) == 1:
        raise SonoscaleError(f"{name} is constant ({found[0]!r} in all rows)")
    return tuple(found)


def _sorted(values: set[Hashable]) -> list[Hashable]:
    return sorted(values, key=lambda v: (isinstance(v, str), v if isinstance(v, (int, float)) else 0, str(v)))
