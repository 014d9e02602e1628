"""What every source of a task has in common once its clips are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sonoscale.corpora._base import Corpus
from sonoscale.corpora._files_corpus import Skipped
from sonoscale.corpora.tasks._folds import divide
from sonoscale.corpora.tasks._task import Task
from sonoscale.errors import SonoscaleError


@dataclass(frozen=True)
class Options:
    """What `open_task` was asked for, of any source; see there."""

    name: str
    metric: str | None = None
    make_folds: int = 5
    seed: int = 0
    sample_rate: int = 16_000
    skip_broken: bool = False


def without_broken(where: str, skipped: Sequence[Skipped], options: Options) -> tuple[str, ...]:
    """Notes on what a corpus has left out.

    Raises:
        SonoscaleError: something was, and `skip_broken` was not asked for.
    """
    if not skipped:
        return ()
    name, reason = skipped[0]
    said = f"{len(skipped)} of its clips cannot be used, such as {name}: {reason}"
    if not options.skip_broken:
        raise SonoscaleError(
            f"{where}: {said}; get it again, or leave such clips out with skip_broken=True, which changes the task"
        )
    return (f"{said}; left out",)


def task_of(
    where: str,
    corpus: Corpus,
    labels: Sequence[Any],
    folds: Sequence[str] | None,
    scheme: str,
    options: Options,
    *,
    kind: str,
    classes: tuple[str, ...] | None = None,
    metric: str | None = None,
    groups: tuple[str, ...] | None = None,
    notes: tuple[str, ...] = (),
) -> Task:
    """The task, with what its folds lack made.

    Arguments:
        where: its file or folder, for messages.
        corpus: its clips.
        labels: of each clip.
        folds: of each clip; None if there are none.
        scheme: of these folds.
        options: the options of `open_task`.
        kind: of the labels.
        classes: all of them, if they are known.
        metric: that of the source, if none was asked for.
        groups: speaker or recording of each clip.
        notes: what was left out.

    Raises:
        SonoscaleError: see `Task`.
    """
    divided = divide(
        where, folds, scheme, labels, kind=kind, groups=groups, make_folds=options.make_folds, seed=options.seed
    )
    return Task(
        options.name, corpus, tuple(labels), divided.folds, divided.scheme, kind=kind, classes=classes,
        metric=options.metric or metric, groups=groups, own_folds=divided.own, source=where,
        notes=(*notes, *divided.notes),
    )  # fmt: skip
