"""What doubling one variable buys, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sonoscale.laws._estimate import Estimate
from sonoscale.laws.plan._cost import Cost
from sonoscale.laws.plan._optimum import find_optimum
from sonoscale.laws.plan._surface import Surface, loss
from sonoscale.laws.plan._value import Array, plain

__all__ = ["Doubling", "doubled"]


@dataclass(frozen=True, kw_only=True)
class Doubling:
    """One variable doubled, all others equal.

    Attributes:
        variable: what is doubled.
        at: from where ("the optimum", "the centre of the data").
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


def doubled(surface: Surface, cost: Cost, n: float, d: float, at: str, *, frontier: bool) -> list[Doubling]:
    """Doublings of N and of D at a point and, on the frontier, of compute at the best split."""
    spent = float(cost.flops(np.array([n]), np.array([d]))[0])
    laws = np.concatenate([surface.params[None], surface.draws])
    found = [
        _doubling(surface, cost, laws, name, at, (n, d), (n * by_n, d * by_d), spent)
        for name, by_n, by_d in ((surface.names[0], 2.0, 1.0), (surface.names[1], 1.0, 2.0))
    ]
    if frontier:
        # The split is the plan's own: what is asked is what doubling this plan's compute would buy under each law.
        n2, d2 = (float(one[0]) for one in find_optimum(surface.params[None], 2.0 * spent, cost, around=n))
        found.append(_doubling(surface, cost, laws, "compute", at, (n, d), (n2, d2), spent))
    return found


def _doubling(
    surface: Surface,
    cost: Cost,
    laws: Array,
    name: str,
    at: str,
    before: tuple[float, float],
    after: tuple[float, float],
    spent: float,
) -> Doubling:
    change = surface.target.up(loss(laws, *after)) - surface.target.up(loss(laws, *before))
    more = float(cost.flops(np.array([after[0]]), np.array([after[1]]))[0]) - spent
    return Doubling(variable=name, at=at, change=surface.interval(change[1:], float(change[0])), flops=more)
