"""Laws of several variables at once: parameters and data, repeated data, width and depth."""

from __future__ import annotations

import itertools

import numpy as np

from sonoscale.laws.forms._form import POSITIVE, Array, Form
from sonoscale.laws.forms._sums import Term, sum_of_powers

__all__ = ["SURFACES"]

_GEMSTONES = "McLeish et al., Gemstones: A Model Suite for Multi-Faceted Scaling Laws, arXiv 2502.06857 (2025)"

_CHINCHILLA = sum_of_powers(
    name="chinchilla",
    formula="y = E + A * N^(-alpha) + B * D^(-beta)",
    latex=r"y = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}",
    terms=(Term("A", {"N": "alpha"}), Term("B", {"D": "beta"}), Term("E")),
    variables=("N", "D"),
    exponent="alpha",
    huber=1e-3,
    citation=(
        "Hoffmann et al., Training Compute-Optimal Large Language Models, arXiv 2203.15556 (2022), equation 2; "
        "fitted as by Besiroglu et al., arXiv 2404.10102 (2024)"
    ),
    doc="Loss against parameters N and data D: a floor, and what too few of either cost.",
)


def _kaplan(x: Array, params: Array) -> Array:
    n_c, d_c, alpha, beta = (params[..., i, None] for i in range(4))
    return ((n_c / x[:, 0]) ** (alpha / beta) + d_c / x[:, 1]) ** beta


def _kaplan_gradient(x: Array, params: Array) -> tuple[Array, Array]:
    n_c, d_c, alpha, beta = (params[..., i, None] for i in range(4))
    log_n = np.log(n_c) - np.log(x[:, 0])
    by_n, by_d = np.exp(alpha / beta * log_n), d_c / x[:, 1]
    total = by_n + by_d
    y = total**beta
    outer = beta * y / total
    return y, np.stack(
        [
            outer * by_n * alpha / beta / n_c,
            outer * by_d / d_c,
            outer * by_n * log_n / beta,
            y * np.log(total) - outer * by_n * log_n * alpha / beta**2,
        ],
        axis=-1,
    )


def _kaplan_starts(x: Array, y: Array) -> Array:
    rows = []
    for alpha, beta, share in itertools.product((0.05, 0.1, 0.2, 0.4), (0.05, 0.1, 0.2, 0.4), (0.2, 0.5, 0.8)):
        level = np.median(y) ** (1.0 / beta)
        n_c = np.exp(np.median(np.log(x[:, 0]))) * (share * level) ** (beta / alpha)
        rows.append((n_c, np.exp(np.median(np.log(x[:, 1]))) * (1.0 - share) * level, alpha, beta))
    return np.array(rows)


def _effective(total: Array, unique: Array, half: Array) -> Array:
    """U + U R* (1 - exp(-R / R*)), R = total / U - 1: what repeated units are worth in fresh ones."""
    repeats = np.maximum(total / unique - 1.0, 0.0)
    return np.minimum(total, unique) - unique * half * np.expm1(-repeats / half)


def _data_constrained(x: Array, params: Array) -> Array:
    a, b, e, alpha, beta, r_d, r_n = (params[..., i, None] for i in range(7))
    n, d, unique = x.T
    growth = (np.log(alpha * a) - np.log(beta * b)) / (alpha + beta)
    log_enough = growth + beta / alpha * (np.log(unique) + growth)
    enough = np.exp(np.clip(log_enough, -300.0, 300.0))  # parameters that are best for that much data
    return (
        e
        + a * _effective(np.broadcast_to(n, enough.shape), enough, r_n) ** -alpha
        + b * _effective(d, unique, r_d) ** -beta
    )


def _data_constrained_starts(x: Array, y: Array) -> Array:
    inner = _CHINCHILLA.starts(x[:, :2], y)
    worths = itertools.product((2.0, 15.0), (2.0, 6.0))
    rows = np.concatenate([np.column_stack([inner[:, [0, 2, 4, 1, 3]], np.tile(w, (len(inner), 1))]) for w in worths])
    with np.errstate(all="ignore"):
        misfit = np.square(np.log(_data_constrained(x, rows) / y)).sum(axis=1)
    return rows[np.argsort(np.where(np.isfinite(misfit), misfit, np.inf), kind="stable")[:32]]


SURFACES = (
    _CHINCHILLA,
    Form(
        name="kaplan",
        formula="y = ((Nc / N)^(alpha / beta) + Dc / D)^beta",
        latex=r"y = \left[\left(\frac{N_c}{N}\right)^{\alpha/\beta} + \frac{D_c}{D}\right]^{\beta}",
        parameters=("Nc", "Dc", "alpha", "beta"),
        bounds=(POSITIVE,) * 4,
        exponent="alpha",
        function=_kaplan,
        gradient=_kaplan_gradient,
        starts=_kaplan_starts,
        variables=("N", "D"),
        scale="log",
        citation="Kaplan et al., Scaling Laws for Neural Language Models, arXiv 2001.08361 (2020), equation 1.5",
        doc="Loss against parameters N and data D without a floor.",
    ),
    Form(
        name="data_constrained",
        formula="y = E + A * N'^(-alpha) + B * D'^(-beta), D' = U + U rD (1 - exp(-(D/U - 1)/rD)), N' likewise with rN",
        latex=(
            r"y = E + \frac{A}{N'^{\alpha}} + \frac{B}{D'^{\beta}},\quad "
            r"D' = U + U r_D \left(1 - e^{-(D/U - 1)/r_D}\right)"
        ),
        parameters=("A", "B", "E", "alpha", "beta", "rD", "rN"),
        bounds=(POSITIVE,) * 7,
        exponent="beta",
        function=_data_constrained,
        starts=_data_constrained_starts,
        variables=("N", "D", "U"),
        scale="log",
        citation="Muennighoff et al., Scaling Data-Constrained Language Models, arXiv 2305.16264 (2023), equation 5",
        doc=(
            "Loss where U units of data are seen D / U times: repeats lose their worth with constant rD, and "
            "parameters beyond those that are best for U units with constant rN."
        ),
    ),
    sum_of_powers(
        name="width_depth",
        formula="y = E + A * W^(-alpha) + B * L^(-beta)",
        latex=r"y = E + \frac{A}{W^{\alpha}} + \frac{B}{L^{\beta}}",
        terms=(Term("A", {"W": "alpha"}), Term("B", {"L": "beta"}), Term("E")),
        variables=("W", "L"),
        exponent="alpha",
        citation=_GEMSTONES,
        doc="Loss against width W and depth L, trained alike.",
    ),
    sum_of_powers(
        name="width_depth_data",
        formula="y = E + A * W^(-alpha) + B * L^(-beta) + C * D^(-gamma)",
        latex=r"y = E + \frac{A}{W^{\alpha}} + \frac{B}{L^{\beta}} + \frac{C}{D^{\gamma}}",
        terms=(Term("A", {"W": "alpha"}), Term("B", {"L": "beta"}), Term("C", {"D": "gamma"}), Term("E")),
        variables=("W", "L", "D"),
        exponent="gamma",
        citation=_GEMSTONES,
        doc="Loss against width W, depth L and data D.",
    ),
)
