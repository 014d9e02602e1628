"""The runs that would shrink the uncertainty of one prediction most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws.plan._cost import Array
from sonoscale.laws.plan._surface import Surface, loss
from sonoscale.results import plain

__all__ = ["NextRuns", "choose_runs", "covariance_of", "next_runs", "repeats_of", "resampled_errors", "slopes_of"]

_EXCHANGES = 10


@dataclass(frozen=True, kw_only=True)
class NextRuns:
    """Runs to add, all different, in the order in which they help.

    Attributes:
        runs: one mapping of variables to values each.
        flops: what each costs.
        repeats: whether each would be another seed of a configuration that the data have.
        most: FLOPs that one was allowed to cost at most.
        before: standard error of the prediction at the target, over resamples.
        after: [k] with the first 1, 2, ... of the runs added: by the ratios of linearised variances.
        of: what it is the standard error of, in words.
    """

    runs: tuple[dict[str, Any], ...]
    flops: tuple[float | None, ...]
    repeats: tuple[bool, ...]
    most: float | None
    before: float
    after: tuple[float, ...]
    of: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "of": self.of, "most_flops": plain(self.most), "standard_error": plain(self.before),
            "runs": [
                {"run": run, "flops": plain(flops), "another_seed": repeat, "standard_error_after": plain(after)}
                for run, flops, repeat, after in zip(self.runs, self.flops, self.repeats, self.after, strict=True)
            ],
        }  # fmt: skip


def choose_runs(
    covariance: Array,
    slopes: Array,
    aim: Array,
    noise: float,
    count: int,
    kinds: NDArray[np.intp] | None = None,
) -> tuple[list[int], list[float]]:
    """The candidates that make the variance of aim'theta least: c-optimal, each at most once.

    Greedy, each run by the update of Sherman and Morrison (Annals of Mathematical Statistics 21, 1950),
    V - V g g'V / (noise^2 + g'V g); then exchanges of one run for a better one until none helps (Fedorov,
    Theory of Optimal Experiments, 1972), since the best pair need not hold the best single run.

    Arguments:
        covariance: V [P, P] of the parameters as they are known.
        slopes: g of each candidate [m, P].
        aim: [P].
        noise: standard deviation of a run.
        count: k, at most m are chosen.
        kinds: [m] numbers; at most one candidate of each is chosen, if there are k kinds. None: each is its own.

    Returns:
        Indices of the candidates [k], all different, in the order in which they help, and the variance after each [k].
    """
    chosen: list[int] = []
    count = min(count, len(slopes))
    if kinds is None or len(np.unique(kinds)) < count:
        kinds = np.arange(len(slopes))
    V = covariance
    for _ in range(count):
        best = _best_other(_gains(V, slopes, aim, noise), kinds, chosen)
        chosen.append(best)
        V = _added(V, slopes[best], noise)
    for _ in range(_EXCHANGES):
        before = chosen.copy()
        for i in range(count):
            V = covariance
            for j in chosen[:i] + chosen[i + 1 :]:
                V = _added(V, slopes[j], noise)
            gains = _gains(V, slopes, aim, noise)
            best = _best_other(gains, kinds, chosen[:i] + chosen[i + 1 :])
            if gains[best] > gains[chosen[i]] * (1.0 + 1e-9):
                chosen[i] = best
        if chosen == before:
            break
    V, order, left, variances = covariance, [], list(chosen), []
    for _ in range(count):
        gains = _gains(V, slopes[left], aim, noise)
        one = left.pop(int(gains.argmax()))
        V = _added(V, slopes[one], noise)
        order.append(one)
        variances.append(float(aim @ V @ aim))
    return order, variances


def _best_other(gains: Array, kinds: NDArray[np.intp], taken: list[int]) -> int:
    """The candidate of the largest gain whose kind is not taken."""
    return int(np.where(np.isin(kinds, kinds[taken]), -np.inf, gains).argmax())


def covariance_of(slopes: Array, weights: Array, noise: float) -> Array:
    """noise^2 (J' W J)^-1 over what the rows determine: [P, P] for J [n, P] and weights [n]."""
    scale = np.sqrt((slopes**2).sum(axis=0))
    scale = np.where(scale > 1e-9 * scale.max(), scale, np.inf)  # what no row moves stays as it is
    unit = slopes / scale
    inner = np.linalg.pinv(unit.T @ (unit * weights[:, None]), rcond=1e-13, hermitian=True)
    return noise**2 * inner / scale[:, None] / scale


def next_runs(
    surface: Surface, candidates: Array, flops: Array, n: float, d: float, most: float, count: int
) -> NextRuns:
    """Of candidates [m, 2] (N, D) those that would lower the error of log y at (n, d) most.

    Gauss-Newton information about the fitted law; rows of one cluster count together as one run. The noise is a
    factor of all variances alike, and changes no choice; it is such that the linearised standard error at the
    target is the one over resamples.

    Raises:
        SonoscaleError: Where no candidate costs as little as `most`.
    """
    kept = flops <= most * (1.0 + 1e-9)
    if not kept.any():
        raise SonoscaleError(
            f"no next run costs at most {most:.3g} FLOPs: the cheapest that could be tried costs {flops.min():.3g}"
        )
    points, spent = candidates[kept], flops[kept]
    rows = slopes_of(surface, np.stack([surface.n, surface.d], axis=1))
    weights = np.full(len(rows), surface.n_clusters / len(rows))
    V = covariance_of(rows, weights, surface.noise)
    aim = slopes_of(surface, np.array([[n, d]]))[0]
    order, variances = choose_runs(V, slopes_of(surface, points), aim, surface.noise, count)
    before, after = resampled_errors(np.log(loss(surface.draws, n, d)), float(aim @ V @ aim), variances)
    return NextRuns(
        runs=tuple(dict(zip(surface.names, points[i].tolist(), strict=False)) for i in order),
        flops=tuple(float(spent[i]) for i in order),
        repeats=repeats_of({"n": points[order, 0], "d": points[order, 1]}, {"n": surface.n, "d": surface.d}),
        most=most,
        before=before,
        after=after,
        of=f"log({surface.target.words}) at the plan",
    )


def repeats_of(runs: Mapping[str, NDArray[Any]], known: Mapping[str, NDArray[Any]]) -> tuple[bool, ...]:
    """Whether each of these runs [k] is one of those known [n] in all columns, numbers to 9 digits."""
    asked, there = (list(zip(*(_rounded(one[name]) for name in known), strict=True)) for one in (runs, known))
    rows = set(there)
    return tuple(row in rows for row in asked)


def _rounded(values: NDArray[Any]) -> list[Any]:
    return [f"{value:.9g}" if isinstance(value, (int, float)) else value for value in values.tolist()]


def slopes_of(surface: Surface, points: Array) -> Array:
    """d log y / du at points [m, 2], u the logarithms of the parameters: [m, P]."""
    objective = surface.objective
    params, first, _ = objective.from_search(objective.to_search(surface.params[None]))
    y, slope = objective.form.derivatives(points, params)
    return (slope * first[:, None, :] / y[..., None])[0]


def resampled_errors(draws: Array, before: float, after: list[float]) -> tuple[float, tuple[float, ...]]:
    """The standard error over draws [R], from their 16 % and 84 % quantiles, and by variances what comes of it."""
    error = 0.5 * float(np.subtract(*np.quantile(draws, [0.8413, 0.1587])))
    return error, tuple(error * float(np.sqrt(one / before)) for one in after)


def _gains(V: Array, slopes: Array, aim: Array, noise: float) -> Array:
    along = slopes @ (V @ aim)
    own = np.einsum("mp,pq,mq->m", slopes, V, slopes)
    return along**2 / (noise**2 + np.maximum(own, 0.0))


def _added(V: Array, slope: Array, noise: float) -> Array:
    moved = V @ slope
    return V - np.outer(moved, moved) / (noise**2 + slope @ moved)
