"""The law in two stages, design -> rank -> quality, beside the law without the rank in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._bootstrap import expanded_interval
from sonoscale.laws._data import check_draws
from sonoscale.laws._estimate import Prediction
from sonoscale.laws._fit_form import fit_form
from sonoscale.laws._fitted import Fit
from sonoscale.laws.forms import Form
from sonoscale.laws.loglinear._families import missed_families
from sonoscale.laws.loglinear._fit import fit_prepared
from sonoscale.laws.loglinear._fitted import LogLinear
from sonoscale.laws.loglinear._prepare import Prepared, prepare
from sonoscale.laws.loglinear._resample import Resamples, canonical_order, resample
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

__all__ = ["TwoStage", "fit_two_stage"]

Array = NDArray[np.float64]
Table = Mapping[str, Sequence[Any] | NDArray[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoStage:
    """A law in two stages, and those it is to be held against.

    Attributes:
        rank, quality: names of the columns.
        level: confidence level of all intervals.
        rank_law: the first stage, log rank ~ design.
        quality_law: the second, quality ~ rank.
        direct: quality ~ design.
        with_rank: quality ~ design and log rank.
        routes: the errors of `through rank` (both stages), `direct`, `direct with rank` and `measured rank` (the second
            stage, given the rank that was measured) over the same clusters left out, of which both stages are fitted
            anew.
        verdict: what going through the rank gains or loses, in one sentence.
        warnings: what a reader of these numbers must know, one sentence each.
    """

    rank: str
    quality: str
    level: float
    rank_law: LogLinear
    quality_law: Fit
    direct: LogLinear
    with_rank: LogLinear
    routes: dict[str, Route]
    verdict: str
    warnings: tuple[str, ...]
    _second: SecondStage = field(repr=False)

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
        centre, X, places = self.rank_law._expect(table)
        quality = self._second.at(np.exp(centre))
        ranks = np.exp(np.clip(centre + self.rank_law._simulate(X, places), -600.0, 600.0))
        draws = self._second.of_draws(ranks, self.rank_law._resamples.rows)
        low, high = expanded_interval(draws - quality, np.zeros_like(quality), level=self.level)
        ends = self._second.form.y_range
        return Prediction(value=quality, low=np.clip(quality + low, *ends), high=np.clip(quality + high, *ends))

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values (None for what is not finite)."""
        return {
            "rank": self.rank,
            "quality": self.quality,
            "level": self.level,
            "rank_law": self.rank_law.as_dict(),
            "quality_law": self.quality_law.as_dict(),
            "direct": self.direct.as_dict(),
            "with_rank": self.with_rank.as_dict(),
            "routes": {
                name: {
                    key: value if value is not None and np.isfinite(value) else None for key, value in vars(r).items()
                }
                for name, r in self.routes.items()
            },
            "verdict": self.verdict,
            "warnings": list(self.warnings),
        }


def fit_two_stage(
    table: Table,
    *,
    design: Sequence[str],
    rank: str,
    quality: str,
    form: str | Form = "power",
    y_scale: Literal["log", "logit", "linear"] = "log",
    log: Sequence[str] | None = None,
    interactions: Sequence[tuple[str, str]] = (),
    family: str | None = None,
    effects: Literal["fixed", "random"] = "fixed",
    clusters: str | Sequence[str] | None = None,
    level: float = 0.95,
    bootstrap: int = 1000,
    seed: int = 0,
) -> TwoStage:
    """Fits rank ~ design and quality ~ rank, and asks what the detour gains or loses.

    That design variables act on quality through the rank is the claim of Deng, Sun, Dou and Xu, arXiv
    2510.10948 (2025). If it holds, the detour costs nothing, and the design adds nothing to a measured rank.
    Families have effects on the rank and on quality in the direct laws, and none in the law of quality in rank,
    which is to be one for all.

    Arguments:
        design: the columns that one chooses: parameters, hours, objective, ...
        rank, quality: the columns of the two stages, rank above zero.
        form: of quality in rank: one power of it, with or without a constant.
        y_scale: of quality in the direct laws. (The law of quality in rank is fitted as `fit` does.)
        The others: as in `fit_loglinear`; `log` and `interactions` are of the design.

    Returns:
        The `TwoStage`.

    Raises:
        SonoscaleError: For what `fit_loglinear` and `fit_form` refuse, for a form of another kind, and for a rank or
            quality that is in the design.
    """
    check_draws(bootstrap, level)
    chosen = one_power(form)
    names = (design,) if isinstance(design, str) else tuple(design)
    for name in (rank, quality):
        if name in names:
            raise SonoscaleError(f"{name!r} is in the design and is {'the rank' if name == rank else 'the quality'}")
    shared: dict[str, Any] = {
        "family": family, "effects": effects, "interactions": interactions, "clusters": clusters
    }  # fmt: skip
    first = prepare(table, y=rank, x=names, log=log, y_scale="log", **shared)
    direct = prepare(table, y=quality, x=names, log=log, y_scale=y_scale, **shared)
    logs = None if log is None else (*log, rank)
    both = prepare(table, y=quality, x=(*names, rank), log=logs, y_scale=y_scale, **shared)
    order = canonical_order(first.X, first.z, direct.z, first.members)
    first, direct, both = first.ordered(order), direct.ordered(order), both.ordered(order)
    resamples = resample(first.clusters, bootstrap=bootstrap, seed=seed)

    quality_law = fit_form(
        chosen, first.target, direct.target, clusters=first.clusters.tolist(), bootstrap=bootstrap, seed=seed,
        level=level, x_name=rank, y_name=quality,
    )  # fmt: skip
    laws = [fit_prepared(one, resamples, level) for one in (first, direct, both)]
    routes = _routes(chosen, first, direct, both, laws, resamples, level)
    notes = list(first.warnings) + [note for note in direct.warnings if note not in first.warnings]
    for name, law in zip((f"law of {rank}", DIRECT, WITH_RANK), laws, strict=True):
        notes += [f"{name}: {note}" for note in law.warnings if note not in notes and note not in both.warnings]
    notes += [f"law of {quality} in {rank}: {note}" for note in quality_law.warnings]
    return TwoStage(
        rank=rank, quality=quality, level=level, rank_law=laws[0], quality_law=quality_law, direct=laws[1],
        with_rank=laws[2], routes=routes, verdict=verdict(routes, rank=rank, quality=quality),
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
