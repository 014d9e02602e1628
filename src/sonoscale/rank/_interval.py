"""Intervals from the blocks of a sketch, by the jackknife."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.rank._moments import About
from sonoscale.rank._sketch import SpectralSketch

Compute = Callable[[np.ndarray, int, int], float]

FEWEST_ROWS, FEWEST_BLOCKS = 8, 4
NO_INTERVAL = "no interval from so few embeddings: low and high are the bounds of the estimator"


@dataclass(frozen=True)
class Jackknife:
    """An estimate on all rows, and what leaving out each block in turn says of it.

    Attributes:
        value: the estimate on all rows.
        pseudo: pseudo-values `[blocks]`; their mean is the estimate corrected for a bias that falls as 1/n.
        weight: `[blocks]`, `n / m - 1` for a block of m rows: 15 for each of 16 equal blocks.
    """

    value: float
    pseudo: np.ndarray
    weight: np.ndarray

    @property
    def corrected(self) -> float:
        """The value extrapolated to infinitely many rows, if its bias falls as 1/n."""
        return float(np.average(self.pseudo, weights=1 / (self.weight + 1))) if len(self.pseudo) else self.value

    @property
    def error(self) -> float:
        """Standard error."""
        b = len(self.pseudo)
        return float(np.sqrt(np.sum(np.square(self.pseudo - self.corrected) / self.weight) / b)) if b > 1 else np.inf

    def half_width(self, level: float) -> float:
        """Half the width of the t-interval with blocks - 1 degrees of freedom."""
        from scipy.special import stdtrit

        b = len(self.pseudo)
        return float(stdtrit(b - 1, 0.5 + level / 2) * self.error) if b > 1 else float("inf")


def jackknife(sketch: SpectralSketch, compute: Compute, about: About) -> Jackknife:
    """Delete one block at a time.

    Blocks of unequal size are weighted as in Busing, Meijer & van der Leeden, "Delete-m jackknife for unequal m",
    Statistics and Computing 9 (1999); with equal blocks this is the delete-d jackknife of Efron & Tibshirani (1993,
    chapter 11).
    """
    n, dim = sketch.n, sketch.dim
    value = compute(_spectrum(sketch, about), n, dim)
    sizes = [part.count for part in sketch.parts() if part.count]
    return from_left_out(
        value, n, sizes, lambda: [compute(rest, n - size, dim) for size, rest in sketch.leave_one_out(about)]
    )


def from_left_out(value: float, n: int, sizes: list[int], left_out: Callable[[], list[float]]) -> Jackknife:
    """From the estimate on all n rows, the size of each block, and what gives the estimates without each.

    There is no error (no pseudo-values) with fewer than 8 rows or 4 blocks, or where the estimate is
    infinite, or not defined without one of the blocks.
    """
    nothing = Jackknife(value, np.empty(0), np.empty(0))
    if n < FEWEST_ROWS or len(sizes) < FEWEST_BLOCKS or not np.isfinite(value):
        return nothing
    try:
        without = np.array(left_out())
    except SonoscaleError:
        return nothing
    if not np.isfinite(without).all():
        return nothing
    h = n / np.array(sizes)
    return Jackknife(value, h * value - (h - 1) * without, h - 1)


def check_level(level: float) -> None:
    """Raises:
    SonoscaleError: not between 0 and 1.
    """
    if not 0 < level < 1:
        raise SonoscaleError(f"level must be between 0 and 1, not {level}")


def paired(first: SpectralSketch, second: SpectralSketch, compute: Compute, about: About) -> Jackknife:
    """The same for `second - first`, where row i of both sketches is the same clip.

    What the two have in common, such as a hard or an easy block of clips, cancels.
    """
    a, b = jackknife(first, compute, about), jackknife(second, compute, about)
    if not (np.isfinite([a.value, b.value]).all() and len(a.pseudo) and len(b.pseudo)):
        return Jackknife(b.value - a.value if np.isfinite(a.value) else float("nan"), np.empty(0), np.empty(0))
    return Jackknife(b.value - a.value, b.pseudo - a.pseudo, a.weight)


def _spectrum(sketch: SpectralSketch, about: About) -> np.ndarray:
    return sketch.spectrum(centred=about == "centred", standardised=about == "standardised")
