"""How fast the linear probe is, and how good, beside scikit-learn and the recipe of X-ARES: part of `make bench`.

All three on the same embeddings and folds, in turn and in one process. Ours chooses one of ten strengths on validation
clips and fits again; scikit-learn does the same with its LogisticRegression (lbfgs, `max_iter=1000`; one for each label
where there are several); X-ARES (0.1.3) trains LayerNorm and one linear layer with Adam (1e-3, cosine to a tenth, ten
epochs, batches of 32) and keeps the best epoch on validation clips. Written anew here, without its files and logs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from reading import footer
from sonoscale.corpora import read_task
from sonoscale.encoders import AudioEncoder, EncoderConfig, find_device, load_encoder
from sonoscale.probe._linear import LINEAR, STRENGTHS
from sonoscale.probe._metrics import find_metric
from sonoscale.probe._rounds import Round, make_rounds
from sonoscale.probe._targets import Targets, make_targets

TASKS = {"esc10": (400, 10, 5), "fsdd_digit": (1200, 10, 6)}  # clips, classes, folds


@dataclass(frozen=True)
class Case:
    """Embeddings `[n, dim]` of a task."""

    name: str
    x: np.ndarray
    targets: Targets
    rounds: Sequence[Round]


def embedded(folder: Path, name: str) -> list[Case]:
    """A real task: log-mel statistics, and an encoder of random weights."""
    metadata = next(folder.glob(f"**/{name}/metadata.csv"))
    first = metadata.read_text().splitlines()[1].split(",")[0]
    root = next(parent for parent in metadata.parents if (parent / first).is_file())
    task = read_task(name, metadata, audio_root=root)
    torch.manual_seed(0)
    untrained = AudioEncoder(EncoderConfig(backbone="vit", width=384, depth=4), mean=-8.0, std=3.0).eval()
    targets, rounds = make_targets(task.labels), make_rounds(task.folds, scheme=task.scheme)
    cases = []
    for label, encoder in (("log-mel statistics", load_encoder("logmel:")), ("untrained encoder", untrained)):
        rows = []
        with torch.inference_mode():
            for i in range(len(task.corpus)):
                wave = torch.from_numpy(task.corpus.wave(i))[None]
                short = max(0, encoder.min_samples - wave.shape[1])
                rows.append(encoder.embed(nn.functional.pad(wave, (0, short)))[0].numpy())
        cases.append(Case(f"{name}, {label}", np.stack(rows), targets, rounds))
    return cases


def synthetic(name: str, dim: int) -> Case:
    """As large as a real one: classes in noise, with correlated features."""
    clips, classes, folds = TASKS[name]
    rng = np.random.default_rng(0)
    y = np.arange(clips) % classes
    x = 0.3 * rng.standard_normal((classes, dim))[y] + rng.standard_normal((clips, dim))
    x = x * np.arange(1, dim + 1) ** -0.7 @ np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    rounds = make_rounds([str(i // classes % folds) for i in range(clips)])
    return Case(f"{name}, synthetic", x.astype(np.float32), make_targets(y), rounds)


def many_labels(clips: int, dim: int = 768, labels: int = 200, folds: int = 5) -> Case:
    """Labels between 0.3% and 5% of the clips, predictable in part from 60 factors of the features."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((clips, 60))
    x = 0.5 * factors @ rng.standard_normal((60, dim)) + rng.standard_normal((clips, dim))
    scores = factors @ rng.standard_normal((60, labels)) / 8 + 0.5 * rng.standard_normal((clips, labels))
    shares = rng.uniform(0.003, 0.05, labels)
    truth = scores > np.array([np.quantile(s, 1 - share) for s, share in zip(scores.T, shares, strict=True)])
    targets = Targets("multilabel", truth, tuple(map(str, range(labels))))
    return Case(
        f"{labels} labels, synthetic",
        x.astype(np.float32),
        targets,
        make_rounds([str(i % folds) for i in range(clips)]),
    )


Score = list[float]  # of each fold


def ours(case: Case) -> Score:
    metric = find_metric(None, case.targets.kind)
    outcomes = LINEAR.run(case.x, case.targets, case.rounds, metric, 0, find_device("auto"), lambda done, total: None)
    return [metric.of(case.targets[r.test], o.predictions) for r, o in zip(case.rounds, outcomes, strict=True)]


def standard(x: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    features = x.astype(np.float64)
    return (features - features[fitted].mean(axis=0)) / features[fitted].std(axis=0)


def scikit_learn(case: Case, labels: int) -> Score:
    """The same grid; of several labels the first ones alone."""
    metric, targets = find_metric(None, case.targets.kind), first_labels(case.targets, labels)
    truth = [targets.values] if targets.kind == "multiclass" else list(targets.values.T)

    def predict(fitted: np.ndarray, asked: np.ndarray, strength: float) -> np.ndarray:
        features = standard(case.x, fitted)
        models = [LogisticRegression(C=strength, max_iter=1000).fit(features[fitted], y[fitted]) for y in truth]
        if targets.kind == "multiclass":
            return models[0].predict_proba(features[asked])
        return np.stack([model.decision_function(features[asked]) for model in models], axis=1)

    scores = []
    for each in case.rounds:
        found = [metric.of(targets[each.valid], predict(each.train, each.valid, c)) for c in STRENGTHS]
        best = STRENGTHS[int(np.argmax(found))]
        scores.append(metric.of(targets[each.test], predict(each.fitted, each.test, best)))
    return scores


def first_labels(targets: Targets, count: int) -> Targets:
    if targets.kind == "multiclass":
        return targets
    return Targets(targets.kind, targets.values[:, :count], targets.classes[:count])


def x_ares(case: Case) -> Score:
    metric, scores = find_metric(None, case.targets.kind), []
    several = case.targets.kind == "multilabel"
    x = torch.from_numpy(case.x)
    y = torch.from_numpy(case.targets.values.astype(np.float32) if several else case.targets.values)
    loss = nn.BCEWithLogitsLoss() if several else nn.CrossEntropyLoss()
    for each in case.rounds:
        torch.manual_seed(42)
        model = nn.Sequential(nn.LayerNorm(x.shape[1]), nn.Linear(x.shape[1], case.targets.outputs))
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        loader = DataLoader(TensorDataset(x[each.train], y[each.train]), batch_size=32, shuffle=True)
        best = (-np.inf, 0.0)
        for epoch in range(10):
            adam.param_groups[0]["lr"] = 1e-4 + 9e-4 / 2 * (1 + np.cos(np.pi * epoch / 10))
            for features, truth in loader:
                adam.zero_grad()
                loss(model(features), truth).backward()
                adam.step()
            with torch.inference_mode():
                valid, test = (model(x[part]).numpy() for part in (each.valid, each.test))
            reached = metric.of(case.targets[each.valid], valid)
            if reached > best[0]:
                best = reached, metric.of(case.targets[each.test], test)
        scores.append(best[1])
    return scores


def timed(work: Callable[[], Score]) -> tuple[float, float]:
    started = time.perf_counter()
    score = float(np.mean(work()))
    return time.perf_counter() - started, score


def row(case: Case, rounds: int, labels: int, threads: int) -> tuple[list[str], list[str]]:
    """Cells, and remarks."""
    several = case.targets.kind == "multilabel"
    share = labels / case.targets.outputs if several else 1.0
    seconds: dict[str, list[float]] = {"ours": [], "sk": [], "xares": []}
    scores: dict[str, float] = {}
    for _ in range(rounds):
        works: dict[str, Callable[[], Score]] = {"ours": lambda: ours(case), "xares": lambda: x_ares(case)}
        if labels or not several:
            works["sk"] = lambda: scikit_learn(case, labels)
        for name, work in works.items():
            with threadpool_limits(threads if name == "sk" else None, user_api="blas"):
                taken, scores[name] = timed(work)
            seconds[name].append(taken / (share if name == "sk" else 1))
    remarks = []
    if several and "sk" in scores and share < 1:
        part = Case(case.name, case.x, first_labels(case.targets, labels), case.rounds)
        remarks.append(
            f"scikit-learn on {case.name}: {labels} of {case.targets.outputs} labels were fitted, its time is scaled; "
            f"its {scores['sk']:.4f} is over these, where ours alone on them scores {np.mean(ours(part)):.4f}"
        )
    median = {name: statistics.median(values) for name, values in seconds.items() if values}
    ratios = {
        name: statistics.median(a / b for a, b in zip(seconds[name], seconds["ours"], strict=True))
        for name in ("sk", "xares") if name in median
    }  # fmt: skip
    cells = [case.name, f"{case.x.shape[0]:,} x {case.x.shape[1]}", str(len(case.rounds))]
    for name in ("ours", "sk", "xares"):
        known = name in median
        cells += [f"{median[name]:,.2f}" if known else "-", f"{scores[name]:.4f}" if known else "-"]
        if name != "ours":
            cells.append(f"{ratios[name]:.1f}" if known else "-")
    return cells, remarks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=None, help="folder with NAME/metadata.csv of " + ", ".join(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=10_000, help="of the task with many labels; 0 for none")
    parser.add_argument("--sklearn-labels", type=int, default=4, help="of these, for scikit-learn; its time is scaled")
    parser.add_argument("--skip-sklearn-multilabel", action="store_true")
    parser.add_argument("--sklearn-threads", type=int, default=None, help="of its BLAS; by default as ours")
    arguments = parser.parse_args()
    load = os.getloadavg()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if arguments.data:
        cases = [case for name in TASKS for case in embedded(arguments.data, name)]
    else:
        cases = [synthetic(name, dim) for name in TASKS for dim in (128, 384)]
    if arguments.clips:
        cases.append(many_labels(arguments.clips))
    table = Table(title=f"Linear probes, {torch.get_num_threads()} threads, medians of rounds", title_justify="left")
    table.add_column("task")
    for column in (
        "clips x dim", "folds", "ours, s", "score", "scikit-learn, s", "score", "over ours", "X-ARES' recipe, s",
        "score", "over ours",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    remarks: list[str] = []
    for case in cases:
        several = case.targets.kind == "multilabel"
        labels = 0 if arguments.skip_sklearn_multilabel else arguments.sklearn_labels
        cells, reported = row(case, 1 if several else arguments.rounds, labels, arguments.sklearn_threads)
        table.add_row(*cells)
        remarks += reported
    console = Console(width=150)
    console.print(table)
    for remark in remarks:
        console.print(remark)
    console.print("score: accuracy, or mAP of several labels; over ours: ratio of seconds, the median over rounds")
    console.print(f"{footer()}; load before {load[0]:.1f}, after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
