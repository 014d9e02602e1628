"""Folds and parts: under their usual names, or made where the data have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sonoscale.corpora.tasks._check import names_of
from sonoscale.errors import SonoscaleError

PARTS = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What the parts of a split are called, and here."""
_VALID_SHARE = 0.1


@dataclass(frozen=True)
class Division:
    """Folds of clips.

    Attributes:
        folds: of each clip.
        scheme: "folds" or "split".
        own: whether something of it was made here.
        notes: what was made.
    """

    folds: tuple[str, ...]
    scheme: str
    own: bool = False
    notes: tuple[str, ...] = ()


def usual_names(values: Sequence[str], column: str) -> tuple[tuple[str, ...], str]:
    """Folds and their scheme; the parts of a split under their usual names.

    Raises:
        SonoscaleError: the column is called split and a value is no part of one.
    """
    parts = [PARTS.get(value.lower()) for value in values]
    if column.lower() != "split" and not all(parts):
        return tuple(values), "folds"
    unknown = sorted({value for value, part in zip(values, parts, strict=True) if part is None})
    if unknown:
        raise SonoscaleError(f"column '{column}': '{unknown[0]}' is not a part of a split; use train, valid and test")
    return tuple(part for part in parts if part), "split"


def divide(
    where: str,
    folds: Sequence[str] | None,
    scheme: str,
    labels: Sequence[Any],
    *,
    kind: str,
    groups: Sequence[str] | None,
    make_folds: int | None,
    seed: int,
) -> Division:
    """The folds that the data have, and what they lack: all folds, or the validation part of a split.

    Retrieval lacks nothing: without folds all is the test part.

    Groups stay whole in what is made; where there are none, classes are spread evenly.

    Arguments:
        where: for messages.
        folds: of each clip; None if there are none.
        scheme: of these folds.
        labels: of each clip.
        kind: of the labels.
        groups: speaker or recording of each clip.
        make_folds: how many to make where there are none; None to make nothing.
        seed: of what is made.

    Raises:
        SonoscaleError: too few groups.
    """
    if kind == "retrieval":
        return Division(("test",) * len(labels), "split") if folds is None else Division(tuple(folds), scheme)
    unit = "group" if groups is not None else "clip"
    every = list(groups) if groups is not None else [str(i) for i in range(len(labels))]
    classes = [names_of(label, kind) for label in labels]
    if folds is None and make_folds is not None:
        made = _deal(where, every, classes, make_folds, seed)
        note = f"the data have no folds: these {make_folds} are ours, dealt by {unit} with seed {seed}"
        return Division(made, "folds", True, (note,))
    assert folds is not None
    if make_folds is None or scheme != "split" or "valid" in folds or not {"train", "test"} <= set(folds):
        return Division(tuple(folds), scheme)
    train = [i for i, fold in enumerate(folds) if fold == "train"]
    parts = min(round(1 / _VALID_SHARE), len({every[i] for i in train}))
    if parts < 2:
        raise SonoscaleError(f"{where}: no validation part, and one group only to cut it from")
    dealt = _deal(where, [every[i] for i in train], [classes[i] for i in train], parts, seed)
    held = _validation(train, dealt, classes)
    note = (
        f"the data have no validation part: {len(held)} of {len(train)} training clips are ours, held out by {unit} "
        f"with seed {seed}; the test part is theirs"
    )
    cut = tuple("valid" if i in held else fold for i, fold in enumerate(folds))
    return Division(cut, "split", True, (note,))


def _validation(train: list[int], dealt: Sequence[str], classes: list[tuple[str, ...]]) -> set[int]:
    """Of the dealt parts the one that takes fewest classes away from the rest, shows most, and has the right size."""

    def price(part: str) -> tuple[int, int, float]:
        inside = {name for i, p in zip(train, dealt, strict=True) if p == part for name in classes[i]}
        rest = {name for i, p in zip(train, dealt, strict=True) if p != part for name in classes[i]}
        return len(inside - rest), -len(inside), abs(dealt.count(part) - _VALID_SHARE * len(train))

    best = min(sorted(set(dealt)), key=price)
    return {i for i, part in zip(train, dealt, strict=True) if part == best}


def _deal(where: str, groups: list[str], classes: list[tuple[str, ...]], folds: int, seed: int) -> tuple[str, ...]:
    try:
        return folds_by_group(groups, folds=folds, seed=seed, classes=classes)
    except SonoscaleError as error:
        raise SonoscaleError(f"{where}: {error}") from None


def folds_by_group(
    groups: Sequence[str], *, folds: int = 5, seed: int = 0, classes: Sequence[Sequence[str]] | None = None
) -> tuple[str, ...]:
    """Folds for a task that has none: groups (speaker, recording) stay whole, and folds are about equally large.

    Groups in an order that the seed decides, the largest first, each to the fold that has fewest clips of its
    classes, or fewest clips.

    Arguments:
        groups: of each clip.
        folds: how many.
        seed: of the order.
        classes: names of the classes of each clip, to be spread evenly.

    Returns:
        fold of each clip: "0", "1" and so on.

    Raises:
        SonoscaleError: fewer groups than folds.

    Example:
        >>> folds = folds_by_group(["ann", "ann", "bob", "cid", "cid"], folds=3)
        >>> folds[0] == folds[1] != folds[2], len(set(folds))
        (True, 3)
    """
    names, codes, sizes = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    if folds < 1:
        raise SonoscaleError(f"{folds} folds; at least 1 is needed")
    if len(names) < folds:
        raise SonoscaleError(f"{len(names)} groups cannot be dealt into {folds} folds; ask for fewer folds")
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    held = _classes_of(codes, len(names), classes)
    spread = np.zeros((folds, 1 + max((int(c.max()) for c, _ in held if len(c)), default=0)))
    fold_of, filled = np.empty(len(names), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for group in order:
        kinds, shares = held[group]
        alike = spread[:, kinds] @ shares
        fold_of[group] = np.lexsort((filled, np.round(alike, 12)))[0]  # as alike: the emptier one
        spread[fold_of[group], kinds] += shares
        filled[fold_of[group]] += sizes[group]
    return tuple(str(fold) for fold in fold_of[codes])


def _classes_of(
    codes: np.ndarray, groups: int, classes: Sequence[Sequence[str]] | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each group the classes in it, int64, and what share of each class it has."""
    none = (np.empty(0, dtype=np.int64), np.empty(0))
    if classes is None:
        return [none] * groups
    index = {name: i for i, name in enumerate(sorted({name for own in classes for name in own}))}
    totals = np.zeros(len(index))
    counts: list[dict[int, int]] = [{} for _ in range(groups)]
    for group, own in zip(codes, classes, strict=True):
        for name in own:
            totals[index[name]] += 1
            counts[group][index[name]] = counts[group].get(index[name], 0) + 1
    found = [(np.array(list(c), dtype=np.int64), np.array(list(c.values()), dtype=float)) for c in counts]
    return [(kinds, many / totals[kinds]) if len(kinds) else none for kinds, many in found]
