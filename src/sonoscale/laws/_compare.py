"""One score against several candidate variables under several laws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from sonoscale._figure import new_axes
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.laws._correlation import Correlation, spearman
from sonoscale.laws._data import as_names, check_draws, constant_column, shortfall
from sonoscale.laws._fit_form import fit_form
from sonoscale.laws._fitted import Fit
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws._runs import RunTable
from sonoscale.laws._target import Target
from sonoscale.laws.forms import Form, find_form
from sonoscale.results import Result, plain

__all__ = ["Comparison", "compare"]

_SCORES = {1.0: ("power", "saturating"), 100.0: ("power", "saturating_percent"), np.inf: ("power",)}
"""Ceiling of y -> the forms that are compared where none is named."""
_LOSSES = ("power_loss", "saturating_loss")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Comparison(Result):
    """Which variable predicts y, and by which law.

    Attributes:
        runs: the table that was read, with its held-out rows, which are not fitted.
        target: y, and which end of it is good. (Forms are fitted to y as it is, on their own scale.)
        fits: every law that could be fitted, in the order of the variables and then of the forms.
        correlations: Spearman's rho of each variable that varies (none with fewer than 4 clusters).
        skipped: (variable, form) -> why that law was not fitted.
    """

    runs: RunTable
    target: Target
    fits: list[Fit]
    correlations: dict[str, Correlation]
    skipped: dict[tuple[str, str], str]

    @property
    def y(self) -> str:
        """The column that is predicted."""
        return self.target.name

    @property
    def headline(self) -> str:
        """The variable that predicts y best, by the error over clusters left out."""
        counts = self.runs.fitted.counts
        if not self.fits:
            return f"{self.y} of {counts}: no law could be fitted"
        one = min(self.fits, key=lambda fit: fit.loo_rmse)
        return f"{self.y} of {counts}: {one.x_name} predicts it best ({one.form.name})"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each variable and form, with the error over clusters left out and Spearman's rho."""
        return [
            {"x": one.x_name, "form": one.form.name, "loo_rmse": one.loo_rmse, "r2": one.r2, "aicc": one.aicc,
             "rho": self.correlations[one.x_name].value if one.x_name in self.correlations else None}
            for one in self.fits
        ]  # fmt: skip

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

    def plot(self, ax: Any = None) -> Any:
        """The error over clusters left out of each law, best first, coloured by its variable.

        Arguments:
            ax: matplotlib Axes to draw on, or None for new ones.

        Returns:
            The Axes.

        Raises:
            SonoscaleError: No law could be fitted, or matplotlib is not installed.
        """
        if not self.fits:
            raise SonoscaleError(f"{self.headline}: there is nothing to draw")
        known = sorted((one for one in self.fits if np.isfinite(one.loo_rmse)), key=lambda one: one.loo_rmse)
        names = list(dict.fromkeys(one.x_name for one in self.fits))
        ax = new_axes(ax, figsize=(6.4, 1.2 + 0.35 * len(known)), layout="tight")
        places = range(len(known))
        ax.barh(places, [one.loo_rmse for one in known], color=[f"C{names.index(one.x_name) % 10}" for one in known])
        ax.set_yticks(places, [f"{one.x_name}, {one.form.name}" for one in known])
        ax.invert_yaxis()
        ax.set_xlabel(f"error of {self.y} over clusters left out")
        return ax

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values; `best` maps a variable to the name of its best form."""
        return {
            "y": self.y,
            "target": plain(self.target),
            "n": len(self.runs.fitted),
            "n_clusters": self.runs.fitted.n_clusters,
            "fits": [one.as_dict() for one in self.fits],
            "best": {one.x_name: self.best(one.x_name).form.name for one in self.fits},
            "correlations": {name: one.as_dict() for name, one in self.correlations.items()},
            "skipped": [{"x": name, "form": form, "reason": reason} for (name, form), reason in self.skipped.items()],
        }


@in_one_line
def compare(
    source: Source,
    x: str | Sequence[str],
    *,
    forms: str | Form | Sequence[str | Form] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    **reading: Unpack[Reading],
) -> Comparison:
    """Fit each form to y against each variable, on the same resampled clusters wherever they allow it.

    Arguments:
        source: a `RunTable`, or whatever `read_runs` reads. Held-out rows are left aside.
        x: the columns to compare, their values above zero.
        forms: names or `Form`s. None: `power` and `saturating` for a score (`saturating_percent` for a percentage),
            `power` alone for what has no ceiling, and `power_loss` and `saturating_loss` where less is better.
        bootstrap, seed, level: as in `fit_form`.
        reading: how the table is read (see `read_runs`).

    Returns:
        The `Comparison`. A variable that is constant, or has too few values or clusters for a form, is in `skipped`
        with its reason.

    Raises:
        SonoscaleError: For what `read_runs` refuses, malformed columns, a constant y, or too few clusters for every
            form.

    Example:
        >>> runs = {"params": [1e6, 2e6, 4e6, 8e6, 16e6], "hours": [9, 3, 7, 1, 4], "loss": [3.2, 2.8, 2.5, 2.2, 1.95]}
        >>> found = compare(runs, ["params", "hours"], y="loss", forms=["power_loss"], bootstrap=100)
        >>> found.best("params").loo_rmse < found.best("hours").loo_rmse
        True
    """
    check_draws(bootstrap, level, seed)
    names = as_names(x, "x")
    if not names:
        raise SonoscaleError("x names no column")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise SonoscaleError(f"x names {twice!r} twice")
    read = as_runs(source, **reading).whole("compare fits one set of laws")
    read = read.use(positive=names, with_y=True).apart(*names)
    target = read.target(along=names)
    runs = read.fitted.ordered(read.y, *names)
    if forms is None:
        forms = _SCORES[target.ceiling] if target.higher_is_better else _LOSSES
    given = (forms,) if isinstance(forms, (str, Form)) or not isinstance(forms, Iterable) else tuple(forms)
    if not given:
        raise SonoscaleError("forms names no form")
    chosen = list({found.name: found for found in map(find_form, given)}.values())
    y = runs[read.y]
    constant = constant_column(y, name=read.y)
    if constant:
        raise SonoscaleError(constant)
    labels = runs.clusters
    shared: dict[str, Any] = {"clusters": labels, "bootstrap": bootstrap, "seed": seed, "level": level}
    fits: list[Fit] = []
    correlations: dict[str, Correlation] = {}
    skipped: dict[tuple[str, str], str] = {}
    for name in names:
        column = runs[name]
        lacks = {form.name: shortfall(form, column, runs.clusters, x_name=name) for form in chosen}
        skipped.update({(name, form): reason for form, reason in lacks.items() if reason})
        if constant_column(column, name=name):
            continue
        if all(lacks.values()) and runs.n_clusters <= min(len(form.parameters) for form in chosen):
            raise SonoscaleError("; ".join(filter(None, lacks.values())))
        for form in chosen:
            if lacks[form.name] is None:
                fits.append(fit_form(form, column, y, x_name=name, y_name=read.y, rows=runs.rows, **shared))
        if runs.n_clusters >= 4:
            correlations[name] = spearman(column, y, x_name=name, y_name=read.y, **shared)
    return Comparison(runs=read, target=target, fits=fits, correlations=correlations, skipped=skipped)
