"""Profile likelihood: an interval for one parameter that follows the valley of all the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_column, as_variables
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._fitted import Fit
from sonoscale.laws._newton import Objective, minimise
from sonoscale.laws.forms._form import Array

__all__ = ["profile_interval"]

_POINTS = 12
_ROUNDS = 12
_FARTHEST = 40.0  # of the search parameter: beyond it, the interval has no end on that side


def profile_interval(fit: Fit, x: ArrayLike, y: ArrayLike, parameter: str, *, level: float = 0.95) -> Estimate:
    """The values of a parameter that the data do not rule out, whatever the others are.

    Those at which n ln(S(value) / S(estimate)) is below n ln(1 + F / (n - P)), F the quantile of Fisher's F with
    1 and n - P degrees of freedom, S the sum of squares with all other parameters fitted anew (Bates and Watts,
    Nonlinear Regression Analysis, 1988, section 6.1). Rows are taken as independent: with seeds or checkpoints
    of one configuration among them, take the bootstrap's `Fit.params` instead. It does not depend on how the
    parameter is written, and one end may be infinite, or the parameter's bound, where nothing rules it out.

    Arguments:
        fit: of these x and y, by least squares.
        parameter: its name.
        level: confidence level.

    Returns:
        The estimate with the ends of its interval.

    Raises:
        SonoscaleError: For an unknown parameter, a fit with Huber's loss, or data that are not the fit's.

    Example:
        >>> import numpy as np
        >>> from sonoscale.laws import fit_form
        >>> x = np.geomspace(1, 1000, 12)
        >>> y = 3 * x**-0.5 * np.exp(0.05 * np.random.default_rng(0).standard_normal(12))
        >>> law = fit_form("M1", x, y)
        >>> found = profile_interval(law, x, y, law.form.parameters[-1])
        >>> found.low < found.value < found.high
        True
    """
    from scipy import stats

    form = fit.form
    if parameter not in form.parameters:
        raise SonoscaleError(f"form {form.name!r} has no parameter {parameter!r}; it has {', '.join(form.parameters)}")
    if fit.huber is not None:
        raise SonoscaleError("profile likelihood needs a fit by least squares, without huber")
    xs, ys = as_variables(x, fit.x_names, form), as_column(y, name=fit.y_name)
    if len(ys) != fit.n:
        raise SonoscaleError(f"the fit was made to {fit.n} rows, not {len(ys)}")
    place = form.parameters.index(parameter)
    objective = Objective(form=form, x=xs, y=ys, scale=fit.scale)
    best = np.array(list(fit.values.values()))
    freedom = fit.n - len(best)
    if freedom < 1:
        raise SonoscaleError(f"{fit.n} rows leave no degree of freedom for {len(best)} parameters")
    allowed = fit.objective * (1.0 + float(stats.f.ppf(level, 1, freedom)) / freedom)
    low, high = (_end(objective, best, place, allowed, side) for side in (-1.0, 1.0))
    return Estimate(fit.params[parameter].value, low, high)


def _end(objective: Objective, best: Array, place: int, allowed: float, side: float) -> float:
    """Where the profile crosses what is allowed on this side: ever finer grids, each point started from the last."""
    held = replace(objective, held=(place,))
    centre = objective.to_search(best[None])[0]
    inside, outside, start = 0.0, _FARTHEST, best
    distances = np.geomspace(1e-4, _FARTHEST, 4 * _POINTS)
    for round_number in range(_ROUNDS):
        if round_number:
            distances = np.linspace(inside, outside, _POINTS)[1:-1]
        crossed = False
        for distance in distances:
            u = objective.to_search(start[None])
            u[0, place] = centre[place] + side * distance
            moved = objective.from_search(u)[0]
            params, value = minimise(held, np.ones((1, len(objective.y))), moved, tolerance=1e-8, iterations=60)
            if not value[0] <= allowed:
                outside, crossed = float(distance), True
                break
            inside, start = float(distance), params[0]
        if round_number == 0 and not crossed:
            end = objective.form.bounds[place][int(side > 0)]
            return float(end)
        if outside - inside < 1e-4 * outside:
            break
    u = centre.copy()
    u[place] += side * 0.5 * (inside + outside)
    return float(objective.from_search(u[None])[0][0, place])
