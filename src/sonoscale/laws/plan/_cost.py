"""What a run of N parameters on D units of data costs, and what can be had for a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError

__all__ = ["SIX_ND", "Array", "Cost", "CostFunction", "PowerCost", "as_cost", "fit_cost"]

Array = NDArray[np.float64]
CostFunction = Callable[[Array, Array], Array]

_CONSTANT = 0.05  # relative spread of flops / (N D) below which it is one number
_ROUGH = 0.1  # root mean squared error of log flops above which a fitted cost is called rough
_LOG_ENDS = -300.0, 300.0
_HALVINGS = 70


@runtime_checkable
class Cost(Protocol):
    """FLOPs of training as a function of N and D that rises in both; `words` says where it comes from."""

    @property
    def words(self) -> str: ...

    def flops(self, n: Array, d: Array) -> Array: ...

    def data(self, flops: Array | float, n: Array) -> Array:
        """The D that costs so much at N."""
        ...

    def size(self, flops: Array | float, d: Array) -> Array:
        """The N that costs so much at D."""
        ...


@dataclass(frozen=True)
class PowerCost:
    """FLOPs = factor * N^by_n * D^by_d.

    Attributes:
        factor, by_n, by_d: above zero.
        words: where it comes from.

    Example:
        >>> import numpy as np
        >>> PowerCost(6.0).flops(np.array([1e8]), np.array([2e9])).round(-10).tolist()
        [1.2e+18]
    """

    factor: float
    by_n: float = 1.0
    by_d: float = 1.0
    words: str = ""

    def flops(self, n: Array, d: Array) -> Array:
        return np.exp(np.log(self.factor) + self.by_n * np.log(n) + self.by_d * np.log(d))

    def data(self, flops: Array | float, n: Array) -> Array:
        return np.exp((np.log(flops) - np.log(self.factor) - self.by_n * np.log(n)) / self.by_d)

    def size(self, flops: Array | float, d: Array) -> Array:
        return np.exp((np.log(flops) - np.log(self.factor) - self.by_d * np.log(d)) / self.by_n)


SIX_ND = PowerCost(6.0, words="6 N D, an approximation for dense transformers")


@dataclass(frozen=True)
class FunctionCost:
    """FLOPs by any function of N and D [m] -> [m] that rises in both; solved by bisection."""

    function: CostFunction
    words: str = "given by a function"

    def flops(self, n: Array, d: Array) -> Array:
        n, d = np.broadcast_arrays(np.asarray(n, dtype=np.float64), np.asarray(d, dtype=np.float64))
        with np.errstate(over="ignore"):
            return np.asarray(self.function(n, d), dtype=np.float64)

    def data(self, flops: Array | float, n: Array) -> Array:
        return _bisect(lambda d: self.flops(n, d), flops, np.asarray(n, dtype=np.float64))

    def size(self, flops: Array | float, d: Array) -> Array:
        return _bisect(lambda n: self.flops(n, d), flops, np.asarray(d, dtype=np.float64))


def as_cost(cost: Cost | CostFunction | None, n: Array, d: Array) -> Cost:
    """The cost, tried on the rows of the data [m].

    Raises:
        SonoscaleError: Where a function gives what is not finite and above zero, or does not rise.
    """
    if cost is None:
        return SIX_ND
    if isinstance(cost, PowerCost):
        return cost
    made = cost if isinstance(cost, Cost) else FunctionCost(cost)
    at = made.flops(n, d)
    if at.shape != n.shape or not (np.isfinite(at).all() and (at > 0).all()):
        raise SonoscaleError("the cost must be finite and above zero FLOPs for every run of the data")
    if (made.flops(2.0 * n, d) <= at).any() or (made.flops(n, 2.0 * d) <= at).any():
        raise SonoscaleError("the cost must rise with parameters and with data: no budget could bound them otherwise")
    return made


def fit_cost(n: Array, d: Array, flops: Array, *, name: str = "flops") -> tuple[PowerCost, str | None]:
    """The cost out of a column of FLOPs [m], and what is to be known of it.

    k N D where flops / (N D) is the same in all rows to 5 %, else a power product fitted to the logarithms.

    Raises:
        SonoscaleError: Where the fitted cost falls with N or with D.
    """
    ratio = np.log(flops) - np.log(n) - np.log(d)
    factor = float(np.exp(ratio.mean()))
    if np.exp(np.ptp(ratio)) - 1.0 <= _CONSTANT:
        return PowerCost(factor, words=f"{factor:.4g} N D, by the column {name}"), None
    design = np.stack([np.ones_like(n), np.log(n), np.log(d)], axis=1)
    found, _, rank, _ = np.linalg.lstsq(design, np.log(flops), rcond=1e-10)
    if rank < 3:
        return PowerCost(factor, words=f"{factor:.4g} N D, the mean of the column {name}"), (
            f"{name} / (N D) differs between rows, and N and D vary together: its mean is taken"
        )
    by_n, by_d = found[1:].tolist()
    if by_n <= 0 or by_d <= 0:
        raise SonoscaleError(
            f"{name} goes as N^{by_n:.3g} D^{by_d:.3g}: a cost that does not rise with both bounds neither"
        )
    off = float(np.sqrt(np.mean((np.log(flops) - design @ found) ** 2)))
    cost = PowerCost(float(np.exp(found[0])), by_n, by_d)
    words = f"{cost.factor:.4g} N^{by_n:.4g} D^{by_d:.4g}, fitted to the column {name} ({off:.1%} off)"
    note = None
    if off > _ROUGH:
        note = f"the column {name} is off by {off:.0%} from a power product of N and D: costs are rough"
    return PowerCost(cost.factor, by_n, by_d, words), note


def _bisect(cost: Callable[[Array], Array], wanted: Array | float, like: Array) -> Array:
    shape = np.broadcast_shapes(np.shape(wanted), like.shape)
    low, high = np.full(shape, _LOG_ENDS[0]), np.full(shape, _LOG_ENDS[1])
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        dear = ~(cost(np.exp(middle)) <= wanted)  # what overflows is dear
        low, high = np.where(dear, low, middle), np.where(dear, middle, high)
    return np.exp(0.5 * (low + high))
