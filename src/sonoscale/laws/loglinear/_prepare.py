"""From a table to the matrix of a log-linear model; every refusal names what is wrong."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_clusters, as_names
from sonoscale.laws._runs import RunTable
from sonoscale.laws._screen import screen_runs
from sonoscale.laws.loglinear._diagnose import dependent_terms
from sonoscale.laws.loglinear._scale import Scale, find_scale
from sonoscale.laws.loglinear._terms import Term, family_terms, is_categorical, labels_of, make_terms, term_matrix

__all__ = ["Prepared", "checked", "prepare"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """What is fitted.

    Attributes:
        X: [n, P], `z` [n]: the columns of the terms after one of ones, and y on the scale of the sum.
        target: y in its unit [n].
        rows: the place of each row among those fitted [n]. places: the same in the user's table.
        members: the family of each row [n], all 0 without families.
        families: the same where effects are random, otherwise all 0.
        clusters: numbered from 0 [n].
    """

    y: str
    x: tuple[str, ...]
    scale: Scale
    family: str | None
    effects: str
    terms: tuple[Term, ...]
    levels: dict[str, tuple[Hashable, ...]]
    family_names: tuple[Hashable, ...]
    ranges: dict[str, tuple[float, float]]
    warnings: tuple[str, ...]
    X: Array
    z: Array
    target: Array
    members: Codes
    families: Codes
    clusters: Codes
    rows: Codes
    places: Codes

    def ordered(self, order: Codes) -> Prepared:
        """The rows in this order, clusters numbered as they appear."""
        moved = {
            name: getattr(self, name)[order] for name in ("X", "z", "target", "members", "families", "rows", "places")
        }
        moved["clusters"] = as_clusters(self.clusters[order].tolist(), len(order))
        return Prepared(**{**vars(self), **moved})


def checked(runs: RunTable, x: str | Sequence[str], *also: str) -> RunTable:
    """The table with the columns of x, of `also` (numbers) and of the family checked.

    Raises:
        SonoscaleError: For a name in x that is not a column, or is y or the family, and for malformed cells.
    """
    names = as_names(x, "x")
    family = runs.family_by
    if not names and family is None:
        raise SonoscaleError("x names no column")
    for name in (runs.y, family):
        if name is not None and name in names:
            raise SonoscaleError(f"{name!r} is in x and is {'y' if name == runs.y else 'the family'}")
    runs.need(*names)
    numbers = [name for name in names if not is_categorical(runs.columns, name, runs.rows)]
    labels = [name for name in names if name not in numbers] + ([family] if family else [])
    return runs.use(*numbers, *also, labels=labels, with_y=True).apart(*names)


def prepare(
    runs: RunTable,
    *,
    y: str,
    x: Sequence[str],
    log: Sequence[str] | None,
    y_scale: str,
    effects: str,
    interactions: Sequence[tuple[str, str]],
) -> Prepared:
    """Checks everything that can be checked before a fit of y, which need not be the table's, in checked columns."""
    scale = find_scale(y_scale)
    names, family = as_names(x, "x"), runs.family_by
    if not isinstance(effects, str) or effects not in ("fixed", "random"):
        raise SonoscaleError(f"effects is 'fixed' or 'random', not {effects!r}")
    n, table, clusters = len(runs), runs.columns, runs.clusters
    numeric = [name for name in names if not is_categorical(table, name)]
    terms, levels = make_terms(table, names, log, interactions, rows=runs.rows)
    logged = sorted({part.column for term in terms for part in term.parts if part.kind == "log"})
    screened = screen_runs(replace(runs, y=y), x=numeric, log=logged)
    notes = list(screened.warnings)

    _check_levels(table, levels, clusters, runs.rows)
    members, labels = np.zeros(n, dtype=np.intp), ()
    if family is not None:
        families: list[Hashable] = runs[family].tolist()
        if len(set(families)) == 1:
            raise SonoscaleError(f"{family} is {families[0]!r} in all rows: one family has no effect to fit")
        labels, added = family_terms(families, family)
        number = {label: i for i, label in enumerate(labels)}
        members = np.array([number[label] for label in families], dtype=np.intp)
        notes += _lonely_families(family, labels, members, clusters, runs.rows, effects)
        if effects == "fixed":
            terms, levels = (*terms, *added), levels | {family: labels}
    X = term_matrix(terms, table, n)
    groups = runs.n_clusters
    if groups < X.shape[1] + 1:
        raise SonoscaleError(
            f"{X.shape[1]} coefficients (intercept, {', '.join(term.name for term in terms)}) need at least "
            f"{X.shape[1] + 1} clusters, but there are {groups}"
        )
    dependent = dependent_terms(X, terms)
    if dependent:
        raise SonoscaleError(f"one of these is a combination of the others, leave it out: {', '.join(dependent)}")
    target = screened.columns[y]
    return Prepared(
        y=y, x=names, scale=scale, family=family, effects=effects, terms=terms, levels=levels, family_names=labels,
        ranges={name: (float(screened.columns[name].min()), float(screened.columns[name].max())) for name in numeric},
        warnings=tuple(notes), X=X, z=scale.apply(target, name=y, rows=runs.rows), target=target, members=members,
        families=members if effects == "random" else np.zeros(n, dtype=np.intp),
        clusters=clusters, rows=np.arange(n), places=runs.rows,
    )  # fmt: skip


def _lonely_families(
    family: str, labels: tuple[Hashable, ...], members: Codes, clusters: Codes, places: Codes, effects: str
) -> list[str]:
    """A note on each family of one cluster, whose own effect cannot be separated from that cluster's error."""
    notes = []
    for place, label in enumerate(labels):
        rows = np.flatnonzero(members == place)
        if len(set(clusters[rows].tolist())) > 1:
            continue
        what = f"row {places[rows[0]]}" if len(rows) == 1 else f"{len(rows)} rows of one cluster"
        if effects == "fixed":
            raise SonoscaleError(
                f"{family} {label!r} has only {what}, and a fixed effect of its own would explain whatever is in it: "
                "leave it out, or take effects='random'"
            )
        notes.append(f"{family} {label!r} has only {what}: its effect cannot be separated from its error")
    return notes


def _check_levels(
    table: Mapping[str, NDArray[Any]], levels: Mapping[str, tuple[Hashable, ...]], clusters: Codes, places: Codes
) -> None:
    for name, known in levels.items():
        values = labels_of(table, name)
        for level in known:
            rows = [row for row, value in enumerate(values) if value == level]
            if len(set(clusters[rows].tolist())) < 2:
                what = f"row {places[rows[0]]}" if len(rows) == 1 else f"{len(rows)} rows of one cluster"
                raise SonoscaleError(
                    f"{name} is {level!r} in {what} only: a coefficient of its own would explain whatever is in it"
                )
