"""The scene probe of HEAR: small networks on frozen embeddings, and its choice among them."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sonoscale.errors import SonoscaleError
from sonoscale.probe._metrics import Metric
from sonoscale.probe._protocol import Outcome, Protocol
from sonoscale.probe._rounds import Round
from sonoscale.probe._targets import Targets


@dataclass(frozen=True)
class GridPoint:
    """One of the settings to choose from: hidden layers, distribution of the first weights (Xavier), learning rate."""

    layers: int
    init: Literal["uniform", "normal"]
    lr: float


# The first 8 of HEAR's 16 points as its seed, 42, shuffles them; these are what it tries by default.
GRID = (
    GridPoint(1, "normal", 1e-4),
    GridPoint(2, "uniform", 1e-3),
    GridPoint(1, "normal", 1e-3),
    GridPoint(1, "normal", 3.2e-4),
    GridPoint(2, "normal", 3.2e-4),
    GridPoint(2, "uniform", 3.2e-4),
    GridPoint(2, "normal", 3.2e-3),
    GridPoint(2, "uniform", 3.2e-3),
)


@dataclass(frozen=True)
class Training:
    """How the networks are trained; the defaults are HEAR's.

    Attributes:
        grid: points to choose from.
        epochs: at most.
        every: epochs between two checks on the validation part.
        patience: checks without a better score after which training ends.
        batch: rows (clips or frames) a step.
        width: of the hidden layers.
        dropout: share of hidden units.
    """

    grid: tuple[GridPoint, ...] = GRID
    epochs: int = 500
    every: int = 3
    patience: int = 20
    batch: int = 1024
    width: int = 1024
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.every <= self.epochs or not self.grid:
            raise SonoscaleError(
                f"probe: {self.epochs} epochs, a check every {self.every}, {len(self.grid)} grid points; each must be "
                "at least 1, and the first not less than the second"
            )


@dataclass(frozen=True)
class Lesson:
    """What one network learns, and how it is judged.

    Attributes:
        name: of the round.
        train: embeddings, float32 `[rows, dim]`, in the order in which they are learnt.
        labels: codes, int64 `[rows]`, of which each row has one; or float32 `[rows, outputs]` of 0 and 1.
        outputs: classes.
        valid, test: embeddings, float32 `[rows, dim]`.
        judge: probabilities of `valid`, float32 `[rows, outputs]` -> score, and further settings that it chose.
        higher: whether more is better.
    """

    name: str
    train: Tensor
    labels: Tensor
    outputs: int
    valid: Tensor
    test: Tensor
    judge: Callable[[np.ndarray], tuple[float, dict[str, Any]]]
    higher: bool


@dataclass(frozen=True)
class Fitted:
    """A trained network at its best check: its score there (more is better), what was chosen, and its predictions."""

    score: float
    point: GridPoint
    chosen: dict[str, Any]
    model: nn.Module
    probabilities: Callable[[Tensor], np.ndarray]


def draw_seed(seed: int, name: str, index: int = 0) -> int:
    """Seed of what is drawn for one round (and grid point), whatever other rounds there are."""
    words = [seed, zlib.crc32(name.encode()), index]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def build_mlp(dim: int, outputs: int, point: GridPoint, training: Training) -> nn.Sequential:
    """Linear, batch norm, dropout, ReLU for each hidden layer, and a last Linear, whose outputs are logits.

    Weights are drawn with the gain of what comes before them (none, then ReLU); biases as PyTorch does.
    """
    draw = {"uniform": nn.init.xavier_uniform_, "normal": nn.init.xavier_normal_}[point.init]
    modules: list[nn.Module] = []
    gain = nn.init.calculate_gain("linear")
    for _ in range(point.layers):
        linear = nn.Linear(dim, training.width)
        draw(linear.weight, gain=gain)
        modules += [linear, nn.BatchNorm1d(training.width), nn.Dropout(training.dropout), nn.ReLU()]
        dim, gain = training.width, nn.init.calculate_gain("relu")
    last = nn.Linear(dim, outputs)
    draw(last.weight, gain=gain)
    return nn.Sequential(*modules, last)


def fit_mlp(
    task: Lesson, point: GridPoint, training: Training, seed: int, tick: Callable[[int], None] = lambda epoch: None
) -> Fitted:
    """Train one network with Adam and keep it as it was at its best check (the first of equals).

    Rows come in the order given, in every epoch. A last batch of a single row goes with the one before it: batch norm
    cannot learn from one row. Predictions that are not finite count as worse than all others.

    Arguments:
        task: what to learn.
        point: of the grid.
        training: settings.
        seed: of the first weights and the dropout.
        tick: called with each epoch that was checked.

    Raises:
        SonoscaleError: a single row to train on; a validation part that gives no score; training that diverged at
            once.
    """
    rows = len(task.train)
    if rows < 2:
        raise SonoscaleError(f"probe: fold {task.name!r} has {rows} clips or frames to train on; at least 2 are needed")
    starts = list(range(0, rows, training.batch))
    if rows - starts[-1] == 1 and len(starts) > 1:
        starts.pop()
    batches = list(zip(starts, [*starts[1:], rows], strict=True))
    single = not task.labels.is_floating_point()
    loss_of = nn.functional.cross_entropy if single else nn.functional.binary_cross_entropy_with_logits
    best_score, best_epoch, extra, waited = -np.inf, 0, {}, 0
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.default_generator.manual_seed(seed)
        model = build_mlp(task.train.shape[1], task.outputs, point, training)
        state = copy.deepcopy(model.state_dict())
        optimiser = torch.optim.Adam(model.parameters(), lr=point.lr)

        def probabilities(x: Tensor) -> np.ndarray:
            model.eval()
            with torch.inference_mode():
                logits = torch.cat([model(part) for part in x.split(8192)])
                return (logits.softmax(dim=1) if single else logits.sigmoid()).numpy()

        for epoch in range(1, training.epochs // training.every * training.every + 1):
            model.train()
            for start, end in batches:
                optimiser.zero_grad()
                loss_of(model(task.train[start:end]), task.labels[start:end]).backward()
                optimiser.step()
            if epoch % training.every:
                continue
            score, found = _judge(task, probabilities(task.valid))
            waited += 1
            if score > best_score:
                best_score, best_epoch, extra, waited = score, epoch, found, 0
                state = copy.deepcopy(model.state_dict())
            tick(epoch)
            if waited >= training.patience:
                break
    if not best_epoch:
        raise SonoscaleError(f"probe: training for fold {task.name!r} gave no finite number; are embeddings huge?")
    model.load_state_dict(state)
    return Fitted(best_score, point, {**asdict(point), "epoch": best_epoch, **extra}, model, probabilities)


def _judge(task: Lesson, probabilities: np.ndarray) -> tuple[float, dict[str, Any]]:
    """Score (more is better) and what it chose."""
    if not np.isfinite(probabilities).all():
        return -np.inf, {}
    score, chosen = task.judge(probabilities)
    if np.isnan(score):
        raise SonoscaleError(
            f"probe: the validation clips of fold {task.name!r} give no score to choose by; do they have one class "
            "only, or no label?"
        )
    return (score if task.higher else -score), chosen


def fit_grid(
    tasks: Sequence[Lesson], training: Training, seed: int, progress: Callable[[int, int], None]
) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Choose the grid point on the first task (the first of equals), then train it once on each other.

    Every training draws from a seed of its own, so that neither order nor number of the others matters.

    Arguments:
        tasks: one for each round.
        training: settings, with the grid.
        seed: of all that is drawn.
        progress: called with the epochs done, and how many there can be.

    Returns:
        for each task the probabilities of its test rows, float32 `[rows, outputs]`, and what was chosen.
    """
    trainings = len(training.grid) + len(tasks) - 1

    def fit(task: Lesson, point: GridPoint, done: int) -> Fitted:
        start, total = done * training.epochs, trainings * training.epochs
        own = draw_seed(seed, task.name, training.grid.index(point))
        fitted = fit_mlp(task, point, training, own, lambda epoch: progress(start + epoch, total))
        progress(start + training.epochs, total)
        return fitted

    best = fit(tasks[0], training.grid[0], 0)
    for done, point in enumerate(training.grid[1:], start=1):
        other = fit(tasks[0], point, done)
        best = other if other.score > best.score else best
    results = [(best.probabilities(tasks[0].test), best.chosen)]
    for done, task in enumerate(tasks[1:], start=len(training.grid)):
        fitted = fit(task, best.point, done)
        results.append((fitted.probabilities(task.test), fitted.chosen))
    return results


def hear(
    embeddings: np.ndarray,
    targets: Targets,
    rounds: Sequence[Round],
    metric: Metric,
    seed: int,
    device: str,
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
            Lesson(
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
