"""A rank and how it was measured: the number never travels alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from sonoscale.rank._estimators import rankme
from sonoscale.rank._sketch import SpectralSketch


@dataclass(frozen=True)
class RankRecord:
    """One effective rank with its interval and provenance.

    `lo` and `hi` bound the mean rank of samples of this size from the same population: a single other sample spreads
    about sqrt(2) wider, and the bias of a finite sample (the population's own rank is higher) is not in it.
    """

    value: float
    lo: float
    hi: float
    level: float
    estimator: str
    eps: float
    centred: bool
    n: int
    dim: int
    mean_energy: float
    encoder: str = ""
    corpus: str = ""
    mean_seconds: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def clips_per_dim(self) -> float:
        """n / dim."""
        return self.n / self.dim

    @property
    def normalised(self) -> float:
        """The rank as a share of the largest possible one, min(n, dim)."""
        return self.value / min(self.n, self.dim)

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return {**asdict(self), "warnings": list(self.warnings)}


def measure_rank(
    sketch: SpectralSketch,
    *,
    centred: bool = False,
    eps: float = 0.0,
    level: float = 0.95,
    encoder: str = "",
    corpus: str = "",
    mean_seconds: float | None = None,
) -> RankRecord:
    """RankMe of what the sketch has seen, with a block-jackknife interval.

    The interval is `value ± t * se`, where `se` is the delete-one-block jackknife standard error over the blocks
    of the sketch and t has blocks - 1 degrees of freedom (Efron & Tibshirani, 1993, chapter 11).

    Arguments:
        sketch: the embeddings seen.
        centred: take the mean out first.
        eps: see `rankme`.
        level: coverage of the interval.
        encoder, corpus: identities to keep with the number.
        mean_seconds: mean duration of the clips.

    Returns:
        the record; its `warnings` say what should stop a reader from trusting it.
    """
    value, half = _jackknife(sketch, lambda s: rankme(s, eps=eps), centred, level)
    n, dim, mean_energy = sketch.n, sketch.dim, sketch.mean_energy()
    warnings = []
    if n < 8 * dim:
        warnings.append(f"n = {n} is under 8 * dim = {8 * dim}: the finite sample biases the rank down")
    if not centred and mean_energy > 0.9:
        warnings.append(f"the mean holds {mean_energy:.0%} of the energy: the uncentred rank mostly measures it")
    if value > 0.95 * min(n, dim):
        warnings.append(f"the rank is within 5% of its ceiling {min(n, dim)}")
    return RankRecord(
        value=value, lo=max(1.0, value - half), hi=min(float(min(n, dim)), value + half), level=level,
        estimator="rankme", eps=eps, centred=centred, n=n, dim=dim, mean_energy=mean_energy,
        encoder=encoder, corpus=corpus, mean_seconds=mean_seconds, warnings=tuple(warnings),
    )  # fmt: skip


def _jackknife(
    sketch: SpectralSketch, estimator: Callable[[np.ndarray], float], centred: bool, level: float
) -> tuple[float, float]:
    """The estimate on all rows, and the half-width of its interval."""
    value = estimator(sketch.singular_values(centred=centred))
    if sketch.n < 2 * sketch.blocks:
        return value, float("inf")
    b = sketch.blocks
    without = np.array([estimator(sketch.singular_values(centred=centred, leave_out=i)) for i in range(b)])
    error = np.sqrt((b - 1) / b * np.square(without - without.mean()).sum())
    return value, float(stats.t.ppf(0.5 + level / 2, b - 1) * error)
