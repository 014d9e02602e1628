"""One score against several candidate variables under several laws."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._correlation import Correlation, spearman
from sonoscale.laws._data import as_clusters, as_column, check_pair, constant_column, shortfall
from sonoscale.laws._fit_form import fit_form
from sonoscale.laws._fitted import Fit
from sonoscale.laws.forms import Form, find_form

__all__ = ["Comparison", "compare"]

_SCORES = ("power", "saturating")
_LOSSES = ("power_loss", "saturating_loss")


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """Which variable foretells the score, and by which law.

    Attributes:
        y: name of the score.
        higher_is_better: which way is good.
        fits: every law that could be fitted, in the order of the variables and then of the forms.
        correlations: Spearman's rho of each variable that varies (none with fewer than 4 clusters).
        skipped: (variable, form) -> why that law was not fitted.
    """

    y: str
    higher_is_better: bool
    fits: list[Fit]
    correlations: dict[str, Correlation]
    skipped: dict[tuple[str, str], str]

    def best(self, x: str) -> Fit:
        """The law of this variable with the smallest leave-one-cluster-out error.

        Raises:
            SonoscaleError: Where no law was fitted to it, with the reason.
        """
        fitted = [one for one in self.fits if one.x_name == x]
        if fitted:
            return min(fitted, key=lambda one: one.loo_rmse)
        reasons = [f"{form}: {reason}" for (name, form), reason in self.skipped.items() if name == x]
        names = list(dict.fromkeys([one.x_name for one in self.fits] + [name for name, _ in self.skipped]))
        raise SonoscaleError(
            f"no law of {self.y} in {x}: {'; '.join(reasons)}"
            if reasons
            else f"{x!r} was not compared; there are: {', '.join(names)}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values; `best` maps a variable to the name of its best form."""
        return {
            "y": self.y,
            "higher_is_better": self.higher_is_better,
            "fits": [one.as_dict() for one in self.fits],
            "best": {one.x_name: self.best(one.x_name).form.name for one in self.fits},
            "correlations": {name: one.as_dict() for name, one in self.correlations.items()},
            "skipped": [{"x": name, "form": form, "reason": reason} for (name, form), reason in self.skipped.items()],
        }


def compare(
    table: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    y: str,
    x: Sequence[str],
    clusters: str | None = None,
    forms: Sequence[str | Form] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    higher_is_better: bool = True,
) -> Comparison:
    """Fits each form to y against each variable, on the same resampled clusters wherever they allow it.

    Arguments:
        table: column name -> values, all of one length.
        y: the column of the score or loss.
        x: the columns to compare, their values above zero.
        clusters: the column that says which rows depend on one another (the configuration of a run); None takes every
            row as independent.
        forms: names or `Form`s. None: `power` and `saturating` for a score, and `power_loss` and `saturating_loss`
            where `higher_is_better` is false.
        bootstrap, seed, level: as in `fit`.
        higher_is_better: whether y is a score or a loss.

    Returns:
        The `Comparison`. A variable that is constant, or has too few values or clusters for a form, is in `skipped`
        with its reason.

    Raises:
        SonoscaleError: For a column that is not in the table, malformed columns, a constant y, or too few clusters for
            every form.
    """
    names = (x,) if isinstance(x, str) else tuple(x)
    chosen = [find_form(form) for form in (forms or (_SCORES if higher_is_better else _LOSSES))]
    for name in (y, *names, *([] if clusters is None else [clusters])):
        if name not in table:
            raise SonoscaleError(f"the table has no column {name!r}; there are: {', '.join(map(str, table))}")
    score = as_column(table[y], name=y)
    columns = {name: as_column(table[name], name=name, positive=True) for name in names}
    for name, column in columns.items():
        check_pair(column, score, x_name=name, y_name=y)
    constant = constant_column(score, name=y)
    if constant:
        raise SonoscaleError(constant)
    labels: list[Hashable] | None = None if clusters is None else _labels(table[clusters])
    groups = as_clusters(labels, len(score))

    fits: list[Fit] = []
    correlations: dict[str, Correlation] = {}
    skipped: dict[tuple[str, str], str] = {}
    for name, column in columns.items():
        lacks = {form.name: shortfall(form, column, groups, x_name=name) for form in chosen}
        skipped.update({(name, form): reason for form, reason in lacks.items() if reason})
        if constant_column(column, name=name):
            continue
        if all(lacks.values()) and int(groups.max()) + 1 <= min(len(form.parameters) for form in chosen):
            raise SonoscaleError("; ".join(filter(None, lacks.values())))
        for form in chosen:
            if lacks[form.name] is None:
                fits.append(
                    fit_form(
                        form,
                        column,
                        score,
                        clusters=labels,
                        bootstrap=bootstrap,
                        seed=seed,
                        level=level,
                        x_name=name,
                        y_name=y,
                    )
                )
        if int(groups.max()) + 1 >= 4:
            correlations[name] = spearman(
                column,
                score,
                clusters=labels,
                bootstrap=bootstrap,
                seed=seed,
                level=level,
                x_name=name,
                y_name=y,
            )
    return Comparison(y=y, higher_is_better=higher_is_better, fits=fits, correlations=correlations, skipped=skipped)


def _labels(values: Iterable[Any]) -> list[Hashable]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)
