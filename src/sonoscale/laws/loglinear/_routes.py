"""Ways from what is designed to quality, compared on rows that were left out of the fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._bootstrap import expanded_interval, small_sample_factor
from sonoscale.laws.loglinear._resample import Resamples

__all__ = ["DIRECT", "MEASURED", "THROUGH_RANK", "WITH_RANK", "Route", "compare_routes", "verdict"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

THROUGH_RANK = "through rank"
DIRECT = "direct"
WITH_RANK = "direct with rank"
MEASURED = "measured rank"


@dataclass(frozen=True, kw_only=True)
class Route:
    """How well one way predicts quality.

    Attributes:
        loo_error: root mean squared error over clusters left out, in the unit of quality; infinite where the others do
            not determine a prediction.
        family_error: the same over families left out; None without families.
        gain: the error of the direct law minus this one's, over clusters left out: above zero where this way is better.
            None for the direct law itself and where either error is infinite.
        gain_low, gain_high: interval of the gain: clusters resampled, both ways' errors together. It does not carry
            what other data would have made of the fits.
    """

    loo_error: float
    family_error: float | None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


def compare_routes(
    missed: dict[str, Array], strangers: dict[str, Array | None], clusters: Codes, resamples: Resamples, level: float
) -> dict[str, Route]:
    """Routes of these errors over clusters left out, and over families left out (or None): each [n]."""
    count = int(clusters.max()) + 1
    rows = resamples.weights @ np.bincount(clusters)
    stretch = small_sample_factor(count, 1, level)

    def resampled(errors: Array) -> Array:
        return np.sqrt(resamples.weights @ np.bincount(clusters, weights=errors**2) / rows)

    routes: dict[str, Route] = {}
    for name, errors in missed.items():
        other = strangers[name]
        gain: dict[str, float] = {}
        if name != DIRECT and np.isfinite(errors).all() and np.isfinite(missed[DIRECT]).all():
            value = _error(missed[DIRECT]) - _error(errors)
            draws = resampled(missed[DIRECT]) - resampled(errors)
            low, high = expanded_interval(draws, value, level=level, factor=stretch)
            gain = {"gain": value, "gain_low": float(low), "gain_high": float(high)}
        routes[name] = Route(loo_error=_error(errors), family_error=None if other is None else _error(other), **gain)
    return routes


def verdict(routes: dict[str, Route], *, rank: str, quality: str) -> str:
    """What going through the rank gains or loses, in one sentence."""
    through, direct = routes[THROUGH_RANK], routes[DIRECT]
    if through.gain is None or through.gain_low is None or through.gain_high is None:
        return (
            f"{quality} of clusters left out cannot be predicted: without one of them the others do not determine a law"
        )
    said = (
        f"{quality} of clusters left out is predicted through {rank} with an error of {through.loo_error:.3g}, "
        f"directly with one of {direct.loo_error:.3g}: "
    )
    span = f"[{through.gain_low:+.2g}, {through.gain_high:+.2g}]"
    if through.gain_low > 0:
        return said + f"going through {rank} gains {through.gain:.2g} {span}"
    if through.gain_high < 0:
        return said + f"going through {rank} loses {-through.gain:.2g} {span}"
    return said + f"the difference of {through.gain:+.2g} {span} is not significant"


def _error(missed: Array) -> float:
    return float(np.sqrt(np.mean(missed**2))) if np.isfinite(missed).all() else np.inf
