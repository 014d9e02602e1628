"""The best of many candidates under a law, how sure that is, and which are as good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws._estimate import Estimate
from sonoscale.laws.loglinear import LogLinear
from sonoscale.laws.plan._candidates import Columns
from sonoscale.laws.plan._value import Array, plain

__all__ = ["Candidate", "Choice", "choose", "plain_item"]

_ROWS = 2000  # candidates whose differences from the best are in memory at once


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One design.

    Attributes:
        design: its variables.
        costs: what it costs, by name.
        y: the forecast for one run, with its interval.
        share: in how many of the resamples it is the best of all candidates.
        tied: whether it cannot be told from the best: the difference is below what seeds make, or its interval has zero
            in it.
        difference: expected y less that of the best, with its interval.
    """

    design: dict[str, Any]
    costs: dict[str, float]
    y: Estimate
    share: float
    tied: bool
    difference: Estimate

    def as_dict(self) -> dict[str, Any]:
        return {
            "design": self.design, "costs": {name: plain(value) for name, value in self.costs.items()},
            "y": self.y.as_dict(), "share_best": self.share, "tied": self.tied,
            "difference": self.difference.as_dict(),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen.

    Attributes:
        shown: the best candidates, best first.
        count: how many there were.
        ties: how many cannot be told from the best, itself left out.
        cheapest: the one of these that costs the fewest FLOPs (or parameters), if it is cheaper than the best; else
            None.
        shares: variable -> value -> in how many resamples the best candidate has it.
        floor: standard deviation between seeds on the law's scale, None if no design was trained twice.
    """

    shown: tuple[Candidate, ...]
    count: int
    ties: int
    cheapest: Candidate | None
    shares: dict[str, dict[Any, float]]
    floor: float | None

    @property
    def best(self) -> Candidate:
        return self.shown[0]

    def scaled(self, unit: float) -> Choice:
        """The same with y in a unit so many times smaller."""
        return replace(
            self, shown=tuple(_scaled(one, unit) for one in self.shown),
            cheapest=None if self.cheapest is None else _scaled(self.cheapest, unit),
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        return {
            "candidates": self.count, "ties": self.ties, "seed_floor": plain(self.floor),
            "shown": [one.as_dict() for one in self.shown],
            "cheapest_tie": None if self.cheapest is None else self.cheapest.as_dict(),
            "share_best": {
                name: {str(value): share for value, share in shares.items()} for name, shares in self.shares.items()
            },
        }  # fmt: skip


def choose(
    law: LogLinear,
    candidates: Columns,
    costs: Mapping[str, Array],
    floor: float | None,
    shown: int,
    higher_is_better: bool,
) -> Choice:
    """Ranks the candidates [m] by what the law expects of them."""
    centre, X, _ = law._expect(candidates)
    sign = 1.0 if higher_is_better else -1.0
    beta = np.array([one.value for one in law.coefficients.values()])
    moved = law._factor * (law._draws - beta)  # [R, P]
    winners = np.empty(len(moved), dtype=np.intp)
    for first in range(0, len(moved), 100):
        part = slice(first, first + 100)
        winners[part] = (sign * (centre + moved[part] @ X.T)).argmax(axis=1)
    # Among equals the cheaper one, so that a variable without effect does not choose the dearest.
    order = np.lexsort((_price(costs, len(centre)), -np.round(sign * centre, 12)))
    best = int(order[0])
    off = centre - centre[best]
    tail = 0.5 * (1.0 - law.level)
    ends = [
        np.quantile((X[first : first + _ROWS] - X[best]) @ moved.T, [tail, 1.0 - tail], axis=1)
        for first in range(0, len(X), _ROWS)
    ]
    low, high = off + np.concatenate(ends, axis=1)
    tied = ((low <= 0.0) & (high >= 0.0)) | (np.abs(off) < (floor or 0.0))
    tied[best] = False
    shares = np.bincount(winners, minlength=len(centre)) / len(winners)

    picked = [*order[:shown].tolist()]
    price = _price(costs, len(centre))
    cheap = int(np.where(tied, price, np.inf).argmin())
    cheaper = bool(tied[cheap]) and price[cheap] < price[best]
    places = np.array([*picked, *([cheap] if cheaper else [])], dtype=np.intp)
    y = law.predict({name: values[places] for name, values in candidates.items()})
    back = law._scale.back
    made = []
    for k, i in enumerate(places.tolist()):
        less = [float(back(centre[best] + end) - back(centre[best])) for end in (off[i], low[i], high[i])]
        made.append(
            Candidate(
                design={name: plain_item(values[i]) for name, values in candidates.items()},
                costs={name: float(values[i]) for name, values in costs.items()},
                y=y[k],
                share=float(shares[i]),
                tied=bool(tied[i]),
                difference=Estimate(less[0], min(less[1:]), max(less[1:])),
            )
        )
    return Choice(
        shown=tuple(made[: len(picked)]), count=len(centre), ties=int(tied.sum()),
        cheapest=made[-1] if cheaper else None, floor=floor,
        shares={name: _shares(values, shares) for name, values in candidates.items() if len(np.unique(values)) <= 20},
    )  # fmt: skip


def _price(costs: Mapping[str, Array], count: int) -> Array:
    for name in ("flops", "params"):
        if name in costs:
            return np.asarray(costs[name])
    return np.zeros(count)


def _shares(values: NDArray[Any], shares: Array) -> dict[Any, float]:
    return {plain_item(value): float(shares[values == value].sum()) for value in np.unique(values)}


def plain_item(value: Any) -> Any:
    """A value of a column as Python has it; whole numbers as integers."""
    found = value.item() if hasattr(value, "item") else value
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _scaled(one: Candidate, unit: float) -> Candidate:
    y, off = (Estimate(unit * v.value, unit * v.low, unit * v.high) for v in (one.y, one.difference))
    return replace(one, y=y, difference=off)
