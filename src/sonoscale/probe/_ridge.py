"""Ridge regression on frozen embeddings, for a whole path of strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sonoscale.probe._basis import Basis, LinearMap
from sonoscale.probe._targets import Targets


@dataclass(frozen=True)
class RidgeModel:
    """A fitted probe."""

    map: LinearMap

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Of embeddings `[n, dim]`: numbers, float64 `[n, 1]`."""
        return self.map(x)


def fit_ridge(
    parts: Sequence[tuple[np.ndarray, Targets]],
    strengths: Sequence[Sequence[float]],
    *,
    near: Sequence[RidgeModel] | None = None,
    device: str = "cpu",
) -> list[list[RidgeModel]]:
    """One probe for each part and strength.

    Minimised is scikit-learn's objective: the sum of squared errors plus `||w||^2 / C`, that is with alpha = 1 / C;
    the intercept without penalty. Features are standardised by mean and deviation of the part.

    Arguments:
        parts: embeddings `[n, dim]` and numbers, of every fold.
        strengths: C, for each part.
        near, device: of no use here: the solution is exact, and found on the CPU.

    Raises:
        SonoscaleError: all embeddings of a part are equal.
    """
    results = []
    for (x, targets), path in zip(parts, strengths, strict=True):
        basis, mean = Basis.of(x), targets.values.mean()
        along = basis.coordinates.T @ (targets.values - mean)
        weights = [np.append(along / (basis.energy + 1 / strength), mean)[None] for strength in path]
        results.append([RidgeModel(basis.lift(each)) for each in weights])
    return results
