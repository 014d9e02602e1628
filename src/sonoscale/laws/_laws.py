"""What `fit` returns: one law, or one for each group, with the held-out rows predicted."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale._figure import new_axes
from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_column
from sonoscale.laws._estimate import Estimate, Prediction, unidentified
from sonoscale.laws._fitted import Fit
from sonoscale.laws._runs import RunTable
from sonoscale.laws._table import as_point
from sonoscale.laws._target import Target
from sonoscale.laws.extrapolation import Extrapolation
from sonoscale.laws.loglinear import TwoStage
from sonoscale.results import Result, plain

__all__ = ["Law", "Laws"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Law:
    """The law of one group, or why there is none.

    Attributes:
        group: column -> value; empty where there are no groups.
        x: columns of the law. flops: the column along which origins roll, or None for the product of x.
        error: why nothing was fitted, or None.
        runs: the rows that were fitted. held: the rows held out.
        target: y, and what is fitted of it.
        law: the extrapolation, None under `through`. fit: the named form with bootstrap intervals, None under `auto`.
        two_stage: the law through another column, where that was asked for.
        prediction: of the held-out rows, or None without such.
        observed: [m] y of the held-out rows, NaN where unknown.
        rmse_log: root mean squared error of log y over held-out rows that are known, or None.
        coverage, naive_coverage: share of these inside the intervals, or None.
        seconds: what fitting and predicting took.
        warnings: one sentence each.
    """

    group: dict[str, Any]
    x: tuple[str, ...]
    flops: str | None = None
    error: str | None = None
    runs: RunTable | None = None
    held: RunTable | None = None
    target: Target | None = None
    law: Extrapolation | None = None
    fit: Fit | None = None
    two_stage: TwoStage | None = None
    prediction: Prediction | None = None
    observed: Array | None = None
    rmse_log: float | None = None
    coverage: float | None = None
    naive_coverage: float | None = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`task = esc10`, or nothing where there are no groups."""
        return ", ".join(f"{name} = {value}" for name, value in self.group.items())

    @property
    def words(self) -> str:
        """What the parameters are of: `loss`, `100 - esc50`, `1 / rankme`."""
        if self.two_stage is not None:
            return self.two_stage.y
        return "" if self.law is None else self.law.words

    @property
    def fitted(self) -> str:
        """The same on the scale of the residuals: `log(100 - esc50)`."""
        if self.two_stage is not None:
            return f"{self.two_stage.y} through {self.two_stage.through}"
        return "" if self.law is None else self.law.fitted

    @property
    def form(self) -> str:
        """The forms that take part in a prediction."""
        if self.two_stage is not None:
            return f"log-linear, {self.two_stage.quality_law.form.name}"
        if self.fit is not None:
            return self.fit.form.name
        return "" if self.law is None else "auto: " + ", ".join(one.form for one in self.law.panel if one.used)

    def predict(self, at: Mapping[str, Any]) -> Prediction:
        """What runs like these will give.

        Arguments:
            at: column of x -> number above zero, or a sequence of m of them; and the column of FLOPs, if the law has
                one.

        Returns:
            The `Prediction` [m], m = 1 for plain numbers.

        Raises:
            SonoscaleError: There is no law; a column is missing, or is no number above zero.
        """
        at = as_point(at, "a prediction")
        if self.two_stage is not None:
            _check_known(at, (*self.x, *filter(None, [self.two_stage.rank_law.family])))
            return self.two_stage.predict(at)
        if self.law is None:
            raise SonoscaleError(f"{self.label}: nothing was fitted: {self.error}" if self.label else str(self.error))
        columns = _columns(at, (*self.x, *([self.flops] if self.flops else [])))
        points = np.stack([columns[name] for name in self.x], axis=1)
        return self.law.predict(
            points if len(self.x) > 1 else points[:, 0], flops=None if self.flops is None else columns[self.flops]
        )

    def parameters(self) -> list[dict[str, Any]]:
        """One row for each parameter: of which form, of what, with its interval; `note` says `not identified` where the
        data say nothing of it, `fixed`, or to which it is equal. An interval that does not end is None.
        """
        found: list[tuple[str, bool, str, Mapping[str, Estimate]]] = []
        if self.two_stage is not None:
            stages = self.two_stage
            found += [("log-linear", True, f"log {stages.through}", stages.rank_law.coefficients)]
            found += [(stages.quality_law.form.name, True, stages.y, stages.quality_law.params)]
        elif self.fit is not None:
            found += [(self.fit.form.name, True, self.words, self.fit.params)]
        elif self.law is not None:
            found += [(one.form, one.used, self.words, one.params) for one in self.law.panel]
        lost = None if self.fit is None else self.fit.unidentified
        rows = [
            {**self.group, "form": form, "used": used, "of": words, "parameter": name, "value": one.value,
             "low": one.low, "high": one.high,
             "note": "not identified" if self.two_stage is None and (
                 unidentified(name, one) if lost is None else name in lost
             ) else ""}
            for form, used, words, params in found for name, one in params.items()
        ]  # fmt: skip
        for row in rows:
            if not (math.isfinite(row["low"]) and math.isfinite(row["high"])):
                row["low"] = row["high"] = None
        for name, value in () if self.fit is None else self.fit.form.fixed:
            same = next((row for row in rows if row["parameter"] == value), None)
            ends = {"value": value, "low": value, "high": value, "note": "fixed"}
            ends = ends if same is None else same | {"note": f"= {value}"}
            rows.append({**rows[0], **ends, "parameter": name})
        return rows

    def predictions(self) -> list[dict[str, Any]]:
        """One row for each held-out row: its place in the table, what was observed, and what was predicted."""
        if self.prediction is None or self.held is None or self.observed is None:
            return []
        p = self.prediction
        found = []
        for i, row in enumerate(self.held.rows.tolist()):
            one = {
                "row": row,
                "observed": self.observed[i],
                "predicted": p.value[i],
                "low": p.low[i],
                "high": p.high[i],
            }
            if p.naive_low is not None and p.naive_high is not None and p.reach is not None:
                one |= {"naive_low": p.naive_low[i], "naive_high": p.naive_high[i], "reach": p.reach[i]}
            found.append({**self.group, **one})
        return found

    def summary(self) -> dict[str, Any]:
        """The law in one row."""
        if self.runs is None or self.error is not None:
            return {**self.group, "form": "not fitted"}
        return {
            **self.group, "form": self.form, "fitted": self.fitted, "runs": len(self.runs),
            "configurations": self.runs.n_clusters,
            "noise": None if self.law is None else self.law.noise,
            "drift": None if self.law is None else self.law.drift,
            "held out": 0 if self.held is None else len(self.held), "RMSE of log": self.rmse_log,
            "inside": self.coverage, "naive": self.naive_coverage,
        }  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values; `held_out` has one entry for each row that was predicted."""
        if self.error is not None:
            return {"group": self.group, "error": self.error}
        own = {} if self.law is None else self.law.as_dict()
        if self.two_stage is not None:
            own = {"two_stage": self.two_stage.as_dict(), "target": plain(self.target)}
        return {
            "group": self.group,
            "form": "auto" if self.fit is None else self.fit.form.name,
            "fit": None if self.fit is None else self.fit.as_dict(),
            **own,
            "fitted": self.fitted,
            "held_out": plain([{k: v for k, v in one.items() if k not in self.group} for one in self.predictions()]),
            "rmse_log": self.rmse_log,
            "coverage": self.coverage,
            "coverage_naive": self.naive_coverage,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Laws(Result):
    """What `fit` found.

    Attributes:
        runs: the table that was read, with its held-out rows.
        x, form, flops, through: as given to `fit`.
        level: of all intervals.
        groups: one law for each group, in order of appearance; just one where there are no groups.
    """

    runs: RunTable
    x: tuple[str, ...]
    form: str
    flops: str | None
    through: str | None
    level: float
    groups: tuple[Law, ...]

    def __iter__(self) -> Iterator[Law]:
        return iter(self.groups)

    @property
    def target(self) -> Target:
        """y, and what is fitted of it, in the first group that was fitted."""
        return next(law.target for law in self.groups if law.target is not None)

    @property
    def headline(self) -> str:
        """What was fitted, to how many runs: `fitted: log(100 - esc50), 24 runs of 12 configurations, 6 held out`."""
        laws = [law for law in self.groups if law.error is None]
        what = " or ".join(dict.fromkeys(law.fitted for law in laws))
        held = int(self.runs.held.sum())
        said = f"fitted: {what}, {self._fitted.counts}" + (f", {held} held out" if held else "")
        if len(self.groups) > 1:
            every = len(laws) == len(self.groups)
            return f"{said}, in {len(self.groups) if every else f'{len(laws)} of {len(self.groups)}'} groups"
        two_stage = laws[0].two_stage
        return said if two_stage is None else f"{said}: {two_stage.verdict}"

    @property
    def _fitted(self) -> RunTable:
        """The runs that a law was fitted to: not those held out, nor those of a group without a law."""
        rows = [law.runs.rows for law in self.groups if law.error is None and law.runs is not None]
        return self.runs.take(np.isin(self.runs.rows, np.concatenate(rows)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of these numbers must know, one sentence each, with the group where there are several."""
        found = list(self.runs.notes)
        for target in dict.fromkeys(law.target for law in self.groups if law.target is not None):
            if target.because.startswith("as it "):
                found.append(
                    f"{'more' if target.higher_is_better else 'less'} {target.name} is better, {target.because}"
                )
        for law in self.groups:
            where = f"{law.label}: " if law.group else ""
            found += [f"{where}{note}" for note in ([law.error] if law.error else law.warnings)]
        return tuple(dict.fromkeys(found))

    def predict(self, at: Mapping[str, Any]) -> Prediction:
        """What new runs will give.

        Arguments:
            at: column of x -> number above zero, or a sequence of m of them; the column of FLOPs, if one was given; and
                where there are groups, the value of each column of groups.

        Returns:
            The `Prediction` [m], m = 1 for plain numbers.

        Raises:
            SonoscaleError: There are several groups and `at` names none; a column is missing, or is no number above
                zero.
        """
        at = as_point(at, "a prediction")
        return self._law_of(at).predict({name: value for name, value in at.items() if name not in self.runs.group_by})

    def _law_of(self, at: Mapping[str, Any]) -> Law:
        names = self.runs.group_by
        if len(self.groups) == 1 and not any(name in at for name in names):
            return self.groups[0]
        for name in names:
            if name not in at:
                labels = "; ".join(law.label for law in self.groups[:6]) + ("; ..." if len(self.groups) > 6 else "")
                raise SonoscaleError(f"there is a law for each {', '.join(names)}: give {name} too ({labels})")
        wanted = {name: at[name] for name in names}
        for name, value in wanted.items():
            if np.ndim(value):
                raise SonoscaleError(f"{name}: a prediction is of one group: give one value of it, not {value!r}")
        for law in self.groups:
            if all(_same_label(value, wanted[name]) for name, value in law.group.items()):
                return law
        raise SonoscaleError(f"no group has {', '.join(f'{n} = {v}' for n, v in wanted.items())}")

    def predict_rows(self, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One row for each point, or for each point and group where the point names no group."""
        found = []
        for at in points:
            laws = [self._law_of(at)] if any(name in at for name in self.runs.group_by) else list(self.groups)
            asked = {name: value for name, value in at.items() if name not in self.runs.group_by}
            for law in laws:
                if law.error is None:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", UserWarning)
                        predicted = law.predict(asked)
                    one = predicted[0]
                    row = {**law.group, **asked, "value": one.value, "low": one.low, "high": one.high}
                    found.append(row if predicted.reach is None else row | {"reach": float(predicted.reach[0])})
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The parameters of one law, or one row for each of several groups."""
        return self.groups[0].parameters() if len(self.groups) == 1 else [law.summary() for law in self.groups]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, None for what is not finite."""
        known = [law for law in self.groups if law.rmse_log is not None]
        return {
            "headline": self.headline,
            "source": self.runs.source,
            "y": self.runs.y,
            "x": list(self.x),
            "form": self.form,
            "flops": self.flops,
            "through": self.through,
            "clusters": list(self.runs.clusters_by),
            "level": self.level,
            "target": plain(self.target),
            "n": len(self._fitted),
            "n_clusters": self._fitted.n_clusters,
            "n_held_out": int(self.runs.held.sum()),
            "groups": [law.as_dict() for law in self.groups],
            "mean_rmse_log": _mean([law.rmse_log for law in known]),
            "mean_coverage": _mean([law.coverage for law in known]),
            "mean_coverage_naive": _mean([law.naive_coverage for law in known]),
            "notes": list(self.notes),
        }

    def plot(self, ax: Any = None) -> Any:
        """The runs, the law and its interval, along the first column of x.

        Other columns of x are held at their geometric mean over the runs. Held-out runs are hollow.

        Arguments:
            ax: matplotlib Axes to draw on, or None for new ones.

        Returns:
            The Axes.

        Raises:
            SonoscaleError: matplotlib is not installed.
        """
        ax = new_axes(ax)
        for i, law in enumerate(one for one in self.groups if one.error is None):
            _draw(ax, law, self.runs.y, f"C{i % 10}")
        ax.set_xscale("log")
        ax.set(xlabel=self.x[0], ylabel=self.runs.y)
        if self.runs.group_by:
            ax.legend()
        return ax


def _draw(ax: Any, law: Law, y: str, colour: str) -> None:
    runs, held = law.runs, law.held
    assert runs is not None
    first = law.x[0]
    ax.scatter(runs[first], runs[y], s=14, color=colour, label=law.label or None)
    low, high = float(runs[first].min()), float(runs[first].max())
    if held is not None and len(held):
        ax.scatter(held[first], law.observed, s=14, facecolors="none", edgecolors=colour)
        low, high = min(low, float(held[first].min())), max(high, float(held[first].max()))
    line = np.geomspace(low, high, 100)
    at: dict[str, Any] = {first: line}
    for name in (*law.x[1:], *([law.flops] if law.flops else [])):
        if runs[name].dtype.kind not in "iuf":
            return
        at[name] = np.full(100, np.exp(np.log(runs[name].astype(np.float64)).mean()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = law.predict(at)
    ax.plot(line, found.value, color=colour)
    ax.fill_between(line, found.low, found.high, color=colour, alpha=0.15, linewidth=0)


def _same_label(label: Any, given: Any) -> bool:
    """Whether a group is the one that is asked for, be it as text or as a number."""
    if str(label).lower() == str(given).lower():
        return True
    try:
        return float(label) == float(given)
    except (TypeError, ValueError):
        return False


def _check_known(at: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in at:
        if name not in names:
            raise SonoscaleError(f"the law does not depend on {name}, but on {', '.join(names)}")


def _columns(at: Mapping[str, Any], names: Sequence[str]) -> dict[str, Array]:
    """The columns of a prediction as numbers above zero, of one length."""
    for name in names:
        if name not in at:
            raise SonoscaleError(f"a prediction needs {name}; given: {', '.join(map(str, at)) or 'nothing'}")
    _check_known(at, names)
    given = {name: np.atleast_1d(np.asarray(at[name])) for name in names}
    n = max(len(values) for values in given.values())
    for name, values in given.items():
        if len(values) not in (1, n):
            raise SonoscaleError(f"{name} has {len(values)} values but another column has {n}")
    return {name: np.broadcast_to(as_column(values, name=name, positive=True), (n,)) for name, values in given.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None
