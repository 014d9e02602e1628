"""Linear probe: logistic or ridge regression on frozen embeddings, its strength chosen on validation clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.probe._basis import Basis, LinearMap
from sonoscale.probe._logistic import fit_logistic
from sonoscale.probe._metrics import Metric
from sonoscale.probe._protocol import Outcome, Protocol
from sonoscale.probe._rounds import Round
from sonoscale.probe._targets import Targets

STRENGTHS = tuple(float(each) for each in np.logspace(-5, 1, 10))  # inverse L2 strength C of scikit-learn
AT_ONCE = 4_000_000  # numbers in the embeddings of rounds that are solved together


def _run(
    x: np.ndarray,
    targets: Targets,
    rounds: Sequence[Round],
    metric: Metric,
    seed: int,
    device: str,
    progress: Callable[[int, int], None],
) -> list[Outcome]:
    """Each round: the whole path on the training clips, the best strength on both parts."""
    outcomes: list[Outcome] = []
    for batch in _together(rounds, x.shape[1]):
        outcomes += _solve(x, targets, batch, metric, device)
        progress(len(outcomes), len(rounds))
    return outcomes


def _solve(x: np.ndarray, targets: Targets, rounds: Sequence[Round], metric: Metric, device: str) -> list[Outcome]:
    fit = fit_ridge if targets.kind == "regression" else fit_logistic
    paths = fit([(x[each.train], targets[each.train]) for each in rounds], [STRENGTHS] * len(rounds), device=device)
    best = []
    for each, path in zip(rounds, paths, strict=True):
        scores = [metric.of(targets[each.valid], model.predict(x[each.valid])) for model in path]
        best.append(best_first(scores, higher=metric.higher))
    again = fit(
        [(x[each.fitted], targets[each.fitted]) for each in rounds],
        [[STRENGTHS[i]] for i in best],
        near=[path[i] for path, i in zip(paths, best, strict=True)],  # pyright: ignore[reportArgumentType]
        device=device,
    )
    return [
        Outcome(models[0].predict(x[each.test]), {"C": STRENGTHS[i]})
        for each, models, i in zip(rounds, again, best, strict=True)
    ]


def best_first(scores: Sequence[float], *, higher: bool) -> int:
    """Index of the best score, of equal ones the first; NaN is worse than all.

    Raises:
        SonoscaleError: all are NaN.
    """
    if np.isnan(scores).all():
        raise SonoscaleError(
            "probe: the validation clips have no score, for they all have one label or none: nothing can be chosen"
        )
    values = np.array(scores) if higher else -np.array(scores)
    return int(np.argmax(np.where(np.isnan(values), -np.inf, values)))


def _together(rounds: Sequence[Round], dim: int) -> Iterator[list[Round]]:
    """Rounds, in order, as many at a time as are small enough."""
    batch: list[Round] = []
    for each in rounds:
        if batch and sum(len(r.train) for r in [*batch, each]) * dim > AT_ONCE:
            yield batch
            batch = []
        batch.append(each)
    yield batch


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


LINEAR = Protocol(
    name="linear",
    version="linear/2",
    kinds=("multiclass", "multilabel", "regression"),
    run=_run,
    summary="logistic regression (one for each label) or ridge regression on standardised embeddings; the best of "
    f"{len(STRENGTHS)} L2 strengths on the validation clips (ties: the strongest), then fitted again on training and "
    "validation clips",
)
