"""A fitted law: its numbers, its predictions and its JSON form."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._bootstrap import expanded_interval
from sonoscale.laws._data import as_variables
from sonoscale.laws._diagnose import Diagnosis
from sonoscale.laws._estimate import Estimate, Prediction
from sonoscale.laws.forms import Form, Scale
from sonoscale.results import plain

__all__ = ["Fit"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """A law fitted to data.

    Attributes:
        form: the form, with its formula and citation.
        params: each parameter of the stated formula, x in its own unit, with its interval at `level` (see `fit_form`).
        scale, huber: on what residuals were fitted: "linear" (y) or "log" (log y), and Huber's delta or None.
        objective: the minimum, a sum over rows of r^2 / 2 or of Huber's loss.
        n, n_clusters: rows, and the independent clusters that they form.
        rmse: root mean squared residual over rows, in the unit of y ("linear") or of log y ("log").
        r2: 1 - residual / total sum of squares, on the scale of the fit.
        aicc: small-sample Akaike criterion over rows. It takes rows as independent; where clusters hold many rows,
            trust `loo_rmse`. Infinite with too few rows (n < P + 3), minus infinity for a perfect fit.
        loo_rmse: root mean squared error of predicting each cluster from a fit to all the others (in 50 folds where
            there are more than 300 clusters). Infinite where the others would have fewer values of x than the form has
            parameters.
        unidentified: parameters that the data do not identify: an end of the interval is over a thousand times off, or
            a change by a factor e moves the law by less than a thousandth of the residuals.
        diagnosis: conditioning, agreement of starts, outliers, and warnings.
        x_ranges: smallest and largest value of each variable in the data.
        level: confidence level of all intervals.
        x_names, y_name: what the variables and y are.
        draws: [R, P] parameters of the resampled clusters, not stretched for few clusters as the intervals are.
    """

    form: Form
    params: dict[str, Estimate]
    scale: Scale
    huber: float | None
    objective: float
    n: int
    n_clusters: int
    rmse: float
    r2: float
    aicc: float
    loo_rmse: float
    diagnosis: Diagnosis
    unidentified: tuple[str, ...]
    x_ranges: tuple[tuple[float, float], ...]
    level: float
    x_names: tuple[str, ...]
    y_name: str
    draws: Array = field(repr=False)
    _noise: Array = field(repr=False)  # [R] errors of a new run, stretched for few clusters
    _factor: float = field(repr=False)

    @property
    def values(self) -> dict[str, float]:
        """The parameters without their intervals."""
        return {name: one.value for name, one in self.params.items()}

    @property
    def exponent(self) -> str:
        """Name of the parameter that is the exponent of the law."""
        return self.form.exponent

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of these numbers must know, one sentence each."""
        return self.diagnosis.warnings

    @property
    def x_name(self) -> str:
        """The name of the variable, or of all of them."""
        return ", ".join(self.x_names)

    @property
    def x_range(self) -> tuple[float, float]:
        """Smallest and largest value of the first variable."""
        return self.x_ranges[0]

    def predict(self, x: ArrayLike) -> Prediction:
        """What the law says at x.

        The interval is for the score of one new run at x: uncertainty of the parameters (resampled clusters)
        plus the error of a run about the law (residuals resampled by cluster, corrected for leverage and for
        few clusters), taken to be alike at every x. It ends where y ends (`form.y_range`). It holds if the
        form does: beyond the data it says nothing of a bend that they do not show.

        Arguments:
            x: above zero; any shape for one variable, [..., V] for several.

        Returns:
            The `Prediction` in the shape of x (without its last axis for several variables), at the fit's level. Warns
            (`UserWarning`) where x lies more than 10 % outside the data.

        Raises:
            SonoscaleError: Where x is not finite or not above zero.
        """
        points = np.asarray(x)
        several = len(self.x_names) > 1
        if several and (points.ndim == 0 or points.shape[-1] != len(self.x_names)):
            raise SonoscaleError(f"x must end in an axis of {len(self.x_names)} ({self.x_name}), not {points.shape}")
        shape = points.shape[:-1] if several else points.shape
        flat = points.reshape(-1, points.shape[-1]) if several else points.reshape(-1)
        at = as_variables(flat, self.x_names, self.form)
        self._warn_outside(at)
        y = self.form.function(at, np.array(list(self.values.values())))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self.scale == "log":
                new = self._factor * np.log(self.form.function(at, self.draws) / y) + self._noise[:, None]
            else:
                new = self._factor * (self.form.function(at, self.draws) - y) + self._noise[:, None]
            low, high = expanded_interval(np.nan_to_num(new), np.zeros_like(y), level=self.level)
            ends = (y * np.exp(low), y * np.exp(high)) if self.scale == "log" else (y + low, y + high)
        low, high = (np.clip(end, *self.form.y_range) for end in ends)
        return Prediction(value=y.reshape(shape), low=low.reshape(shape), high=high.reshape(shape))

    def _warn_outside(self, at: Array) -> None:
        for column, name, (low, high) in zip(np.atleast_2d(at.T), self.x_names, self.x_ranges, strict=True):
            beyond = column[(column < low / 1.1000001) | (column > high * 1.1000001)]
            if len(beyond):
                worst = beyond[np.abs(np.log(beyond / np.sqrt(low * high))).argmax()]
                warnings.warn(
                    f"extrapolating: {name} = {worst:g} lies outside the data ({low:g} to {high:g})",
                    UserWarning,
                    stacklevel=3,
                )

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values (None for what is not finite), with a curve of 100 points.

        The curve is log-spaced over the data's range and a tenth beyond at both ends; a law of several variables
        has none, and `x_names` and `x_ranges` instead of `x_name` and `x_range`.
        """
        return {
            "form": self.form.name,
            "formula": self.form.formula,
            "latex": self.form.latex,
            "citation": self.form.citation,
            **({"x_name": self.x_name} if len(self.x_names) == 1 else {"x_names": list(self.x_names)}),
            "y_name": self.y_name,
            "scale": self.scale,
            "huber": self.huber,
            "objective": plain(self.objective),
            "params": {name: one.as_dict() for name, one in self.params.items()},
            "fixed": dict(self.form.fixed),
            "not_identified": list(self.unidentified),
            "exponent": self.exponent,
            "level": self.level,
            "rmse": plain(self.rmse),
            "r2": plain(self.r2),
            "aicc": plain(self.aicc),
            "loo_rmse": plain(self.loo_rmse),
            "n": self.n,
            "n_clusters": self.n_clusters,
            "warnings": list(self.warnings),
            "diagnosis": self.diagnosis.as_dict(),
            **(self._curve() if len(self.x_names) == 1 else {"x_ranges": [list(ends) for ends in self.x_ranges]}),
        }

    def _curve(self) -> dict[str, Any]:
        low, high = self.x_range
        x = np.geomspace(low / 1.1, high * 1.1, 100)
        found = self.predict(x)
        return {
            "x_range": [low, high],
            "curve": {
                "x": x.tolist(), "y": plain(found.value), "low": plain(found.low), "high": plain(found.high),
            },
        }  # fmt: skip
