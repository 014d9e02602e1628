"""Labels of a task, as arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from sonoscale.errors import SonoscaleError

Kind = Literal["multiclass", "multilabel", "regression"]
KINDS: tuple[Kind, ...] = ("multiclass", "multilabel", "regression")


@dataclass(frozen=True)
class Targets:
    """What is to be predicted for each clip.

    Attributes:
        kind: `multiclass` (one of several classes), `multilabel` (any number of them), `regression` (a number,
            ordinal scales among them).
        values: int64 codes `[n]`, bool `[n, classes]`, or float64 `[n]`.
        classes: names, sorted (numbers by value), of the codes or columns; empty for regression.
    """

    kind: Kind
    values: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Targets:
        """Those of some clips: an array of indices or a mask."""
        return Targets(self.kind, self.values[index], self.classes)

    @property
    def outputs(self) -> int:
        """Columns of a prediction."""
        return len(self.classes) if self.kind != "regression" else 1

    def one_hot(self) -> np.ndarray:
        """bool `[n, classes]`."""
        if self.kind == "multilabel":
            return self.values
        if self.kind == "regression":
            raise TypeError("numbers have no classes")
        return self.values[:, None] == np.arange(len(self.classes))


def make_targets(
    labels: Sequence[Any] | np.ndarray, *, kind: str = "multiclass", classes: Iterable[str] | None = None
) -> Targets:
    """Targets from labels.

    Arguments:
        labels: of each clip: a name (`multiclass`), an iterable of names (`multilabel`), a number (`regression`).
        kind: see `Targets`; or `retrieval`, of iterables of names: multiclass if each clip has one, or else multilabel.
        classes: all names there are, in their order; by default those that occur.

    Raises:
        SonoscaleError: no such kind; a label that is not of it or not among `classes`; only one class.
    """
    if kind == "retrieval":
        single = all(len(each) == 1 for each in labels)
        labels, kind = ([each[0] for each in labels], "multiclass") if single else (labels, "multilabel")
    if kind not in KINDS:
        raise SonoscaleError(f"probe: no kind of labels '{kind}'; there are {', '.join(KINDS)}")
    if kind == "regression":
        return _numbers(labels)
    if kind == "multilabel" and any(isinstance(each, str) for each in labels):
        raise SonoscaleError("probe: a label of a multi-label task must be a list of names, not one text")
    rows = [[str(each)] for each in labels] if kind == "multiclass" else [[str(x) for x in each] for each in labels]
    names = tuple(classes) if classes is not None else tuple(sorted({x for row in rows for x in row}, key=_order))
    index = {name: i for i, name in enumerate(names)}
    unknown = next((x for row in rows for x in row if x not in index), None)
    if unknown is not None:
        raise SonoscaleError(f"probe: label {unknown!r} is none of the task's {len(names)} classes")
    if len({tuple(sorted(set(row))) for row in rows}) < 2:
        raise SonoscaleError(f"probe: every clip has the label {', '.join(rows[0]) if rows else ''!r}")
    if kind == "multiclass":
        return Targets("multiclass", np.array([index[row[0]] for row in rows], dtype=np.int64), names)
    values = np.zeros((len(rows), len(names)), dtype=bool)
    for i, row in enumerate(rows):
        values[i, [index[x] for x in row]] = True
    return Targets("multilabel", values, names)


def _numbers(labels: Sequence[Any] | np.ndarray) -> Targets:
    try:
        values = np.array([float(each) for each in labels])
    except (TypeError, ValueError) as error:
        raise SonoscaleError(f"probe: a label of a regression task is no number ({error})") from None
    if not np.isfinite(values).all():
        raise SonoscaleError(f"probe: label {values[~np.isfinite(values)][0]} of a regression task is no finite number")
    if np.ptp(values) == 0:
        raise SonoscaleError(f"probe: every clip has the label {values[0]:g}; nothing to predict")
    return Targets(cast(Kind, "regression"), values, ())


def _order(name: str) -> tuple[int, float, str]:
    """Numbers by value, before words."""
    return (0, float(name), name) if re.fullmatch(r"-?[0-9]+", name) else (1, 0.0, name)
