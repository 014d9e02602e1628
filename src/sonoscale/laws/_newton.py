"""Many robust non-linear fits at once: a damped Newton method over a whole batch of problems."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws.forms import Form, Scale
from sonoscale.laws.forms._form import Array

__all__ = ["Objective", "minimise"]

_CHUNK = 400_000  # numbers of one Jacobian that stay in the cache
_ROWS = 50_000  # of a table: the sums over more are added up part by part


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised: sum_i w_i h(r_i), r the residual of y or of log y.

    h is r^2 / 2, or Huber's function delta * (|r| - delta / 2) beyond |r| = delta (Huber, Annals of Mathematical
    Statistics 35, 1964). It is a sum, never a mean: divided by n, it falls below the tolerances at which
    optimisers stop (Besiroglu et al., arXiv 2404.10102).

    The search runs over u: the logarithm of a parameter that is bounded by zero, the logit of one between two
    ends, else the parameter itself.

    Attributes:
        form: ; `x` [n] or [n, V]; `y` [n];
        scale: residuals of y ("linear") or of log y ("log").
        huber: delta in the unit of the residuals; None: least squares.
        held: places of parameters that stay where they start.
    """

    form: Form
    x: Array
    y: Array
    scale: Scale = "linear"
    huber: float | None = None
    held: tuple[int, ...] = ()

    @property
    def target(self) -> Array:
        return np.log(self.y) if self.scale == "log" else self.y

    def at(self, params: Array) -> Array:
        """y, or log y, of the form at these parameters [..., P]: [..., n]."""
        with np.errstate(all="ignore"):
            y = self.form.function(self.x, params)
            return np.log(y) if self.scale == "log" else y

    def slopes(self, params: Array) -> Array:
        """The derivative of `at` by the parameters [P]: [n, P]."""
        with np.errstate(all="ignore"):
            y, slope = self.form.derivatives(self.x, params)
            slope = slope / y[..., None] if self.scale == "log" else slope
        return np.where(np.isfinite(slope), slope, 0.0)

    def to_search(self, params: Array) -> Array:
        """Parameters [..., P] as u."""
        u = np.array(params, dtype=np.float64)
        for i, (low, high) in enumerate(self.form.bounds):
            column = params[..., i]
            if np.isfinite(low) and np.isfinite(high):
                share = np.clip((column - low) / (high - low), 1e-12, 1.0 - 1e-12)
                u[..., i] = np.log(share) - np.log1p(-share)
            elif np.isfinite(low):
                u[..., i] = np.log(np.maximum(column - low, 1e-300))
        return u

    def from_search(self, u: Array) -> tuple[Array, Array, Array]:
        """Parameters [..., P], and their first and second derivatives by u."""
        params, first, second = u.copy(), np.ones_like(u), np.zeros_like(u)
        for i, (low, high) in enumerate(self.form.bounds):
            if np.isfinite(low) and np.isfinite(high):
                share = 1.0 / (1.0 + np.exp(-u[..., i]))
                params[..., i] = low + (high - low) * share
                first[..., i] = (high - low) * share * (1.0 - share)
                second[..., i] = first[..., i] * (1.0 - 2.0 * share)
            elif np.isfinite(low):
                first[..., i] = second[..., i] = np.exp(np.clip(u[..., i], -690.0, 690.0))
                params[..., i] = low + first[..., i]
        return params, first, second

    def _losses(self, residual: Array) -> Array:
        if self.huber is None:
            return 0.5 * residual**2
        size = np.abs(residual)
        return np.where(size <= self.huber, 0.5 * residual**2, self.huber * (size - 0.5 * self.huber))

    def value(self, u: Array, weights: Array) -> Array:
        """The objective at u [B, P] under weights [B, n]; infinite where the form is: [B]."""
        if len(self.y) > _ROWS:
            return np.sum([part.value(u, some) for part, some in self._with(weights)], axis=0)
        with np.errstate(all="ignore"):
            y = self.form.function(self.x, self.from_search(u)[0])
            residual = (np.log(y) if self.scale == "log" else y) - self.target
            total = (weights * self._losses(residual)).sum(axis=-1)
        return np.where(np.isfinite(total), total, np.inf)

    def expand(self, u: Array, weights: Array) -> tuple[Array, Array, Array, Array]:
        """The objective [B], its gradient [B, P], its Hessian and a positive stand-in for it [B, P, P]."""
        total, gradient, hessian, positive = self._sums(u, weights)
        for i in self.held:
            gradient[:, i] = 0.0
            for matrix in (hessian, positive):
                matrix[:, i, :] = matrix[:, :, i] = 0.0
                matrix[:, i, i] = 1.0
        return np.where(np.isfinite(total), total, np.inf), gradient, hessian, positive

    def parts(self) -> list[Objective]:
        """The same of so many rows at a time."""
        places = [slice(first, first + _ROWS) for first in range(0, len(self.y), _ROWS)]
        return [replace(self, x=self.x[rows], y=self.y[rows]) for rows in places]

    def _with(self, weights: Array) -> list[tuple[Objective, Array]]:
        return [(part, weights[:, i * _ROWS : (i + 1) * _ROWS]) for i, part in enumerate(self.parts())]

    def _sums(self, u: Array, weights: Array) -> tuple[Array, Array, Array, Array]:
        if len(self.y) > _ROWS:
            each = [part._sums(u, some) for part, some in self._with(weights)]
            total, gradient, hessian, positive = (np.sum(one, axis=0) for one in zip(*each, strict=True))
            return total, gradient, hessian, positive
        with np.errstate(all="ignore"):
            params, first, second = self.from_search(u)
            y, slope = self.form.derivatives(self.x, params)
            slope *= first[..., None, :]
            if self.scale == "log":
                residual = np.log(y) - self.target
                slope /= y[..., None]
            else:
                residual = y - self.target
            total = (weights * self._losses(residual)).sum(axis=-1)
            if self.huber is None:
                pull, steep, flat = weights * residual, weights, weights
            else:
                size = np.abs(residual)
                pull = weights * np.clip(residual, -self.huber, self.huber)
                flat = weights * (self.huber / np.maximum(size, self.huber))  # of the quadratic that lies above
                steep = weights * (size <= self.huber)
            gradient = np.einsum("bn,bnp->bp", pull, slope)
            across = np.swapaxes(slope, 1, 2)
            positive = across @ (slope * flat[..., None])
            if self.form.curvature is None:
                hessian = positive.copy()
            elif self.scale == "log":
                hessian = across @ (slope * (steep - pull)[..., None])
                bent = self.form.curvature(self.x, params, pull / y)
            else:
                hessian = across @ (slope * steep[..., None])
                bent = self.form.curvature(self.x, params, pull)
            if self.form.curvature is not None:
                hessian += bent * first[..., :, None] * first[..., None, :]
                diagonal = np.arange(u.shape[-1])
                hessian[..., diagonal, diagonal] += gradient * second / np.where(first == 0, 1.0, first)
        return total, gradient, hessian, positive


def minimise(
    objective: Objective, weights: Array, starts: Array, *, tolerance: float = 1e-12, iterations: int = 200
) -> tuple[Array, Array]:
    """Minimises the objective for each problem of a batch, from one start each.

    Damped Newton steps (Levenberg and Marquardt), with the exact Hessian where the form has its curvature and it
    is positive, else with the quadratic that lies above Huber's function (iteratively reweighted least squares).
    Problems leave the batch as they converge.

    Arguments:
        weights: [B, n], not negative.
        starts: [B, P] parameters (not u).
        tolerance: relative fall of the objective, foreseen by the quadratic model, below which a problem is done.
        iterations: steps after which a problem is left as it is.

    Returns:
        Parameters [B, P] and the objective there [B].
    """
    u, best = objective.to_search(starts), np.empty(len(starts))
    rows = max(1, _CHUNK // (weights.shape[1] * starts.shape[1]))
    for first in range(0, len(u), rows):
        part = slice(first, first + rows)
        u[part], best[part] = _descend(objective, weights[part], u[part], tolerance, iterations)
    return objective.from_search(u)[0], best


def _descend(objective: Objective, weights: Array, u: Array, tolerance: float, iterations: int) -> tuple[Array, Array]:
    u = u.copy()
    value, gradient, hessian, positive = objective.expand(u, weights)
    damping = np.full(len(u), 1e-3)
    exact = np.full(len(u), objective.form.curvature is not None)  # whether the exact Hessian is to be tried
    alive = np.flatnonzero(np.isfinite(value))
    for _ in range(iterations):
        if not len(alive):
            break
        step, foreseen, used = _steps(gradient[alive], hessian[alive], positive[alive], damping[alive], exact[alive])
        trial = np.clip(u[alive] + step, -690.0, 690.0)
        found, *others = objective.expand(trial, weights[alive])
        better = found < value[alive]
        done = foreseen <= tolerance * (np.abs(value[alive]) + 1e-300)
        gain = value[alive] - found
        taken = alive[better]
        u[taken], value[taken] = trial[better], found[better]
        for kept, fresh in zip((gradient, hessian, positive), others, strict=True):
            kept[taken] = fresh[better]
        trusted = better & (gain > 0.25 * foreseen)
        damping[alive] = np.where(
            trusted, 0.15 * damping[alive], np.where(better, damping[alive], 6.0 * damping[alive])
        )
        if objective.form.curvature is not None:
            exact[alive] = ~(used & ~better) | (damping[alive] < 1e-6)
        stuck = damping[alive] > 1e9
        damping[alive] = np.maximum(damping[alive], 1e-12)
        alive = alive[~(done | stuck)]
    return u, value


def _steps(
    gradient: Array, hessian: Array, positive: Array, damping: Array, exact: NDArray[np.bool_]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Damped steps [B, P], by how much the quadratic model falls along them [B], and whether it was the exact one."""
    scale = np.einsum("bpp->bp", positive)
    scale = np.maximum(scale, 1e-14 * scale.max(axis=1, keepdims=True) + 1e-300)
    root = np.sqrt(scale)
    unit = root[:, :, None] * root[:, None, :]
    g = gradient / root
    eye = np.eye(gradient.shape[1])
    model = positive / unit + (damping[:, None, None] + 1e-13) * eye
    use = exact
    if exact.any():
        damped = hessian / unit + damping[:, None, None] * eye
        use = exact & (np.linalg.eigvalsh(np.where(np.isfinite(damped), damped, -eye))[:, 0] > 1e-10)
        model = np.where(use[:, None, None], damped, model)
    step = -np.linalg.solve(model, g[..., None])[..., 0]
    foreseen = -(g * step).sum(axis=1) - 0.5 * np.einsum("bp,bpq,bq->b", step, model, step)
    longest = np.abs(step / root).max(axis=1, keepdims=True)
    return step / root * np.minimum(1.0, 3.0 / np.maximum(longest, 1e-300)), foreseen, use
