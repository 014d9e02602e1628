"""Nearest neighbours: no training at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from sonoscale.probe._linear import best_first
from sonoscale.probe._metrics import Metric
from sonoscale.probe._protocol import Outcome, Protocol
from sonoscale.probe._rounds import Round
from sonoscale.probe._targets import Targets

NEIGHBOURS, TEMPERATURE = 10, 0.07
CHOICES = (50, 20, 10, 5, 3, 1)
BLOCK = 8_000_000  # similarities held at a time


def vote(
    known: np.ndarray,
    values: np.ndarray,
    queries: np.ndarray,
    neighbours: Sequence[int] = (NEIGHBOURS,),
    *,
    device: str = "cpu",
) -> list[np.ndarray]:
    """Weighted means of the values of the nearest clips, by cosine similarity.

    The weights are a softmax over the k neighbours of similarity / 0.07 (Caron et al., arXiv 2104.14294, and X-ARES,
    arXiv 2505.16369).

    Arguments:
        known: embeddings `[n, dim]`.
        values: of these, `[n, outputs]`.
        queries: embeddings `[m, dim]`.
        neighbours: each k that is wanted; of more than n, all n are taken.
        device: of large products; small ones stay on the CPU.

    Returns:
        float64 `[m, outputs]` for each k.
    """
    where = torch.device(device if len(known) * len(queries) > BLOCK else "cpu")
    columns = normalize(torch.from_numpy(known).to(where), dim=1).T
    table = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).to(where)
    found: list[list[torch.Tensor]] = [[] for _ in neighbours]
    for rows in _blocks(queries, min(1024, max(1, BLOCK // len(known)))):
        similar, which = (normalize(torch.from_numpy(rows).to(where), dim=1) @ columns).topk(
            min(len(known), max(neighbours)), dim=1
        )
        for results, k in zip(found, neighbours, strict=True):
            weights = torch.softmax(similar[:, :k].double() / TEMPERATURE, dim=1)
            results.append((weights[:, None] @ table[which[:, :k]])[:, 0].cpu())
    return [torch.cat(results).numpy() for results in found]


def _blocks(x: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(x), size):
        yield np.ascontiguousarray(x[start : start + size])


def _values(targets: Targets) -> np.ndarray:
    return targets.values[:, None] if targets.kind == "regression" else targets.one_hot()


def _run(choices: Sequence[int]) -> Callable[..., list[Outcome]]:
    def run(
        x: np.ndarray,
        targets: Targets,
        rounds: Sequence[Round],
        metric: Metric,
        seed: int,
        device: str,
        progress: Callable[[int, int], None],
    ) -> list[Outcome]:
        values, outcomes = _values(targets), []
        for each in rounds:
            chosen, best = {}, choices[0]
            if len(choices) > 1:
                votes = vote(x[each.train], values[each.train], x[each.valid], choices, device=device)
                scores = [metric.of(targets[each.valid], predictions) for predictions in votes]
                best = choices[best_first(scores, higher=metric.higher)]
                chosen = {"k": best}
            predictions = vote(x[each.fitted], values[each.fitted], x[each.test], (best,), device=device)[0]
            outcomes.append(Outcome(predictions, chosen))
            progress(len(outcomes), len(rounds))
        return outcomes

    return run


KNN = Protocol(
    name="knn",
    version="knn/1",
    kinds=("multiclass", "multilabel", "regression"),
    run=_run((NEIGHBOURS,)),
    summary=f"votes of the {NEIGHBOURS} nearest training and validation clips by cosine similarity, weighted by a "
    f"softmax with temperature {TEMPERATURE}, as X-ARES describes it; its code (0.1.3) scales each feature over the "
    "training clips where it should scale each clip, so its figures differ",
)
KNN_TUNED = Protocol(
    name="knn-tuned",
    version="knn-tuned/1",
    kinds=("multiclass", "multilabel", "regression"),
    run=_run(CHOICES),
    summary=f"as knn, with the number of neighbours that is best on the validation clips, of {min(CHOICES)} to "
    f"{max(CHOICES)} (ties: the most)",
)
