"""The law y = E + A N^-alpha + B D^-beta of one table, with what resampling makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws._bootstrap import draw_counts, expanded_interval, small_sample_factor
from sonoscale.laws._data import check_draws, distinct_rows, numbered
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._newton import Objective, minimise
from sonoscale.laws._runs import RunTable
from sonoscale.laws._screen import screen_runs
from sonoscale.laws._target import Target
from sonoscale.laws._thin import MOST_RESAMPLED, polished, shrunk, thinned, thinned_note
from sonoscale.laws.extrapolation import Extrapolation, extrapolate
from sonoscale.laws.forms import FORMS
from sonoscale.laws.forms._form import POSITIVE
from sonoscale.laws.plan._cost import Array

__all__ = ["LAW", "Surface", "estimate_of", "fit_surface", "loss", "span"]

LAW = replace(FORMS["chinchilla"], bounds=(POSITIVE,) * 5)  # what improves with N and D, or does not depend on them
A, ALPHA, B, BETA, E = (LAW.parameters.index(name) for name in ("A", "alpha", "B", "beta", "E"))
_FOLLOWED = 8  # starts
_FLAT = 1e-5  # a variable that moves log y by less over the data has no effect
_BY_CHANCE = 0.05  # p-value
_UNSURE = 0.25  # of the resamples without an effect of a variable: there is none to plan with


def loss(params: Array, n: Any, d: Any) -> Array:
    """E + A n^-alpha + B d^-beta for params [..., 5], with n and d that broadcast against [...]."""
    with np.errstate(over="ignore"):
        return (
            params[..., E]
            + np.exp(np.log(params[..., A] + 1e-300) - params[..., ALPHA] * np.log(n))
            + np.exp(np.log(params[..., B] + 1e-300) - params[..., BETA] * np.log(d))
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Surface:
    """The fitted law.

    Attributes:
        n, d: [m] of the rows fitted.
        names: of N, D and y.
        params: [5] in the order of `LAW.parameters`.
        draws: [R, 5] of the resamples of clusters.
        noise: robust standard deviation of a row about the law, of log y (turned so that it falls).
        n_clusters: independent clusters of rows.
        factor: by which draws are stretched.
        level: of intervals.
        target: y, and how it is turned so that it falls.
        calibration: calibrates intervals of new runs.
        objective: what was minimised.
        warnings: one sentence each.
    """

    n: Array
    d: Array
    names: tuple[str, str, str]
    params: Array
    draws: Array
    noise: float
    n_clusters: int
    factor: float
    level: float
    target: Target
    calibration: Extrapolation
    objective: Objective
    warnings: tuple[str, ...]

    def interval(self, draws: Array, estimate: float, *, log: bool = False) -> Estimate:
        """The estimate with its interval over draws [R]."""
        return estimate_of(draws, estimate, level=self.level, factor=self.factor, log=log)

    def expected(self, n: float, d: float) -> Estimate:
        """y that the law expects at one point, with the uncertainty of the law alone, in the unit of y."""
        return self.turned(self.interval(loss(self.draws, n, d), float(loss(self.params, n, d)), log=True))

    def turned(self, fallen: Estimate) -> Estimate:
        """A value of what falls as one of y."""
        up = self.target.up(np.array([fallen.value, fallen.low, fallen.high]))
        return Estimate(float(up[0]), float(up[1:].min()), float(up[1:].max()))

    def predict(self, n: Array, d: Array, flops: Array) -> tuple[Array, Array, Array]:
        """y of new runs [m] with its interval: (y, low, high).

        Under one root, on the log scale: the half-width of `extrapolate` at these runs' reach in FLOPs (noise of
        a run, and how wrong the law was at rolling origins of the same data), and the uncertainty of the law
        over resamples, which also knows how far N or D alone lie beyond the data.
        """
        half = self.calibration._calibration.half_width(np.log(flops / self.calibration.largest))
        law = loss(self.params, n, d)
        ends = span(loss(self.draws[:, None, :], n, d), law, level=self.level, factor=self.factor, log=True)
        centre = np.log(law)
        below, above = (np.hypot(half, np.log(end) - centre) for end in ends)
        ends = self.target.ends(np.exp(centre - below), np.exp(centre + above))
        found = self.target.up(np.exp(centre)), *ends
        least = 0.0 if self.target.direction == "score" else -np.inf
        y, low, high = (np.maximum(one, least) for one in found)
        return y, low, high


def span(draws: Array, estimate: Any, *, level: float, factor: float, log: bool = False) -> tuple[Array, Array]:
    """Percentile ends over draws [R, ...], stretched about the estimate [...] (on a log scale if `log`)."""
    if not log:
        return expanded_interval(draws, estimate, level=level, factor=factor)
    low, high = expanded_interval(np.log(draws), np.log(estimate), level=level, factor=factor)
    return np.exp(np.clip(low, -700.0, 700.0)), np.exp(np.clip(high, -700.0, 700.0))


def estimate_of(draws: Array, estimate: float, *, level: float, factor: float, log: bool = False) -> Estimate:
    """The estimate with the interval of its draws [R]."""
    low, high = span(draws, estimate, level=level, factor=factor, log=log)
    return Estimate(float(estimate), float(low), float(high))


def fit_surface(
    runs: RunTable,
    names: tuple[str, str, str],
    target: Target,
    flops: Array,
    *,
    huber: float,
    bootstrap: int,
    seed: int,
    level: float,
) -> Surface:
    """Fits the law by Huber's loss of log y, summed over rows, and to resamples of clusters.

    Arguments:
        runs: the rows to fit.
        names: the columns N, D and y.
        target: y.
        flops: [m] of each row.
        huber: delta, of log y (1e-3: Hoffmann et al., arXiv 2203.15556, section D.2).

    Raises:
        SonoscaleError: For too few rows or clusters, and a law that does not depend on N or on
            D.
    """
    check_draws(bootstrap, level, seed)
    size = len(LAW.parameters)
    screened = screen_runs(runs, x=names[:2], log=names[:2], least=size + 1)
    n, d, raw = (screened.columns[name] for name in names)
    groups = runs.clusters
    count = runs.n_clusters
    points = np.stack([n, d], axis=1)
    distinct = distinct_rows(points, size + 1)
    if min(count, distinct) < size + 1:
        raise SonoscaleError(
            f"{LAW.formula} has {size} parameters and needs {size + 1} independent runs of different "
            f"{names[0]} and {names[1]}, but there are {min(count, distinct)}"
        )
    for name, column in zip(names[:2], (n, d), strict=True):
        if len(np.unique(column)) < 3:
            raise SonoscaleError(f"{name} has 2 different values only: a power of it and a floor need 3")
    y = target.down(raw)
    whole = objective = Objective(form=LAW, x=points, y=y, scale="log", huber=huber)
    kept = thinned(groups, MOST_RESAMPLED, seed)
    if kept is not None:  # a large table: searched and resampled by some of its rows
        objective = replace(whole, x=points[kept], y=y[kept])
        groups = numbered(groups[kept])
    about = _best(objective)
    best = about if kept is None else polished(whole, about)
    residual = np.log(y) - np.log(loss(best, n, d))
    noise = max(1.4826 * float(np.median(np.abs(residual))) * np.sqrt(len(n) / max(len(n) - size, 1)), 1e-12)
    for i, name in enumerate(names[:2]):
        p = _chance(objective, about, noise, 1 - i, int(groups.max()) + 1)
        if p > _BY_CHANCE:
            raise SonoscaleError(
                f"{names[2]} does not improve with {name} beyond chance (p = {p:.2g}): there is no best {name} to plan"
            )
    rng = np.random.default_rng(seed)
    counts = draw_counts(_numbers(objective.x), groups, bootstrap=bootstrap, distinct=size, rng=rng)
    weights = counts[:, groups]
    draws, _ = minimise(objective, weights, np.tile(about, (bootstrap, 1)), tolerance=1e-10)
    large: list[str] = []
    if kept is not None:
        draws = shrunk(whole, draws, about, best, (int(groups.max()) + 1) / count)
        large.append(thinned_note(len(n), len(kept), "resamples are"))
    calibration = extrapolate(
        points, raw, clusters=runs.clusters, flops=flops, target=target, level=level, x_names=("N", "D"),
        y_name=names[2], rows=runs.rows,
    )  # fmt: skip
    few = [] if count - size >= 5 else [f"{count} independent runs for {size} parameters: the intervals are rough"]
    notes = [*screened.warnings, *few, *_effects(n, d, best, draws, names, level), *calibration.warnings, *large]
    return Surface(
        n=n, d=d, names=names, params=best, draws=draws, noise=noise, n_clusters=count,
        factor=small_sample_factor(count, size, level), level=level, target=target, calibration=calibration,
        objective=whole, warnings=tuple(notes),
    )  # fmt: skip


def _best(objective: Objective, *, tolerance: float = 1e-12, iterations: int = 200) -> Array:
    starts = objective.form.starts(objective.x, objective.y)
    ones = np.ones((len(starts), len(objective.y)))
    chosen = starts[np.argsort(objective.value(objective.to_search(starts), ones))[:_FOLLOWED]]
    params, value = minimise(objective, ones[: len(chosen)], chosen, tolerance=tolerance, iterations=iterations)
    return params[int(value.argmin())]


def _chance(full: Objective, best: Array, noise: float, kept: int, count: int) -> float:
    """How likely chance alone lets the law fit so much better than one of the variable `kept` only.

    The robust analogue of the F test for Huber's loss at 1.345 noise (Hampel et al., Robust Statistics, 1986,
    chapter 7), rows of one cluster taken as one. The exponent of a term that is not there is free, so that the
    test is somewhat too easily passed.
    """
    delta = 1.345 * noise
    wide = replace(full, huber=delta)
    single = FORMS["saturating_loss"]
    narrow = Objective(form=single, x=full.x[:, kept], y=full.y, scale="log", huber=delta)
    params, with_both = minimise(wide, np.ones((1, len(full.y))), best[None], tolerance=1e-6, iterations=30)
    bare = _best(narrow, tolerance=1e-6, iterations=30)
    alone = narrow.value(narrow.to_search(bare[None]), np.ones((1, len(full.y))))
    residual = full.target - np.log(loss(params[0], full.x[:, 0], full.x[:, 1]))
    pull = np.clip(residual, -delta, delta)
    freedom = max(count - len(LAW.parameters), 1)
    spread = float((pull**2).mean()) * count / freedom / max(float(np.mean(np.abs(residual) <= delta)), 0.1)
    gain = max(float(alone[0] - with_both[0]) / len(full.y) * count, 0.0)
    if spread == 0.0:  # the law is exact
        return 0.0 if gain > 0.0 else 1.0
    return float(stats.f.sf(gain / spread, 2, freedom))


def _numbers(points: Array) -> Array:
    return np.unique(points, axis=0, return_inverse=True)[1].astype(np.float64).reshape(-1)


def _effects(n: Array, d: Array, best: Array, draws: Array, names: Sequence[str], level: float) -> list[str]:
    """What is doubtful about the law's dependence on N and D; refuses where there is none."""
    notes = []
    centre = {"n": np.exp(np.log(n).mean()), "d": np.exp(np.log(d).mean())}
    for name, key, column in ((names[0], "n", n), (names[1], "d", d)):
        ends: list[Mapping[str, Any]] = [centre | {key: column.min()}, centre | {key: column.max()}]
        moved, often = (np.log(loss(p, **ends[0])) - np.log(loss(p, **ends[1])) for p in (best, draws))
        share = float(np.mean(often < _FLAT))
        if moved < _FLAT or share > _UNSURE:
            detail = "" if moved < _FLAT else f" in {share:.0%} of the resamples"
            raise SonoscaleError(
                f"{names[2]} does not improve with {name}{detail} in these data: there is no best {name} to plan"
            )
        if share > 0.5 * (1.0 - level):
            notes.append(
                f"{names[2]} does not improve with {name} in {share:.0%} of the resamples: weigh the intervals"
            )
    return notes
