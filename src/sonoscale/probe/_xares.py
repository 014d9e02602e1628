"""The linear probe of X-ARES, with the epoch chosen on validation clips, or as X-ARES chooses it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sonoscale.errors import SonoscaleError
from sonoscale.probe._hear import draw_seed
from sonoscale.probe._metrics import Metric
from sonoscale.probe._protocol import Outcome, Protocol
from sonoscale.probe._rounds import Round
from sonoscale.probe._targets import Kind, Targets

ADAM = (0.9, 0.999, 1e-8)  # decay of the mean and of the square, eps


def xares(
    embeddings: np.ndarray,
    targets: Targets,
    rounds: Sequence[Round],
    metric: Metric,
    seed: int,
    device: str,
    progress: Callable[[int, int], None],
    *,
    as_is: bool = False,
    epochs: int = 10,
    batch: int = 32,
    lr: float = 1e-3,
) -> list[Outcome]:
    """Protocols `xares/1` and `xares-asis/1`: layer norm with scale and shift, then one linear map.

    Zhang et al., "X-ARES: A Comprehensive Framework for Assessing Audio Encoder Performance", arXiv 2505.16369;
    xares 0.1.3, xares/trainer.py and xares/models/simple.py.

    Adam without decay; the rate falls from `lr` to a tenth of it along a cosine, changing with each epoch; batches are
    shuffled in each epoch, the last may be smaller. Cross entropy, binary cross entropy, or the squared error of the
    numbers as they are (far from 0 they are not reached in 10 epochs). The epoch with the best score on the validation
    part is taken, the first of equals.

    As X-ARES does (`as_is`), with folds each is tested with a probe of all others, whose epoch is the one that is best
    on the test fold itself. A single round is a split, which X-ARES treats as `xares/1` does.

    Where it differs from X-ARES: the shuffling comes from the seed (X-ARES takes process number and time, so its
    scores change from run to run); all clips of an epoch are shuffled, not a buffer of 2000; the mean over time is
    that of the encoder, without padded frames; X-ARES sets other epochs and batches for some of its tasks.

    Rounds are trained side by side, as stacked parameters: each result is that of the round alone.

    Arguments and result: see `Protocol.run`; predictions are logits, or numbers.
    """
    x = torch.nn.functional.layer_norm(torch.from_numpy(np.ascontiguousarray(embeddings)), embeddings.shape[1:])
    truth = targets.values[:, None] if targets.kind == "regression" else targets.one_hot()
    y = torch.from_numpy(truth.astype(np.float32))
    folds = as_is and len(rounds) > 1
    trains = [each.fitted if folds else each.train for each in rounds]
    judges = [each.test if folds else each.valid for each in rounds]
    probes = _Probes(x, y, targets.kind, [torch.from_numpy(part) for part in trains], batch)
    probes.draw([draw_seed(seed, each.name) for each in rounds])
    best = [-np.inf] * len(rounds)
    outcomes: list[Outcome | None] = [None] * len(rounds)
    for epoch in range(epochs):
        probes.train_epoch(lr * (0.1 + 0.45 * (1 + math.cos(math.pi * epoch / epochs))))
        for i, (each, clips) in enumerate(zip(rounds, judges, strict=True)):
            score = _score(metric, targets[clips], probes.predict(i, clips), each.name)
            if score > best[i]:
                best[i], outcomes[i] = score, Outcome(probes.predict(i, each.test), {"epoch": epoch + 1})
        progress(epoch + 1, epochs)
    found = [each for each in outcomes if each is not None]
    if len(found) < len(rounds):
        raise SonoscaleError(f"probe: training for fold {rounds[outcomes.index(None)].name!r} gave no finite number")
    return found


def _score(metric: Metric, targets: Targets, predictions: np.ndarray, name: str) -> float:
    """More is better; what is not finite is the worst."""
    if not np.isfinite(predictions).all():
        return -np.inf
    score = metric.of(targets, predictions)
    if np.isnan(score):
        raise SonoscaleError(
            f"probe: the clips that choose the epoch for fold {name!r} give no {metric.name}; do they have one class "
            "only, or no label?"
        )
    return score if metric.higher else -score


class _Probes:
    """One probe for each of several sets of clips to train on, in step."""

    def __init__(self, x: Tensor, y: Tensor, kind: Kind, trains: Sequence[Tensor], batch: int) -> None:
        self.x, self.y, self.kind, self.batch = x, y, kind, batch  # [n, dim], [n, outputs]
        # The longest first, so that those which still have batches in an epoch are always the first ones.
        self.order = sorted(range(len(trains)), key=lambda i: -len(trains[i]))
        self.trains = [trains[i] for i in self.order]

    def draw(self, seeds: Sequence[int]) -> None:
        """First parameters, as torch.nn has them, from a generator each, which then shuffles the batches."""
        self.generators = [torch.Generator().manual_seed(seeds[i]) for i in self.order]
        count, dim, outputs = len(self.trains), self.x.shape[1], self.y.shape[1]
        self.scale, self.shift = torch.ones(count, 1, dim), torch.zeros(count, 1, dim)
        self.weight, self.bias = torch.empty(count, dim, outputs), torch.empty(count, 1, outputs)
        bound = dim**-0.5
        for i, generator in enumerate(self.generators):
            self.weight[i] = torch.empty(outputs, dim).uniform_(-bound, bound, generator=generator).T
            self.bias[i].uniform_(-bound, bound, generator=generator)
        self.parameters = (self.scale, self.shift, self.weight, self.bias)
        self.means = [torch.zeros_like(each) for each in self.parameters]
        self.squares = [torch.zeros_like(each) for each in self.parameters]
        self.steps = torch.zeros(count, 1, 1, dtype=torch.float64)

    def predict(self, index: int, clips: np.ndarray) -> np.ndarray:
        """Logits or numbers of probe `index`, float32 `[clips, outputs]`."""
        i = self.order.index(index)
        hidden = self.x[torch.from_numpy(clips)] * self.scale[i] + self.shift[i]
        return (hidden @ self.weight[i] + self.bias[i]).numpy()

    def train_epoch(self, lr: float) -> None:
        """All batches once."""
        orders = [t[torch.randperm(len(t), generator=g)] for t, g in zip(self.trains, self.generators, strict=True)]
        for start in range(0, len(self.trains[0]), self.batch):
            clips = [order[start : start + self.batch] for order in orders if start < len(order)]
            sizes = torch.tensor([len(each) for each in clips])
            clips = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)  # [active, rows]
            there = torch.arange(clips.shape[1]) < sizes[:, None]
            self._step(clips, there.float() / sizes[:, None], lr)

    def _step(self, clips: Tensor, weights: Tensor, lr: float) -> None:
        """One step of the first probes, over clips `[active, rows]` that weigh `weights`: 1 / their number, or 0."""
        active = len(clips)
        x, y = self.x[clips], self.y[clips]  # [active, rows, dim], [active, rows, outputs]
        hidden = x * self.scale[:active] + self.shift[:active]
        z = torch.baddbmm(self.bias[:active], hidden, self.weight[:active])  # [active, rows, outputs]
        if self.kind == "multiclass":
            error = z.softmax(dim=2) - y
        elif self.kind == "multilabel":
            error = (z.sigmoid() - y) / y.shape[2]
        else:
            error = 2 * (z - y)
        error = error * weights[:, :, None]  # the gradient of the mean loss by z
        back = error @ self.weight[:active].transpose(1, 2)  # [active, rows, dim]
        gradients = (
            (back * x).sum(dim=1, keepdim=True),
            back.sum(dim=1, keepdim=True),
            hidden.transpose(1, 2) @ error,
            error.sum(dim=1, keepdim=True),
        )
        decay, decay_square, eps = ADAM
        self.steps[:active] += 1
        rate = (lr / (1 - decay ** self.steps[:active])).float()
        root = (1 - decay_square ** self.steps[:active]).sqrt().float()
        for parameter, gradient, mean, square in zip(self.parameters, gradients, self.means, self.squares, strict=True):
            mean[:active].lerp_(gradient, 1 - decay)
            square[:active].mul_(decay_square).addcmul_(gradient, gradient, value=1 - decay_square)
            parameter[:active] -= rate * mean[:active] / (square[:active].sqrt() / root + eps)


XARES = Protocol(
    name="xares",
    version="xares/1",
    kinds=("multiclass", "multilabel", "regression"),
    run=xares,
    summary="layer norm and a linear map, 10 epochs, the best on validation clips, after X-ARES (arXiv 2505.16369)",
)
XARES_ASIS = Protocol(
    name="xares-asis",
    version="xares-asis/1",
    kinds=XARES.kinds,
    run=partial(xares, as_is=True),
    summary="as X-ARES itself (arXiv 2505.16369): with folds, the epoch is the best on the test fold",
    remark="xares-asis: with folds, X-ARES chooses the epoch on the test fold itself: scores are optimistic",
)
