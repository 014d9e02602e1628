"""A number with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._bootstrap import expanded_interval
from sonoscale.laws._estimate import Estimate

__all__ = ["Array", "plain", "span", "value_of"]

Array = NDArray[np.float64]


def span(draws: Array, estimate: Any, *, level: float, factor: float, log: bool = False) -> tuple[Array, Array]:
    """Percentile ends over draws [R, ...], stretched about the estimate [...] (on a log scale if `log`)."""
    if not log:
        return expanded_interval(draws, estimate, level=level, factor=factor)
    low, high = expanded_interval(np.log(draws), np.log(estimate), level=level, factor=factor)
    return np.exp(np.clip(low, -700.0, 700.0)), np.exp(np.clip(high, -700.0, 700.0))


def value_of(draws: Array, estimate: float, *, level: float, factor: float, log: bool = False) -> Estimate:
    """The estimate with the interval of its draws [R]."""
    low, high = span(draws, estimate, level=level, factor=factor, log=log)
    return Estimate(float(estimate), float(low), float(high))


def plain(value: float | None) -> float | None:
    """A number for JSON: None where it is not finite."""
    return None if value is None or not np.isfinite(value) else float(value)
