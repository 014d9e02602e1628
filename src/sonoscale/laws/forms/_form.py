"""What a form of a law is: a formula, its parameters, and how to start searching for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError

__all__ = ["FREE", "POSITIVE", "Array", "Form", "PowerTerm", "Scale"]

Array = NDArray[np.float64]
Scale = Literal["linear", "log"]

POSITIVE = (0.0, np.inf)
FREE = (-np.inf, np.inf)


@dataclass(frozen=True, kw_only=True)
class PowerTerm:
    """Declares that a form is `constant + sign * coefficient * x^(direction * exponent)`, coefficient >= 0.

    Such a form is linear in everything but its exponent, so that the solver can search the exponent alone and
    be sure of the global minimum. A form without this declaration is fitted from many starts.

    Attributes:
        coefficient, exponent: names of those two parameters in the form.
        constant: name of the additive parameter, or None where there is none.
        sign: +1 or -1, the sign before the coefficient.
        direction: +1 or -1, the sign before the exponent.
    """

    coefficient: str
    exponent: str
    constant: str | None = None
    sign: int = 1
    direction: int = 1


@dataclass(frozen=True, kw_only=True)
class Form:
    """One family of curves or surfaces y = f(x; parameters), for x > 0.

    Where the form has several variables, x is [n, V] in the order of `variables`; where it has one, [n].

    Attributes:
        name: the key under which `fit` finds it.
        formula, latex: the formula, in plain text and in LaTeX.
        parameters: names, in the order of the last axis of the parameter array.
        bounds: one (low, high) for each parameter; either may be infinite.
        exponent: name of the parameter that is the exponent of the law.
        function: `(x, params [..., P]) -> y [..., n]`.
        starts: `(x, y [n]) -> params [S, P]`, starting points for the search.
        variables: names of what the law depends on, as the formula writes them.
        gradient: `(x, params [..., P]) -> (y [..., n], d y / d params [..., n, P])`; None: central differences.
        curvature: `(x, params [..., P], c [..., n]) -> sum_i c_i d2 y_i / d params^2 [..., P, P]`; None where the
            solver is to do without (it then converges linearly where residuals are large).
        linear: names of the parameters >= 0 in which y is linear, for variable projection.
        scale: whether residuals are differences of y or of log y, unless `fit_form` is given one.
        y_range: the values that y can take; data outside it are refused and prediction intervals end there.
        power_term: how the form is separable, or None where it is not.
        huber: delta of Huber's loss, in the unit of the residuals, with which the source fits it; None: least squares.
        fixed: parameters of the formula that are not free, each with its value, or the name of the one it equals.
        citation, doc: where the form comes from, and when to use it.
    """

    name: str
    formula: str
    latex: str
    parameters: tuple[str, ...]
    bounds: tuple[tuple[float, float], ...]
    exponent: str
    function: Callable[[Array, Array], Array]
    starts: Callable[[Array, Array], Array]
    variables: tuple[str, ...] = ("x",)
    gradient: Callable[[Array, Array], tuple[Array, Array]] | None = None
    curvature: Callable[[Array, Array, Array], Array] | None = None
    linear: tuple[str, ...] = ()
    scale: Scale = "linear"
    y_range: tuple[float, float] = (-np.inf, np.inf)
    power_term: PowerTerm | None = None
    huber: float | None = None
    fixed: tuple[tuple[str, float | str], ...] = ()
    citation: str = ""
    doc: str = ""

    def __post_init__(self) -> None:
        if len(self.bounds) != len(self.parameters):
            raise SonoscaleError(
                f"form {self.name!r} has {len(self.parameters)} parameters but {len(self.bounds)} bounds"
            )
        if self.exponent not in self.parameters:
            raise SonoscaleError(f"form {self.name!r}: {self.exponent!r} is not one of {self.parameters}")

    def derivatives(self, x: Array, params: Array) -> tuple[Array, Array]:
        """y [..., n] and d y / d params [..., n, P], by the form's own gradient or by central differences."""
        if self.gradient is not None:
            return self.gradient(x, params)
        step = 1e-6 * np.where(params != 0, np.abs(params), 1.0)
        columns = []
        for i in range(params.shape[-1]):
            move = np.zeros_like(params)
            move[..., i] = step[..., i]
            rise = self.function(x, params + move) - self.function(x, params - move)
            columns.append(rise / (2.0 * step[..., i, None]))
        return self.function(x, params), np.stack(columns, axis=-1)
