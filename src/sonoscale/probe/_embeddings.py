"""Embeddings + labels -> a score with its interval, by a named protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sonoscale.encoders import find_device
from sonoscale.errors import SonoscaleError
from sonoscale.probe._classes import class_scores
from sonoscale.probe._interval import Scored, clip_draws, ends
from sonoscale.probe._metrics import Metric, find_metric
from sonoscale.probe._protocol import Outcome, Protocol
from sonoscale.probe._protocols import find_protocol
from sonoscale.probe._results import ProbeResult
from sonoscale.probe._retrieval import Retrieval, probe_retrieval
from sonoscale.probe._rounds import Round, check_rounds, make_rounds
from sonoscale.probe._targets import Targets, make_targets


def probe_embeddings(
    embeddings: np.ndarray,
    labels: Sequence[Any] | np.ndarray | Targets,
    folds: Sequence[str] | np.ndarray,
    *,
    protocol: str = "linear",
    scheme: str = "folds",
    kind: str = "multiclass",
    metric: str | None = None,
    groups: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ProbeResult:
    """Score embeddings on a task.

    Arguments:
        embeddings: floats `[clips, dim]`, of any dtype; float32 is worked with.
        labels: of each clip; see `make_targets`.
        folds: fold of each clip, or its part of the split (train, valid, test).
        protocol: name of one of `PROTOCOLS`, or `python:module:NAME`, a `Protocol` of your own.
        scheme: "folds" or "split".
        kind: of labels, if these are no `Targets`.
        metric: name; by default accuracy, mAP or Spearman's correlation, after the kind; for retrieval mAP, which is
            another one (see `probe_retrieval`).
        groups: speaker or recording of each clip, whose clips are not independent; by default each its own.
        roles: of each clip, query or gallery, for retrieval; by default all are both.
        seed: of whatever the protocol draws, and of the interval.
        device: that large products may use: cpu, cuda, cuda:1, or auto for CUDA where there is any. What is small, and
            the training of `hear` and `xares`, is done on the CPU anyway.
        progress: called with how much of the fitting is done, and of how much.

    Returns:
        The score with its interval, chance, and what was chosen.

    Raises:
        SonoscaleError: lengths that differ; NaN or infinity; a task or metric that the protocol cannot do; folds
            that cannot be used.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(60) % 2
        >>> embeddings = labels[:, None] - 0.5 + 0.1 * rng.standard_normal((60, 4))
        >>> result = probe_embeddings(embeddings, labels, [str(i // 12) for i in range(60)], protocol="knn")
        >>> result.score, result.chance, result.protocol
        (1.0, 0.5, 'knn/1')
    """
    if not 0 <= seed < 2**32:
        raise SonoscaleError(f"probe: seed = {seed}: must be a whole number from 0 to {2**32 - 1}")
    if scheme not in ("folds", "split"):
        raise SonoscaleError(f"probe: scheme = {scheme!r}: must be 'folds' or 'split'")
    x, folds = _numbers(embeddings), [str(fold) for fold in folds]
    method = find_protocol(protocol)
    targets = labels if isinstance(labels, Targets) else make_targets(labels, kind=kind)
    if x.ndim != 2 or not len(x) == len(targets) == len(folds):
        raise SonoscaleError(
            f"probe: embeddings {list(x.shape)}, {len(targets)} labels and {len(folds)} folds do not agree"
        )
    if groups is not None and len(groups) != len(x):
        raise SonoscaleError(f"probe: {len(x)} embeddings and {len(groups)} groups do not agree")
    if roles is not None and (len(roles) != len(x) or not isinstance(method, Retrieval)):
        raise SonoscaleError(f"probe: {len(roles)} roles for {len(x)} embeddings and protocol {method.name}")
    if not np.isfinite(x).all():
        raise SonoscaleError(f"probe: the embedding of clip {int(np.argmin(np.isfinite(x).all(1)))} is not finite")
    if targets.kind not in method.kinds:
        raise SonoscaleError(
            f"probe: protocol {method.name} is for {', '.join(method.kinds)} tasks, not for {targets.kind}"
        )
    if isinstance(method, Retrieval):
        return probe_retrieval(
            x, targets, folds, protocol=method, scheme=scheme, metric=metric, groups=groups, roles=roles, seed=seed,
            device=device, progress=progress,
        )  # fmt: skip
    measure, rounds = find_metric(metric, targets.kind), make_rounds(folds, scheme=scheme)
    warnings = check_rounds(targets, rounds, groups) + ([method.remark] if method.remark else [])
    outcomes, collapsed = _run(method, x, targets, rounds, measure, seed, find_device(device), progress)
    if collapsed:
        warnings.append(
            f"the embeddings of all training clips are equal in {collapsed} of {len(rounds)} folds: scored as chance"
        )
    names = np.asarray(groups if groups is not None else np.arange(len(x)), dtype=str)
    tested = [
        Scored(targets[r.test], o.repeats or (o.predictions,), names[r.test])
        for r, o in zip(rounds, outcomes, strict=True)
    ]
    per_fold = {r.name: each.score(measure) for r, each in zip(rounds, tested, strict=True)}
    scores = np.array(list(per_fold.values()))
    draws = clip_draws(tested, measure, seed=seed)
    per_class, confusion = class_scores(tested)
    low, high = ends(draws)
    return ProbeResult(
        score=float(scores.mean()),
        low=low,
        high=high,
        fold_std=float(scores.std(ddof=1)) if len(scores) > 1 else None,
        per_fold=per_fold,
        chosen={r.name: o.chosen for r, o in zip(rounds, outcomes, strict=True)},
        chance=float(np.mean([_chance(targets, r, measure) for r in rounds])),
        n=len(x), classes=len(targets.classes), metric=measure.name, kind=targets.kind,
        protocol=method.version, warnings=tuple(warnings), per_class=per_class, confusion=confusion, draws=draws,
    )  # fmt: skip


def _numbers(embeddings: np.ndarray) -> np.ndarray:
    try:
        return np.ascontiguousarray(embeddings, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor that needs its gradient
        raise SonoscaleError(f"probe: embeddings must be an array of numbers [clips, dim]: {error}") from error


def _run(
    method: Protocol, x: np.ndarray, targets: Targets, rounds: Sequence[Round], metric: Metric, seed: int,
    device: str, progress: Callable[[int, int], None],
) -> tuple[list[Outcome], int]:  # fmt: skip
    """What the protocol makes of each round; where the embeddings have collapsed, what is most common."""
    varied = [bool(np.any(np.ptp(x[each.train], axis=0) > 1e-6 * np.abs(x[each.train]).max())) for each in rounds]
    fitting = [each for each, there in zip(rounds, varied, strict=True) if there]
    found = iter(method.run(x, targets, fitting, metric, seed, device, progress) if fitting else [])
    outcomes = [
        next(found) if there else Outcome(_common(targets, each)) for each, there in zip(rounds, varied, strict=True)
    ]
    return outcomes, varied.count(False)


def _common(targets: Targets, each: Round) -> np.ndarray:
    """The shares of the classes, or the mean, among the fitted clips, for each test clip: `[test clips, outputs]`."""
    fitted = targets[each.fitted]
    guess = np.array([fitted.values.mean()]) if targets.kind == "regression" else fitted.one_hot().mean(axis=0)
    return np.tile(guess, (len(each.test), 1))


def _chance(targets: Targets, each: Round, metric: Metric) -> float:
    """Of predicting the same for all clips; 0 for a correlation with it, which is not defined."""
    score = metric.of(targets[each.test], _common(targets, each))
    return 0.0 if np.isnan(score) and metric.name == "spearman" else score
