"""The law in two stages, design -> rank -> quality, beside the law without the rank in between."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from sonoscale._figure import new_axes
from sonoscale.errors import SonoscaleError
from sonoscale.laws._bootstrap import expanded_interval
from sonoscale.laws._data import as_names, canonical_order, check_draws
from sonoscale.laws._estimate import Prediction
from sonoscale.laws._fit_form import fit_form
from sonoscale.laws._fitted import Fit
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws._runs import RunTable
from sonoscale.laws._target import Target
from sonoscale.laws.forms import Form
from sonoscale.laws.loglinear._families import missed_families
from sonoscale.laws.loglinear._fit import fit_prepared
from sonoscale.laws.loglinear._fitted import LogLinear
from sonoscale.laws.loglinear._prepare import Prepared, checked, prepare
from sonoscale.laws.loglinear._resample import Resamples, resample
from sonoscale.laws.loglinear._routes import (
    DIRECT,
    MEASURED,
    THROUGH_RANK,
    WITH_RANK,
    Route,
    compare_routes,
    verdict,
)
from sonoscale.laws.loglinear._second_stage import SecondStage, one_power, second_stage, without_groups
from sonoscale.laws.loglinear._terms import is_categorical
from sonoscale.results import Result, plain

__all__ = ["TwoStage", "fit_two_stage"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TwoStage(Result):
    """A law in two stages, and those it is compared with.

    Attributes:
        runs: the table that was read, with its held-out rows, which are not fitted.
        target: y, and which end of it is good.
        x, through: the columns of the design and of the rank.
        level: confidence level of all intervals.
        rank_law: the first stage, log rank ~ design.
        quality_law: the second, y ~ rank.
        direct: y ~ design.
        with_rank: y ~ design and log rank.
        routes: the errors of `through rank` (both stages), `direct`, `direct with rank` and `measured rank` (the second
            stage, given the rank that was measured) over the same clusters left out, of which both stages are fitted
            anew.
        verdict: what going through the rank gains or loses, in one sentence.
        warnings: what a reader of these numbers must know, one sentence each.
    """

    runs: RunTable
    target: Target
    x: tuple[str, ...]
    through: str
    level: float
    rank_law: LogLinear
    quality_law: Fit
    direct: LogLinear
    with_rank: LogLinear
    routes: dict[str, Route]
    verdict: str
    warnings: tuple[str, ...]
    _second: SecondStage = field(repr=False)

    @property
    def y(self) -> str:
        """The column that is predicted."""
        return self.target.name

    @property
    def headline(self) -> str:
        """What going through the rank gains or loses."""
        return f"{self.runs.fitted.counts}: {self.verdict}"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each route from the design to y, with its errors and its gain over the direct law."""
        return [{"route": name, **vars(route)} for name, route in self.routes.items()]

    def predict(self, table: Mapping[str, Any]) -> Prediction:
        """Quality of runs of this design, through the rank that is expected of them.

        The interval is for one new run, and each resample of clusters goes through both stages: coefficients
        of the first, the error of a run's rank about it, the law of the second at the rank that comes of
        these, and the error of quality of the same run, so that a rank that misleads in both is not counted
        as chance twice.

        Arguments:
            table: the design, as `LogLinear.predict` takes it.

        Returns:
            The `Prediction` [m]. Warns (`UserWarning`) where a column lies more than 10 % outside the data.

        Raises:
            SonoscaleError: As `LogLinear.predict`.
        """
        return self._predict(table)

    def _predict(self, table: Mapping[str, Any], rows: NDArray[np.intp] | None = None) -> Prediction:
        """The same; `rows` [m] are places in the user's table, for messages."""
        centre, X, places = self.rank_law._expect(table, rows)
        quality = self._second.at(np.exp(centre))
        ranks = np.exp(np.clip(centre + self.rank_law._simulate(X, places), -600.0, 600.0))
        draws = self._second.of_draws(ranks, self.rank_law._resamples.rows)
        low, high = expanded_interval(draws - quality, np.zeros_like(quality), level=self.level)
        least, most = self._second.form.y_range
        if self.target.direction == "score":
            least, most = max(least, 0.0), min(most, self.target.ceiling)
        if (quality > most).any():
            warnings.warn(
                f"{self.y} is predicted above {most:g}, where it ends: a law with an end, such as saturating, is due",
                UserWarning,
                stacklevel=3,
            )
        value, low, high = (np.clip(one, least, most) for one in (quality, quality + low, quality + high))
        return Prediction(value=value, low=low, high=high)

    def plot(self, ax: Any = None) -> Any:
        """The runs and the law of y in the rank, the second stage, with its interval for a new run.

        Arguments:
            ax: matplotlib Axes to draw on, or None for new ones.

        Returns:
            The Axes.

        Raises:
            SonoscaleError: matplotlib is not installed.
        """
        ax = new_axes(ax, layout="tight")
        runs = self.runs.fitted
        rank = np.asarray(runs[self.through], dtype=np.float64)
        line = np.geomspace(rank.min(), rank.max(), 100)
        found = self.quality_law.predict(line)
        ax.scatter(rank, runs[self.y], s=14)
        ax.plot(line, found.value)
        ax.fill_between(line, found.low, found.high, alpha=0.15, linewidth=0)
        ax.set(xscale="log", xlabel=self.through, ylabel=self.y)
        ax.set_title(self.verdict, fontsize="small", loc="left", wrap=True)
        return ax

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values (None for what is not finite)."""
        return {
            "y": self.y,
            "x": list(self.x),
            "through": self.through,
            "target": plain(self.target),
            "n": len(self.runs.fitted),
            "n_clusters": self.runs.fitted.n_clusters,
            "level": self.level,
            "rank_law": self.rank_law.as_dict(),
            "quality_law": self.quality_law.as_dict(),
            "direct": self.direct.as_dict(),
            "with_rank": self.with_rank.as_dict(),
            "routes": plain(self.routes),
            "verdict": self.verdict,
            "warnings": list(self.warnings),
        }


def fit_two_stage(
    source: Source,
    x: str | Sequence[str],
    *,
    through: str = "rankme",
    form: str | Form | None = None,
    y_scale: Literal["log", "logit", "linear"] | None = None,
    log: Sequence[str] | None = None,
    interactions: Sequence[tuple[str, str]] = (),
    effects: Literal["fixed", "random"] = "fixed",
    level: float = 0.95,
    bootstrap: int = 1000,
    seed: int = 0,
    **reading: Unpack[Reading],
) -> TwoStage:
    """Fit rank ~ x and y ~ rank, and compare it with y ~ x.

    That design variables act on quality through the rank is the claim of Deng, Sun, Dou and Xu, arXiv
    2510.10948 (2025). If it holds, the detour costs nothing, and the design adds nothing to a measured rank.
    Families have effects on the rank and on y in the direct laws, and none in the law of y in rank, which is to be one
    for all.

    Arguments:
        source: a `RunTable`, or whatever `read_runs` reads. Held-out rows are left aside.
        x: the columns of the design: parameters, hours, objective, ...
        through: the column of the rank, above zero.
        form: of y in rank: one power of it, with or without a constant. None: `power`, or `power_loss` where less is
            better.
        y_scale: of y in the direct laws; None: `log`, or `linear` where some y is not above zero. (The law of y in rank
            is fitted as `fit_form` does.)
        log, interactions: of x, as in `fit_loglinear`.
        effects, level, bootstrap, seed: as in `fit_loglinear`.
        reading: how the table is read: `y`, `family`, `clusters`, ... (see `read_runs`).

    Returns:
        The `TwoStage`.

    Raises:
        SonoscaleError: For what `fit_loglinear` and `fit_form` refuse, for a form of another kind, and for a rank that
            is in x or is y.

    Example:
        >>> params = [1e6, 2e6, 4e6, 8e6, 16e6, 32e6]
        >>> runs = {"params": params, "rankme": [20, 26, 33, 41, 54, 69], "quality": [0.31, 0.36, 0.4, 0.44, 0.5, 0.56]}
        >>> law = fit_two_stage(runs, "params", bootstrap=100)
        >>> sorted(law.routes)
        ['direct', 'direct with rank', 'measured rank', 'through rank']
    """
    check_draws(bootstrap, level, seed)
    names = as_names(x, "x")
    read = as_runs(source, **reading).whole("fit_two_stage fits one law")
    read.need(through)
    if through == read.y or through in names:
        raise SonoscaleError(f"{through!r} is {'y' if through == read.y else 'in x'} and is to be gone through")
    read = checked(read, names).use(positive=(through,))
    target = read.target(along=[name for name in names if not is_categorical(read.columns, name)])
    runs = read.fitted
    chosen = one_power(form if form is not None else "power" if target.higher_is_better else "power_loss")
    shared: dict[str, Any] = {"effects": effects, "interactions": interactions}
    scale = ("log" if (runs[runs.y] > 0).all() else "linear") if y_scale is None else y_scale
    first = prepare(runs, y=through, x=names, log=log, y_scale="log", **shared)
    direct = prepare(runs, y=runs.y, x=names, log=log, y_scale=scale, **shared)
    logs = None if log is None else (*log, through)
    both = prepare(runs, y=runs.y, x=(*names, through), log=logs, y_scale=scale, **shared)
    order = canonical_order(first.X, first.z, direct.z, first.members)
    first, direct, both = first.ordered(order), direct.ordered(order), both.ordered(order)
    resamples = resample(first.clusters, bootstrap=bootstrap, seed=seed)

    quality_law = fit_form(
        chosen, first.target, direct.target, clusters=first.clusters, bootstrap=bootstrap, seed=seed,
        level=level, x_name=through, y_name=runs.y, rows=first.places,
    )  # fmt: skip
    laws = [
        fit_prepared(one, resamples, level, runs, known)
        for one, known in ((first, None), (direct, target), (both, target))
    ]
    routes = _routes(chosen, first, direct, both, laws, resamples, level)
    notes = (
        []
        if scale == y_scale or scale == "log"
        else [f"{runs.y} is not above zero in all rows: direct laws are of it as it is, not of its logarithm"]
    )
    notes += list(first.warnings) + [note for note in direct.warnings if note not in first.warnings]
    for name, law in zip((f"law of {through}", DIRECT, WITH_RANK), laws, strict=True):
        notes += [f"{name}: {note}" for note in law.warnings if note not in notes and note not in both.warnings]
    notes += [f"law of {runs.y} in {through}: {note}" for note in quality_law.warnings]
    return TwoStage(
        runs=read, target=target, x=names, through=through, level=level, rank_law=laws[0], quality_law=quality_law,
        direct=laws[1], with_rank=laws[2], routes=routes, verdict=verdict(routes, rank=through, quality=runs.y),
        warnings=tuple(dict.fromkeys(notes)),
        _second=second_stage(chosen, first.target, direct.target, first.clusters, resamples, level),
    )  # fmt: skip


def _routes(
    form: Form,
    first: Prepared,
    direct: Prepared,
    both: Prepared,
    laws: Sequence[LogLinear],
    resamples: Resamples,
    level: float,
) -> dict[str, Route]:
    rank, quality, clusters = first.target, direct.target, first.clusters

    def through(groups: NDArray[np.intp], missed: Array) -> Array:
        return quality - without_groups(form, rank, quality, groups, np.exp(first.z - missed))

    def given(groups: NDArray[np.intp]) -> Array:
        return quality - without_groups(form, rank, quality, groups, rank)

    def of_law(data: Prepared, missed: Array) -> Array:
        return quality - data.scale.back(data.z - missed)

    left_out = [law.missed[data.rows] for law, data in zip(laws, (first, direct, both), strict=True)]
    missed = {
        THROUGH_RANK: through(clusters, left_out[0]),
        DIRECT: of_law(direct, left_out[1]),
        WITH_RANK: of_law(both, left_out[2]),
        MEASURED: given(clusters),
    }
    strangers: dict[str, Array | None] = dict.fromkeys(missed)
    if first.family is not None:
        apart = [missed_families(data) for data in (first, direct, both)]
        strangers = {
            THROUGH_RANK: through(first.members, apart[0]),
            DIRECT: of_law(direct, apart[1]),
            WITH_RANK: of_law(both, apart[2]),
            MEASURED: given(first.members),
        }
    return compare_routes(missed, strangers, clusters, resamples, level)
