"""Forms that are sums of powers: y = sum_k a_k * prod_v x_v^(-b_kv), every a_k >= 0."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sonoscale.laws._linear import best_coefficients
from sonoscale.laws.forms._form import FREE, POSITIVE, Array, Form, PowerTerm, Scale

__all__ = ["Term", "sum_of_powers"]

_EXPONENTS = np.array([0.05, 0.1, 0.18, 0.3, 0.45, 0.65, 0.9, 1.3])
_MOST_STARTS = 4096  # with more exponents to search, fewer values of each


@dataclass(frozen=True)
class Term:
    """One term of the sum: `coefficient * prod_v x_v^(-exponent_v)`; no exponents for a constant.

    Attributes:
        coefficient: name of the parameter before the powers.
        exponents: variable -> name of the parameter that is its (negated) exponent.
    """

    coefficient: str
    exponents: Mapping[str, str] = field(default_factory=dict)


def sum_of_powers(
    *,
    name: str,
    formula: str,
    latex: str,
    terms: tuple[Term, ...],
    exponent: str,
    variables: tuple[str, ...] = ("x",),
    exponent_bounds: tuple[float, float] = FREE,
    scale: Scale = "log",
    power_term: PowerTerm | None = None,
    huber: float | None = None,
    citation: str = "",
    doc: str = "",
) -> Form:
    """The form with its gradient, its curvature and its starts, from nothing but its terms.

    Starts come by variable projection (Golub and Pereyra, SIAM J. Numerical Analysis 10, 1973): on a grid of
    exponents, the coefficients >= 0 that are best in relative error solve a small linear problem each.

    Arguments:
        name, formula, latex, citation, doc: what `Form` says of itself.
        terms: constants and powers that are added.
        exponent: name of the parameter that is the exponent of the law.
        variables: names of the variables, in the order of their columns.
        exponent_bounds: within which each exponent is searched.
        scale: on which y is fitted: "log" or "linear".
        power_term: see `PowerTerm`.

    Returns:
        The form, ready for `fit_form`.

    Example:
        >>> form = sum_of_powers(
        ...     name="width", formula="y = E + A * W^(-alpha)", latex="y = E + A W^{-a}",
        ...     terms=(Term("A", {"W": "alpha"}), Term("E")), variables=("W",), exponent="alpha",
        ... )
        >>> form.parameters
        ('A', 'alpha', 'E')
    """
    made = _Sum(terms, variables)
    return Form(
        name=name, formula=formula, latex=latex, parameters=made.names,
        bounds=tuple(exponent_bounds if i in made.searched else POSITIVE for i in range(len(made.names))),
        exponent=exponent, function=made.function, starts=made.starts, variables=variables, gradient=made.gradient,
        curvature=made.curvature, linear=tuple(t.coefficient for t in terms), scale=scale, power_term=power_term,
        huber=huber, citation=citation, doc=doc,
    )  # fmt: skip


class _Sum:
    """What a sum of powers computes. Its methods are functions of a `Form`, which can so be pickled."""

    def __init__(self, terms: tuple[Term, ...], variables: tuple[str, ...]) -> None:
        self.terms = terms
        self.names = tuple(dict.fromkeys(name for t in terms for name in (t.coefficient, *t.exponents.values())))
        place = {parameter: i for i, parameter in enumerate(self.names)}
        self.coefficients = [place[t.coefficient] for t in terms]
        self.powers = [(k, variables.index(v), place[b]) for k, t in enumerate(terms) for v, b in t.exponents.items()]
        self.searched = sorted({b for _, _, b in self.powers})

    def parts(self, x: Array, params: Array) -> tuple[list[Array], list[Array]]:
        """The terms without their coefficients, each [..., n], and log x of each variable [n]."""
        logs = [np.log(column) for column in (x[:, None] if x.ndim == 1 else x).T]
        bare: list[Array] = []
        for k, term in enumerate(self.terms):
            grown = np.zeros((*params.shape[:-1], len(logs[0])))
            for at, variable, b in self.powers:
                if at == k:
                    grown = grown - params[..., b, None] * logs[variable]
            bare.append(np.exp(grown) if term.exponents else np.ones_like(grown))
        return bare, logs

    def function(self, x: Array, params: Array) -> Array:
        bare, _ = self.parts(x, params)
        return np.sum([params[..., a, None] * p for a, p in zip(self.coefficients, bare, strict=True)], axis=0)

    def gradient(self, x: Array, params: Array) -> tuple[Array, Array]:
        bare, logs = self.parts(x, params)
        slope = np.zeros((*bare[0].shape, len(self.names)))
        value = np.zeros_like(bare[0])
        for a, p in zip(self.coefficients, bare, strict=True):
            slope[..., a] += p
            value += params[..., a, None] * p
        for k, variable, b in self.powers:
            slope[..., b] -= params[..., self.coefficients[k], None] * bare[k] * logs[variable]
        return value, slope

    def curvature(self, x: Array, params: Array, c: Array) -> Array:
        bare, logs = self.parts(x, params)
        bent = np.zeros((*params.shape[:-1], len(self.names), len(self.names)))
        for k, variable, b in self.powers:
            a = self.coefficients[k]
            first = -(c * bare[k]) @ logs[variable]
            bent[..., a, b] += first
            bent[..., b, a] += first
            for other, another, d in self.powers:
                if other == k:
                    second = (c * bare[k]) @ (logs[variable] * logs[another])
                    bent[..., b, d] += params[..., a] * second
        return bent

    def starts(self, x: Array, y: Array) -> Array:
        each = max(2, min(len(_EXPONENTS), int(_MOST_STARTS ** (1.0 / max(len(self.searched), 1)) + 1e-9)))
        values = _EXPONENTS[np.linspace(0, len(_EXPONENTS) - 1, each).round().astype(int)]
        grid = np.array(list(itertools.product(values, repeat=len(self.searched)))).reshape(-1, len(self.searched))
        params = np.ones((len(grid), len(self.names)))
        params[:, self.searched] = grid
        bare, _ = self.parts(x, params)
        basis = np.stack(bare, axis=-1) / y[:, None]  # [S, n, K]: relative errors
        found = best_coefficients(basis, np.ones(basis.shape[:2]))
        # A term that the best solution leaves out keeps a trace (1e-3 of y), so that a search can bring it back.
        params[:, self.coefficients] = np.maximum(found, 1e-3 / np.maximum(basis.mean(axis=1), 1e-300))
        return params
