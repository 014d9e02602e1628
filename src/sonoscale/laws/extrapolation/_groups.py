"""One law for each group of a table, with its held-out rows foretold."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_column
from sonoscale.laws._estimate import Prediction
from sonoscale.laws._fit_form import fit_form
from sonoscale.laws._fitted import Fit
from sonoscale.laws._names import is_score
from sonoscale.laws._screen import as_given, check_columns, screen
from sonoscale.laws._target import mixed_units
from sonoscale.laws.extrapolation._result import Extrapolation
from sonoscale.laws.extrapolation._rule import extrapolate
from sonoscale.results import plain

__all__ = ["GroupLaw", "fit_groups"]

Table = Mapping[str, NDArray[Any]]

_ROW = re.compile(r"\brows? \d")


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupLaw:
    """The law of one group, or why there is none.

    Attributes:
        group: column -> value.
        error: why nothing was fitted, or None.
        law: the extrapolation, and `fit` the one form with bootstrap intervals, None under `auto`.
        rows: [m] places in the table of the held-out rows.
        forecast: for them.
        truth: [m], NaN where unknown.
        rmse_log: root mean squared error of log y over held-out rows that are known, or None.
        coverage, naive_coverage: share of these inside the intervals, or None.
        seconds: what fitting and forecasting took.
        warnings: one sentence each.
    """

    group: dict[str, Any]
    error: str | None = None
    law: Extrapolation | None = None
    fit: Fit | None = None
    rows: NDArray[np.intp] | None = None
    forecast: Prediction | None = None
    truth: NDArray[np.float64] | None = None
    rmse_log: float | None = None
    coverage: float | None = None
    naive_coverage: float | None = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values; `held_out` has one entry for each row that was foretold."""
        if self.law is None:
            return {"group": self.group, "error": self.error}
        held: list[dict[str, Any]] = []
        if self.forecast is not None and self.rows is not None and self.truth is not None:
            f = self.forecast
            for i, row in enumerate(self.rows.tolist()):
                held.append(
                    {
                        "row": row,
                        "y": plain(self.truth[i]),
                        "predicted": plain(f.value[i]),
                        "low": plain(f.low[i]),
                        "high": plain(f.high[i]),
                        "naive_low": plain(f.naive_low[i]),
                        "naive_high": plain(f.naive_high[i]),
                        "reach": plain(f.reach[i]),
                    }
                )
        return {
            "group": self.group,
            "form": "auto" if self.fit is None else self.fit.form.name,
            "fit": None if self.fit is None else self.fit.as_dict(),
            **self.law.as_dict(),
            "held_out": held,
            "rmse_log": self.rmse_log,
            "coverage": self.coverage,
            "coverage_naive": self.naive_coverage,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }


def fit_groups(
    table: Table,
    *,
    x: Sequence[str],
    y: str,
    group: Sequence[str] = (),
    train: str | None = None,
    form: str = "auto",
    clusters: str | None = None,
    size: str | None = None,
    huber: float | None = None,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[GroupLaw]:
    """Fits each group on its training rows and foretells the others.

    Arguments:
        table: column -> values, all of one length.
        x, y: columns of the law.
        group: columns whose values make the groups; none: one group.
        train: column that is 0 in rows to foretell (their y may be missing); None: all rows are fitted.
        form: "auto", or the name of a form, which then has bootstrap intervals too.
        clusters: column of dependent rows.
        size: column along which origins roll.
        level: as in `extrapolate`.
        huber, bootstrap, seed: as in `fit`, of a named form; forecasts have a delta of their own (see `fit_member`).
        progress: called with how many groups are done, of how many.

    Returns:
        One `GroupLaw` for each group, in order of appearance; a group that cannot be fitted has its `error`.

    Raises:
        SonoscaleError: For columns that are not in the table, rows without a group, or `train` values that are not 0 or
            1.
    """
    twice = next((name for i, name in enumerate((*x, y)) if name in (*x, y)[:i]), None)
    if twice is not None:
        raise SonoscaleError(f"{twice!r} is named twice among x and y")
    if form == "auto" and huber is not None:
        raise SonoscaleError("huber is for a named form: forecasts of auto have a delta of their own")
    others = [name for name in (*x[1:], *group, train, clusters, size) if name is not None]
    n = check_columns(table, y, x[0], *others)
    trained = _trained(table, train, n)
    keys = list(zip(*(_labels(table, name) for name in group), strict=True)) if group else [()] * n
    found = list(dict.fromkeys(keys))
    laws = []
    for done, key in enumerate(found):
        rows = np.array([i for i, one in enumerate(keys) if one == key], dtype=np.intp)
        named = dict(zip(group, key, strict=True))
        try:
            laws.append(
                _fit_group(
                    table,
                    rows,
                    trained,
                    named,
                    tuple(x),
                    y,
                    form,
                    clusters,
                    size,
                    huber,
                    bootstrap,
                    level,
                    seed,
                )
            )
        except SonoscaleError as error:
            laws.append(GroupLaw(group=named, error=str(error)))
        if progress is not None:
            progress(done + 1, len(found))
    return laws


def _labels(table: Table, name: str) -> list[Any]:
    """The values of a column of groups, as JSON can hold them."""
    values = np.asarray(table[name]).tolist()
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and not np.isfinite(value)):
            raise SonoscaleError(f"{name}, row {row}: {value!r} names no group")
    return [value if isinstance(value, (str, int, float, bool)) else str(value) for value in values]


def _trained(table: Table, train: str | None, n: int) -> NDArray[np.bool_]:
    if train is None:
        return np.ones(n, dtype=bool)
    values = np.asarray(table[train])
    for row, value in enumerate(values.tolist()):
        if value not in (0, 1, True, False):
            raise SonoscaleError(f"{train}, row {row}: {value!r} is neither 1 (fitted) nor 0 (foretold)")
    return values.astype(bool)


def _fit_group(
    table: Table,
    rows: NDArray[np.intp],
    trained: NDArray[np.bool_],
    named: dict[str, Any],
    x: tuple[str, ...],
    y: str,
    form: str,
    clusters: str | None,
    size: str | None,
    huber: float | None,
    bootstrap: int,
    level: float,
    seed: int,
) -> GroupLaw:
    fitted, held = rows[trained[rows]], rows[~trained[rows]]
    if not len(fitted):
        raise SonoscaleError("no row to fit: all are held out")
    for name in (*x, y):
        as_column(as_given(table[name])[fitted], name=name, positive=name in x, rows=fitted)
    part = {name: np.asarray(column)[fitted] for name, column in table.items()}
    screened = screen(part, x=x, y=y, log=x, clusters=clusters)
    points = np.stack([screened.columns[name] for name in x], axis=1)
    values, groups = screened.columns[y], screened.clusters.tolist()
    sizes = None if size is None else as_column(part[size], name=size, positive=True, rows=fitted)
    started = time.perf_counter()
    law = extrapolate(
        points if len(x) > 1 else points[:, 0], values, form=form, clusters=groups, flops=sizes,
        level=level, x_names=x, y_name=y,
    )  # fmt: skip
    forecast = truth = None
    if len(held):
        new = np.stack(
            [as_column(as_given(table[name])[held], name=name, positive=True, rows=held) for name in x], axis=1
        )
        new_sizes = (
            None if size is None else as_column(as_given(table[size])[held], name=size, positive=True, rows=held)
        )
        forecast = law.predict(new if len(x) > 1 else new[:, 0], flops=new_sizes)
        truth = _truth(table, y, held, fitted)
    seconds = time.perf_counter() - started
    error, inside, naive = _scores(forecast, truth)
    told = [*screened.warnings, *law.warnings]
    if len(fitted) < len(trained):
        told = [f"{note} (rows count within those fitted here)" if _ROW.search(note) else note for note in told]
    one = None
    if form != "auto":
        one = fit_form(
            form, points if len(x) > 1 else points[:, 0], law.as_fitted(values), scale=law.scale, huber=huber,
            clusters=groups, bootstrap=bootstrap, level=level, seed=seed, x_name=x, y_name=y,
        )  # fmt: skip
        told += [
            f"{note} (rows count within those fitted here)"
            if _ROW.search(note) and len(fitted) < len(trained)
            else note
            for note in one.warnings
        ]
    return GroupLaw(
        group=named, law=law, fit=one, rows=held, forecast=forecast, truth=truth, seconds=seconds,
        warnings=tuple(dict.fromkeys(told)), rmse_log=error, coverage=inside, naive_coverage=naive,
    )  # fmt: skip


def _truth(table: Table, y: str, held: NDArray[np.intp], fitted: NDArray[np.intp]) -> NDArray[np.float64]:
    """y of the held-out rows [m], NaN where it is missing.

    Raises:
        SonoscaleError: For what is neither missing nor a number above zero, and for units that are not those of the
            fitted rows.
    """
    given = as_given(table[y])
    missing = np.array([value is None or value != value for value in given[held].tolist()])
    truth = np.full(len(held), np.nan)
    if not missing.all():
        truth[~missing] = as_column(given[held][~missing], name=y, positive=True, rows=held[~missing])
        seen = np.concatenate([as_column(given[fitted], name=y, rows=fitted), truth[~missing]])
        reason = mixed_units(seen, f"{y} of fitted and held-out rows together") if is_score(y) else None
        if reason:
            raise SonoscaleError(reason)
    return truth


def _scores(
    forecast: Prediction | None, truth: NDArray[np.float64] | None
) -> tuple[float | None, float | None, float | None]:
    """RMSE of log y, and the shares inside the interval and the naive one, over rows whose y is known."""
    if forecast is None or truth is None or not (truth > 0).any():
        return None, None, None
    known = truth > 0
    y = truth[known]
    assert forecast.naive_low is not None
    assert forecast.naive_high is not None
    inside = (forecast.low[known] <= y) & (y <= forecast.high[known])
    naive = (forecast.naive_low[known] <= y) & (y <= forecast.naive_high[known])
    with np.errstate(all="ignore"):
        error = float(np.sqrt(np.mean(np.log(forecast.value[known] / y) ** 2)))
    return error if np.isfinite(error) else None, float(inside.mean()), float(naive.mean())
