"""Learning curves of one variable: M1-M4, broken power laws, HILL and the logistic."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import numpy as np

from sonoscale.laws.forms._form import FREE, POSITIVE, Array, Form
from sonoscale.laws.forms._simple import SIMPLE

__all__ = ["CURVES", "broken_power_law"]

_ALABDULMOHSIN = (
    "Alabdulmohsin, Neyshabur and Zhai, Revisiting Neural Scaling Laws in Language and Vision, arXiv 2209.06640 (2022)"
)
_CABALLERO = "Caballero, Gupta, Rish and Krueger, Broken Neural Scaling Laws, arXiv 2210.14891 (2022)"


# M3: y = e + a * (1/x + g)^b


def _m3(x: Array, params: Array) -> Array:
    a, b, e, g = (params[..., i, None] for i in range(4))
    return e + a * (1.0 / x + g) ** b


def _m3_gradient(x: Array, params: Array) -> tuple[Array, Array]:
    a, b, e, g = (params[..., i, None] for i in range(4))
    inner = 1.0 / x + g
    power = inner**b
    return e + a * power, np.stack(
        [power, a * power * np.log(inner), np.ones_like(power), a * b * power / inner], axis=-1
    )


def _m3_starts(x: Array, y: Array) -> Array:
    grid = np.array(list(itertools.product((0.1, 0.2, 0.4, 0.8), (0.01, 0.3, 1.0), (0.01, 0.4, 0.9))))
    b, g, share = grid[:, :1], grid[:, 1:2] / x.max(), grid[:, 2:]
    middle = np.median((1.0 / x + g) ** b, axis=1, keepdims=True)  # the curve passes through the median of y
    return np.hstack([(1.0 - share) * np.median(y) / middle, b, share * y.min(), g])


# M4: (y - e) / (y0 - y)^s = a * x^(-b), e < y < y0, solved for y. With y = e + (y0 - e) * sigmoid(t) it reads
# log sigmoid(t) - s * log sigmoid(-t) = log a - b log x - (1 - s) log(y0 - e), whose left side rises in t.


def _m4_root(x: Array, params: Array) -> tuple[Array, Array]:
    """t and the slope of the left side there, each [..., n]."""
    from scipy.special import expit, log_expit

    a, b, e, s, y0 = (params[..., i, None] for i in range(5))
    right = np.log(a) - b * np.log(x) - (1.0 - s) * np.log(y0 - e)
    # The left side is near t for t << 0 and near s * t for t >> 0: start on the nearer line, then Newton.
    t = np.where(right < 0, right, right / s)
    for _ in range(6):
        below = log_expit(t)  # and log sigmoid(-t) is below - t
        up = np.exp(below)
        t = t - (below - s * (below - t) - right) / (1.0 - up + s * up)
    up = expit(t)
    return t, 1.0 - up + s * up


def _m4(x: Array, params: Array) -> Array:
    from scipy.special import expit

    e, y0 = params[..., 2, None], params[..., 4, None]
    return e + (y0 - e) * expit(_m4_root(x, params)[0])


def _m4_gradient(x: Array, params: Array) -> tuple[Array, Array]:
    from scipy.special import expit, log_expit

    a, _, e, s, y0 = (params[..., i, None] for i in range(5))
    t, slope = _m4_root(x, params)
    up, down, reach = expit(t), expit(-t), y0 - e
    moved = reach * up * down / slope  # d y / d right
    log_x = np.log(x)
    return e + reach * up, np.stack(
        [
            moved / a,
            -moved * log_x,
            down + moved * (1.0 - s) / reach,
            moved * (np.log(reach) + log_expit(-t)),
            up - moved * (1.0 - s) / reach,
        ],
        axis=-1,
    )


def _m4_starts(x: Array, y: Array) -> Array:
    rows = []
    middle = int(np.argsort(y)[len(y) // 2])
    for b, share, s, lift in itertools.product((0.15, 0.3, 0.6, 1.0), (0.01, 0.4, 0.9), (0.3, 1.0), (1.02, 1.3)):
        e, y0 = share * y.min(), lift * y.max()
        level = (y[middle] - e) / (y0 - y[middle]) ** s
        rows.append((level * x[middle] ** b, b, e, s, y0))
    return np.array(rows)


# Broken power laws: y = e + a * x^(-c0) * prod_i (1 + (x / d_i)^(1 / f_i))^(-c_i * f_i)


def broken_power_law(breaks: int) -> Form:
    """BNSL with so many breaks (1 or more): parameters a, c0, e, then c_i, d_i, f_i of each break.

    Arguments:
        breaks: how many.

    Returns:
        The form `BNSL1`, `BNSL2`, ...

    Example:
        >>> broken_power_law(2).parameters
        ('a', 'c0', 'e', 'c1', 'd1', 'f1', 'c2', 'd2', 'f2')
    """
    names = ["a", "c0", "e"]
    for i in range(1, breaks + 1):
        names += [f"c{i}", f"d{i}", f"f{i}"]
    each = rf"\prod_{{i=1}}^{{{breaks}}} \left(1 + (x/d_i)^{{1/f_i}}\right)^{{-c_i f_i}}"
    return Form(
        name=f"BNSL{breaks}",
        formula="y = e + a * x^(-c0)"
        + "".join(f" * (1 + (x / d{i})^(1 / f{i}))^(-c{i} * f{i})" for i in range(1, breaks + 1)),
        latex=r"y = e + a\,x^{-c_0} " + each,
        parameters=tuple(names),
        bounds=(POSITIVE, FREE, POSITIVE, *([FREE, POSITIVE, (0.02, 2.0)] * breaks)),
        exponent="c0",
        function=_broken,
        gradient=_broken_gradient,
        starts=partial(_broken_starts, breaks=breaks),
        linear=("a", "e"),
        scale="log",
        citation=_CABALLERO,
        doc=f"A power law whose slope changes smoothly at {breaks} place{'s' if breaks > 1 else ''} d_i, by c_i.",
    )


def _broken(x: Array, params: Array) -> Array:
    return params[..., 2, None] + params[..., 0, None] * np.exp(_broken_exponent(x, params)[0])


def _broken_exponent(x: Array, params: Array) -> tuple[Array, list[tuple[Array, Array]]]:
    """log of the bare curve [..., n], and of each break log(1 + u) and u / (1 + u), u = (x / d)^(1 / f)."""
    from scipy.special import expit, log_expit

    log_x = np.log(x)
    total = -params[..., 1, None] * log_x
    parts = []
    for at in range(3, params.shape[-1], 3):
        c, d, f = (params[..., at + i, None] for i in range(3))
        z = (log_x - np.log(d)) / f
        soft = -log_expit(-z)
        total = total - c * f * soft
        parts.append((soft, expit(z)))
    return total, parts


def _broken_gradient(x: Array, params: Array) -> tuple[Array, Array]:
    total, parts = _broken_exponent(x, params)
    bare = np.exp(total)
    scaled = params[..., 0, None] * bare
    log_x = np.log(x)
    columns = [bare, -scaled * log_x, np.ones_like(bare)]
    for i, (soft, share) in enumerate(parts):
        c, d, f = (params[..., 3 + 3 * i + k, None] for k in range(3))
        z = (log_x - np.log(d)) / f
        columns += [-scaled * f * soft, scaled * c * share / d, -scaled * c * (soft - share * z)]
    return params[..., 2, None] + scaled, np.stack(columns, axis=-1)


def _broken_starts(x: Array, y: Array, breaks: int) -> Array:
    low, high = np.log(x.min()), np.log(x.max())
    rows = []
    for first, bend, share, place in itertools.product(
        (0.0, 0.15, 0.4), (0.1, 0.3, 0.7), (0.01, 0.4, 0.9), (-0.2, 0.25, 0.6, 0.9)
    ):
        row = [1.0, first, share]
        for i in range(breaks):
            row += [bend, float(np.exp(low + (place + i) / breaks * (high - low))), 0.5]
        rows.append(row)
    params = np.array(rows)
    share = params[:, 2].copy()
    params[:, 2] = 0.0
    bare = np.median(_broken(x, params), axis=1) / (1.0 - share)
    params[:, 0] = np.median(y) / np.maximum(bare, 1e-300)
    params[:, 2] = share * y.min()
    return params


# HILL: BNSL of one break without a slope before it.


def _padded(params: Array) -> Array:
    a, e, c, d, f = (params[..., i] for i in range(5))
    return np.stack([a, np.zeros_like(a), e, c, d, f], axis=-1)


def _hill(x: Array, params: Array) -> Array:
    return _broken(x, _padded(params))


def _hill_gradient(x: Array, params: Array) -> tuple[Array, Array]:
    y, slope = _broken_gradient(x, _padded(params))
    return y, slope[..., [0, 2, 3, 4, 5]]


def _hill_starts(x: Array, y: Array) -> Array:
    found = _broken_starts(x, y, 1)
    return found[found[:, 1] == 0.0][:, [0, 2, 3, 4, 5]]


# A score between two levels: the logistic in log x, y = low + (high - low) / (1 + (x / m)^(-k)), and the sigmoid in x


def _between(far: Array, params: Array) -> tuple[Array, Array, Array]:
    """y, the share of the way up, and the slope of y by k * far."""
    from scipy.special import expit

    high, k, low = (params[..., i, None] for i in range(3))
    up = expit(k * far)
    return low + (high - low) * up, up, (high - low) * up * (1.0 - up)


def _logistic_far(x: Array, params: Array) -> Array:
    return np.log(x) - np.log(params[..., 3, None])


def _logistic(x: Array, params: Array) -> Array:
    return _between(_logistic_far(x, params), params)[0]


def _logistic_gradient(x: Array, params: Array) -> tuple[Array, Array]:
    k, m, far = params[..., 1, None], params[..., 3, None], _logistic_far(x, params)
    y, up, bend = _between(far, params)
    return y, np.stack([up, bend * far, 1.0 - up, -bend * k / m], axis=-1)


def _sigmoid_far(x: Array, params: Array) -> Array:
    return params[..., 3, None] - x


def _sigmoid(x: Array, params: Array) -> Array:
    return _between(_sigmoid_far(x, params), params)[0]


def _sigmoid_gradient(x: Array, params: Array) -> tuple[Array, Array]:
    k, far = params[..., 1, None], _sigmoid_far(x, params)
    y, up, bend = _between(far, params)
    return y, np.stack([up, bend * far, 1.0 - up, bend * k], axis=-1)


def _level_starts(low: float, high: float, y: Array) -> Array:
    """Parameters with m between two ends, and k by the distance of them: the first half rises with far."""
    rows = []
    for steep, place, over, under in itertools.product((0.5, 2.0, 6.0), (0.0, 0.5, 1.0), (1.01, 1.5), (0.99, 0.5)):
        k, m = 2.0 * steep / (high - low), low + place * (high - low)
        rows += [(over * y.max(), sign * k, under * y.min(), m) for sign in (1.0, -1.0)]
    return np.array(rows)


def _logistic_starts(x: Array, y: Array) -> Array:
    found = _level_starts(np.log(x.min()), np.log(x.max()), y)
    found[:, 3] = [float(np.exp(m)) for m in found[:, 3]]
    return found


def _sigmoid_starts(x: Array, y: Array) -> Array:
    return _level_starts(float(x.min()), float(x.max()), y)


_M1, _M2 = (
    replace(form, name=name, scale="log", power_term=None, citation=_ALABDULMOHSIN, doc=doc)
    for form, name, doc in (
        (SIMPLE[3], "M1", "The power law, fitted to log y."),
        (SIMPLE[4], "M2", "The power law with a floor, fitted to log y."),
    )
)

CURVES = (
    _M1,
    _M2,
    Form(
        name="M3",
        formula="y = e + a * (1/x + g)^b",
        latex=r"y = e + a\,(x^{-1} + g)^{b}",
        parameters=("a", "b", "e", "g"),
        bounds=(POSITIVE, POSITIVE, POSITIVE, POSITIVE),
        exponent="b",
        function=_m3,
        gradient=_m3_gradient,
        starts=_m3_starts,
        linear=("a", "e"),
        scale="log",
        citation=_ALABDULMOHSIN,
        doc="A power law that levels off where x exceeds 1/g, sooner than a floor alone would have it.",
    ),
    Form(
        name="M4",
        formula="(y - e) / (y0 - y)^s = a * x^(-b), solved for y",
        latex=r"\frac{y - e}{(y_0 - y)^{s}} = a\,x^{-b}",
        parameters=("a", "b", "e", "s", "y0"),
        bounds=(POSITIVE, POSITIVE, POSITIVE, (0.02, 20.0), POSITIVE),
        exponent="b",
        function=_m4,
        gradient=_m4_gradient,
        starts=_m4_starts,
        scale="log",
        citation=_ALABDULMOHSIN,
        doc="A loss that leaves its level at random, y0, slowly, then falls as a power law to a floor e.",
    ),
    broken_power_law(1),
    broken_power_law(2),
    Form(
        name="HILL",
        formula="y = e + a * (1 + (x / d)^(1 / f))^(-c * f)",
        latex=r"y = e + a \left(1 + (x/d)^{1/f}\right)^{-c f}",
        parameters=("a", "e", "c", "d", "f"),
        bounds=(POSITIVE, POSITIVE, FREE, POSITIVE, (0.02, 2.0)),
        exponent="c",
        function=_hill,
        gradient=_hill_gradient,
        starts=_hill_starts,
        linear=("a", "e"),
        scale="log",
        citation=_CABALLERO + " (one break, c0 = 0)",
        doc="Flat at first, then a power law: the broken law of one break without a slope before it.",
    ),
    Form(
        name="logistic",
        formula="y = low + (high - low) / (1 + (x / m)^(-k))",
        latex=r"y = l + \frac{h - l}{1 + (x/m)^{-k}}",
        parameters=("high", "k", "low", "m"),
        bounds=(POSITIVE, FREE, POSITIVE, POSITIVE),
        exponent="k",
        function=_logistic,
        gradient=_logistic_gradient,
        starts=_logistic_starts,
        linear=("high", "low"),
        citation="Ruan, Maddison and Hashimoto, Observational Scaling Laws, arXiv 2405.10938 (2024), of log x",
        doc="A score that climbs from one level to another, half of the way at x = m.",
    ),
    Form(
        name="sigmoid",
        formula="y = low + (high - low) / (1 + exp(k * (x - m)))",
        latex=r"y = l + \frac{h - l}{1 + e^{k (x - m)}}",
        parameters=("high", "k", "low", "m"),
        bounds=(POSITIVE, FREE, POSITIVE, POSITIVE),
        exponent="k",
        function=_sigmoid,
        gradient=_sigmoid_gradient,
        starts=_sigmoid_starts,
        linear=("high", "low"),
        citation="Bhagia et al., Establishing Task Scaling Laws via Compute-Efficient Model Ladders, arXiv 2412.04403",
        doc="A score of a loss x: it climbs from one level to another as x falls, half of the way at x = m.",
    ),
)
