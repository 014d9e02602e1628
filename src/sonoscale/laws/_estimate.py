"""The one shape of what a law says: a value with the ends of its interval."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.results import plain

__all__ = ["Estimate", "Prediction", "unidentified"]

Array = NDArray[np.float64]

_WIDE = 1e3  # a parameter whose interval ends so many times above or below it is not identified


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, all in one unit; infinite ends where nothing bounds it.

    Attributes:
        value: the estimate.
        low, high: the ends of its interval.
    """

    value: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.value

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values, None for what is not finite."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a law predicts for new runs, each [m] in the unit of y.

    Attributes:
        value: the prediction.
        low, high: the ends of its interval, for one new run.
        naive_low, naive_high: what the uncertainty of the parameters and the scatter of the runs about the law would
            claim, or None: shown because it is what is usually reported, and too narrow beyond the data.
        reach: size of the new run over the largest fitted, above 1 beyond the data; or None.
    """

    value: Array
    low: Array
    high: Array
    naive_low: Array | None = None
    naive_high: Array | None = None
    reach: Array | None = None

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, row: int) -> Estimate:
        return Estimate(float(self.value[row]), float(self.low[row]), float(self.high[row]))


def unidentified(name: str, estimate: Estimate, *, flat: bool = False) -> bool:
    """Whether the data say nothing of a parameter above zero: an end of its interval is a thousand times off, or
    infinite, or it is `flat`, so that a change by a factor e moves nothing. A floor (e, E) may be as low as zero.
    """
    value, low, high = estimate.value, estimate.low, estimate.high
    if value <= 0 or low < 0:
        return not (np.isfinite(low) or np.isfinite(high))
    if name in ("e", "E"):
        return not np.isfinite(high)
    return bool(flat or high > _WIDE * value or 0 < low < value / _WIDE)
