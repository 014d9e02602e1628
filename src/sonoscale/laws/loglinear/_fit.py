"""Fitting a log-linear model in several variables, with effects of families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._bootstrap import small_sample_factor
from sonoscale.laws._data import as_names, canonical_order, check_draws
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws._runs import RunTable
from sonoscale.laws._target import Target
from sonoscale.laws.loglinear._diagnose import Outlier, condition_number, find_outliers, variance_inflation
from sonoscale.laws.loglinear._families import missed_families, solve_prepared
from sonoscale.laws.loglinear._fitted import Coefficient, LogLinear
from sonoscale.laws.loglinear._formula import latex_formula, text_formula
from sonoscale.laws.loglinear._prepare import Prepared, checked, prepare
from sonoscale.laws.loglinear._resample import Resamples, resample
from sonoscale.laws.loglinear._robust import corrected_errors, robust_covariance
from sonoscale.laws.loglinear._solve import Solved
from sonoscale.laws.loglinear._terms import Term, is_categorical

__all__ = ["fit_loglinear", "fit_prepared"]

Array = NDArray[np.float64]

_INFLATED = 10.0


def fit_loglinear(
    source: Source,
    x: str | Sequence[str],
    *,
    log: Sequence[str] | None = None,
    y_scale: Literal["log", "logit", "linear"] = "log",
    effects: Literal["fixed", "random"] = "fixed",
    interactions: Sequence[tuple[str, str]] = (),
    level: float = 0.95,
    bootstrap: int = 1000,
    seed: int = 0,
    **reading: Unpack[Reading],
) -> LogLinear:
    """Fit log y = b0 + sum_v b_v log x_v (+ effect of the family) + error by least squares.

    A random effect u ~ N(0, between^2) is shared by the runs of a family. The variances are those of restricted
    maximum likelihood, u is predicted without bias (Henderson's BLUP), and both are held in whatever is
    resampled or left out. Intervals of coefficients are Student's with the CR2 covariance of clusters and
    Satterthwaite's degrees of freedom; what predictions use of them is resampled by clusters.

    Arguments:
        source: a `RunTable`, or whatever `read_runs` reads. Held-out rows are left aside.
        x: the columns that explain y. Columns of text become one term for each level but the first in order.
        log: those of x whose logarithm is taken; the others enter as they are. None: all columns of numbers that are
            above zero throughout, which parameters, data and compute must be.
        y_scale: `log`, `logit` (for y in (0, 1)) or `linear`: the scale on which terms add.
        effects: of the families, if the table names their column: fixed (each its own number) or random (drawn from
            one population, so that a prediction for a new family is possible).
        interactions: pairs of x whose products are terms too.
        level, bootstrap, seed: of the intervals, and of the resamples for predictions.
        reading: how the table is read: `y`, `family`, `clusters`, ... (see `read_runs`).

    Returns:
        The `LogLinear`. The order of rows does not matter to it. Which end of y is good, and where it ends, is taken
        from its name, else from how it runs along the sizes, as by every verb; predictions stay within its ends.

    Raises:
        SonoscaleError: For what `read_runs` refuses, y outside its scale, fewer clusters than coefficients + 1, terms
            that are combinations of others (named), one family only, and a level, or a family with a fixed effect, in
            one cluster only.

    Example:
        >>> runs = {"params": [1e6, 2e6, 4e6, 8e6, 16e6], "hours": [9, 3, 7, 1, 4], "loss": [3.2, 2.8, 2.5, 2.2, 1.95]}
        >>> law = fit_loglinear(runs, ["params", "hours"], y="loss", bootstrap=100)
        >>> round(law.coefficients["log params"].value, 2)
        -0.18
    """
    check_draws(bootstrap, level, seed)
    read = checked(as_runs(source, **reading).whole("fit_loglinear fits one law"), x)
    runs = read.fitted
    numeric = [name for name in as_names(x, "x") if not is_categorical(read.columns, name)]
    target = read.find_target(numeric, unsure=True)
    prepared = prepare(runs, y=runs.y, x=x, log=log, y_scale=y_scale, effects=effects, interactions=interactions)
    prepared = prepared.ordered(canonical_order(prepared.X, prepared.z, prepared.members))
    return fit_prepared(prepared, resample(prepared.clusters, bootstrap=bootstrap, seed=seed), level, runs, target)


def fit_prepared(
    data: Prepared, resamples: Resamples, level: float, runs: RunTable, target: Target | None
) -> LogLinear:
    """The fit and what a reader must know of it; `target` is what is known of y."""
    from scipy import stats

    random = data.family is not None and data.effects == "random"
    solved = solve_prepared(data)
    count, size = int(data.clusters.max()) + 1, data.X.shape[1]
    covariance, freedom = robust_covariance(solved, data.clusters)
    se = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    reach = se * stats.t.ppf(0.5 * (1.0 + level), freedom)
    keys: list[Term | None] = [None, *data.terms]
    coefficients = {
        "intercept" if key is None else key.name: Coefficient(value=v, low=v - r, high=v + r, se=s, df=f)
        for key, v, r, s, f in zip(
            keys, solved.beta.tolist(), reach.tolist(), se.tolist(), freedom.tolist(), strict=True
        )
    }
    within = float(np.sqrt(solved.sigma2))
    between = float(np.sqrt(solved.ratio)) * within if random else None
    effects = solved.effects(solved.beta)
    draws = solved.reweighted(resamples.weights, data.clusters)

    residual = solved.conditional()
    left_out = solved.missed(data.clusters)
    strangers = None if data.family is None else missed_families(data)
    missed = np.empty_like(left_out)
    missed[data.rows] = left_out
    inflation = variance_inflation(data.X, data.terms)
    outliers = find_outliers(solved, data.target, data.places)
    named = dict(zip(keys, solved.beta.tolist(), strict=True))
    family = data.family if random else None
    family_effects = dict(zip(data.family_names, effects.tolist() if random else _fixed(data, solved), strict=True))
    collinear = tuple(
        term.name
        for term in data.terms
        if inflation.get(term.name, 1.0) > _INFLATED and term.parts[0].column != data.family
    )
    return LogLinear(
        runs=runs, target=target,
        y=data.y, x=data.x, y_scale=data.scale.name, family=data.family, effects=data.effects, level=level,
        formula=text_formula(data.y, data.scale, named, family, between or 0.0),
        latex=latex_formula(data.y, data.scale, named, family),
        coefficients=coefficients, family_effects=family_effects, between=between, within=within,
        n=len(data.z), n_clusters=count,
        rmse=_rms(residual), r2=1.0 - float(residual @ residual) / float(((data.z - data.z.mean()) ** 2).sum()),
        loo_rmse=_rms(left_out), loo_error=_rms(data.target - data.scale.back(data.z - left_out)),
        family_rmse=None if strangers is None else _rms(strangers),
        family_error=None if strangers is None else _rms(data.target - data.scale.back(data.z - strangers)),
        condition=condition_number(data.X, data.terms), inflation=inflation, collinear=collinear, outliers=outliers,
        warnings=(*data.warnings, *_notes(data, count, inflation, collinear, outliers, between)),
        ranges=data.ranges, missed=missed,
        _terms=data.terms, _levels=data.levels, _scale=data.scale, _draws=draws,
        _shifts=solved.effects(draws) - effects, _spare=np.sqrt(solved.shrinkage) * within,
        _errors=corrected_errors(solved, data.clusters)
        * small_sample_factor(count, size, level, variance=False),
        _resamples=resamples, _factor=small_sample_factor(count, size, level),
    )  # fmt: skip


def _fixed(data: Prepared, solved: Solved) -> list[float]:
    """The effect of each family against the first."""
    added = max(len(data.family_names) - 1, 0)
    return [0.0, *solved.beta[len(solved.beta) - added :].tolist()] if data.family_names else []


def _rms(missed: Array) -> float:
    return float(np.sqrt(np.mean(missed**2))) if np.isfinite(missed).all() else np.inf


def _notes(
    data: Prepared,
    count: int,
    inflation: dict[str, float],
    collinear: tuple[str, ...],
    outliers: tuple[Outlier, ...],
    between: float | None,
) -> list[str]:
    notes = []
    if count - data.X.shape[1] < 5:
        notes.append(f"{count} independent clusters for {data.X.shape[1]} coefficients: the intervals are rough")
    if collinear:
        named = ", ".join(f"{name} ({inflation[name]:.3g})" for name in collinear)
        notes.append(f"nearly collinear, so that their coefficients are hard to separate: {named} (variance inflation)")
    if outliers:
        named = ", ".join(f"{one.row} ({data.y} = {one.value:.4g}, {one.residual:+.1f})" for one in outliers[:8])
        more = f" and {len(outliers) - 8} more" if len(outliers) > 8 else ""
        notes.append(f"rows that do not belong to the rest (studentised residual): {named}{more}")
    if between is not None and len(data.family_names) < 5:
        notes.append(f"only {len(data.family_names)} families: how much families differ is hardly known")
    if between == 0.0:
        notes.append(f"no difference between families of {data.family} shows beyond that between runs")
    return notes
