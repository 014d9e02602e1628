"""A form with some of its parameters fixed, or tied to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.laws.forms._form import Array, Form

__all__ = ["constrain"]


def constrain(form: Form, fix: Mapping[str, float] | None = None, tie: Sequence[str] = ()) -> Form:
    """The form with fewer parameters: those fixed have their value, those tied are equal.

    Arguments:
        form: the form.
        fix: parameter -> its value, such as `{"E": 1.8}`.
        tie: pairs that are equal, such as `["alpha=beta"]`; the first of each stays a parameter.

    Returns:
        The form, whose `fixed` names what was taken from it.

    Raises:
        SonoscaleError: For an unknown parameter, a value outside its bounds, a tie that is no pair, a parameter both
            fixed and tied, and where none is left to fit.

    Example:
        >>> from sonoscale.laws.forms import find_form
        >>> constrain(find_form("chinchilla"), {"E": 1.8}, ["alpha=beta"]).parameters
        ('A', 'alpha', 'B')
    """
    if fix is not None and not isinstance(fix, Mapping):
        raise SonoscaleError(f"fix must map parameters to values, such as {{'E': 1.8}}, not {fix!r}")
    if not isinstance(tie, Sequence):
        raise SonoscaleError(f"tie must be a sequence of pairs, such as ['alpha=beta'], not {tie!r}")
    values = dict(fix or {})
    pairs = [_pair(form, text) for text in ([tie] if isinstance(tie, str) else tie)]
    for name, value in values.items():
        _known(form, name)
        low, high = form.bounds[form.parameters.index(name)]
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float, np.number))
            or not np.isfinite(value)
            or not low <= value <= high
        ):
            lower = "" if low == -np.inf else f", {low:g} or more"
            upper = "" if high == np.inf else f", {high:g} or less"
            raise SonoscaleError(f"fix: {name} must be a number{lower}{upper}, not {value!r}")
    stands_for = {name: name for name in form.parameters}
    for first, second in pairs:
        for name in (first, second):
            if name in values:
                raise SonoscaleError(f"{name} is both fixed and tied: do one of them")
        one, other = stands_for[first], stands_for[second]
        stands_for = {name: one if now == other else now for name, now in stands_for.items()}
    free = [name for name in form.parameters if name not in values and stands_for[name] == name]
    if not free:
        raise SonoscaleError(f"all parameters of form {form.name!r} are fixed: nothing is left to fit")
    if len(free) == len(form.parameters):
        return form
    kept = [form.parameters.index(name) for name in free]
    constants = np.array([float(values.get(name, 0.0)) for name in form.parameters])
    spread = np.zeros((len(form.parameters), len(free)))
    for i, name in enumerate(form.parameters):
        if name not in values:
            spread[i, free.index(stands_for[name])] = 1.0
    sources = [None if name in values else free.index(stands_for[name]) for name in form.parameters]

    made = _Constrained(form, constants, spread, sources, kept)
    taken = [(name, float(values[name]) if name in values else stands_for[name])
             for name in form.parameters if name not in free]  # fmt: skip
    said = ", ".join(
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}" for name, value in taken
    )
    bounds = []
    for name in free:
        same = [
            form.bounds[i] for i, one in enumerate(form.parameters) if one not in values and stands_for[one] == name
        ]
        bounds.append((max(low for low, _ in same), min(high for _, high in same)))
    return replace(
        form, formula=f"{form.formula}, {said}", latex=rf"{form.latex},\ {said}", parameters=tuple(free),
        bounds=tuple(bounds), exponent=_exponent(form, free, stands_for),
        function=made.function, starts=made.starts, gradient=made.gradient,
        curvature=None if form.curvature is None else made.curvature, linear=(), power_term=None,
        fixed=tuple(taken),
    )  # fmt: skip


def _known(form: Form, name: str) -> None:
    if name not in form.parameters:
        raise SonoscaleError(f"form {form.name!r} has no parameter {name!r}; it has {', '.join(form.parameters)}")


def _pair(form: Form, text: str) -> tuple[str, str]:
    first, _, second = (part.strip() for part in str(text).partition("="))
    if not first or not second or first == second:
        raise SonoscaleError(f"tie: {text!r}: give two parameters, such as alpha=beta")
    _known(form, first)
    _known(form, second)
    return first, second


def _exponent(form: Form, free: Sequence[str], stands_for: Mapping[str, str]) -> str:
    """The parameter that stands for the exponent, or the first that is left where it is fixed."""
    return stands_for[form.exponent] if stands_for[form.exponent] in free else free[0]


@dataclass(frozen=True, eq=False)
class _Constrained:
    """What a form computes where some of its parameters are given.

    Attributes:
        form: all of it.
        constants: [P] the values of those fixed, else 0.
        spread: [P, F] 1 where a parameter is the free one of that place.
        sources: of each parameter the place of the free one that it equals, None where it is fixed.
        kept: places of the free ones.
    """

    form: Form
    constants: Array
    spread: Array
    sources: list[int | None]
    kept: list[int]

    def whole(self, params: Array) -> Array:
        """All parameters [..., P] from the free ones [..., F]."""
        full = np.empty((*params.shape[:-1], len(self.sources)))
        for i, source in enumerate(self.sources):
            full[..., i] = self.constants[i] if source is None else params[..., source]
        return full

    def function(self, x: Array, params: Array) -> Array:
        return self.form.function(x, self.whole(params))

    def starts(self, x: Array, y: Array) -> Array:
        return self.form.starts(x, y)[:, self.kept]

    def gradient(self, x: Array, params: Array) -> tuple[Array, Array]:
        y, slope = self.form.derivatives(x, self.whole(params))
        return y, slope @ self.spread

    def curvature(self, x: Array, params: Array, c: Array) -> Array:
        assert self.form.curvature is not None
        return self.spread.T @ self.form.curvature(x, self.whole(params), c) @ self.spread
