"""How far beyond the data a plan lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sonoscale.errors import SonoscaleError

__all__ = ["FAR", "TOO_FAR", "Reach", "check_reach"]

FAR, TOO_FAR = 10.0, 100.0


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
