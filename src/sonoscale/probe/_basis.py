"""Features in the coordinates in which linear probes are fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sonoscale.errors import SonoscaleError

NOISE = 1e-7  # deviation over root mean square that float32 cannot distinguish from none
LEAST = 1e-10  # share of the largest squared singular value under which a direction is left out


@dataclass(frozen=True)
class LinearMap:
    """`(x - centre) @ weight + bias`, for embeddings as they come.

    Attributes:
        centre: float64 `[dim]`.
        weight: float64 `[dim, outputs]`.
        bias: float64 `[outputs]`.
    """

    centre: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """float64 `[n, outputs]` of embeddings `[n, dim]`."""
        return (x.astype(np.float64) - self.centre) @ self.weight + self.bias


@dataclass(frozen=True)
class Basis:
    """Centred, standardised features, turned onto their principal axes: the Gram matrix there is diagonal.

    A rotation changes neither predictions nor the size of the weights, so a probe with an L2 penalty is the same in
    it. Directions in which the clips do not differ get no weight in such a probe; with fewer clips than features they
    are left out.

    Attributes:
        centre: mean of the clips, float64 `[dim]`.
        scale: what each feature is divided by, float64 `[dim]`; 0 where it is left out.
        axes: rotation of the features that are left, float64 `[alive, rank]`, orthonormal columns.
        energy: sums of squares of the coordinates, float64 `[rank]`.
        coordinates: of the clips, float64 `[n, rank]`.
    """

    centre: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    energy: np.ndarray
    coordinates: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, *, standardise: bool = True, like: Basis | None = None) -> Basis:
        """Of clips `[n, dim]`, standardised with their own mean and deviation, or centred only.

        Arguments:
            x: embeddings.
            standardise: whether to divide by the deviation.
            like: of most of these clips: where it has all axes, its rotation is taken, and the Gram matrix is
                diagonal but for the difference.

        Raises:
            SonoscaleError: no feature differs between clips.
        """
        features = x.astype(np.float64)
        centre = features.mean(axis=0)
        features -= centre
        spread = np.sqrt(np.mean(features**2, axis=0))
        alive = spread > NOISE * np.hypot(spread, centre)
        if not alive.any():
            raise SonoscaleError("probe: the embeddings of all training clips are equal")
        scale = np.where(alive, spread if standardise else 1.0, 0.0)
        features = features[:, alive] / scale[alive]
        n, dim = features.shape
        if like is not None and like.axes.shape == (dim, dim) and np.array_equal(like.scale > 0, alive):
            coordinates = features @ like.axes
            return cls(centre, scale, like.axes, np.sum(coordinates**2, axis=0), coordinates)
        energy, axes = np.linalg.eigh(features @ features.T if n < dim else features.T @ features)
        if n < dim:
            kept = energy > LEAST * energy[-1]
            energy, axes = energy[kept], axes[:, kept]
            return cls(centre, scale, features.T @ (axes / np.sqrt(energy)), energy, axes * np.sqrt(energy))
        return cls(centre, scale, axes, energy.clip(min=0), features @ axes)

    def lift(self, weights: np.ndarray) -> LinearMap:
        """The map of embeddings that `[outputs, rank + 1]`, the last column the intercept, is of coordinates."""
        weight = np.zeros((len(self.centre), len(weights)))
        alive = self.scale > 0
        weight[alive] = self.axes @ weights[:, :-1].T / self.scale[alive, None]
        return LinearMap(self.centre, weight, weights[:, -1])

    def lower(self, other: LinearMap) -> np.ndarray:
        """The map of coordinates nearest to one of embeddings: `[outputs, rank + 1]`."""
        alive = self.scale > 0
        weights = self.axes.T @ (other.weight[alive] * self.scale[alive, None])
        bias = other.bias + (self.centre - other.centre) @ other.weight
        return np.vstack([weights, bias]).T
