"""The scale of y on which a log-linear model is a sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError

__all__ = ["SCALES", "Scale", "find_scale"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A rising transformation of y.

    Attributes:
        name: the name by which `fit_loglinear` knows it.
        forward, back: from y to the scale of the sum, and back.
        ends: y lies strictly between them.
        text, latex: the transformed y; `{}` stands for y.
    """

    name: str
    forward: Callable[[Array], Array]
    back: Callable[[Array], Array]
    ends: tuple[float, float]
    text: str
    latex: str

    def apply(self, y: Array, *, name: str, rows: NDArray[np.intp]) -> Array:
        """The transformed y [n]; `rows` [n] are its places in the table.

        Raises:
            SonoscaleError: With row and value, where y is not inside the ends.
        """
        outside = (y <= self.ends[0]) | (y >= self.ends[1])
        if outside.any():
            row = int(outside.argmax())
            raise SonoscaleError(
                f"{name}, row {rows[row]}: {y[row]:g} does not lie between {self.ends[0]:g} and {self.ends[1]:g}, "
                f"as y_scale={self.name!r} needs"
            )
        return self.forward(y)


def _identity(y: Array) -> Array:
    return y


def _logit(y: Array) -> Array:
    return np.log(y) - np.log1p(-y)


def _exp(z: Array) -> Array:
    return np.exp(np.minimum(z, 700.0))


def _expit(z: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * z))


SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        scale.name: scale
        for scale in (
            Scale(name="log", forward=np.log, back=_exp, ends=(0.0, np.inf), text="log {}", latex=r"\log {}"),
            Scale(
                name="logit",
                forward=_logit,
                back=_expit,
                ends=(0.0, 1.0),
                text="logit {}",
                latex=r"\operatorname{{logit}} {}",
            ),
            Scale(name="linear", forward=_identity, back=_identity, ends=(-np.inf, np.inf), text="{}", latex="{}"),
        )
    }
)
"""The scales of y that `fit_loglinear` knows by name."""


def find_scale(name: str) -> Scale:
    """Refuse what cannot be used.

    Raises:
        SonoscaleError: For a name that is not in `SCALES`.
    """
    if not isinstance(name, str) or name not in SCALES:
        raise SonoscaleError(f"no y_scale is called {name!r}; there are: {', '.join(SCALES)}")
    return SCALES[name]
