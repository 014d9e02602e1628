"""Numbers that describe a fit, and the sentences that a reader of it must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._estimate import Estimate
from sonoscale.laws._newton import Objective
from sonoscale.laws._search import Search
from sonoscale.laws._solve import searched_bounds
from sonoscale.results import plain

__all__ = ["Diagnosis", "diagnose", "information_criterion"]

Array = NDArray[np.float64]

_NARROW = 2.0
_FEW_CLUSTERS = 8
_OFTEN = 0.1
_OUTLYING = 0.05  # chance that any row of a clean table is named an outlier
_CLOSE = 1.01  # minima whose objectives are within 1 % compete
_ILL = 1e10


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """How far a fit is to be trusted.

    Attributes:
        warnings: one sentence each.
        condition: condition number of the Jacobian at the optimum, its columns scaled to length 1: above 1e5 or so,
            some combination of parameters is hardly determined.
        starts, agreed: starts that were followed, and those that ended at the optimum; None where the global minimum is
            found without starts.
        ambiguity: largest ratio between a parameter at the optimum and at the next best minimum, if the objective
            there is within 1 %; None without such a one.
        outliers: places in the user's table of rows whose residual is too large for their number, of a normal error,
            by the robust spread.
        trend: Spearman's correlation of residuals with the fitted values.
    """

    warnings: tuple[str, ...]
    condition: float
    starts: int | None
    agreed: int | None
    ambiguity: float | None
    outliers: tuple[int, ...]
    trend: float

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "condition": plain(self.condition),
            "starts": self.starts,
            "agreed": self.agreed,
            "ambiguity": plain(self.ambiguity),
            "outliers": list(self.outliers),
            "trend": plain(self.trend),
        }


def information_criterion(squares: float, n: int, size: int) -> float:
    """AICc of a least-squares fit with `size` parameters and the error's variance (Hurvich and Tsai 1989)."""
    k = size + 1
    if n - k - 1 <= 0:
        return np.inf
    if squares <= 0:
        return -np.inf
    return float(n * np.log(squares / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def diagnose(
    objective: Objective,
    params: Array,
    draws: Array,
    slopes: Array,
    exponent: Estimate,
    clusters: int,
    found: Search | None,
    *,
    names: Sequence[str],
    y_name: str,
    places: Sequence[int] | NDArray[np.intp],
) -> Diagnosis:
    """What to be wary of in this fit; `places` [n] of the rows in the user's table."""
    from scipy import stats

    form = objective.form
    notes = []
    for column, name in zip(np.atleast_2d(objective.x.T), names, strict=True):
        ratio = float(column.max() / column.min())
        if ratio < _NARROW:
            notes.append(f"{name} spans a factor of only {ratio:.3g}: the exponent is poorly determined")
    if clusters < _FEW_CLUSTERS:
        notes.append(f"only {clusters} independent clusters: the intervals are rough")
    notes += _at_bounds(objective, params, draws, ", ".join(names), y_name)
    lowest = searched_bounds(form, objective.x)[form.parameters.index(form.exponent), 0]
    if exponent.low <= max(lowest, 0.0) and exponent.high >= 0.0:
        notes.append(f"the interval of the exponent {form.exponent} includes 0: no trend is shown")

    largest = np.abs(slopes).max(axis=0)
    unit = slopes / np.where(largest > 0, largest, 1.0)
    singular = np.linalg.svd(unit / np.maximum(np.linalg.norm(unit, axis=0), 1e-300), compute_uv=False)
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else np.inf
    if condition > _ILL:
        notes.append("some combination of the parameters is not determined by these data; predictions may still be")
    ambiguity = None
    if found is not None and len(found.value) > 1 and found.value[1] <= _CLOSE * found.value[0]:
        with np.errstate(all="ignore"):
            ratios = np.abs(np.log(np.abs(found.params[1] / found.params[0])))
        ambiguity = float(np.exp(np.nanmax(np.where(np.isfinite(ratios), ratios, 0.0))))
        notes.append(f"another minimum fits as well within 1 %, with parameters up to {ambiguity:.3g} times others")
    elif found is not None and found.agreed == 1 and found.starts > 1:
        notes.append("only one start found this minimum: there may be a better one")

    fitted = objective.at(params)
    residual = objective.target - fitted
    outliers = [int(places[row]) for row in _outliers(residual, len(params))]
    if outliers:
        rows = ", ".join(map(str, outliers[:8])) + (", ..." if len(outliers) > 8 else "")
        notes.append(f"row{'s' * (len(outliers) > 1)} {rows} lie{'s' * (len(outliers) == 1)} far off the law")
    varied = np.ptp(fitted) > 1e-12 * np.abs(fitted).max() and np.ptp(residual) > 0
    trend = float(np.corrcoef(stats.rankdata(fitted), stats.rankdata(residual))[0, 1]) if varied else 0.0
    return Diagnosis(
        warnings=tuple(notes),
        condition=condition,
        starts=None if found is None else found.starts,
        agreed=None if found is None else found.agreed,
        ambiguity=ambiguity,
        outliers=tuple(outliers),
        trend=trend,
    )


def _at_bounds(objective: Objective, params: Array, draws: Array, x_name: str, y_name: str) -> list[str]:
    form = objective.form
    term = form.power_term
    notes = []
    for i, (name, (low, high)) in enumerate(
        zip(form.parameters, searched_bounds(form, objective.x).tolist(), strict=True)
    ):
        if not low < params[i] < high:
            end = low if params[i] <= low else high
            if term is not None and name == term.coefficient:
                note = f": {y_name} does not follow {x_name} this way, and {form.exponent} means nothing"
            elif term is not None and name == term.exponent:
                note = ": flat or a step, as far as these data show"
            else:
                note = ": the data would have it further still"
            notes.append(f"{name} is at its bound {end:.3g}{note}")
            continue
        share = float(np.mean((draws[:, i] <= low) | (draws[:, i] >= high)))
        if share > _OFTEN:
            notes.append(f"{name} is at a bound in {share:.0%} of the resamples: it is poorly determined")
    return notes


def _outliers(residual: Array, size: int) -> list[int]:
    """Rows beyond the Bonferroni limit of Student's t, in robust standard deviations, worst first."""
    from scipy import stats

    n = len(residual)
    spread = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    if n - size < 4 or spread <= 0:
        return []
    limit = float(stats.t.ppf(1.0 - 0.5 * _OUTLYING / n, n - size))
    far = np.abs(residual) / spread
    out = np.flatnonzero(far > limit)
    return out[np.argsort(-far[out])].tolist()
