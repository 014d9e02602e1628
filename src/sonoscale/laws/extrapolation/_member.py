"""One form, fitted to all rows and to the rows below each origin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._estimate import Estimate
from sonoscale.laws._newton import Objective, minimise
from sonoscale.laws._project import project
from sonoscale.laws.forms import Form, Scale
from sonoscale.laws.forms._form import Array

__all__ = ["Member", "fit_member", "fitted_to_all"]

_TRIED = 4  # starts that are followed for each window
_UNKNOWN = 25.0  # half-widths of a search parameter beyond this, a factor e^25, are no interval
_MOST_ROWS = 2000  # that starts are compared on
_ROBUST = 1.5  # Huber's delta in robust standard deviations of the residuals


@dataclass(frozen=True, eq=False)
class Member:
    """A form fitted to W windows of the same rows, on the scale of z: y or log y.

    Attributes:
        form: ;
        params: [W, P], the first row for all data.
        noise: [W] standard deviation of z about the curve.
        freedom: clusters less parameters, of all data.
        aicc: of the fit to all data (Hurvich and Tsai 1989), infinite with too few rows.
        objective: what was minimised.
        clusters: [n] numbers.
        share: of the clusters of the table, those in `clusters`: all, or some of a large table.
    """

    form: Form
    params: Array
    noise: Array
    freedom: float
    aicc: float
    objective: Objective
    clusters: NDArray[np.intp]
    share: float = 1.0

    def predict(self, x: Array) -> Array:
        """z of each window at x: [W, n]."""
        with np.errstate(all="ignore"):
            y = self.form.function(x, self.params)
            return np.log(y) if self.objective.scale == "log" else y

    def parameter_spread(self, x: Array) -> Array:
        """Standard deviation of z at x [n] by the covariance of the parameters: s^2 (J'J)^-1, or robust to clusters."""
        at = self._slope(x)
        return np.sqrt(np.maximum(np.einsum("np,pq,nq->n", at, self._covariance(), at), 0.0))

    def estimates(self, level: float) -> dict[str, Estimate]:
        """The parameters with their intervals by the same covariance, on the search scale, cut at the bounds."""
        from scipy import stats

        u = self.objective.to_search(self.params[:1])
        half = stats.t.ppf(0.5 * (1.0 + level), max(self.freedom, 1.0)) * np.sqrt(
            np.maximum(np.diag(self._covariance()), 0.0)
        )
        with np.errstate(over="ignore"):
            low, high = (self.objective.from_search(np.clip(u + sign * half, -690, 690))[0][0] for sign in (-1, 1))
        # A parameter that moves nothing has no variance to give, and one without an end has no interval: nothing is
        # known of either within its bounds.
        idle = (np.abs(self._slope(self.objective.x)).max(axis=0) < 1e-3 * self.noise[0]) | (half > _UNKNOWN)
        return {
            name: Estimate(value, *(bounds if nothing else (float(low), float(high))))
            for name, value, low, high, nothing, bounds in zip(
                self.form.parameters, self.params[0].tolist(), low, high, idle, self.form.bounds, strict=True
            )
        }

    def _covariance(self) -> Array:
        fitted = self._slope(self.objective.x)
        inverse = np.linalg.pinv(fitted.T @ fitted, rcond=1e-14, hermitian=True)
        count = int(self.clusters.max()) + 1
        if count == len(self.clusters):
            return inverse * self.noise[0] ** 2 * self.share
        # Liang and Zeger, Biometrika 73, 1986: rows of one cluster are not independent.
        scores = np.zeros((count, fitted.shape[1]))
        np.add.at(scores, self.clusters, fitted * (self.objective.at(self.params[0]) - self.objective.target)[:, None])
        return inverse @ (scores.T @ scores) @ inverse * count / max(self.freedom * self.share, 1.0) * self.share

    def _slope(self, x: Array) -> Array:
        params, first, _ = self.objective.from_search(self.objective.to_search(self.params[:1]))
        with np.errstate(all="ignore"):
            y, slope = self.form.derivatives(x, params)
            slope = slope * first[:, None, :] / (y[..., None] if self.objective.scale == "log" else 1.0)
        return np.where(np.isfinite(slope), slope, 0.0)[0]


def fit_member(form: Form, x: Array, y: Array, windows: Array, clusters: NDArray[np.intp], scale: Scale) -> Member:
    """Fits the form under each row of windows [W, n] of zeros and ones.

    Least squares from the best of the form's starts, by variable projection where the form has linear
    parameters; from there Huber's loss, with a delta of 1.5 robust standard deviations (Huber and Ronchetti,
    Robust Statistics, 2009), so that a diverged run does not bend the law. The noise has the degrees of freedom
    of the clusters [n], not of their rows.
    """
    objective = Objective(form=form, x=x, y=y, scale=scale)
    starts = form.starts(x, y)
    count, size = len(windows), len(form.parameters)
    every = slice(None, None, -(-len(y) // _MOST_ROWS))
    thin = Objective(form=form, x=x[every], y=y[every], scale=scale)
    u = thin.to_search(starts)
    value = thin.value(np.tile(u, (count, 1)), np.repeat(windows[:, every], len(starts), axis=0)).reshape(count, -1)
    tried = min(_TRIED, len(starts))
    chosen = starts[np.argsort(value, axis=1)[:, :tried]].reshape(-1, size)
    solver = project if form.linear else minimise
    params, value = solver(objective, np.repeat(windows, tried, axis=0), chosen, tolerance=1e-3, iterations=15)
    best = value.reshape(count, tried).argmin(axis=1)
    params = params.reshape(count, tried, size)[np.arange(count), best]

    rows = windows.sum(axis=1)
    first = np.abs(objective.at(params[0]) - objective.target)
    delta = _ROBUST * 1.4826 * float(np.median(first))
    robust = Objective(form=form, x=x, y=y, scale=scale, huber=max(delta, 1e-9 * float(np.abs(objective.target).max())))
    params, _ = minimise(robust, windows, params, tolerance=1e-4, iterations=5)
    squares = ((robust.at(params) - robust.target) ** 2 * windows).sum(axis=1)
    independent = np.array([len(np.unique(clusters[window > 0])) for window in windows], dtype=np.float64)
    noise = np.sqrt(squares / rows * independent / np.maximum(independent - size, 1.0))
    spare = rows[0] - size - 2
    aicc = np.inf
    if spare > 0:
        aicc = float(rows[0] * np.log(max(squares[0], 1e-300) / rows[0]) + 2 * (size + 1) * rows[0] / spare)
    return Member(form, params, noise, float(independent[0]) - size, aicc, robust, clusters)


def fitted_to_all(member: Member, x: Array, y: Array, clusters: NDArray[np.intp]) -> Member:
    """The member of some rows of a large table, its law and its noise those of all n rows from there."""
    objective = replace(member.objective, x=x, y=y)
    size, n, count = len(member.form.parameters), len(y), int(clusters.max()) + 1
    params, _ = minimise(objective, np.ones((1, n)), member.params[:1], tolerance=1e-6, iterations=3)
    squares = sum(float(((part.at(params[0]) - part.target) ** 2).sum()) for part in objective.parts())
    noise = float(np.sqrt(squares / n * count / max(count - size, 1)))
    return replace(
        member,
        params=np.concatenate([params, member.params[1:]]),
        noise=np.concatenate([[noise], member.noise[1:]]),
        freedom=float(count - size),
        aicc=float(n * np.log(max(squares, 1e-300) / n) + 2 * (size + 1) * n / (n - size - 2)),
        share=(int(member.clusters.max()) + 1) / count,
    )
