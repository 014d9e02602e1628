"""The power law and the saturating power law, of a loss and of a score."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from sonoscale.laws.forms._form import FREE, POSITIVE, Array, Form, PowerTerm
from sonoscale.laws.forms._sums import Term, sum_of_powers

__all__ = ["SIMPLE"]


def _power(x: Array, params: Array) -> Array:
    return params[..., 0, None] * x ** params[..., 1, None]


def _saturating(x: Array, params: Array) -> Array:
    return params[..., 2, None] - params[..., 0, None] * x ** -params[..., 1, None]


def _power_gradient(x: Array, params: Array) -> tuple[Array, Array]:
    bare = x ** params[..., 1, None]
    value = params[..., 0, None] * bare
    return value, np.stack([bare, value * np.log(x)], axis=-1)


def _saturating_gradient(x: Array, params: Array) -> tuple[Array, Array]:
    bare = x ** -params[..., 1, None]
    lack = params[..., 0, None] * bare
    return params[..., 2, None] - lack, np.stack([-bare, lack * np.log(x), np.ones_like(bare)], axis=-1)


def _power_starts(x: Array, y: Array) -> Array:
    """The straight line in log-log and a steeper and a shallower line through the centre: [3, 2]."""
    level = np.log(np.maximum(y, 1e-6 * np.abs(y).max()))
    slope = float(np.polyfit(np.log(x), level, 1)[0])
    slopes = np.array([slope, 0.3 * slope, 3.0 * slope])
    return np.stack([np.exp(level.mean() - slopes * np.log(x).mean()), slopes], axis=-1)


def _saturating_starts(x: Array, y: Array, most: float) -> Array:
    """Ceilings at and above the largest y, each with a slow, a middling and a fast approach to it: [9, 3]."""
    rows = []
    for end in (y.max(), 0.5 * (y.max() + most), most):
        for steepness in (0.5, 2.0, 6.0):
            b = steepness / np.log(x.max() / x.min())
            rows.append((np.abs(y.mean() - end) * np.exp(b * np.log(x).mean()), b, end))
    return np.array(rows)


_HESTNESS = "Hestness et al., Deep Learning Scaling is Predictable, Empirically, arXiv 1712.00409 (2017)"
_ROSENFELD = (
    "Rosenfeld et al., A Constructive Prediction of the Generalization Error Across Scales, arXiv 1909.12673 (2019)"
)

_POWER_LOSS = sum_of_powers(
    name="power_loss",
    formula="y = a * x^(-b)",
    latex=r"y = a\,x^{-b}",
    terms=(Term("a", {"x": "b"}),),
    exponent="b",
    scale="linear",
    power_term=PowerTerm(coefficient="a", exponent="b", direction=-1),
    citation=_HESTNESS,
    doc="A loss that falls with x towards zero; b > 0 where it does fall.",
)

_SATURATING = Form(
    name="saturating",
    formula="y = c - a * x^(-b)",
    latex=r"y = c - a\,x^{-b}",
    parameters=("a", "b", "c"),
    bounds=(POSITIVE, POSITIVE, (0.0, 1.0)),
    exponent="b",
    function=_saturating,
    gradient=_saturating_gradient,
    starts=partial(_saturating_starts, most=1.0),
    y_range=(0.0, 1.0),
    power_term=PowerTerm(coefficient="a", exponent="b", constant="c", sign=-1, direction=-1),
    citation=_ROSENFELD,
    doc=(
        "A score in 0..1 that climbs to a ceiling c <= 1. The ceiling lies above every fitted value, "
        "since a >= 0, but not always above the largest noisy score: noise would push it up."
    ),
)


_SATURATING_LOSS = sum_of_powers(
    name="saturating_loss",
    formula="y = e + a * x^(-b)",
    latex=r"y = e + a\,x^{-b}",
    terms=(Term("a", {"x": "b"}), Term("e")),
    exponent="b",
    exponent_bounds=POSITIVE,
    scale="linear",
    power_term=PowerTerm(coefficient="a", exponent="b", constant="e", direction=-1),
    citation=_ROSENFELD,
    doc="A loss that falls with x to a floor e >= 0, the part that no scale removes.",
)

SIMPLE = (
    Form(
        name="power",
        formula="y = a * x^b",
        latex=r"y = a\,x^{b}",
        parameters=("a", "b"),
        bounds=(POSITIVE, FREE),
        exponent="b",
        function=_power,
        gradient=_power_gradient,
        starts=_power_starts,
        power_term=PowerTerm(coefficient="a", exponent="b"),
        citation=_HESTNESS,
        doc="A score that grows with x without a ceiling; b may have either sign.",
    ),
    _SATURATING,
    replace(
        _SATURATING,
        name="saturating_percent",
        bounds=(POSITIVE, POSITIVE, (0.0, 100.0)),
        starts=partial(_saturating_starts, most=100.0),
        y_range=(0.0, 100.0),
        doc="A score in 0..100 that climbs to a ceiling c <= 100, otherwise as `saturating`.",
    ),
    _POWER_LOSS,
    _SATURATING_LOSS,
)
