"""A fitted law: its numbers, its predictions and its JSON form."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sonoscale.laws._bootstrap import Interval, expanded_interval
from sonoscale.laws._data import as_column
from sonoscale.laws._forms import Form

__all__ = ["Fit"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """A law fitted to data.

    **Arguments:**

    - `form`: the form, with its formula and citation.
    - `params`: the estimate of each parameter of the stated formula, x in its own unit.
    - `interval`: an interval at `level` for each of them (see `fit`).
    - `n`, `n_clusters`: rows, and the independent clusters that they form.
    - `rmse`: root mean squared residual over rows, in the unit of y.
    - `r2`: 1 - residual / total sum of squares.
    - `aicc`: small-sample Akaike criterion over rows. It takes rows as independent; where clusters hold many
      rows, trust `loo_rmse`. Infinite with too few rows (n < P + 3), minus infinity for a perfect fit.
    - `loo_rmse`: root mean squared error of predicting each cluster from a fit to all the others.
      Infinite where the others would have fewer values of x than the form has parameters.
    - `warnings`: what a reader of these numbers must know, one sentence each.
    - `x_range`: smallest and largest x of the data.
    - `level`: confidence level of all intervals.
    - `x_name`, `y_name`: what x and y are.
    """

    form: Form
    params: dict[str, float]
    interval: dict[str, Interval]
    n: int
    n_clusters: int
    rmse: float
    r2: float
    aicc: float
    loo_rmse: float
    warnings: tuple[str, ...]
    x_range: tuple[float, float]
    level: float
    x_name: str
    y_name: str
    _draws: Array = field(repr=False)  # [R, P] parameters of the resamples
    _noise: Array = field(repr=False)  # [R] errors of a new run, stretched for few clusters
    _factor: float = field(repr=False)

    @property
    def exponent(self) -> str:
        """Name of the parameter that is the exponent of the law."""
        return self.form.exponent

    @overload
    def predict(self, x: ArrayLike, *, interval: Literal[False] = False) -> Array: ...
    @overload
    def predict(self, x: ArrayLike, *, interval: Literal[True]) -> tuple[Array, Array, Array]: ...
    def predict(self, x: ArrayLike, *, interval: bool = False) -> Array | tuple[Array, Array, Array]:
        """What the law says at x.

        The interval is for the score of one new run at x: uncertainty of the parameters (resampled clusters)
        plus the error of a run about the law (residuals resampled by cluster, corrected for leverage and for
        few clusters), taken to be alike at every x. It ends where y ends (`form.y_range`). It holds if the
        form does: beyond the data it says nothing of a bend that they do not show.

        **Arguments:**

        - `x`: above zero; any shape.
        - `interval`: whether the interval is wanted too.

        **Returns:**

        y in the shape of x, or (y, lo, hi) at the fit's level. Warns (`UserWarning`) where x lies more than
        10 % outside the data.

        **Raises:** `SonoscaleError` where x is not finite or not above zero.
        """
        points = np.asarray(x)
        at = as_column(points.reshape(-1), name=self.x_name, positive=True)
        low, high = self.x_range
        beyond = at[(at < low / 1.1000001) | (at > high * 1.1000001)]
        if len(beyond):
            worst = beyond[np.abs(np.log(beyond / np.sqrt(low * high))).argmax()]
            warnings.warn(
                f"extrapolating: {self.x_name} = {worst:g} lies outside the data ({low:g} to {high:g})",
                UserWarning,
                stacklevel=2,
            )
        params = np.array([self.params[name] for name in self.form.parameters])
        y = self.form.function(at, params)
        if not interval:
            return y.reshape(points.shape)
        new = self._factor * (self.form.function(at, self._draws) - y) + self._noise[:, None]
        lo, hi = expanded_interval(new, np.zeros_like(y), level=self.level)
        ends = self.form.y_range
        lo, hi = np.clip(y + lo, *ends), np.clip(y + hi, *ends)
        return y.reshape(points.shape), lo.reshape(points.shape), hi.reshape(points.shape)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values (None for what is not finite), with a curve of 100 points.

        The curve is log-spaced over the data's range and a tenth beyond at both ends.
        """
        low, high = self.x_range
        x = np.geomspace(low / 1.1, high * 1.1, 100)
        y, lo, hi = self.predict(x, interval=True)
        return {
            "form": self.form.name,
            "formula": self.form.formula,
            "latex": self.form.latex,
            "citation": self.form.citation,
            "x_name": self.x_name,
            "y_name": self.y_name,
            "params": {
                name: {"value": _plain(value), "lo": _plain(span.lo), "hi": _plain(span.hi)}
                for (name, value), span in zip(self.params.items(), self.interval.values(), strict=True)
            },
            "exponent": self.exponent,
            "level": self.level,
            "rmse": _plain(self.rmse),
            "r2": _plain(self.r2),
            "aicc": _plain(self.aicc),
            "loo_rmse": _plain(self.loo_rmse),
            "n": self.n,
            "n_clusters": self.n_clusters,
            "warnings": list(self.warnings),
            "x_range": [low, high],
            "curve": {"x": x.tolist(), "y": y.tolist(), "lo": lo.tolist(), "hi": hi.tolist()},
        }


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
