"""Variable projection: where y is linear in some parameters, only the others are searched."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._linear import best_coefficients
from sonoscale.laws._newton import Objective
from sonoscale.laws.forms._form import Array

__all__ = ["project"]

_TRACE = 1e-4  # of y: what a linear term keeps that the best solution leaves out, so that it can come back


def project(
    objective: Objective, weights: Array, starts: Array, *, tolerance: float, iterations: int
) -> tuple[Array, Array]:
    """Minimises sum_i w_i (f_i - y_i)^2, divided by y_i^2 on the log scale, for each problem of a batch.

    The linear parameters, kept at or above zero, are solved for at every step (Golub and Pereyra, SIAM J.
    Numerical Analysis 10, 1973), with the Jacobian as simplified by Kaufman (BIT 15, 1975): the narrow valley
    between an exponent and its coefficient is gone. On the log scale relative errors stand for differences of
    logarithms; a few steps of `minimise` from here take away what they differ by.

    Arguments:
        objective: its form says which parameters are `linear`; its Huber loss is left aside.
        weights: [B, n].
        starts: [B, P].
        tolerance, iterations: as in `minimise`.

    Returns:
        Parameters [B, P] and the sum of squares there [B].
    """
    form = objective.form
    linear = [form.parameters.index(name) for name in form.linear]
    others = [i for i in range(len(form.parameters)) if i not in linear]
    root = np.sqrt(weights) / (objective.y if objective.scale == "log" else 1.0)
    target = root * objective.y

    def solve(u: Array, rows: NDArray[np.intp]) -> tuple[Array, Array, Array, Array]:
        """Parameters, the sum of squares, the gradient and the approximate Hessian of the reduced problem."""
        params, first, _ = objective.from_search(u)
        params[:, linear] = 1.0
        _, slope = form.derivatives(objective.x, params)
        bare = slope[..., linear]
        basis = bare * root[rows, :, None]
        found = best_coefficients(basis, target[rows])
        params[:, linear] = found
        if (bare[..., 1:] == 1.0).all():  # a coefficient and a constant: only the first term moves with the others
            value, slope = np.einsum("bnk,bk->bn", bare, found), slope * found[:, :1, None]
        else:
            value, slope = form.derivatives(objective.x, params)
        residual = value * root[rows] - target[rows]
        slope = slope[..., others] * first[:, None, others] * root[rows, :, None]
        active = basis * (found > 0)[:, None, :]
        q = _orthonormal(active)
        slope = slope - q @ (np.swapaxes(q, 1, 2) @ slope)
        across = np.swapaxes(slope, 1, 2)
        total = np.einsum("bn,bn->b", residual, residual)
        trace = _TRACE * np.abs(target[rows]).mean(axis=1, keepdims=True)
        params[:, linear] = np.maximum(found, trace / np.maximum(basis.mean(axis=1), 1e-300))
        return (
            params,
            np.where(np.isfinite(total), total, np.inf),
            (across @ residual[..., None])[..., 0],
            across @ slope,
        )

    with np.errstate(all="ignore"):
        u = objective.to_search(starts)
        everyone = np.arange(len(u))
        params, value, gradient, hessian = solve(u, everyone)
        damping = np.full(len(u), 1e-2)
        alive = np.flatnonzero(np.isfinite(value))
        eye = np.eye(len(others))
        for _ in range(iterations):
            if not len(alive):
                break
            scale = np.sqrt(np.maximum(np.einsum("bpp->bp", hessian[alive]), 1e-30))
            model = hessian[alive] / (scale[:, :, None] * scale[:, None, :]) + damping[alive, None, None] * eye
            g = gradient[alive] / scale
            step = -np.linalg.solve(model, g[..., None])[..., 0]
            foreseen = -(g * step).sum(axis=1)
            step = step / scale
            step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
            trial = u[alive]
            trial[:, others] = np.clip(trial[:, others] + step, -690.0, 690.0)
            fresh = solve(trial, alive)
            better = fresh[1] < value[alive]
            done = foreseen <= tolerance * value[alive]
            taken = alive[better]
            u[taken] = trial[better]
            for kept, new in zip((params, value, gradient, hessian), fresh, strict=True):
                kept[taken] = new[better]
            damping[alive] = np.maximum(np.where(better, 0.1, 3.0) * damping[alive], 1e-12)
            alive = alive[~done & (damping[alive] < 1e6)]
    return params, value


def _orthonormal(columns: Array) -> Array:
    """An orthonormal basis of one or two columns [B, n, K], zero for a column that is zero or adds nothing."""
    q = np.zeros_like(columns)
    for k in range(columns.shape[-1]):
        rest = columns[..., k]
        for j in range(k):
            rest = rest - q[..., j] * np.einsum("bn,bn->b", q[..., j], rest)[:, None]
        size = np.sqrt(np.einsum("bn,bn->b", rest, rest))
        known = np.sqrt(np.einsum("bn,bn->b", columns[..., k], columns[..., k]))
        q[..., k] = np.where(
            (size > 1e-10 * known)[:, None] & (size > 0)[:, None], rest / np.where(size > 0, size, 1.0)[:, None], 0.0
        )
    return q
