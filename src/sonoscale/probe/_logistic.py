"""Logistic regression on frozen embeddings, for a whole path of strengths.

Minimised is scikit-learn's objective: the sum of the losses of the clips plus `||W||^2 / (2 C)`, the intercept without
penalty. Multi-class: the softmax cross-entropy with a column for every class that occurs, but one column and the
logistic loss for two classes. Multi-label: a logistic loss for each label, as its OneVsRestClassifier has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import log_softmax

from sonoscale.probe._basis import Basis, LinearMap
from sonoscale.probe._newton import Problems, solve_path
from sonoscale.probe._targets import Kind, Targets

TOLERANCE = 5e-6  # of the objective, relative
LARGE = 1e8  # multiplications in a pass over the clips, from which a GPU is worth it


@dataclass(frozen=True)
class LogisticModel:
    """A fitted probe.

    Attributes:
        kind: multi-class or multi-label.
        columns: classes that some but not all fitted clips have.
        map: to their logits; of two classes the second's alone.
        constant: for each class whether all fitted clips had it, bool `[classes]`.
        basis: in which it was fitted.
    """

    kind: Kind
    columns: np.ndarray
    map: LinearMap
    constant: np.ndarray
    basis: Basis

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Of embeddings `[n, dim]`: logarithms of probabilities, or logits for multi-label, float64 `[n, classes]`.

        Classes that nothing could be learned of are below all others, or above them.
        """
        logits = self.map(x)
        if self.kind == "multiclass" and len(self.columns):
            if len(self.columns) == 2:
                logits = np.hstack([np.zeros_like(logits), logits])
            logits = log_softmax(logits, axis=1)
        lowest, highest = (logits.min(), logits.max()) if logits.size else (0.0, 0.0)
        predictions = np.tile(np.where(self.constant, highest + 1, lowest - 1), (len(x), 1))
        predictions[:, self.columns] = logits
        return predictions


def fit_logistic(
    parts: Sequence[tuple[np.ndarray, Targets]],
    strengths: Sequence[Sequence[float]],
    *,
    standardise: bool = True,
    near: Sequence[LogisticModel] | None = None,
    tolerance: float = TOLERANCE,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> list[list[LogisticModel]]:
    """One probe for each part and strength.

    Arguments:
        parts: embeddings `[n, dim]` and their multi-class or multi-label targets, of every fold.
        strengths: C, for each part, best from strong to weak: each is solved from the one before.
        standardise: features by mean and deviation of the part; else they are taken as they are.
        near: for each part a probe of the same features that its first is probably close to.
        tolerance: how far (relative) an objective may be above the least, about.
        dtype: of the products; sums are in float64.
        device: of large products; small ones are faster on the CPU, and stay there.

    Raises:
        SonoscaleError: all embeddings of a part are equal.
    """
    works = [_Work.of(x, targets, standardise, near[i] if near else None) for i, (x, targets) in enumerate(parts)]
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, work in enumerate(works):
        alike.setdefault(tuple(work.columns), []).append(i)
    results: list[list[LogisticModel]] = [[]] * len(parts)
    for members in alike.values():
        solved = _solve([works[i] for i in members], [strengths[i] for i in members], tolerance, dtype, device)
        for i, path in zip(members, solved, strict=True):
            results[i] = [works[i].model(weights) for weights in path]
    return results


@dataclass(frozen=True)
class _Work:
    """One part: its basis, the columns to fit, their targets `[outputs, n]` and where to start."""

    kind: Kind
    columns: np.ndarray
    constant: np.ndarray
    basis: Basis
    y: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, targets: Targets, standardise: bool, near: LogisticModel | None) -> _Work:
        truth = targets.one_hot()
        share = truth.mean(axis=0)
        columns = np.flatnonzero((share > 0) & (share < 1))
        single = targets.kind == "multiclass" and len(columns) == 2
        fitted = columns[1:] if single else columns
        basis = Basis.of(x, standardise=standardise, like=near.basis if near else None)
        if near is not None and np.array_equal(near.columns, columns):
            start = basis.lower(near.map)
        else:
            intercept = np.log(share[fitted]) - np.log1p(-share[fitted]) * (single or targets.kind == "multilabel")
            start = np.hstack([np.zeros((len(fitted), len(basis.energy))), intercept[:, None]])
        return cls(targets.kind, columns, share == 1, basis, truth[:, fitted].T, start)

    def model(self, weights: np.ndarray) -> LogisticModel:
        return LogisticModel(self.kind, self.columns, self.basis.lift(weights), self.constant, self.basis)


def _solve(
    works: Sequence[_Work],
    strengths: Sequence[Sequence[float]],
    tolerance: float,
    dtype: torch.dtype,
    device: str,
) -> list[list[np.ndarray]]:
    """Weights `[outputs, rank + 1]` of parts with the same columns, for each part and strength."""
    outputs, n = len(works[0].y), max(work.y.shape[1] for work in works)
    rank = max(len(work.basis.energy) for work in works)
    if not outputs:
        return [[work.start] * len(path) for work, path in zip(works, strengths, strict=True)]
    large = n * (rank + 1) * outputs * len(works) > LARGE
    x = torch.zeros(len(works), n, rank + 1, dtype=dtype)
    energy = torch.zeros(len(works), 1, rank + 1, dtype=dtype)
    y, there = torch.zeros(len(works), outputs, n, dtype=dtype), torch.zeros(len(works), 1, n, dtype=dtype)
    start = torch.zeros(len(works), outputs, rank + 1, dtype=dtype)
    for i, work in enumerate(works):
        size, own = work.basis.coordinates.shape
        x[i, :size, :own], x[i, :size, -1] = torch.from_numpy(work.basis.coordinates), 1
        energy[i, 0, :own], energy[i, 0, -1] = torch.from_numpy(work.basis.energy), size
        y[i, :, :size], there[i, :, :size] = torch.from_numpy(work.y), 1
        start[i, :, :own], start[i, :, -1] = map(torch.from_numpy, (work.start[:, :-1], work.start[:, -1]))
    where = torch.device(device if large else "cpu")
    x, energy, there, y, start = (each.to(where) for each in (x, energy, there, y, start))
    problems = Problems(x, energy, there, y, energy, len(works[0].columns) > 2 and works[0].kind == "multiclass")
    path = solve_path(problems, torch.tensor(np.array(strengths), dtype=dtype, device=where), start, tolerance)
    stacked = torch.stack(path, dim=1).double().cpu().numpy()  # [parts, strengths, outputs, rank + 1]
    sizes = [len(work.basis.energy) for work in works]
    return [
        [np.hstack([w[:, :size], w[:, -1:]]) for w in weights] for weights, size in zip(stacked, sizes, strict=True)
    ]
