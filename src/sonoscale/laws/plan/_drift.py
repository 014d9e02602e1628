"""How the optimum moved as larger runs were added, and what that says of the runs to come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._data import numbered
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._newton import minimise
from sonoscale.laws._thin import MOST_RESAMPLED, thinned
from sonoscale.laws.extrapolation._calibrate import Held, drift_of
from sonoscale.laws.extrapolation._windows import rolling_windows
from sonoscale.laws.plan._cost import Array, Cost
from sonoscale.laws.plan._next import covariance_of, slopes_of
from sonoscale.laws.plan._optimum import Frontier, exponents, find_optimum, frontier
from sonoscale.laws.plan._surface import LAW, Surface

__all__ = ["OptimumDrift", "drifting_frontier", "optimum_drift", "widened"]

_LEAST = len(LAW.parameters) + 3  # independent runs below an origin
_FOLLOWED = 4  # starts at each origin, besides the law of all data
_MOST_ROWS = 5000  # to which laws are refitted; of larger tables, about so many, evenly along the FLOPs
_STEP = 1e-4  # of a search parameter, for slopes
_FARTHEST = 600.0  # e-folds that an end of an interval may lie off


@dataclass(frozen=True, kw_only=True)
class OptimumDrift:
    """Drift for each e-fold of compute that is added, as O rolling origins show it.

    Attributes:
        log_n, log_d: of the best N and D for the compute of the largest run.
        a, b: of the exponents.
        origins: O.
        farthest: ln(largest run / largest run below the farthest origin); the exponents are widened for no more.
        largest: FLOPs of the largest run.
        level: of intervals.
    """

    log_n: float
    log_d: float
    a: float
    b: float
    origins: int
    farthest: float
    largest: float
    level: float

    def half_widths(self, flops: float) -> tuple[float, float, float, float]:
        """Half-widths by drift of log N, log D, a and b at a budget: t(O) times drift times the e-folds to it.

        A budget within a factor of two of the largest run, or below it, counts as a factor of two, the step of the
        origins. An origin is one observation of a drift: Student's t with O degrees of freedom (2 at least).
        """
        from scipy import stats

        wide = float(stats.t.ppf(0.5 * (1.0 + self.level), max(self.origins, 2)))
        reach = max(float(np.log(flops / self.largest)), float(np.log(2.0)))
        near = min(reach, self.farthest)
        return wide * self.log_n * reach, wide * self.log_d * reach, wide * self.a * near, wide * self.b * near


def optimum_drift(
    surface: Surface, flops: Array, clusters: NDArray[np.intp], cost: Cost, *, around: float
) -> OptimumDrift:
    """Refits the law to the runs up to a half, a quarter, an eighth and a sixteenth of the largest compute.

    The drift of each quantity is the maximum likelihood estimate, as for the loss (see `Calibration`), from its
    differences to what all runs say. The sampling error of a difference has the variance at the origin less that of
    all runs (Hausman, Econometrica 46, 1978), by Gauss-Newton, in units in which all runs have the one of resampling.

    Arguments:
        surface: the law of all rows.
        flops: [m] of its rows.
        clusters: [m] numbers.
        cost, around: as in `find_optimum`.
    """
    largest, total = float(flops.max()), len(flops)
    if total > _MOST_ROWS:
        order = np.argsort(flops, kind="stable")
        rows = np.union1d(order[:: -(-total // _MOST_ROWS)], order[-1:])
        flops, clusters = flops[rows], clusters[rows]
        objective = replace(surface.objective, x=surface.objective.x[rows], y=surface.objective.y[rows])
        surface = replace(surface, objective=objective, n=surface.n[rows], d=surface.d[rows])
        surface = replace(surface, params=_laws(surface, np.ones((1, len(rows))))[0])
    windows = rolling_windows(flops, clusters, _LEAST)
    below = np.array([flops[window > 0].max() for window in windows])
    steps = np.log(largest / below[1:])
    for window in windows[1:]:  # of large tables, so many rows below each origin
        inside = np.flatnonzero(window)
        some = thinned(numbered(clusters[inside]), MOST_RESAMPLED)
        if some is not None:
            window[np.delete(inside, some)] = 0.0
    laws = np.concatenate([surface.params[None], _laws(surface, windows[1:])])

    def of(which: int) -> Callable[[Array], Array]:
        if which < 2:
            return lambda params: np.log(find_optimum(params, largest, cost, around=around)[which])
        return lambda params: exponents(params, largest, cost, around=around)[which - 2]

    drifts = []
    for quantity in map(of, range(4)):
        value = quantity(laws)
        error = _errors(surface, laws, windows, quantity) * np.sqrt(total / len(flops))
        noise = np.sqrt(np.maximum(error[1:] ** 2 - error[0] ** 2, 0.0))
        held = [
            Held(np.array([off]), np.array([step]), float(sd))
            for off, step, sd in zip(value[1:] - value[0], steps, noise, strict=True)
        ]
        drifts.append(drift_of(held))
    return OptimumDrift(
        log_n=drifts[0], log_d=drifts[1], a=drifts[2], b=drifts[3], origins=len(steps),
        farthest=float(steps.max(initial=0.0)), largest=largest, level=surface.level,
    )  # fmt: skip


def drifting_frontier(surface: Surface, drift: OptimumDrift, cost: Cost, flops: Array, *, around: float) -> Frontier:
    """The frontier with the drift in the intervals of N and D."""
    found = frontier(surface, cost, flops, around=around)
    half = np.array([drift.half_widths(budget)[:2] for budget in flops.tolist()]).T  # [2, K]
    return replace(found, n=_wider(found.n, half[0]), d=_wider(found.d, half[1]))


def widened(estimate: Estimate, half: float, *, log: bool = False, most: float = np.inf) -> Estimate:
    """The estimate, a half-width added to its interval under a root (on a log scale if `log`), within 0 to `most`."""
    if log:
        band = _wider(np.array([[estimate.value], [estimate.low], [estimate.high]]), np.array([half]))
        return Estimate(estimate.value, *band[1:, 0].tolist())
    below, above = (float(np.hypot(end - estimate.value, half)) for end in (estimate.low, estimate.high))
    return Estimate(estimate.value, max(estimate.value - below, 0.0), min(estimate.value + above, most))


def _wider(band: Array, half: Array) -> Array:
    """A band [3, K] of value, low and high with half-widths [K] of its logarithm added under a root."""
    below, above = (np.minimum(np.hypot(np.log(end / band[0]), half), _FARTHEST) for end in band[1:])
    return np.stack([band[0], band[0] * np.exp(-below), band[0] * np.exp(above)])


def _laws(surface: Surface, windows: Array) -> Array:
    """The law of each window [O, n]: [O, 5]."""
    if not len(windows):
        return np.empty((0, len(surface.params)))
    objective = surface.objective
    if len(objective.y) > MOST_RESAMPLED:
        used = windows.any(axis=0)
        objective, windows = replace(objective, x=objective.x[used], y=objective.y[used]), windows[:, used]
    starts = np.concatenate([surface.params[None], objective.form.starts(objective.x, objective.y)])
    u, count = objective.to_search(starts), len(starts)
    value = objective.value(np.tile(u, (len(windows), 1)), np.repeat(windows, count, axis=0))
    order = np.argsort(value.reshape(len(windows), count)[:, 1:], axis=1)[:, :_FOLLOWED] + 1
    chosen = starts[np.hstack([np.zeros((len(windows), 1), dtype=order.dtype), order])]  # [O, 5 starts, P]
    params, value = minimise(
        objective, np.repeat(windows, chosen.shape[1], axis=0), chosen.reshape(-1, starts.shape[1]), tolerance=1e-9
    )
    best = value.reshape(len(windows), -1).argmin(axis=1)
    return params.reshape(chosen.shape)[np.arange(len(windows)), best]


def _errors(surface: Surface, laws: Array, windows: Array, quantity: Callable[[Array], Array]) -> Array:
    """Standard errors of a quantity of the law of each window: [1 + O], the first by resampling."""
    objective, size = surface.objective, laws.shape[1]
    points = np.stack([surface.n, surface.d], axis=1)
    found = []
    for law, window in zip(laws, windows, strict=True):
        residual = (objective.target - objective.at(law))[window > 0]
        rows = window.sum()
        noise = 1.4826 * float(np.median(np.abs(residual))) * float(np.sqrt(rows / max(rows - size, 1.0)))
        covariance = covariance_of(slopes_of(replace(surface, params=law), points), window, noise)
        moves = _STEP * np.eye(size)
        u = objective.to_search(law[None])
        ends = (quantity(objective.from_search(u + sign * moves)[0]) for sign in (1.0, -1.0))
        slope = np.subtract(*ends) / (2.0 * _STEP)
        found.append(float(np.sqrt(max(slope @ covariance @ slope, 0.0))))
    errors = np.nan_to_num(np.array(found), posinf=0.0)
    spread = 0.5 * float(np.subtract(*np.quantile(quantity(surface.draws), [0.8413, 0.1587])))
    return errors * (spread / errors[0]) if errors[0] > 0 else errors
