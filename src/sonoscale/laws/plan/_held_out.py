"""A plan's check: runs that it was not fitted to, foretold and held against what they gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sonoscale.laws.plan._value import plain

__all__ = ["Check", "HeldRun"]


@dataclass(frozen=True, kw_only=True)
class HeldRun:
    """One run that was held out.

    Attributes:
        row: its place in the table, from 0.
        run: its variables.
        flops: what it cost, None if not known.
        seen: its y.
        foretold, low, high: what the plan's law says of it, with the interval for one run.
        best: the variables that the plan would have chosen for the same cost;
        best_y: what it expects of them. None where that is not known.
    """

    row: int
    run: dict[str, Any]
    flops: float | None
    seen: float
    foretold: float
    low: float
    high: float
    best: dict[str, float] | None = None
    best_y: float | None = None

    @property
    def covered(self) -> bool:
        return self.low <= self.seen <= self.high

    def as_dict(self) -> dict[str, Any]:
        return {
            "row": self.row, "run": self.run, "flops": plain(self.flops), "seen": self.seen,
            "foretold": plain(self.foretold), "low": plain(self.low), "high": plain(self.high), "covered": self.covered,
            "best": self.best, "best_y": plain(self.best_y),
        }  # fmt: skip


@dataclass(frozen=True)
class Check:
    """All runs that were held out; `level` of their intervals."""

    runs: tuple[HeldRun, ...]
    level: float

    @property
    def coverage(self) -> float:
        """Share of the runs inside their intervals."""
        return sum(one.covered for one in self.runs) / len(self.runs)

    @property
    def error(self) -> float:
        """Mean of |foretold - seen| / |seen|."""
        return sum(abs(one.foretold - one.seen) / abs(one.seen) for one in self.runs) / len(self.runs)

    def as_dict(self) -> dict[str, Any]:
        return {
            "coverage": self.coverage, "level": self.level, "mean_relative_error": plain(self.error),
            "runs": [one.as_dict() for one in self.runs],
        }  # fmt: skip
