"""From the ledger of a study to one row per run and checkpoint: the one definition of quality."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._table import as_table

if TYPE_CHECKING:
    from sonoscale.laws._quality import Quality, QualityRule

__all__ = [
    "LEDGER",
    "is_ledger",
    "last_layer",
    "last_layer_rows",
    "ledger_runs",
    "ledger_scores",
    "listed",
    "number",
    "readouts_of",
    "score_names",
]

LEDGER = ("run", "step", "task", "protocol", "score")
"""Columns by which the ledger of a study is known: one row per run, checkpoint, task, protocol and readout."""

_PER_TASK = frozenset(
    {"task", "protocol", "readout", "metric", "score", "score_low", "score_high", "chance", "floor_untrained",
     "floor_logmel", "ceiling", "quality_rule", "task_id", "layer"}
)  # fmt: skip
_OF_READOUT = (
    "rankme_readout", "rankme_readout_low", "rankme_readout_high", "rankme_centred_readout",
    "rankme_centred_readout_low", "rankme_centred_readout_high",
)  # fmt: skip
"""Columns that differ from readout to readout: of a run, those of the readout of its quality."""


def is_ledger(names: Sequence[str] | Mapping[str, Any]) -> bool:
    """Whether a table with these columns is the ledger of a study."""
    return set(LEDGER) <= set(names)


def score_names(kinds: Sequence[tuple[Any, Any, Any]]) -> list[str]:
    """Names of scores: the task, and where it has several, protocol and readout: `esc10`, `esc10:knn/1:mean+std`.

    Arguments:
        kinds: task, protocol and readout of each score.
    """
    protocols: dict[Any, set[Any]] = {}
    readouts: dict[Any, set[Any]] = {}
    different = dict.fromkeys(kinds)
    for task, protocol, readout in different:
        protocols.setdefault(task, set()).add(protocol)
        readouts.setdefault(task, set()).add(readout)
    names = {
        (task, protocol, readout): f"{task}"
        + (f":{protocol}" if len(protocols[task]) > 1 else "")
        + (f":{readout}" if len(readouts[task]) > 1 else "")
        for task, protocol, readout in different
    }
    return [names[kind] for kind in kinds]


def ledger_scores(ledger: Mapping[str, Sequence[Any] | NDArray[Any]]) -> list[str]:
    """The name of the score in each row of a ledger."""
    columns = (listed(ledger["task"]), listed(ledger["protocol"]), readouts_of(ledger))
    return score_names(list(zip(*columns, strict=True)))


def last_layer(ledger: Mapping[str, Sequence[Any] | NDArray[Any]]) -> Mapping[str, list[Any]]:
    """The rows of a ledger that are of encoders' outputs, and not of layers before; columns are made when asked for."""
    return _Listed(ledger, last_layer_rows(ledger))


def last_layer_rows(ledger: Mapping[str, Sequence[Any] | NDArray[Any]]) -> NDArray[np.intp] | None:
    """Which rows of a ledger are of encoders' outputs; None for all."""
    layers = ledger.get("layer", ())
    if isinstance(layers, np.ndarray) and layers.dtype.kind == "f":
        kept = np.isnan(layers)
    else:
        kept = np.array([one is None or one != one for one in listed(layers)], dtype=bool)
    return None if kept.all() else np.flatnonzero(kept)


class _Listed(Mapping[str, list[Any]]):
    """Columns as lists, each made when it is first asked for: of a long ledger, most never are."""

    def __init__(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]], rows: NDArray[np.intp] | None) -> None:
        self.columns, self.rows = columns, rows
        self._made: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._made:
            values = listed(self.columns[name])
            self._made[name] = values if self.rows is None else [values[row] for row in self.rows]
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def at(self, name: str, rows: Sequence[int]) -> Sequence[Any] | NDArray[Any]:
        """Some cells of a column, the column as it was given."""
        values = self.columns[name]
        places = rows if self.rows is None else self.rows[rows]
        return values[places] if isinstance(values, np.ndarray) else [values[place] for place in places]


def readouts_of(ledger: Mapping[str, Sequence[Any] | NDArray[Any]]) -> list[Any]:
    """What was probed in each row: the mean, where the ledger has no such column or cell."""
    found = listed(ledger["readout"]) if "readout" in ledger else [None] * len(ledger["task"])
    return ["mean" if one is None or one != one else one for one in found]


def ledger_runs(
    ledger: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    rule: QualityRule | None = None,
    quality: Quality | None = None,
) -> dict[str, NDArray[Any]]:
    """One row per run and checkpoint.

    Arguments:
        ledger: column name -> values, one row per run, checkpoint, task, protocol and readout (`mean` where there is
            no such column).
        rule: how quality is made of scores; None for the rule in the ledger, or the plain mean of all where there is
            none. What it decides is in `sonoscale.laws.quality`.
        quality: what the rule decided, where that is known already.

    Returns:
        Column name -> values, ordered by label, seed and step where there are these: the columns that do not depend
        on the task; `quality`, the mean by the rule of the scores on the first readout in the ledger (a study keeps
        the order of its file), missing (NaN) where one of them is; and `score:TASK` for each task
        (`score:TASK:PROTOCOL:READOUT` where one has several protocols and readouts, see `score_names`).

    Raises:
        SonoscaleError: For two scores of one run, checkpoint, task, protocol and readout.
    """
    from sonoscale.laws._quality import quality_of

    columns = _Listed(ledger, last_layer_rows(ledger))
    names, readouts = [f"score:{name}" for name in ledger_scores(columns)], readouts_of(columns)
    points: dict[tuple[Any, Any], list[int]] = {}
    for row, point in enumerate(zip(columns["run"], columns["step"], strict=True)):
        points.setdefault(point, []).append(row)
    places = _places(columns)
    order = sorted(points.values(), key=lambda rows: places[rows[0]])
    first = [rows[0] for rows in order]
    scored = list(dict.fromkeys(names))
    judged = quality if quality is not None else quality_of(ledger, rule)
    weights = {f"score:{name}": weight for name, weight in judged.weights.items()}
    found: dict[str, Any] = {name: columns.at(name, first) for name in columns if name not in _PER_TASK}
    read = [next((row for row in rows if readouts[row] == readouts[0]), None) for rows in order]
    for name in found.keys() & set(_OF_READOUT):
        found[name] = [None if row is None else columns[name][row] for row in read]
    scores: dict[str, list[float]] = {name: [math.nan] * len(order) for name in scored}
    values = [number(one) for one in columns["score"]]
    for place, rows in enumerate(order):
        for row in rows:
            score, known = values[row], scores[names[row]][place]
            if known == known and known != score:
                raise SonoscaleError(
                    f"run {columns['run'][row]}, step {columns['step'][row]} has two scores of {names[row][6:]}: "
                    f"{known:g} and {score:g}"
                )
            scores[names[row]][place] = score
    found["quality"] = [
        sum(weight * scores[name][place] for name, weight in weights.items()) if weights else math.nan
        for place in range(len(order))
    ]
    return as_table(found | scores)


def _places(columns: Mapping[str, list[Any]]) -> list[tuple[Any, ...]]:
    """Of each row, by what it is ordered: label, seed and step, where there are these."""
    parts = []
    for values in (columns[name] for name in ("label", "seed", "step") if name in columns):
        kinds = set(map(type, values))
        alike = kinds <= {str} or kinds <= {int} or kinds <= {float}
        parts.append(values if alike else list(map(_place, values)))
    return list(zip(*parts, strict=True)) if parts else [()] * len(columns["run"])


def _place(one: Any) -> tuple[int, Any]:
    return (0, one) if _isnumber(one) else (1, one) if isinstance(one, str) else (2, repr(one))


def listed(values: Sequence[Any] | NDArray[Any]) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _isnumber(value: Any) -> bool:
    return isinstance(value, (int, float))


def number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
