"""The best fit for many weightings of one data set at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._newton import Objective, minimise
from sonoscale.laws._search import Search, search
from sonoscale.laws.forms import Form, PowerTerm, Scale

__all__ = ["searched_bounds", "solve"]

Array = NDArray[np.float64]

# The search runs over t = b * ln(max x / min x), which does not depend on the unit of x. At |t| = 30 the
# power of x changes by a factor e^30 over the data: a step at one end, which looks like a steeper one.
_STEEPEST = 30.0
_LARGEST = 600.0  # x^b and a stay within e^600, which float64 holds
_FLATTEST = 1e-3
_GRID = 240
_REFINEMENTS = 14

_TRIED = 2  # of the minima that a search finds, those that each resample starts from


def solve(
    form: Form,
    x: Array,
    y: Array,
    weights: Array,
    *,
    scale: Scale = "linear",
    huber: float | None = None,
    around: Search | None = None,
) -> Array:
    """Minimises sum_i w_i h(r_i) within the form's bounds, for each row of weights; h as in `Objective`.

    Where the form declares a `PowerTerm`, the linear parameters are projected out in closed form (Golub and
    Pereyra, SIAM J. Numerical Analysis 10, 1973) and the exponent is searched on a dense grid, then refined
    to machine precision by the root of the derivative of the profile: the flat valley between a slow approach
    to a high ceiling and a fast approach to a low one holds no trap. Otherwise, and on the log scale or with
    Huber's loss, `search` finds the minimum for all rows from the form's starts, and resamples start from the
    best of what it found.

    Arguments:
        form: the form. `x` [n] or [n, V], above zero; `y` [n].
        weights: [R, n], not negative: all ones for the fit itself, counts for resamples, 0 for rows left out.
        scale, huber: as in `Objective`.
        around: what `search` found, if it is known already.

    Returns:
        The parameters of the stated formula: [R, P].
    """
    if form.power_term is not None and scale == "linear" and huber is None:
        return _solve_separable(form, form.power_term, x, y, weights)
    objective = Objective(form=form, x=x, y=y, scale=scale, huber=huber)
    minima = (around or search(objective)).params[:_TRIED]
    tried = len(minima)
    params, value = minimise(
        objective, np.repeat(weights, tried, axis=0), np.tile(minima, (len(weights), 1)), tolerance=1e-10
    )
    best = value.reshape(-1, tried).argmin(axis=1)
    return params.reshape(len(weights), tried, -1)[np.arange(len(weights)), best]


def searched_bounds(form: Form, x: Array) -> Array:
    """The form's bounds, and for a separable form's exponent what of them is searched on these x: [P, 2]."""
    bounds = np.array(form.bounds)
    if form.power_term is not None:
        row = form.parameters.index(form.power_term.exponent)
        log_x = np.log(x)
        span = np.ptp(log_x)
        steepest = min(_STEEPEST / span, _LARGEST / np.abs(log_x).max())
        low, high = np.clip(bounds[row], -steepest, steepest)
        bounds[row] = (_FLATTEST / span if low == 0 else low), high
    return bounds


def _solve_separable(form: Form, term: PowerTerm, x: Array, y: Array, weights: Array) -> Array:
    log_x = np.log(x)
    centre, span = log_x.mean(), np.ptp(log_x)
    z = term.direction * (log_x - centre) / span
    bounds = dict(zip(form.parameters, searched_bounds(form, x).tolist(), strict=True))
    low, high = np.array(bounds[term.exponent]) * span
    reach = np.sinh(np.linspace(0.0, np.arcsinh(_STEEPEST), _GRID))
    grid = np.concatenate([-reach[:0:-1], reach])
    grid = np.concatenate([[low], grid[(grid > low) & (grid < high)], [high]])
    problem = _Profile(term, None if term.constant is None else bounds[term.constant], z, y, weights)

    best = problem.on_grid(grid).argmin(axis=1)
    t, a, c = problem.refine(grid, best)

    params = np.empty((len(weights), len(form.parameters)))
    exponent = np.clip(t / span, *bounds[term.exponent])  # the bounds themselves, free of rounding
    columns = {name: i for i, name in enumerate(form.parameters)}
    params[:, columns[term.exponent]] = exponent
    params[:, columns[term.coefficient]] = a * np.exp(-term.direction * exponent * centre)
    if term.constant is not None:
        params[:, columns[term.constant]] = c
    return params


class _Profile:
    """The sum of squares as a function of the scaled exponent t alone, for each row of weights.

    The model is y = c + sign * a * exp(t z), with a >= 0 and c within its bounds (or no c).
    """

    def __init__(self, term: PowerTerm, ends: list[float] | None, z: Array, y: Array, weights: Array) -> None:
        self.sign, self.ends = term.sign, ends
        self.z, self.y, self.weights = z, y, weights
        self.total = weights.sum(axis=1)
        self.sum_y = weights @ y
        self.sum_yy = weights @ (y * y)

    def on_grid(self, grid: Array) -> Array:
        """The least sum of squares at each exponent: [R, K]."""
        p = np.exp(self.z[:, None] * grid)  # [n, K]
        moments = self.weights @ np.concatenate([p, p * p, p * self.y[:, None]], axis=1)
        sum_p, sum_pp, sum_py = np.split(moments, 3, axis=1)
        total, sum_y, sum_yy = self.total[:, None], self.sum_y[:, None], self.sum_yy[:, None]
        return self._linear(total, sum_p, sum_pp, sum_y, sum_py, sum_yy)[2]

    def slope(self, t: Array) -> tuple[Array, Array, Array]:
        """Half the derivative of the profile at each row's own t, with a and c there: three of [R]."""
        p = np.exp(t[:, None] * self.z)  # [R, n]
        wp = self.weights * p
        a, c, _ = self._linear(
            self.total, wp.sum(axis=1), np.einsum("rn,rn->r", wp, p), self.sum_y, wp @ self.y, self.sum_yy
        )
        scale = self.sign * a
        residual = self.y - c[:, None] - scale[:, None] * p
        # The linear parameters are optimal (or held at a bound): only t itself moves the sum of squares.
        return -scale * np.einsum("rn,rn->r", wp * self.z, residual), a, c

    def refine(self, grid: Array, best: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        """From the best grid points to the roots of the derivative beside them (Illinois method)."""
        middle = grid[best]
        f_middle, a, c = self.slope(middle)
        downhill = np.where(f_middle > 0, np.maximum(best - 1, 0), np.minimum(best + 1, len(grid) - 1))
        other = grid[downhill]
        f_other = self.slope(other)[0]
        crossing = f_middle * f_other < 0
        t = middle.copy()
        for _ in range(_REFINEMENTS if crossing.any() else 0):
            with np.errstate(invalid="ignore", divide="ignore"):
                step = (middle * f_other - other * f_middle) / (f_other - f_middle)
            t = np.where(crossing & np.isfinite(step), step, t)
            f, a, c = self.slope(t)
            same_side = f * f_middle > 0  # the root is beyond t: keep `other`, halved
            f_other = np.where(same_side, 0.5 * f_other, f_middle)
            other = np.where(same_side, other, middle)
            middle, f_middle = t, f
        return t, a, c

    def _linear(
        self, total: Array, sum_p: Array, sum_pp: Array, sum_y: Array, sum_py: Array, sum_yy: Array
    ) -> tuple[Array, Array, Array]:
        """a >= 0, c within its ends and their sum of squares, from weighted sums (of any one shape)."""

        def squares(a: Array, c: Array) -> Array:
            b = self.sign * a
            return sum_yy - 2 * (c * sum_y + b * sum_py - b * c * sum_p) + c * c * total + b * b * sum_pp

        def slope_given(c: Array | float) -> Array:
            return np.maximum(self.sign * (sum_py - c * sum_p) / sum_pp, 0.0)

        if self.ends is None:
            a = slope_given(0.0)
            return a, np.zeros_like(a), squares(a, np.zeros_like(a))

        low, high = self.ends
        mean_p, mean_y = sum_p / total, sum_y / total
        spread = np.maximum(sum_pp / total - mean_p**2, 1e-300)
        a = self.sign * (sum_py / total - mean_p * mean_y) / spread
        c = mean_y - self.sign * a * mean_p
        inside = (a >= 0) & (c >= low) & (c <= high)
        # Outside the box, the convex sum of squares is least on one of the faces a = 0, c = low, c = high.
        face_a, face_c = np.zeros_like(a), np.clip(mean_y, low, high) + np.zeros_like(a)
        face = squares(face_a, face_c)
        for end in (low, high):
            if np.isfinite(end):
                end_a, end_c = slope_given(end), np.full_like(a, end)
                at_end = squares(end_a, end_c)
                better = at_end < face
                face_a, face_c = np.where(better, end_a, face_a), np.where(better, end_c, face_c)
                face = np.where(better, at_end, face)
        return (
            np.where(inside, a, face_a),
            np.where(inside, c, face_c),
            np.where(inside, sum_yy - total * (mean_y**2 + a * a * spread), face),
        )
