"""A plan for a design, as it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sonoscale.laws.loglinear import LogLinear
from sonoscale.laws.plan._choice import Choice
from sonoscale.laws.plan._doubling import Doubling
from sonoscale.laws.plan._held_out import Check
from sonoscale.laws.plan._next import NextRuns
from sonoscale.laws.plan._reach import Reach

__all__ = ["Designed"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Designed:
    """The best design for the budgets.

    Attributes:
        law: of y (divided by `unit`) in the design.
        budgets: the most of each cost.
        choice: the best candidates, with costs, intervals and ties.
        doublings, reach, next_runs, check: see their classes.
        higher_is_better: ;
        warnings: what a reader of these numbers must know, one sentence each.
    """

    law: LogLinear = field(repr=False)
    unit: float
    budgets: dict[str, float]
    choice: Choice
    doublings: tuple[Doubling, ...]
    reach: tuple[Reach, ...]
    next_runs: NextRuns | None
    check: Check | None
    higher_is_better: bool
    warnings: tuple[str, ...]

    @property
    def level(self) -> float:
        return self.law.level

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, None for what is not finite."""
        return {
            "kind": "design",
            "columns": {"y": self.law.y, "x": list(self.law.x)},
            "law": self.law.as_dict(), "unit": self.unit, "budgets": dict(self.budgets),
            "higher_is_better": self.higher_is_better,
            "choice": self.choice.as_dict(),
            "doublings": [one.as_dict() for one in self.doublings],
            "reach": {one.name: one.as_dict() for one in self.reach},
            "next_runs": None if self.next_runs is None else self.next_runs.as_dict(),
            "check": None if self.check is None else self.check.as_dict(),
            "n_rows": self.law.n, "n_clusters": self.law.n_clusters, "level": self.level,
            "warnings": list(self.warnings),
        }  # fmt: skip
