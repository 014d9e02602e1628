"""A fitted log-linear model: its numbers, its predictions and its JSON form."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale._figure import new_axes
from sonoscale.errors import SonoscaleError
from sonoscale.laws._bootstrap import expanded_interval
from sonoscale.laws._estimate import Estimate, Prediction
from sonoscale.laws._runs import RunTable
from sonoscale.laws._screen import as_given
from sonoscale.laws._table import as_point
from sonoscale.laws._target import Target
from sonoscale.laws.loglinear._diagnose import Outlier
from sonoscale.laws.loglinear._resample import Resamples
from sonoscale.laws.loglinear._scale import Scale
from sonoscale.laws.loglinear._terms import Term, labels_of, term_matrix
from sonoscale.results import Result, plain

__all__ = ["Coefficient", "LogLinear"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Coefficient(Estimate):
    """One coefficient.

    Attributes:
        value: its estimate. For the log of x under a log of y it is the exponent of x.
        low, high: its interval: `value` -+ `se` times Student's t with `df` degrees of freedom.
        se: its standard error, robust to dependence within clusters.
        df: degrees of freedom, at most the clusters - 1; few where it rests on few clusters.
    """

    se: float
    df: float

    def as_dict(self) -> dict[str, float | None]:
        """The same as plain JSON values."""
        return super().as_dict() | {"se": plain(self.se), "df": plain(self.df)}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LogLinear(Result):
    """A log-linear model fitted to data. Its sum is on the scale of y that `y_scale` names.

    Attributes:
        runs: the runs that were fitted.
        target: y, and which end of it is good (see `RunTable.target`); None where nothing says so.
        y, x, y_scale, family, effects, level: as given to `fit_loglinear`.
        formula, latex: with the numbers in it.
        coefficients: by the name of their term: `intercept`, `log params`, `depth`, `objective=latent` (against the
            level that is first in order), `log params * log tokens`; fixed effects of families are among them.
        family_effects: what each family adds: fixed, against the first in order; random, the prediction of u.
        between, within: standard deviations between families (None without random effects) and within them.
        n, n_clusters: rows, and the independent clusters that they form.
        rmse, r2: of the fit, families' effects included, on the scale of the sum.
        loo_rmse: of predicting each cluster from all the others, on the scale of the sum (on a log scale, about the
            relative error). Infinite where the others do not determine the prediction.
        family_rmse: of predicting each family from all the others, with the mean of their effects where these are
            fixed. None without families.
        loo_error, family_error: the same two in the unit of y.
        condition: condition number of the centred and scaled columns.
        inflation: variance inflation of each term.
        collinear: the terms whose inflation is above 10.
        outliers: rows that the model does not expect, worst first.
        warnings: what a reader of these numbers must know, one sentence each.
        ranges: smallest and largest value of each numeric column of x.
        missed: y less its prediction from all other clusters, on the scale of the sum [n], in the table's order.
    """

    runs: RunTable
    target: Target | None
    y: str
    x: tuple[str, ...]
    y_scale: str
    family: str | None
    effects: str
    level: float
    formula: str
    latex: str
    coefficients: dict[str, Coefficient]
    family_effects: dict[Hashable, float]
    between: float | None
    within: float
    n: int
    n_clusters: int
    rmse: float
    r2: float
    loo_rmse: float
    family_rmse: float | None
    loo_error: float
    family_error: float | None
    condition: float
    inflation: dict[str, float]
    collinear: tuple[str, ...]
    outliers: tuple[Outlier, ...]
    warnings: tuple[str, ...]
    ranges: dict[str, tuple[float, float]]
    missed: Array = field(repr=False)
    _terms: tuple[Term, ...] = field(repr=False)
    _levels: dict[str, tuple[Hashable, ...]] = field(repr=False)
    _scale: Scale = field(repr=False)
    _draws: Array = field(repr=False)  # [R, P] coefficients of the resamples
    _shifts: Array = field(repr=False)  # [R, F] random effects with those coefficients, minus the effects
    _spare: Array = field(repr=False)  # [F] standard deviation of u about its prediction
    _errors: Array = field(repr=False)  # [n] errors of a run, stretched for few clusters
    _resamples: Resamples = field(repr=False)
    _factor: float = field(repr=False)

    @property
    def headline(self) -> str:
        """What was fitted, to how many runs: `fitted: log quality, 24 runs of 12 configurations`."""
        return f"fitted: {self._scale.text.format(self.y)}, {self.runs.counts}: {self.formula}"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each coefficient."""
        return [{"term": name, **vars(one)} for name, one in self.coefficients.items()]

    def predict(self, table: Mapping[str, Any]) -> Prediction:
        """What the model says of these runs, in the unit of y: half of such runs are to be above it.

        The interval is for one new run: uncertainty of the coefficients (resampled clusters), the error of a
        run (residuals resampled by cluster, corrected for leverage and for few clusters), and with random
        effects what is not known of its family's: all of it, for a family that was not in the data.

        Arguments:
            table: the columns of x, and that of the family; single values stand for all rows. With random effects the
                family may be new, None, or left out.

        Returns:
            The `Prediction` [m] at the model's level. Warns (`UserWarning`) where a column lies more than 10 % outside
            the data.

        Raises:
            SonoscaleError: For a column that is missing or malformed, and for a level, or a family with a fixed effect,
                that was not in the data.
        """
        centre, X, at = self._expect(table)
        low, high = expanded_interval(self._simulate(X, at), np.zeros_like(centre), level=self.level)
        back = self._scale.back
        ends = (back(centre), back(centre + low), back(centre + high))
        value, low, high = ends if self.target is None else map(self.target.clip, ends)
        return Prediction(value=value, low=low, high=high)

    def _expect(
        self, table: Mapping[str, Any], at: NDArray[np.intp] | None = None
    ) -> tuple[Array, Array, NDArray[np.intp]]:
        """The sum [m], the columns of its terms [m, P], and the place of each family, -1 if new [m]."""
        table = as_point(table, "a prediction")
        random = self.family is not None and self.effects == "random"
        needed = [*self.x, *([self.family] if self.family is not None and not random else [])]
        rows = _spread(table, needed, [] if not random else [str(self.family)])
        n = len(next(iter(rows.values())))
        for name, known in self._levels.items():
            for row, value in enumerate(labels_of(rows, name)):
                if value not in known:
                    hint = "; with effects='random' a family may be new" if name == self.family else ""
                    names = ", ".join(map(repr, known))
                    place = row if at is None else at[row]
                    raise SonoscaleError(f"{name}, row {place}: {value!r} was not in the data ({names}){hint}")
        X = term_matrix(self._terms, rows, n, at)
        for name, ends in self.ranges.items():
            _warn_beyond(name, np.asarray(rows[name], dtype=np.float64), *ends)
        centre = X @ np.array([one.value for one in self.coefficients.values()])
        places = np.full(n, -1, dtype=np.intp)
        if random:
            numbers = {label: i for i, label in enumerate(self.family_effects)}
            given = np.asarray(rows[str(self.family)]).tolist() if str(self.family) in rows else [None] * n
            places = np.array([numbers.get(label, -1) for label in given], dtype=np.intp)
            centre = centre + np.append(list(self.family_effects.values()), 0.0)[places]
        return centre, X, places

    def _simulate(self, X: Array, places: NDArray[np.intp]) -> Array:
        """What new runs may be minus what is expected of them, on the scale of the sum: [R, m]."""
        from scipy import stats

        beta = np.array([one.value for one in self.coefficients.values()])
        off = self._factor * (self._draws - beta) @ X.T + self._errors[self._resamples.rows][:, None]
        if self.between is None:
            return off
        known = stats.norm.ppf(self._resamples.family)[:, None] * self._spare
        unknown = stats.t.ppf(self._resamples.family, len(self.family_effects) - 1) * self.between
        return off + np.concatenate([self._factor * self._shifts + known, unknown[:, None]], axis=1)[:, places]

    def plot(self, ax: Any = None) -> Any:
        """Each coefficient but the intercept with its interval; zero is no effect.

        Arguments:
            ax: matplotlib Axes to draw on, or None for new ones.

        Returns:
            The Axes.

        Raises:
            SonoscaleError: matplotlib is not installed.
        """
        shown = {name: one for name, one in self.coefficients.items() if name != "intercept"}
        ax = new_axes(ax, figsize=(6.4, 1.2 + 0.35 * len(shown)), layout="tight")
        for place, one in enumerate(shown.values()):
            ax.plot([one.low, one.high], [place, place], color="C0")
            ax.plot(one.value, place, "o", color="C0")
        ax.set_yticks(range(len(shown)), list(shown))
        ax.invert_yaxis()
        ax.axvline(0.0, color="0.6", linewidth=0.8)
        ax.set_xlabel(f"coefficient, of {self._scale.text.format(self.y)} ({self.level:.0%} intervals)")
        return ax

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values (None for what is not finite)."""
        words = {name: getattr(self, name) for name in ("y", "y_scale", "family", "effects", "formula", "latex")}
        numbers = ("rmse", "r2", "loo_rmse", "family_rmse", "loo_error", "family_error", "between", "within")
        return {
            **words,
            "x": list(self.x),
            "target": plain(self.target),
            "coefficients": {name: one.as_dict() for name, one in self.coefficients.items()},
            "family_effects": {str(label): plain(value) for label, value in self.family_effects.items()},
            **{name: plain(getattr(self, name)) for name in (*numbers, "condition", "level")},
            "n": self.n,
            "n_clusters": self.n_clusters,
            "inflation": {name: plain(value) for name, value in self.inflation.items()},
            "collinear": list(self.collinear),
            "outliers": [vars(one).copy() for one in self.outliers],
            "warnings": list(self.warnings),
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
        }


def _warn_beyond(name: str, values: Array, low: float, high: float) -> None:
    """Warns where a value is more than a tenth outside: of the value where all are above zero, else of the span."""
    slack = 0.1 * (high - low) + 1e-9 * max(abs(low), abs(high))
    least, most = (low / 1.1000001, high * 1.1000001) if low > 0 else (low - slack, high + slack)
    beyond = values[(values < least) | (values > most)]
    if len(beyond):
        warnings.warn(
            f"extrapolating: {name} = {beyond[0]:g} lies outside the data ({low:g} to {high:g})",
            UserWarning,
            stacklevel=4,
        )


def _spread(table: Mapping[str, Any], needed: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """The columns, all of one length."""
    for name in needed:
        if name not in table:
            raise SonoscaleError(f"a prediction needs the column {name!r}; given: {', '.join(map(str, table))}")
    given = {name: _array(table[name]) for name in (*needed, *optional) if name in table}
    lengths = {name: len(column) for name, column in given.items() if column.ndim}
    n = max(lengths.values(), default=1)
    for name, length in lengths.items():
        if length != n:
            raise SonoscaleError(f"{name} has {length} rows but another column has {n}")
    return {name: column if column.ndim else np.repeat(column[None], n) for name, column in given.items()}


def _array(values: Any) -> NDArray[Any]:
    return np.asarray(values) if np.ndim(values) == 0 else as_given(values)
