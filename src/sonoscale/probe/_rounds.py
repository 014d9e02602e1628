"""Which clips are fitted, which choose, and which are tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sonoscale.corpora.tasks import folds_by_group
from sonoscale.errors import SonoscaleError
from sonoscale.probe._targets import Targets

__all__ = ["Round", "check_rounds", "fold_names", "folds_by_group", "make_rounds"]


@dataclass(frozen=True)
class Round:
    """One training and test, by indices of clips (int64, ascending).

    Attributes:
        name: of the test fold, or `test`.
        train, valid: what is fitted, and what chooses settings. A protocol may fit again on both.
        test: what neither fits nor chooses.
    """

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    @property
    def fitted(self) -> np.ndarray:
        """Training and validation clips together."""
        return np.sort(np.concatenate([self.train, self.valid]))


def make_rounds(folds: Sequence[str], *, scheme: str = "folds") -> list[Round]:
    """Each fold is tested once, the next in sorted order validates and the rest trains, as in HEAR (Turian et al.,
    arXiv 2203.03022); or the split's own parts do.

    Arguments:
        folds: fold of each clip, or its part of the split (train, valid, test).
        scheme: "folds" or "split".

    Raises:
        SonoscaleError: fewer than three folds, or a split without train, valid and test.
    """
    parts = np.asarray(folds, dtype=str)
    names = fold_names(folds)
    at = {name: np.flatnonzero(parts == name) for name in names}
    if scheme == "split":
        if set(names) != {"train", "valid", "test"}:
            raise SonoscaleError(f"probe: a split needs train, valid and test; found {', '.join(names)}")
        return [Round("test", at["train"], at["valid"], at["test"])]
    if len(names) < 3:
        raise SonoscaleError(f"probe: at least 3 folds are needed; found {', '.join(names)}")
    rounds = []
    for i, name in enumerate(names):
        valid = names[(i + 1) % len(names)]
        train = np.sort(np.concatenate([at[other] for other in names if other not in (name, valid)]))
        rounds.append(Round(name, train, at[valid], at[name]))
    return rounds


def fold_names(folds: Sequence[str]) -> list[str]:
    """Names of the folds that there are, numbers by value."""
    return sorted({str(fold) for fold in folds}, key=lambda name: (len(name), name))


def check_rounds(targets: Targets, rounds: Sequence[Round], groups: Sequence[str] | None = None) -> list[str]:
    """Whether every round can be fitted and tested.

    Returns:
        remarks: a group (speaker, recording) that is in a test fold and in what is fitted for it.

    Raises:
        SonoscaleError: one class only to fit or to test, or a class in a test fold that nothing fitted has.
    """
    remarks: dict[str, str] = {}
    for each in rounds:
        if targets.kind == "multiclass":
            _check_classes(targets, each)
        elif targets.kind == "multilabel" and not targets.values[each.fitted].any():
            raise SonoscaleError(f"probe: no clip to train on for fold {each.name!r} has any label")
        if groups is not None:
            names = np.asarray(groups, dtype=str)
            both = np.intersect1d(names[each.fitted], names[each.test])
            if len(both):
                remarks.setdefault(
                    "groups",
                    f"{len(both)} groups (such as {str(both[0])!r}) are in fold {each.name!r} and in what is trained "
                    "on for it: scores may be too high",
                )
    return list(remarks.values())


def _check_classes(targets: Targets, each: Round) -> None:
    fitted, tested = np.unique(targets.values[each.fitted]), np.unique(targets.values[each.test])
    for what, found in (("to train on", fitted), ("of the test fold", tested)):
        if len(found) < 2:
            name = targets.classes[found[0]] if len(found) else ""
            raise SonoscaleError(f"probe: fold {each.name!r}: the clips {what} have one class only ({name!r})")
    unseen = np.setdiff1d(tested, fitted)
    if len(unseen):
        raise SonoscaleError(f"probe: class {targets.classes[unseen[0]]!r} of fold {each.name!r} is in no other fold")
