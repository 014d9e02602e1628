"""The scene probe of HEAR."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from sonoscale.probe._metrics import Metric
from sonoscale.probe._mlp import Task, Training, draw_seed, fit_grid
from sonoscale.probe._protocol import Outcome, Protocol
from sonoscale.probe._rounds import Round
from sonoscale.probe._targets import Targets


def hear(
    embeddings: np.ndarray,
    targets: Targets,
    rounds: Sequence[Round],
    metric: Metric,
    seed: int,
    progress: Callable[[int, int], None],
    *,
    training: Training | None = None,
) -> list[Outcome]:
    """Protocol `hear/1`: networks of one or two hidden layers, as heareval 2021.1.3 trains them.

    Turian et al., "HEAR: Holistic Evaluation of Audio Representations", arXiv 2203.03022;
    https://github.com/hearbenchmark/hear-eval-kit, heareval/predictions/task_predictions.py.

    Embeddings go in as they are. Adam without decay, batches of 1024, at most 500 epochs, a check on the validation
    part every 3 epochs, patience of 20 checks; the network of the best check predicts. Of 8 settings (see `GRID`) the
    one with the best check on the first fold is taken, and trained once on every other fold.

    Where it differs from heareval:

    - Clips to train on are shuffled once, from the seed, over all folds together; heareval shuffles within each fold.
      Neither shuffles again between epochs. With up to 1024 clips (one batch) the order makes no difference.
    - Each training draws from a seed of its own (seed, fold, settings); heareval has one stream for the whole task.
    - A last batch of one clip, at which heareval fails, goes with the batch before.
    - A validation score of infinity or NaN ends training in heareval: here infinity is the best there can be, and NaN
      an error.
    - Classes without clips are left out of mAP, aucroc and d_prime.

    Arguments and result: see `Protocol.run`; predictions are probabilities.
    """
    training = training or Training()
    x = torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32))
    y = torch.from_numpy(targets.values if targets.kind == "multiclass" else targets.values.astype(np.float32))
    tasks = []
    for each in rounds:
        order = np.random.default_rng(draw_seed(seed, each.name)).permutation(each.train)
        valid = targets[each.valid]
        tasks.append(
            Task(
                each.name, x[order], y[order], targets.outputs, x[each.valid], x[each.test],
                lambda p, valid=valid: (metric.of(valid, p), {}), metric.higher,
            )
        )  # fmt: skip
    return [Outcome(*each) for each in fit_grid(tasks, training, seed, progress)]


HEAR = Protocol(
    name="hear",
    version="hear/1",
    kinds=("multiclass", "multilabel"),
    run=hear,
    summary="networks of 1 or 2 hidden layers, 8 settings, as in HEAR (arXiv 2203.03022)",
    remark="hear: with folds, settings are chosen on the first fold, as HEAR does; what is trained on and validated "
    "there are the test clips of other folds",
)
