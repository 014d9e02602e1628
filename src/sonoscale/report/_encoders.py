"""The encoders of a study as rows for charts: one for each run, and one for each configuration, at each budget."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from sonoscale.report._format import name_of
from sonoscale.report._model import Point, StudyResults

__all__ = ["Encoders", "Variable", "encoders_of"]

_NOT_SHOWN = frozenset(
    ("seed", "step", "is_final", "rank_n", "heads", "n_mels", "dim", "steps", "rankme_start", "rankme_centred_start")
)
_RESULTS = frozenset(("rankme", "rankme_centred", "loss", "quality", "seconds"))
_COSTS = ("params", "flops", "hours_seen", "examples_seen", "clips_seen", "budget_steps")
_DERIVED = frozenset(("loss_of", "budget_steps", "clips_seen"))
_COUNTED = ("params_", "flops_")  # parts of what the design costs
_MOST_LEVELS = 12


@dataclass(frozen=True)
class Variable:
    """Something that differs between encoders.

    Attributes:
        key: of its field in the rows: letters, digits and underscores.
        column: of the ledger.
        title: in words.
        kind: `number` or `word`.
        role: `design` (the same for all seeds and budgets of a configuration), `cost`, `result` or `score`.
        log: drawn on a logarithmic axis.
        levels: how many different values it has.
    """

    key: str
    column: str
    title: str
    kind: Literal["number", "word"]
    role: Literal["design", "cost", "result", "score"]
    log: bool
    levels: int

    @property
    def few(self) -> bool:
        """Whether its values are few enough for colours and panels of their own."""
        return self.levels <= _MOST_LEVELS

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("key", "title", "kind", "role", "log", "levels")}


@dataclass(frozen=True)
class Encoders:
    """Rows and the variables in them.

    Attributes:
        rows: `of` is `run` or `configuration`; a configuration has the means of its seeds, and for what was measured
            the ends `KEY_low` and `KEY_high` (the smallest and the largest of its seeds; of one seed, its interval).
        variables: by key.
        by: key of what colours show; "": see `colour`.
    """

    rows: list[dict[str, Any]]
    variables: Mapping[str, Variable]
    by: str = ""

    @cached_property
    def configurations(self) -> list[dict[str, Any]]:
        """Rows of configurations at their largest budget."""
        return [row for row in self.rows if row["of"] == "configuration" and row["final"]]

    @cached_property
    def design(self) -> list[Variable]:
        """What was designed and has several values, that which explains most of the quality first."""
        found: list[Variable] = []
        known: set[tuple[Any, ...]] = set()
        for one in self.variables.values():
            if one.role == "design" and not one.column.startswith(_COUNTED) and one.column not in _DERIVED:
                first: dict[Any, int] = {}
                parts = tuple(first.setdefault(row.get(one.key), len(first)) for row in self.configurations)
                if parts not in known:  # not another unit of what is there already
                    known.add(parts)
                    found.append(one)
        return sorted(found, key=lambda one: -self.explains(one.key))

    def explains(self, key: str) -> float:
        """The share of the variance of quality between configurations that the levels of a variable explain, less what
        as many levels explain by chance."""
        known = [row for row in self.configurations if row.get("quality") is not None and row.get(key) is not None]
        groups: dict[Any, list[float]] = {}
        for row in known:
            groups.setdefault(row[key], []).append(row["quality"])
        if len(known) < 3 or not 1 < len(groups) < len(known):
            return 0.0
        mean = sum(row["quality"] for row in known) / len(known)
        total = sum((row["quality"] - mean) ** 2 for row in known)
        if total == 0:
            return 0.0
        left = sum((one - sum(group) / len(group)) ** 2 for group in groups.values() for one in group)
        return 1.0 - (left / (len(known) - len(groups))) / (total / (len(known) - 1))

    @property
    def families(self) -> Variable | None:
        """The families of a study of several."""
        one = self.variables.get("family")
        return one if one is not None and one.few and one.levels > 1 else None

    @cached_property
    def colour(self) -> Variable | None:
        """What colours show unless a reader chooses otherwise: the swept variable where one was swept at a time, or the
        families where these are too many, else what explains most."""
        axis = self.variables.get("axis")
        if self.by:
            return self.variables.get(self.by)
        if axis is not None and axis.levels > 2 and not any(row["axis"] == "several" for row in self.rows):
            return axis if axis.few or self.families is None else self.families
        few = [one for one in self.design if one.few and one.key != "axis"]
        return few[0] if few else axis


def encoders_of(results: StudyResults) -> Encoders:
    """The encoders of a study."""
    keys = _keys(results)
    runs = [_row(point, results, keys) for point in results.points]
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in runs:
        groups.setdefault((row["config"], row["step"]), []).append(row)
    variables = _variables(runs, keys, results)
    measured = [one.key for one in variables.values() if one.role != "design" and one.kind == "number"]
    configurations = [_pooled(rows, measured) for rows in groups.values()]
    return Encoders([*configurations, *runs], variables)


def _keys(results: StudyResults) -> dict[str, str]:
    """Column -> key of its field."""
    columns = [*dict.fromkeys(name for p in results.points for name in (*p.values, *p.words))]
    columns += [f"score:{task}" for task in results.tasks]
    found: dict[str, str] = {}
    for column in dict.fromkeys(["axis", "quality", *columns]):
        key = re.sub(r"\W", "_", column) or "_"
        while key in found.values() or key in ("run", "config", "of", "label", "final", "n", "picked"):
            key += "_"
        found[column] = key
    return found


def _row(point: Point, results: StudyResults, keys: Mapping[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "of": "run", "run": point.run, "config": point.config, "label": point.label, "seed": point.seed,
        "step": point.step, "final": point.is_final, "n": 1, "axis": point.axis, "quality": _plain(point.quality),
    }  # fmt: skip
    for name, value in point.values.items():
        row.setdefault(keys[name], _plain(value))
    for name, value in point.words.items():
        row.setdefault(keys[name], value)
    for task in results.tasks:
        row[keys[f"score:{task}"]] = _plain(point.scores.get(task, math.nan))
    return row


def _pooled(rows: Sequence[Mapping[str, Any]], measured: Sequence[str]) -> dict[str, Any]:
    first = dict(rows[0]) | {"of": "configuration", "run": None, "seed": None, "n": len(rows)}
    for key in measured:
        values = [row[key] for row in rows if row.get(key) is not None]
        first[key] = _plain(sum(values) / len(values)) if values else None
        if len(values) > 1:
            first[f"{key}_low"], first[f"{key}_high"] = min(values), max(values)
    return first


def _variables(
    runs: Sequence[Mapping[str, Any]], keys: Mapping[str, str], results: StudyResults
) -> dict[str, Variable]:
    found = {}
    for column, key in keys.items():
        ends = column.endswith(("_low", "_high"))
        if column in _NOT_SHOWN or (ends and column.rsplit("_", 1)[0] in keys):
            continue
        values: list[Any] = [row.get(key) for row in runs if row.get(key) is not None]
        distinct = set(values)
        if len(distinct) < 2:
            continue
        word = any(isinstance(value, str) for value in values)
        score = column.startswith("score:")
        role = "score" if score or column == "quality" else "cost" if column in _COSTS else (
            "result" if column in _RESULTS or not _settled(runs, key) else "design"
        )  # fmt: skip
        log = not word and min(values) > 0 and max(values) / min(values) >= 4
        title = column.removeprefix("score:") if score else "swept variable" if column == "axis" else name_of(column)
        found[key] = Variable(key, column, title, "word" if word else "number", role, log, len(distinct))
    return found


def _settled(runs: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether all runs of a configuration have one value."""
    seen: dict[str, Any] = {}
    return all(seen.setdefault(row["config"], row.get(key)) == row.get(key) for row in runs)


def _plain(value: float) -> float | int | None:
    """A number as short as five digits make it, None for what is not finite."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 1e15 else float(f"{value:.5g}")
