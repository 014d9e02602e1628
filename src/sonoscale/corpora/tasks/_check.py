"""Whether a task can be trained and tested."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sonoscale.corpora.tasks._kinds import KINDS, METRICS_OF, ROLES, Event
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.corpora.tasks._task import Task


def names_of(label: Any, kind: str) -> tuple[str, ...]:
    """The classes that a label names; none for a number."""
    if kind == "regression":
        return ()
    if kind == "multiclass":
        return (label,)
    return tuple(each.label for each in label) if kind == "events" else label


def check_kind(kind: str | None, metric: str | None, where: str) -> None:
    """Whether there is such a kind of task, and such a metric for it.

    Raises:
        SonoscaleError: there is not.
    """
    if kind is None:
        return
    if kind not in KINDS:
        raise SonoscaleError(f"{where}: no kind of task '{kind}'; there are {', '.join(KINDS)}")
    if metric is not None and metric not in METRICS_OF[kind]:
        raise SonoscaleError(f"{where}: no metric '{metric}' for {kind} tasks; there are {', '.join(METRICS_OF[kind])}")


def check_task(task: Task) -> list[str]:
    """What there is to notice about a task that can be used.

    Raises:
        SonoscaleError: see `Task`.
    """
    where = f"task {task.name}"
    check_kind(task.kind, task.metric, where)
    if not len(task.corpus) == len(task.labels) == len(task.folds):
        raise SonoscaleError(
            f"{where}: {len(task.corpus)} clips, {len(task.labels)} labels and {len(task.folds)} folds"
        )
    if task.groups is not None and len(task.groups) != len(task.labels):
        raise SonoscaleError(f"{where}: {len(task.labels)} clips and {len(task.groups)} groups")
    _check_labels(task, where)
    _check_roles(task, where)
    parts = _check_scheme(task, where)
    if task.kind == "retrieval":
        _check_search(task, where)
        return []
    notes = [note for part in parts for note in _check_part(task, part, where)]
    if task.kind == "multilabel" and (bare := sum(not label for label in task.labels)):
        notes.append(f"{bare} clips have no label")
    return notes + _shared_groups(task)


def _check_labels(task: Task, where: str) -> None:
    valid = {
        "multiclass": lambda label: isinstance(label, str),
        "multilabel": lambda label: isinstance(label, tuple) and all(isinstance(each, str) for each in label),
        "regression": lambda label: isinstance(label, int | float) and math.isfinite(label),
        "events": lambda label: isinstance(label, tuple) and all(_is_event(each) for each in label),
        "retrieval": lambda label: isinstance(label, tuple) and all(isinstance(each, str) for each in label),
    }[task.kind]
    for i, label in enumerate(task.labels):
        if not valid(label):
            raise SonoscaleError(
                f"{where}: {task.corpus.name(i)}: {label!r} is no label of a {task.kind} task: that is "
                f"{_WANTED[task.kind]}"
            )
    if task.classes is not None:
        _check_classes(task, task.classes, where)
    if len(set(task.labels)) < 2:
        said = f"every clip has the label {_shown(task.labels[0])}" if task.labels else "there is no clip"
        raise SonoscaleError(f"{where}: {said}; nothing to {'search for' if task.kind == 'retrieval' else 'predict'}")


_WANTED = {
    "multiclass": "a name",
    "multilabel": "a tuple of names",
    "regression": "a finite number",
    "events": "a tuple of Event, each ending no earlier than it begins",
    "retrieval": "a tuple of names",
}


def _is_event(event: Any) -> bool:
    return isinstance(event, Event) and 0 <= event.start_ms <= event.end_ms < math.inf


def _shown(label: Any) -> str:
    return ", ".join(repr(each) for each in label) or "nothing" if isinstance(label, tuple) else repr(label)


def _check_classes(task: Task, classes: tuple[str, ...], where: str) -> None:
    known = set(classes)
    if len(known) != len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise SonoscaleError(f"{where}: class {twice!r} is listed twice")
    for i, label in enumerate(task.labels):
        for name in names_of(label, task.kind):
            if name not in known:
                raise SonoscaleError(
                    f"{where}: {task.corpus.name(i)}: label {name!r} is none of the task's {len(classes)} classes"
                )


def _check_roles(task: Task, where: str) -> None:
    if task.roles is None:
        return
    if task.kind != "retrieval":
        raise SonoscaleError(f"{where}: is {task.kind}, and clips have roles in retrieval tasks only")
    if len(task.roles) != len(task.labels):
        raise SonoscaleError(f"{where}: {len(task.labels)} clips and {len(task.roles)} roles")
    for i, role in enumerate(task.roles):
        if role not in ROLES:
            raise SonoscaleError(f"{where}: {task.corpus.name(i)}: no role '{role}'; there are {' and '.join(ROLES)}")


def _check_search(task: Task, where: str) -> None:
    """Whether any query of any part that is tested has something to find."""
    parts = ["test"] if task.scheme == "split" else sorted(set(task.folds))
    roles = task.roles if task.roles is not None else ("both",) * len(task.labels)
    queries = 0
    for part in parts:
        inside = [(label, r) for label, r, f in zip(task.labels, roles, task.folds, strict=True) if f == part]
        for role in ROLES:
            if not any(r in (role, "both") for _, r in inside):
                raise SonoscaleError(f"{where}: no clip of part {part!r} has the role {role}")
        held = Counter(name for label, role in inside if role != "query" for name in set(label))
        # A clip that is both does not find itself.
        queries += sum(
            any(held[name] > (role == "both") for name in label) for label, role in inside if role != "gallery"
        )
    if not queries:
        raise SonoscaleError(
            f"{where}: no query has anything to find: no other clip of its part has a label of its; at least two clips "
            "of one label are needed"
        )


def _check_scheme(task: Task, where: str) -> list[str]:
    parts = sorted(set(task.folds))
    if task.scheme not in ("folds", "split"):
        raise SonoscaleError(f"{where}: scheme = '{task.scheme}'; there are folds and split")
    if task.kind == "retrieval":
        if task.scheme == "split" and not {"test"} <= set(parts) <= {"train", "valid", "test"}:
            raise SonoscaleError(f"{where}: a split of a retrieval task needs test; found {', '.join(parts)}")
        return parts
    if task.scheme == "split" and parts != ["test", "train", "valid"]:
        raise SonoscaleError(f"{where}: a split needs train, valid and test; found {', '.join(parts)}")
    if task.scheme == "folds" and len(parts) < 3:
        raise SonoscaleError(
            f"{where}: {len(parts)} fold(s) ({', '.join(parts)}); at least 3 are needed, to train, "
            "to choose the regularisation and to test on different clips"
        )
    return parts


def _check_part(task: Task, part: str, where: str) -> Iterator[str]:
    """What to notice about one fold."""
    inside = [label for label, fold in zip(task.labels, task.folds, strict=True) if fold == part]
    found = {name for label in inside for name in names_of(label, task.kind)}
    if task.kind == "multiclass" and len(found) < 2:
        raise SonoscaleError(f"{where}: fold {part!r} holds one class only ({next(iter(found))!r})")
    if task.kind == "regression" and len(set(inside)) < 2:
        raise SonoscaleError(f"{where}: every clip of fold {part!r} has the label {inside[0]!r}")
    if task.kind in ("multilabel", "events") and not found:
        what = "label" if task.kind == "multilabel" else "event"
        raise SonoscaleError(f"{where}: no clip of fold {part!r} has any {what}")
    outside = zip(task.labels, task.folds, strict=True)
    elsewhere = {name for label, fold in outside if fold != part for name in names_of(label, task.kind)}
    unseen = found - elsewhere
    if not unseen or (task.scheme == "split" and part != "test"):
        return
    if task.kind != "events":
        raise SonoscaleError(
            f"{where}: class {min(unseen)!r} of fold {part!r} is in no other fold, so nothing can be trained to know it"
        )
    # Of 88 piano keys some sound in one recording only: that is no reason to refuse the rest.
    yield f"{len(unseen)} classes of fold {part!r} (such as {min(unseen)!r}) are in no other fold: they cannot be found"


def _shared_groups(task: Task) -> list[str]:
    if task.groups is None:
        return []
    folds: dict[str, set[str]] = {}
    for group, fold in zip(task.groups, task.folds, strict=True):
        folds.setdefault(group, set()).add(fold)
    shared = sorted(group for group, found in folds.items() if len(found) > 1)
    if not shared:
        return []
    return [
        f"{len(shared)} of {len(folds)} groups are in more than one fold (such as {shared[0]!r} in "
        f"{', '.join(sorted(folds[shared[0]]))}): scores may be too high"
    ]
