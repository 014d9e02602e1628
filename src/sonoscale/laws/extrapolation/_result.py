"""What an extrapolation says: the panel, its errors at rolling origins, and predictions with intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_column
from sonoscale.laws._estimate import Estimate, Prediction
from sonoscale.laws._target import Target
from sonoscale.laws.extrapolation._calibrate import Calibration
from sonoscale.laws.extrapolation._member import Member
from sonoscale.laws.forms import Scale
from sonoscale.laws.forms._form import Array
from sonoscale.results import plain

__all__ = ["Extrapolation", "PanelMember"]


@dataclass(frozen=True, kw_only=True)
class PanelMember:
    """One form of the panel.

    Attributes:
        form: its name.
        params: each parameter with its interval at the extrapolation's level, by the covariance that least squares
            gives: rough where rows are not independent.
        rolling_rmse: root mean squared error at rolling origins over rows up to twice the origin, of log y (of y for a
            form on the linear scale); None without origins.
        aicc: shown, and not used to choose.
        used: whether it takes part in the prediction.
    """

    form: str
    params: dict[str, Estimate]
    rolling_rmse: float | None
    aicc: float
    used: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Extrapolation:
    """A law, or a panel of laws, that predicts runs beyond the data.

    Attributes:
        panel: the forms that were fitted.
        target: y, which end of it is good, and what is fitted of it.
        n, n_clusters: rows, and the independent clusters they form.
        origins: how many rolling origins calibrated the intervals.
        coverage: share of the held-out rows that intervals calibrated on the other origins cover, or None.
        noise, drift: standard deviation of a new run about the fitted law within the data, and of the law for each
            e-fold beyond them; of log y unless the form is on the linear scale.
        correction: what is added to the mean of the panel at the top of the data and beyond, on that scale: observed
            less fitted over the top factor of 2 in x. Zero for a named form and for several variables.
        largest: largest size fitted, in FLOPs where they were given.
        level: of the intervals.
        warnings: one sentence each.
        x_names, y_name: what was given.
    """

    panel: tuple[PanelMember, ...]
    target: Target
    n: int
    n_clusters: int
    origins: int
    coverage: float | None
    noise: float
    drift: float
    correction: float
    largest: float
    level: float
    warnings: tuple[str, ...]
    x_names: tuple[str, ...]
    y_name: str
    _members: tuple[Member, ...] = field(repr=False)
    _calibration: Calibration = field(repr=False)
    _naive: Member = field(repr=False)
    _edge: float | None = field(repr=False)  # largest x, where the panel is of forms that are to fall on

    def predict(self, x: ArrayLike, *, flops: ArrayLike | None = None) -> Prediction:
        """What runs at x will give, with intervals that rolling origins calibrated.

        Arguments:
            x: [m] or [m, V] in the order of `x_names`, each above zero.
            flops: [m], what the runs cost, where that was given to `extrapolate`; None: the product of the variables.

        Returns:
            The `Prediction` [m] in the unit of y; its naive interval is the usual one of a non-linear
            regression, parameters and noise, of the form with the least AICc.

        Raises:
            SonoscaleError: For values that are not finite or not above zero, or a shape that does not fit.
        """
        from scipy import stats

        points = np.asarray(x)
        wanted = len(self.x_names)
        if points.ndim != (1 if wanted == 1 else 2) or (wanted > 1 and points.shape[1] != wanted):
            raise SonoscaleError(
                f"x must have one column for each of {', '.join(self.x_names)}, not shape {points.shape}"
            )
        columns = [
            as_column(column, name=name, positive=True)
            for column, name in zip(np.atleast_2d(points.T), self.x_names, strict=True)
        ]
        points = columns[0] if wanted == 1 else np.stack(columns, axis=1)
        with np.errstate(over="ignore", under="ignore"):
            lengths = points if wanted == 1 else np.prod(points, axis=1)
        sizes = lengths if flops is None else as_column(flops, name="flops", positive=True)
        if len(sizes) != len(points):
            raise SonoscaleError(f"flops has {len(sizes)} rows but {', '.join(self.x_names)} has {len(points)}")
        with np.errstate(divide="ignore"):
            reach = np.log(sizes / self.largest)
        predicted = np.array([member.predict(points)[0] for member in self._members])
        counted = self._still_falling(predicted, points)
        z = np.mean(predicted, axis=0, where=counted) + self._corrected(points)
        between = np.std(predicted, axis=0, where=counted)
        spread = np.hypot(between, self._naive.parameter_spread(points))
        trusted = self.origins > 2  # drift speaks for all that lies no further out than the size does
        half = self._calibration.half_width(
            reach, np.where(trusted & (self._outside(points) <= np.maximum(reach, 0.0) + 1e-9), 0.0, spread)
        )
        centre = self._naive.predict(points)[0]
        usual = np.hypot(self._naive.parameter_spread(points), self._naive.noise[0])
        usual *= stats.t.ppf(0.5 * (1.0 + self.level), max(self._naive.freedom, 1.0))
        low, high = self._ends(z - half, z + half)
        naive_low, naive_high = self._ends(centre - usual, centre + usual)
        return Prediction(
            value=self._to_y(z), low=low, high=high, naive_low=naive_low, naive_high=naive_high, reach=np.exp(reach)
        )

    def _outside(self, points: Array) -> Array:
        """The logarithm by which the farthest variable lies outside the data, on either side: [n]."""
        logs, ends = np.log(np.atleast_2d(points.T)), np.log(np.atleast_2d(self._members[0].objective.x.T))
        low, high = ends.min(axis=1, keepdims=True), ends.max(axis=1, keepdims=True)
        return np.maximum(np.maximum(logs - high, low - logs), 0.0).max(axis=0)

    def _still_falling(self, predicted: Array, points: Array) -> NDArray[np.bool_]:
        """Which forms take part at each point: not those that have turned upwards beyond the data [M, n]."""
        counted = np.isfinite(predicted)
        if self._edge is not None:
            at_edge = np.array([member.predict(np.array([self._edge]))[0] for member in self._members])
            noise = np.array([[member.noise[0]] for member in self._members])
            with np.errstate(invalid="ignore"):
                falling = counted & ((predicted <= at_edge + noise) | (points <= self._edge))
            counted = np.where(falling.any(axis=0), falling, counted)
        return np.where(counted.any(axis=0), counted, True)

    def _corrected(self, points: Array) -> Array | float:
        """The correction at each point: whole in the top factor of 2 and beyond, none a factor of 2 below that."""
        if self._edge is None:
            return 0.0
        return self.correction * np.clip(np.log2(points / self._edge) + 2.0, 0.0, 1.0)

    @property
    def scale(self) -> Scale:
        """Whether forms were fitted to the logarithm of what falls, or to y as it is."""
        return self._members[0].objective.scale

    @property
    def words(self) -> str:
        """What was fitted: `loss`, `100 - esc50`, `1 / rankme`; the parameters are of this."""
        return self.y_name if self.scale == "linear" else self.target.words

    @property
    def fitted(self) -> str:
        """What was fitted, on the scale of its residuals: `log(100 - esc50)`, or `esc50`."""
        return self.y_name if self.scale == "linear" else f"log({self.words})"

    def as_fitted(self, y: ArrayLike) -> NDArray[np.float64]:
        """y [n] as what the forms were fitted to: y itself, its distance from the ceiling, or its inverse."""
        values = np.asarray(y, dtype=np.float64)
        return values if self.scale == "linear" else self.target.down(values)

    def _to_y(self, z: Array) -> Array:
        with np.errstate(over="ignore"):
            y = np.clip(z, *self._members[0].form.y_range) if self.scale == "linear" else self.target.up(np.exp(z))
        return self.target.clip(y)

    def _ends(self, low: Array, high: Array) -> tuple[Array, Array]:
        if self.scale == "log" and self.target.direction != "falling":
            low, high = high, low
        return self._to_y(low), self._to_y(high)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values, None for what is not finite."""
        return {
            "panel": [
                {
                    "form": one.form,
                    "params": {name: value.as_dict() for name, value in one.params.items()},
                    "rolling_rmse": None if one.rolling_rmse is None else plain(one.rolling_rmse),
                    "aicc": plain(one.aicc),
                    "used": one.used,
                }
                for one in self.panel
            ],
            "fitted": self.fitted,
            "target": plain(self.target),
            "n": self.n,
            "n_clusters": self.n_clusters,
            "origins": self.origins,
            "coverage_rolling": self.coverage,
            "noise": plain(self.noise),
            "drift": plain(self.drift),
            "correction": plain(self.correction),
            "largest": self.largest,
            "level": self.level,
            "warnings": list(self.warnings),
        }
