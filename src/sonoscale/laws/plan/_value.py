"""A number with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._bootstrap import expanded_interval

__all__ = ["Array", "Value", "plain", "span", "value_of"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Value:
    """An estimate and its interval, all in one unit; infinite ends where nothing bounds it."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        return {"value": plain(self.value), "low": plain(self.low), "high": plain(self.high)}


def span(draws: Array, estimate: Any, *, level: float, factor: float, log: bool = False) -> tuple[Array, Array]:
    """Percentile ends over draws [R, ...], stretched about the estimate [...] (on a log scale if `log`)."""
    if not log:
        return expanded_interval(draws, estimate, level=level, factor=factor)
    low, high = expanded_interval(np.log(draws), np.log(estimate), level=level, factor=factor)
    return np.exp(np.clip(low, -700.0, 700.0)), np.exp(np.clip(high, -700.0, 700.0))


def value_of(draws: Array, estimate: float, *, level: float, factor: float, log: bool = False) -> Value:
    """The estimate with the interval of its draws [R]."""
    low, high = span(draws, estimate, level=level, factor=factor, log=log)
    return Value(float(estimate), float(low), float(high))


def plain(value: float | None) -> float | None:
    """A number for JSON: None where it is not finite."""
    return None if value is None or not np.isfinite(value) else float(value)
