"""The designs among which a plan chooses: what is tried, which is best, how sure that is, and which are tied."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._estimate import Estimate
from sonoscale.laws.loglinear import LogLinear
from sonoscale.results import plain

__all__ = [
    "Candidate", "Choice", "Columns", "DesignCost", "affordable", "amounts", "base_value", "choose", "differences",
    "grid", "ladder", "ladders", "plain_item", "price_of", "usual_value",
]  # fmt: skip

Array = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
_MOST_AMOUNTS = 24
DesignCost = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, Array]]

_MOST = 20_000  # candidates, before the amounts of data
_ROWS = 2000  # candidates whose differences from the best are in memory at once


def ladder(values: NDArray[Any], *, beyond: bool = True) -> NDArray[Any]:
    """Values to try: those in the data, their geometric means by pairs, and one step above the largest.

    Whole numbers stay multiples of what all in the data are multiples of. Values between 0 and 1 (ratios), and those
    that are not above zero, are tried as they are in the data. Text is tried level by level.
    """
    known = np.unique(values)
    if known.dtype.kind not in "iuf":
        return known
    if not (known > 0).all() or bool((known < 1).all()) or len(known) < 2:
        return known.astype(np.float64)
    steps = np.sqrt(known[:-1].astype(np.float64) * known[1:])
    above = [float(known[-1]) ** 2 / float(known[-2])] if beyond else []
    found = np.array([*steps.tolist(), *above])
    if (known == np.round(known)).all() and known.max() < 2**53:
        unit = float(np.gcd.reduce(known.astype(np.int64)))
        found = unit * np.maximum(np.round(found / unit), 1.0)
    return np.unique(np.concatenate([known.astype(np.float64), found]))


def ladders(design: Columns, silent: Sequence[str], *, as_tried: str | None = None) -> Columns:
    """What to try of each variable; where that makes too many designs, of those without a shown effect the usual value.

    Arguments:
        design: the variables as they are in the data.
        silent: those without a shown effect.
        as_tried: one of which nothing above the largest is tried.
    """
    found = {name: ladder(values, beyond=name != as_tried) for name, values in design.items()}
    if _count(found) > _MOST:
        found |= {name: np.array([usual_value(design[name])], dtype=found[name].dtype) for name in silent}
    if _count(found) > _MOST:
        found |= {name: amounts(values) for name, values in design.items() if name not in silent}
    return found


def amounts(values: NDArray[Any]) -> NDArray[Any]:
    """The different values, of very many some that are spread among them, with the smallest and the largest."""
    known = np.unique(values)
    if len(known) <= _MOST_AMOUNTS:
        return known
    return known[np.unique(np.linspace(0, len(known) - 1, _MOST_AMOUNTS).round().astype(np.intp))]


def _count(values: Mapping[str, NDArray[Any]]) -> int:
    return math.prod(len(one) for one in values.values())


def base_value(values: NDArray[Any]) -> Any:
    """The base of a sweep: the value of a third of the rows or more and of twice as many as any other, or None."""
    distinct, often = np.unique(values, return_counts=True)
    most, *others = np.sort(often)[::-1]
    return distinct[often.argmax()] if 3 * most >= len(values) and most >= 2 * max(others, default=0) else None


def usual_value(values: NDArray[Any], allowed: NDArray[Any] | None = None) -> Any:
    """The value that most rows have, of those that are allowed (all, if none of these is in the data)."""
    kept = values if allowed is None else values[np.isin(values, allowed)]
    distinct, often = np.unique(kept if len(kept) else values, return_counts=True)
    return distinct[often.argmax()]


def grid(ladders: Mapping[str, NDArray[Any]]) -> Columns:
    """All combinations, as columns.

    Raises:
        SonoscaleError: Where there are too many to be tried.
    """
    count = _count(ladders)
    if count > _MOST:
        each = ", ".join(f"{name} ({len(values)})" for name, values in ladders.items())
        raise SonoscaleError(f"{count:,} designs are more than {_MOST:,}: leave out a variable of {each}")
    places = np.array(list(itertools.product(*(range(len(values)) for values in ladders.values()))), dtype=np.intp)
    places = places.reshape(count, len(ladders))
    return {name: values[places[:, i]] for i, (name, values) in enumerate(ladders.items())}


def affordable(shapes: Columns, amount: str, known: Array, cost: DesignCost, budgets: Mapping[str, float]) -> Columns:
    """Each shape with each amount of the data that the budgets allow (at any rate the least), and with all they allow.

    What rises with the amount is taken to rise in proportion to it.
    """
    size = len(next(iter(shapes.values()))) if shapes else 1
    most = np.full(size, budgets.get(amount, np.inf))
    one, two = (cost(shapes | {amount: np.full(size, k * float(known.min()))}) for k in (1.0, 2.0))
    for name, cap in budgets.items():
        if name in one and name != amount:
            grown = np.asarray(two[name]) > np.asarray(one[name])
            with np.errstate(invalid="ignore", divide="ignore"):
                most = np.where(grown, np.minimum(most, cap * float(known.min()) / np.asarray(one[name])), most)
    if (known == np.round(known)).all():
        most = np.floor(most * (1.0 + 1e-12))
    rows, amounts = [], []
    beyond = ladder(known)[-1:].tolist()
    for i in range(size):
        tried = known[known <= most[i]].tolist() or [known[0]]  # the least, so that its cost is known
        tried += beyond if np.isinf(most[i]) else [most[i]] if most[i] > known[0] else []
        tried = sorted(set(tried))
        rows += [i] * len(tried)
        amounts += tried
    return {name: values[rows] for name, values in shapes.items()} | {amount: np.array(amounts, dtype=np.float64)}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One design.

    Attributes:
        design: its variables.
        costs: what it costs, by name.
        y: the prediction for one run, with its interval.
        share: in how many of the resamples it is the best of all candidates; NaN for a design that is none of them.
        tied: whether its difference from the best is not significant: below what seeds make, or with zero in its
            interval.
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
            "y": self.y.as_dict(), "share_best": plain(self.share), "tied": self.tied,
            "difference": self.difference.as_dict(),
        }  # fmt: skip

    def scaled(self, unit: float) -> Candidate:
        """The same with y in a unit so many times smaller."""
        y, off = (Estimate(unit * v.value, unit * v.low, unit * v.high) for v in (self.y, self.difference))
        return replace(self, y=y, difference=off)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen.

    Attributes:
        shown: the best candidates, best first.
        count: how many there were.
        ties: how many are tied with the best.
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
            self, shown=tuple(one.scaled(unit) for one in self.shown),
            cheapest=None if self.cheapest is None else self.cheapest.scaled(unit),
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
    # Among equals the cheaper one, so that a variable without effect does not choose the most expensive.
    price = price_of(costs, len(centre))
    order = np.lexsort((price, -np.round(sign * centre, 12)))
    best = int(order[0])
    off, low, high = differences(law, centre, X, best)
    tied = ((low <= 0.0) & (high >= 0.0)) | (np.abs(off) < (floor or 0.0))
    tied[best] = False
    shares = np.bincount(winners, minlength=len(centre)) / len(winners)

    picked = [*order[:shown].tolist()]
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


def differences(law: LogLinear, centre: Array, X: Array, best: int) -> tuple[Array, Array, Array]:
    """What is expected of each design [m] less that of one of them, with its interval, on the scale of the law."""
    beta = np.array([one.value for one in law.coefficients.values()])
    moved = law._factor * (law._draws - beta)  # [R, P]
    tail = 0.5 * (1.0 - law.level)
    ends = [
        np.quantile((X[first : first + _ROWS] - X[best]) @ moved.T, [tail, 1.0 - tail], axis=1)
        for first in range(0, len(X), _ROWS)
    ]
    off = centre - centre[best]
    low, high = off + np.concatenate(ends, axis=1)
    return off, low, high


def price_of(costs: Mapping[str, Array], count: int) -> Array:
    """FLOPs, else parameters, of each of so many designs [m]; zeros where neither is known."""
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
