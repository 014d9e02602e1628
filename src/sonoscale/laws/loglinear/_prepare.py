"""From a table to the matrix of a log-linear model; every refusal names what is wrong."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_clusters
from sonoscale.laws._screen import check_columns, screen
from sonoscale.laws.loglinear._diagnose import dependent_terms
from sonoscale.laws.loglinear._scale import Scale, find_scale
from sonoscale.laws.loglinear._terms import Term, family_terms, is_categorical, labels_of, make_terms, term_matrix

__all__ = ["Prepared", "prepare"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
Table = Mapping[str, Sequence[Any] | NDArray[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """What is fitted.

    Attributes:
        X: [n, P], `z` [n]: the columns of the terms after one of ones, and y on the scale of the sum.
        target: y in its unit [n].
        rows: the place of each row in the table [n].
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

    def ordered(self, order: Codes) -> Prepared:
        """The rows in this order, clusters numbered as they appear."""
        moved = {name: getattr(self, name)[order] for name in ("X", "z", "target", "members", "families", "rows")}
        moved["clusters"] = as_clusters(self.clusters[order].tolist(), len(order))
        return Prepared(**{**vars(self), **moved})


def prepare(
    table: Table,
    *,
    y: str,
    x: Sequence[str],
    log: Sequence[str] | None,
    y_scale: str,
    family: str | None,
    effects: str,
    interactions: Sequence[tuple[str, str]],
    clusters: str | Sequence[str] | None,
) -> Prepared:
    """Checks everything that can be checked before a fit."""
    scale = find_scale(y_scale)
    names = (x,) if isinstance(x, str) else tuple(x)
    if effects not in ("fixed", "random"):
        raise SonoscaleError(f"effects is 'fixed' or 'random', not {effects!r}")
    if not names and family is None:
        raise SonoscaleError("x names no column")
    for name in (y, family):
        if name is not None and name in names:
            raise SonoscaleError(f"{name!r} is in x and is {'y' if name == y else 'the family'}")
    n = check_columns(table, y, *names, *([] if family is None else [family]))
    if n == 0:
        raise SonoscaleError("the table has no rows")
    numeric = [name for name in names if not is_categorical(table, name)]
    terms, levels = make_terms(table, names, log, interactions)
    logged = sorted({part.column for term in terms for part in term.parts if part.kind == "log"})
    screened = screen(table, x=numeric, y=y, clusters=clusters, family=family, log=logged)
    told = list(screened.warnings)

    _check_levels(table, levels, screened.clusters)
    members, labels = np.zeros(n, dtype=np.intp), ()
    if screened.families is not None and family is not None:
        if len(set(screened.families)) == 1:
            raise SonoscaleError(f"{family} is {screened.families[0]!r} in all rows: one family has no effect to fit")
        labels, added = family_terms(screened.families, family)
        places = {label: i for i, label in enumerate(labels)}
        members = np.array([places[label] for label in screened.families], dtype=np.intp)
        told += _lonely_families(family, labels, members, screened.clusters, effects)
        if effects == "fixed":
            terms, levels = (*terms, *added), levels | {family: labels}
    X = term_matrix(terms, table, n)
    groups = int(screened.clusters.max()) + 1
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
        warnings=tuple(told), X=X, z=scale.apply(target, name=y), target=target, members=members,
        families=members if effects == "random" else np.zeros(n, dtype=np.intp),
        clusters=screened.clusters, rows=np.arange(n),
    )  # fmt: skip


def _lonely_families(
    family: str, labels: tuple[Hashable, ...], members: Codes, clusters: Codes, effects: str
) -> list[str]:
    """A note on each family of one cluster, whose own effect could not be told from that cluster's error."""
    notes = []
    for place, label in enumerate(labels):
        rows = np.flatnonzero(members == place)
        if len(set(clusters[rows].tolist())) > 1:
            continue
        what = f"row {rows[0]}" if len(rows) == 1 else f"{len(rows)} rows of one cluster"
        if effects == "fixed":
            raise SonoscaleError(
                f"{family} {label!r} has only {what}, and a fixed effect of its own would explain whatever is in it: "
                "leave it out, or take effects='random'"
            )
        notes.append(f"{family} {label!r} has only {what}: its effect cannot be told from its error")
    return notes


def _check_levels(table: Table, levels: Mapping[str, tuple[Hashable, ...]], clusters: Codes) -> None:
    for name, known in levels.items():
        values = labels_of(table, name)
        for level in known:
            rows = [row for row, value in enumerate(values) if value == level]
            if len(set(clusters[rows].tolist())) < 2:
                what = f"row {rows[0]}" if len(rows) == 1 else f"{len(rows)} rows of one cluster"
                raise SonoscaleError(
                    f"{name} is {level!r} in {what} only: a coefficient of its own would explain whatever is in it"
                )
