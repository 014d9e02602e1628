"""Numbers that describe a fit, and the sentences that a reader of it must be told."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._bootstrap import Interval
from sonoscale.laws._forms import Form
from sonoscale.laws._solve import searched_bounds

__all__ = ["diagnose", "information_criterion", "jacobian"]

Array = NDArray[np.float64]

_NARROW = 2.0
_FEW_CLUSTERS = 8
_OFTEN = 0.1


def jacobian(form: Form, x: Array, params: Array) -> Array:
    """d f / d params at each x, by central differences: [n, P]."""
    step = 1e-6 * np.where(params != 0, np.abs(params), 1.0)
    moves = np.diag(step)
    return ((form.function(x, params + moves) - form.function(x, params - moves)) / (2 * step[:, None])).T


def information_criterion(squares: float, n: int, size: int) -> float:
    """AICc of a least-squares fit with `size` parameters and the error's variance (Hurvich and Tsai 1989)."""
    k = size + 1
    if n - k - 1 <= 0:
        return np.inf
    if squares <= 0:
        return -np.inf
    return float(n * np.log(squares / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def diagnose(
    form: Form,
    x: Array,
    params: Array,
    draws: Array,
    exponent: Interval,
    clusters: int,
    *,
    x_name: str,
    y_name: str,
) -> tuple[str, ...]:
    """What to be wary of in this fit, one sentence each."""
    told = []
    ratio = float(x.max() / x.min())
    if ratio < _NARROW:
        told.append(f"{x_name} spans a factor of only {ratio:.3g}: the exponent is poorly determined")
    if clusters < _FEW_CLUSTERS:
        told.append(f"only {clusters} independent clusters: the intervals are rough")
    searched = searched_bounds(form, x)
    term = form.power_term
    for i, (name, (low, high)) in enumerate(zip(form.parameters, searched.tolist(), strict=True)):
        if not low < params[i] < high:
            end = low if params[i] <= low else high
            if term is not None and name == term.coefficient:
                note = f": {y_name} does not follow {x_name} this way, and {form.exponent} means nothing"
            elif term is not None and name == term.exponent:
                note = ": flat or a step, as far as these data tell"
            else:
                note = ": the data would have it further still"
            told.append(f"{name} is at its bound {end:.3g}{note}")
            continue
        share = float(np.mean((draws[:, i] <= low) | (draws[:, i] >= high)))
        if share > _OFTEN:
            told.append(f"{name} is at a bound in {share:.0%} of the resamples: it is poorly determined")
    low, high = searched[form.parameters.index(form.exponent)].tolist()
    if exponent.lo <= max(low, 0.0) and exponent.hi >= 0.0:
        told.append(f"the interval of the exponent {form.exponent} includes 0: no trend is shown")
    return tuple(told)
