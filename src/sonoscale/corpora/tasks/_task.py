"""Labelled clips and how they are to be divided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sonoscale.corpora._base import Corpus
from sonoscale.corpora.tasks._check import check_task
from sonoscale.corpora.tasks._kinds import KINDS, METRICS_OF, Event, Kind

__all__ = ["KINDS", "METRICS_OF", "Event", "Kind", "Task"]


@dataclass(frozen=True)
class Task:
    """Labelled clips with the task's own folds or split.

    Attributes:
        name: for tables and messages.
        corpus: the clips.
        labels: of each clip: a name (kind `multiclass`), a tuple of names, also of none (`multilabel`), a number
            (`regression`), a tuple of `Event` (`events`), a tuple of names of which clips that are to be found by
            each other have one in common (`retrieval`).
        folds: fold of each clip, or its part of the split.
        scheme: "folds" (each fold is tested once) or "split" (folds are named train, valid and test). As nothing is
            trained for retrieval, it needs one fold, or the test part, and no other.
        kind: see `labels`.
        classes: all names that a label may have, in their order; None for those that occur.
        metric: one of `METRICS_OF[kind]`; None for the usual one of the kind.
        groups: speaker or recording of each clip, None if unknown. Clips of one group are not independent.
        roles: of each clip of a retrieval task: query, or gallery (what is searched); None if each is both.
        own_folds: whether the folds, or the validation part, were made here and not by who made the data.
        source, licence, citation: where the data come from; empty if unknown.
        notes: what was left out, made up or noticed.

    Raises:
        SonoscaleError: lengths that differ; labels that are not of this kind or not among the classes; folds that
            nothing can be trained or tested on; a class that is to be tested and is in no other fold; queries none of
            which has anything to find.
    """

    name: str
    corpus: Corpus
    labels: tuple[Any, ...]
    folds: tuple[str, ...]
    scheme: str
    kind: str = "multiclass"
    classes: tuple[str, ...] | None = None
    metric: str | None = None
    groups: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    own_folds: bool = False
    source: str = ""
    licence: str = ""
    citation: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(dict.fromkeys((*self.notes, *check_task(self)))))
