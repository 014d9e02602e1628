"""Intervals from the blocks of a sketch, by the jackknife."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from sonoscale.rank._moments import About
from sonoscale.rank._sketch import SpectralSketch

Compute = Callable[[np.ndarray, int, int], float]


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
    left_out = [(size, compute(rest, n - size, dim)) for size, rest in sketch.leave_one_out(about)]
    return from_left_out(value, n, left_out)


def from_left_out(value: float, n: int, left_out: list[tuple[int, float]]) -> Jackknife:
    """From the estimate on all n rows, and for each block its size and the estimate without it."""
    h = np.array([n / size for size, _ in left_out])
    without = np.array([rest for _, rest in left_out])
    if not np.isfinite([value, *without]).all():  # as of a condition number: there is no saying how far it is off
        return Jackknife(value, np.empty(0), np.empty(0))
    return Jackknife(value, h * value - (h - 1) * without, h - 1)


def paired(first: SpectralSketch, second: SpectralSketch, compute: Compute, about: About) -> Jackknife:
    """The same for `second - first`, where row i of both sketches is the same clip.

    What the two have in common, such as a hard or an easy block of clips, cancels.
    """
    a, b = jackknife(first, compute, about), jackknife(second, compute, about)
    return Jackknife(b.value - a.value, b.pseudo - a.pseudo, a.weight)


def _spectrum(sketch: SpectralSketch, about: About) -> np.ndarray:
    return sketch.spectrum(centred=about == "centred", standardised=about == "standardised")
