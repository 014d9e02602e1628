"""Few-shot probe: what a handful of labels suffices for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sonoscale.probe._logistic import fit_logistic
from sonoscale.probe._metrics import Metric
from sonoscale.probe._protocol import Outcome, Protocol
from sonoscale.probe._rounds import Round
from sonoscale.probe._targets import Targets

DRAWS, SHOTS, STRENGTH = 10, 8, 1.0


def draws_of(codes: np.ndarray, seed: int, *, draws: int = DRAWS, shots: int = SHOTS) -> Iterator[np.ndarray]:
    """Indices of up to `shots` clips of each class, as MTEB draws them.

    It shuffles the order of the draw before, each time with a generator of the same seed, and takes the first of each
    class.

    Arguments:
        codes: class of each clip.
        seed: of the generator.
        draws, shots: how many, and of how many clips a class.
    """
    order = np.arange(len(codes))
    for _ in range(draws):
        np.random.RandomState(seed).shuffle(order)
        yield np.concatenate([order[codes[order] == code][:shots] for code in np.unique(codes)])


def _run(
    x: np.ndarray,
    targets: Targets,
    rounds: Sequence[Round],
    metric: Metric,
    seed: int,
    device: str,
    progress: Callable[[int, int], None],
) -> list[Outcome]:
    outcomes = []
    for each in rounds:
        picks = [each.fitted[pick] for pick in draws_of(targets.values[each.fitted], seed)]
        models = fit_logistic(
            [(x[pick], targets[pick]) for pick in picks], [[STRENGTH]] * len(picks), standardise=False, device=device
        )
        repeats = [model.predict(x[each.test]) for (model,) in models]
        outcomes.append(Outcome(np.mean(repeats, axis=0), repeats=tuple(repeats)))
        progress(len(outcomes), len(rounds))
    return outcomes


FEW_SHOT = Protocol(
    name="few-shot",
    version="few-shot/1",
    kinds=("multiclass",),
    run=_run,
    summary=f"logistic regression with C = {STRENGTH:g} on embeddings as they are, {SHOTS} training or validation "
    f"clips of each class, mean score of {DRAWS} draws, as MTEB (2.26) has it; solved to the end where it stops after "
    "100 iterations",
)
