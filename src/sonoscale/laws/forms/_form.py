"""The shapes a law may take, as data: a new form is one more entry in `FORMS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError

__all__ = ["FORMS", "Form", "PowerTerm", "find_form"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PowerTerm:
    """Declares that a form is `constant + sign * coefficient * x^(direction * exponent)`, coefficient >= 0.

    Such a form is linear in everything but its exponent, so that the solver can search the exponent alone and
    be sure of the global minimum. A form without this declaration is fitted by multi-start least squares.

    **Arguments:**

    - `coefficient`, `exponent`: names of those two parameters in the form.
    - `constant`: name of the additive parameter, or None where there is none.
    - `sign`: +1 or -1, the sign before the coefficient.
    - `direction`: +1 or -1, the sign before the exponent.
    """

    coefficient: str
    exponent: str
    constant: str | None = None
    sign: int = 1
    direction: int = 1


@dataclass(frozen=True, kw_only=True)
class Form:
    """One family of curves y = f(x; parameters), for x > 0.

    **Arguments:**

    - `name`: the key under which `fit` finds it.
    - `formula`, `latex`: the formula, in plain text and in LaTeX.
    - `parameters`: names, in the order of the last axis of the parameter array.
    - `bounds`: one (low, high) for each parameter; either may be infinite.
    - `exponent`: name of the parameter that is the exponent of the law.
    - `function`: `(x [n], params [..., P]) -> y [..., n]`.
    - `starts`: `(x [n], y [n]) -> params [S, P]`, several starting points for the multi-start solver.
    - `y_range`: the values that y can take; data outside it are refused and prediction intervals end there.
    - `power_term`: how the form is separable, or None where it is not.
    - `citation`, `doc`: where the form comes from, and when to use it.
    """

    name: str
    formula: str
    latex: str
    parameters: tuple[str, ...]
    bounds: tuple[tuple[float, float], ...]
    exponent: str
    function: Callable[[Array, Array], Array]
    starts: Callable[[Array, Array], Array]
    y_range: tuple[float, float] = (-np.inf, np.inf)
    power_term: PowerTerm | None = None
    citation: str = ""
    doc: str = ""

    def __post_init__(self) -> None:
        if len(self.bounds) != len(self.parameters):
            raise SonoscaleError(
                f"form {self.name!r} has {len(self.parameters)} parameters but {len(self.bounds)} bounds"
            )
        if self.exponent not in self.parameters:
            raise SonoscaleError(f"form {self.name!r}: {self.exponent!r} is not one of {self.parameters}")


def _scaled_power(x: Array, params: Array, direction: int) -> Array:
    """a * x^(direction * b) for params [..., (a, b, ...)]: [..., n]."""
    return params[..., 0, None] * x ** (direction * params[..., 1, None])


def _power_starts(x: Array, y: Array, direction: int) -> Array:
    """The straight line in log-log and two steeper and shallower lines through the centre: [3, 2]."""
    level = np.log(np.maximum(y, 1e-6 * np.abs(y).max()))
    slope = float(np.polyfit(np.log(x), level, 1)[0])
    slopes = np.array([slope, 0.3 * slope, 3.0 * slope])
    return np.stack([np.exp(level.mean() - slopes * np.log(x).mean()), direction * slopes], axis=-1)


def _saturating_starts(x: Array, y: Array, ends: tuple[float, ...]) -> Array:
    """Each candidate asymptote with a slow, a middling and a fast approach to it: [3 * len(ends), 3]."""
    rows = []
    for end in ends:
        for steepness in (0.5, 2.0, 6.0):
            b = steepness / np.log(x.max() / x.min())
            a = np.abs(y.mean() - end) * np.exp(b * np.log(x).mean())
            rows.append((a, b, end))
    return np.array(rows)


_HESTNESS = "Hestness et al., Deep Learning Scaling is Predictable, Empirically, arXiv 1712.00409 (2017)"
_ROSENFELD = (
    "Rosenfeld et al., A Constructive Prediction of the Generalization Error Across Scales, arXiv 1909.12673 (2019)"
)
_POSITIVE = (0.0, np.inf)
_FREE = (-np.inf, np.inf)

_ALL = (
    Form(
        name="power",
        formula="y = a * x^b",
        latex=r"y = a\,x^{b}",
        parameters=("a", "b"),
        bounds=(_POSITIVE, _FREE),
        exponent="b",
        function=lambda x, params: _scaled_power(x, params, 1),
        starts=lambda x, y: _power_starts(x, y, 1),
        power_term=PowerTerm(coefficient="a", exponent="b"),
        citation=_HESTNESS,
        doc="A score that grows with x without a ceiling; b may have either sign.",
    ),
    Form(
        name="saturating",
        formula="y = c - a * x^(-b)",
        latex=r"y = c - a\,x^{-b}",
        parameters=("a", "b", "c"),
        bounds=(_POSITIVE, _POSITIVE, (0.0, 1.0)),
        exponent="b",
        function=lambda x, params: params[..., 2, None] - _scaled_power(x, params, -1),
        starts=lambda x, y: _saturating_starts(x, y, (y.max(), 0.5 * (y.max() + 1.0), 1.0)),
        y_range=(0.0, 1.0),
        power_term=PowerTerm(coefficient="a", exponent="b", constant="c", sign=-1, direction=-1),
        citation=_ROSENFELD,
        doc=(
            "A score in 0..1 that climbs to a ceiling c <= 1. The ceiling lies above every fitted value, "
            "since a >= 0, but not always above the largest noisy score: noise would push it up."
        ),
    ),
    Form(
        name="power_loss",
        formula="y = a * x^(-b)",
        latex=r"y = a\,x^{-b}",
        parameters=("a", "b"),
        bounds=(_POSITIVE, _FREE),
        exponent="b",
        function=lambda x, params: _scaled_power(x, params, -1),
        starts=lambda x, y: _power_starts(x, y, -1),
        power_term=PowerTerm(coefficient="a", exponent="b", direction=-1),
        citation=_HESTNESS,
        doc="A loss that falls with x towards zero; b > 0 where it does fall.",
    ),
    Form(
        name="saturating_loss",
        formula="y = e + a * x^(-b)",
        latex=r"y = e + a\,x^{-b}",
        parameters=("a", "b", "e"),
        bounds=(_POSITIVE, _POSITIVE, _POSITIVE),
        exponent="b",
        function=lambda x, params: params[..., 2, None] + _scaled_power(x, params, -1),
        starts=lambda x, y: _saturating_starts(x, y, (max(y.min(), 0.0), 0.5 * max(y.min(), 0.0), 0.0)),
        power_term=PowerTerm(coefficient="a", exponent="b", constant="e", direction=-1),
        citation=_ROSENFELD,
        doc="A loss that falls with x to a floor e >= 0, the part that no scale removes.",
    ),
)

FORMS: Mapping[str, Form] = MappingProxyType({form.name: form for form in _ALL})
"""The forms that `fit` and `compare` know by name."""


def find_form(form: str | Form) -> Form:
    """The form of that name, or the form itself.

    **Raises:** `SonoscaleError` for a name that is not in `FORMS`, with the names that are.
    """
    if isinstance(form, Form):
        return form
    if form not in FORMS:
        raise SonoscaleError(f"no form of a law is called {form!r}; there are: {', '.join(FORMS)}")
    return FORMS[form]
