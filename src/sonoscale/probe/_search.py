"""Who looks for what: queries, the gallery that each searches, and what is relevant in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.probe._ranking import BLOCK, MOST
from sonoscale.probe._rounds import fold_names
from sonoscale.probe._targets import Targets


@dataclass(frozen=True)
class Search:
    """Of one test fold.

    Attributes:
        name: of the fold, or `test`.
        queries, gallery: indices of clips, int64 `[q]` and `[g]`, ascending.
        targets: of all clips.
        groups: of all clips, int64; those of the query's own group are not searched. At least itself is left out.
        sizes: clips that each query searches, and relevant ones among them: int64 `[q, 2]`.
    """

    name: str
    queries: np.ndarray
    gallery: np.ndarray
    targets: Targets
    groups: np.ndarray
    sizes: np.ndarray

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Some queries at a time, int64 `[b]`; which of the gallery is relevant, and which is searched, `[b, g]`."""
        yield from _blocks(self.queries, self.gallery, self.targets, self.groups)


def make_searches(
    targets: Targets,
    folds: Sequence[str],
    *,
    scheme: str = "folds",
    groups: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
) -> tuple[list[Search], list[str]]:
    """One search for each fold, or one for the test part of a split.

    Arguments:
        targets: of each clip; relevant is the same class, or a label in common.
        folds: fold of each clip, or its part of the split.
        scheme: "folds" or "split".
        groups: of each clip; clips of the query's own group are not searched. By default each is its own.
        roles: query or gallery, of each clip; by default all are both.

    Returns:
        the searches, without queries that have nothing to find and folds without any other, and what to know of them.

    Raises:
        SonoscaleError: no test part; a fold without queries or gallery; no query has anything to find.
    """
    parts, names = np.asarray(folds, dtype=str), fold_names(folds)
    if scheme == "split":
        if "test" not in names:
            raise SonoscaleError(f"probe: retrieval is tested on the part test; found {', '.join(names)}")
        names = ["test"]
    role = np.asarray(roles if roles is not None else ["both"] * len(parts), dtype=str)
    _, own = np.unique(np.asarray(groups, dtype=str) if groups is not None else np.arange(len(parts)),
                       return_inverse=True)  # fmt: skip
    searches, asked, alone = [], 0, 0
    for name in names:
        inside = parts == name
        queries, gallery = (np.flatnonzero(inside & (role != other)) for other in ("gallery", "query"))
        for what, clips in (("queries", queries), ("gallery", gallery)):
            if not len(clips):
                raise SonoscaleError(f"probe: fold {name!r} has no {what}")
        if len(gallery) > MOST:
            raise SonoscaleError(f"probe: fold {name!r} has {len(gallery)} clips to search; at most {MOST} can be")
        sizes = [(there.sum(1), (right & there).sum(1)) for _, right, there in _blocks(queries, gallery, targets, own)]
        counts = np.concatenate([np.stack(each, axis=1) for each in sizes])
        some = counts[:, 1] > 0
        asked, alone = asked + len(queries), alone + int((counts[:, 0] == 0).sum())
        if some.any():
            searches.append(Search(name, queries[some], gallery, targets, own, counts[some]))
    if not searches:
        hint = (
            f"; {alone} of {asked} queries have a gallery of their own group alone, which is left out: protocol "
            "retrieval-all searches it"
            if alone and groups is not None
            else "; at least two clips of one label are needed"
            + (", of different groups, or protocol retrieval-all" if groups is not None else "")
        )
        raise SonoscaleError(
            f"probe: none of {asked} queries has anything to find: nothing that it searches has its label{hint}"
        )
    return searches, _notes(searches, names, asked, targets, groups is not None)


def _blocks(
    queries: np.ndarray, gallery: np.ndarray, targets: Targets, groups: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    if targets.kind == "multilabel":
        columns = targets.values[gallery].astype(np.float32).T
    for start in range(0, len(queries), size := max(1, BLOCK // len(gallery))):
        some = queries[start : start + size]
        if targets.kind == "multilabel":
            right = targets.values[some].astype(np.float32) @ columns > 0
        else:
            right = targets.values[some][:, None] == targets.values[gallery]
        yield some, right, groups[some][:, None] != groups[gallery]


def _notes(searches: Sequence[Search], names: Sequence[str], asked: int, targets: Targets, grouped: bool) -> list[str]:
    notes = []
    if targets.kind == "multilabel":
        notes.append("relevant is a clip with at least one label in common")
    if grouped:
        notes.append(
            "clips of the query's own group (speaker, recording) are not searched: protocol retrieval-all searches them"
        )
    left = asked - sum(len(each.queries) for each in searches)
    if left:
        notes.append(f"{left} of {asked} queries are left out: nothing that they search has their label")
    empty = [name for name in names if name not in {each.name for each in searches}]
    if empty:
        notes.append(f"no query of fold {', '.join(map(repr, empty))} is left, and it does not count")
    return notes
