"""Fitting one law to one table of runs, with intervals over clusters of dependent rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._bootstrap import (
    draw_counts,
    expanded_interval,
    leverage_corrected,
    small_sample_factor,
)
from sonoscale.laws._data import (
    as_clusters,
    as_column,
    as_variables,
    check_draws,
    check_pair,
    constant_column,
    numbered,
    shortfall,
)
from sonoscale.laws._diagnose import diagnose, information_criterion
from sonoscale.laws._estimate import Estimate, unidentified
from sonoscale.laws._fitted import Fit
from sonoscale.laws._newton import Objective
from sonoscale.laws._search import search
from sonoscale.laws._solve import solve
from sonoscale.laws._thin import MOST_RESAMPLED, polished, shrunk, thinned, thinned_note
from sonoscale.laws.forms import Form, Scale, find_form

__all__ = ["fit_form"]

Array = NDArray[np.float64]

_ONE_BY_ONE = 300  # clusters; more of them are left out in folds
_FOLDS = 50
_FLAT = 1e-3  # of the residuals: a parameter whose change by a factor e moves the law by less is not identified
_NUMBERS = 10_000_000  # weights held at a time


def fit_form(
    form: str | Form,
    x: ArrayLike,
    y: ArrayLike,
    *,
    scale: Scale | None = None,
    huber: float | None = None,
    clusters: Iterable[Hashable] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    x_name: str | Sequence[str] = "x",
    y_name: str = "y",
    rows: Sequence[int] | NDArray[np.intp] | None = None,
) -> Fit:
    """Fits a law by least squares, or by Huber's loss, to y or to log y.

    Intervals of parameters are percentile intervals over resampled clusters, cut at the parameter's bounds.
    Their distances from the estimate are stretched by sqrt(G / (G - P)) * t(G - P) / z for G clusters and P
    parameters, on a log scale for a coefficient, and for an exponent that is bounded to be above zero. In
    simulations with 10 clusters of 2 they cover the truth as often as stated, and more often for a saturating
    law, whose parameters few clusters determine badly. Of more than 5,000 rows, about so many are searched and
    resampled, drawn by cluster; the law is fitted to all from there, and the deviations of resamples shrink by the
    root of the share of clusters drawn. A warning says so.

    Arguments:
        form: a name in `FORMS`, or a `Form`.
        x: [n] numbers above zero, or [n, V] for a form of V variables.
        y: [n].
        scale: residuals of y ("linear") or of log y ("log"); None: as the form has it.
        huber: delta of Huber's loss in the unit of the residuals (1e-3 of log y: Hoffmann et al., arXiv 2203.15556),
            summed over rows and never averaged; None: as the form's source has it, which is least squares for all but
            `chinchilla`; infinite: least squares.
        clusters: [n] labels; rows of one label (seeds and checkpoints of one configuration) are taken as dependent.
            None: every row stands alone.
        bootstrap: number of resamples.
        seed: of their drawing; the result is the same for the same seed.
        level: confidence level of the intervals.
        x_name, y_name: names of the columns, for messages and figures; a name for each variable.
        rows: [n] places in the user's table, for messages; None: 0, 1, 2, ...

    Returns:
        The `Fit`.

    Raises:
        SonoscaleError: For an unknown form, columns of unlike lengths, values that are not finite numbers, x <= 0, y
            outside the form's range or <= 0 on the log scale, constant x or y, fewer clusters than parameters + 1, or
            fewer values of x than parameters.

    Example:
        >>> law = fit_form("power_loss", [1e6, 2e6, 4e6, 8e6, 16e6], [3.2, 2.8, 2.5, 2.2, 1.95], bootstrap=100)
        >>> round(law.values["b"], 2)
        0.18
        >>> float(law.predict(1.5e7).value.round(1))
        2.0
    """
    chosen = find_form(form)
    check_draws(bootstrap, level, seed)
    names = (x_name,) if isinstance(x_name, str) else tuple(x_name)
    if names == ("x",):
        names = chosen.variables
    on = chosen.scale if scale is None else scale
    if on not in ("linear", "log"):
        raise SonoscaleError(f"scale must be 'linear' or 'log', not {on!r}")
    if huber is not None and not huber > 0:
        raise SonoscaleError(f"huber must be above zero (infinite for least squares), not {huber!r}")
    if huber is None and on == chosen.scale:
        huber = chosen.huber
    elif huber == np.inf:
        huber = None
    xs = as_variables(x, names, chosen)
    ys = as_column(y, name=y_name, positive=on == "log", rows=rows)
    shown = ", ".join(names)
    check_pair(xs, ys, x_name=shown, y_name=y_name)
    groups = as_clusters(clusters, len(xs))
    outside = (ys < chosen.y_range[0]) | (ys > chosen.y_range[1])
    if outside.any():
        row = int(outside.argmax())
        low, high = chosen.y_range
        raise SonoscaleError(
            f"{y_name}, row {row if rows is None else rows[row]}: {ys[row]:g} is outside {low:g}..{high:g}, as form "
            f"{chosen.name!r} needs"
        )
    for name, value in chosen.fixed:
        if name in ("e", "E") and not isinstance(value, str) and value >= ys.min():
            row = int(ys.argmin())
            raise SonoscaleError(
                f"fix: {name} = {value:g}, a floor, is not below {y_name}, row {row if rows is None else rows[row]}: "
                f"{ys[row]:g}"
            )
    reason = constant_column(ys, name=y_name) or shortfall(chosen, xs, groups, x_name=shown)
    if reason:
        raise SonoscaleError(reason)
    objective = Objective(form=chosen, x=xs, y=ys, scale=on, huber=huber)
    places = range(len(ys)) if rows is None else rows
    return _fit(objective, groups, bootstrap, seed, level, names, y_name, places)


def _fit(
    objective: Objective,
    clusters: NDArray[np.intp],
    bootstrap: int,
    seed: int,
    level: float,
    names: tuple[str, ...],
    y_name: str,
    places: Sequence[int] | NDArray[np.intp],
) -> Fit:
    form, n, size = objective.form, len(objective.x), len(objective.form.parameters)
    count, kept = int(clusters.max()) + 1, thinned(clusters, MOST_RESAMPLED, seed)
    whole = objective
    if kept is not None:  # a large table: searched and resampled by some of its rows
        objective = replace(whole, x=whole.x[kept], y=whole.y[kept])
        clusters = numbered(clusters[kept])
    x, y, drawn, groups = objective.x, objective.y, len(objective.x), int(clusters.max()) + 1
    rng = np.random.default_rng(seed)
    global_minimum = form.power_term is not None and objective.scale == "linear" and objective.huber is None
    found = None if global_minimum else search(objective)

    def solved(weights: Array) -> Array:
        return solve(form, x, y, weights, scale=objective.scale, huber=objective.huber, around=found)

    about = solved(np.ones((1, drawn)))[0] if found is None else found.params[0]
    best = about if kept is None else polished(whole, about)
    z = objective.target
    residual = z - objective.at(best)

    folds = np.arange(groups) if groups <= _ONE_BY_ONE else np.random.default_rng(seed).permutation(groups) % _FOLDS
    fold = folds[clusters]
    others = solved((fold != np.arange(int(folds.max()) + 1)[:, None]).astype(np.float64))
    missed = z - objective.at(others)[fold, np.arange(drawn)]
    predictable = min(len(np.unique(x[fold != one], axis=0)) for one in range(int(folds.max()) + 1)) >= size

    counts = draw_counts(x, clusters, bootstrap=bootstrap, distinct=size, rng=rng)
    step = max(1, _NUMBERS // drawn)
    draws = np.concatenate([solved(counts[i : i + step, clusters]) for i in range(0, len(counts), step)])
    if kept is not None:
        draws = shrunk(whole, draws, about, best, groups / count)
    factor = small_sample_factor(count, size, level)
    params = {}
    for i, (name, ends) in enumerate(zip(form.parameters, form.bounds, strict=True)):
        term = form.power_term
        rises = name == form.exponent or (ends[1] == np.inf if term is None else name == term.coefficient)
        stretch = _log_interval if rises and ends[0] == 0 and best[i] > 0 else _linear_interval
        params[name] = stretch(draws[:, i], float(best[i]), ends, level=level, factor=factor)

    slopes = objective.slopes(best)
    errors = leverage_corrected(residual, slopes, clusters)
    noise = _draw_errors(errors, clusters, bootstrap, rng)
    noise *= small_sample_factor(count, size, level, variance=False)

    z = whole.target
    residual = z - whole.at(best)
    squares = float(residual @ residual)
    flat = np.abs(slopes * best).max(axis=0) < _FLAT * float(np.sqrt(squares / n))
    lost = tuple(
        name
        for name, one, none in zip(params, params.values(), flat, strict=True)
        if unidentified(name, one, flat=none)
    )
    diagnosis = diagnose(
        whole,
        best,
        draws,
        slopes,
        params[form.exponent],
        count,
        found,
        names=names,
        y_name=y_name,
        places=places,
    )
    if kept is not None:
        note = thinned_note(n, drawn, "intervals and the error over clusters left out are")
        diagnosis = replace(diagnosis, warnings=(*diagnosis.warnings, note))
    return Fit(
        form=form,
        params=params,
        scale=objective.scale,
        huber=objective.huber,
        objective=float(whole.value(whole.to_search(best[None]), np.ones((1, n)))[0]),
        n=n,
        n_clusters=count,
        rmse=float(np.sqrt(squares / n)),
        r2=1.0 - squares / float(((z - z.mean()) ** 2).sum()),
        aicc=information_criterion(squares, n, size),
        loo_rmse=float(np.sqrt(np.mean(missed**2))) if predictable else np.inf,
        diagnosis=diagnosis,
        unidentified=lost,
        x_ranges=tuple((float(column.min()), float(column.max())) for column in np.atleast_2d(whole.x.T)),
        level=level,
        x_names=names,
        y_name=y_name,
        draws=draws,
        _noise=noise,
        _factor=factor,
    )


def _linear_interval(
    draws: Array, estimate: float, bounds: tuple[float, float], *, level: float, factor: float
) -> Estimate:
    low, high = expanded_interval(draws, estimate, level=level, factor=factor)
    return _clipped(estimate, low, high, bounds)


def _log_interval(
    draws: Array, estimate: float, bounds: tuple[float, float], *, level: float, factor: float
) -> Estimate:
    # A coefficient runs over orders of magnitude, in step with the exponent. Zero becomes a tiny ratio.
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite end is clipped to the bounds
        ratios = np.log(np.clip(draws / estimate, 1e-100, 1e300))
        low, high = expanded_interval(ratios, 0.0, level=level, factor=factor)
        return _clipped(estimate, estimate * np.exp(low), estimate * np.exp(high), bounds)


def _clipped(estimate: float, low: Array, high: Array, bounds: tuple[float, float]) -> Estimate:
    return Estimate(estimate, float(np.clip(low, *bounds)), float(np.clip(high, *bounds)))


def _draw_errors(errors: Array, clusters: NDArray[np.intp], size: int, rng: np.random.Generator) -> Array:
    """The error of a new run: a cluster at random, then one of its rows at random: [size]."""
    order = np.argsort(clusters, kind="stable")
    rows_of = np.bincount(clusters)
    first = np.concatenate([[0], np.cumsum(rows_of)[:-1]])
    group = rng.integers(len(rows_of), size=size)
    row = first[group] + (rng.random(size) * rows_of[group]).astype(np.intp)
    return errors[order[row]]
