"""What a plan of either kind rests on: its reach beyond the data, held-out runs, and what one doubling buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._estimate import Estimate
from sonoscale.results import plain

__all__ = ["FAR", "TOO_FAR", "Check", "Doubling", "HeldRun", "Reach", "check_reach", "edges_of", "edges_text"]

FAR, TOO_FAR = 10.0, 100.0
_AT = 1e-9  # relative, within which a value is an end of what was tried


@dataclass(frozen=True)
class Reach:
    """One quantity of the plan over the largest (or, below the data, the smallest over it) of the runs fitted.

    `beyond` is 1 or less inside the data; `side` says on which side of them the plan lies.
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def beyond(self) -> float:
        return max(self.value / self.high, self.low / self.value)

    @property
    def side(self) -> str:
        return "above" if self.value > self.high else "below" if self.value < self.low else "inside"

    @property
    def words(self) -> str:
        end = self.high if self.side == "above" else self.low
        most = "largest" if self.side == "above" else "smallest"
        return f"{self.name} = {self.value:.3g} is {self.beyond:.3g}x {self.side} the {most} in the data ({end:.3g})"

    def as_dict(self) -> dict[str, float | str]:
        return {"value": self.value, "low": self.low, "high": self.high, "beyond": self.beyond, "side": self.side}


def check_reach(reaches: Sequence[Reach], *, force: bool) -> list[str]:
    """A warning for each quantity that lies more than 10-fold outside the data.

    Raises:
        SonoscaleError: Where one lies more than 100-fold outside, unless forced.
    """
    worst = max(reaches, key=lambda one: one.beyond, default=None)
    if worst is not None and worst.beyond > TOO_FAR and not force:
        raise SonoscaleError(
            f"{worst.words}: more than {TOO_FAR:g}x beyond what was tried nothing is known; "
            "plan in smaller steps, or force it"
        )
    return [f"{one.words}: take it as a direction, not as a number" for one in reaches if one.beyond > FAR]


def edges_of(values: Mapping[str, float], tried: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Those of the values that lie at an end of what was tried, or beyond it: name -> `smallest` or `largest`."""
    found = {}
    for name, value in values.items():
        low, high = float(tried[name].min()), float(tried[name].max())
        slack = _AT * max(abs(low), abs(high))
        if value <= low + slack:
            found[name] = "smallest"
        elif value >= high - slack:
            found[name] = "largest"
    return found


def edges_text(edges: Mapping[str, str]) -> str:
    """The sentence about them."""
    which = ", ".join(f"{name} at or beyond its {end}" for name, end in edges.items())
    return f"Best at the edge of what was tried ({which}): the optimum may lie beyond."


@dataclass(frozen=True, kw_only=True)
class Doubling:
    """One variable doubled, all others equal.

    Attributes:
        variable: what is doubled.
        at: from where ("the plan", "the centre of the data").
        change: of the expected y, with the uncertainty of the law.
        flops: that it costs more; None where the cost is not known.
    """

    variable: str
    at: str
    change: Estimate
    flops: float | None

    @property
    def per_flop(self) -> float | None:
        """Change of y for each FLOP more; None where doubling costs none, or the cost is not known."""
        return self.change.value / self.flops if self.flops else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "variable": self.variable, "at": self.at, "change": self.change.as_dict(), "flops": plain(self.flops),
            "change_per_flop": plain(self.per_flop),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class HeldRun:
    """One run that was held out.

    Attributes:
        row: its place in the table, from 0.
        run: its variables.
        flops: what it cost, None if not known.
        observed: its y; None where the table has none.
        predicted: y by the plan's law, with the interval for one run.
        best: the variables that the plan would have chosen for the same cost; best_y: y that it expects of them. None
            where that is not known.
    """

    row: int
    run: dict[str, Any]
    flops: float | None
    observed: float | None
    predicted: Estimate
    best: dict[str, float] | None = None
    best_y: float | None = None

    @property
    def covered(self) -> bool | None:
        """Whether the observed y lies in the interval."""
        return None if self.observed is None else self.observed in self.predicted

    def as_dict(self) -> dict[str, Any]:
        return {
            "row": self.row, "run": self.run, "flops": plain(self.flops), "observed": self.observed,
            "predicted": self.predicted.as_dict(), "covered": self.covered, "best": self.best,
            "best_y": plain(self.best_y),
        }  # fmt: skip


@dataclass(frozen=True)
class Check:
    """All runs that were held out; `level` of their intervals."""

    runs: tuple[HeldRun, ...]
    level: float

    @property
    def coverage(self) -> float:
        """Share of the observed runs inside their intervals; NaN if none was observed."""
        return float(np.mean([one.covered for one in self.runs if one.covered is not None] or [np.nan]))

    @property
    def error(self) -> float:
        """Mean of |predicted - observed| / |observed|; NaN if none was observed."""
        off = [
            abs(one.predicted.value - one.observed) / abs(one.observed) for one in self.runs if one.observed is not None
        ]
        return float(np.mean(off or [np.nan]))

    def as_dict(self) -> dict[str, Any]:
        return {
            "coverage": plain(self.coverage), "level": self.level, "mean_relative_error": plain(self.error),
            "runs": [one.as_dict() for one in self.runs],
        }  # fmt: skip
