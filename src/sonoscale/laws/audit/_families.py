"""Families of encoders: rank within them, across them, and for a held-out family."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sonoscale.laws._bootstrap import expanded_interval, small_sample_factor
from sonoscale.laws.audit._bases import linear_basis
from sonoscale.laws.audit._gather import Configurations, mean_over
from sonoscale.laws.audit._marginal import Association, associate

__all__ = ["HeldOutFamilies", "across_families", "held_out_families", "within_families"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class HeldOutFamilies:
    """Each family predicted from the others, linearly.

    Attributes:
        families: those that could be held out;
        skipped: those whose rest is too few for the model, or alike.
        mean, rank, covariates, both: root mean squared error, in the unit of quality, of the mean of the other
            families, of a line in rank, of the covariates, and of both.
        by_family: family -> the same four.
    """

    families: tuple[str, ...]
    skipped: tuple[str, ...]
    mean: float
    rank: float
    covariates: float
    both: float
    by_family: dict[str, dict[str, float]]


def within_families(runs: Configurations, *, level: float, bootstrap: int, seed: int) -> Association | str:
    """Spearman's rho of the orders within the families, pooled.

    Ranks are taken in each family, centred there, and correlated over all; a family of n weighs about n^3, as in
    the sum of Spearman's own numerators. p is that of Student's t with the degrees of freedom that the families'
    means leave. The interval resamples configurations within families, and is never narrower than that of
    Bonett and Wright (Psychometrika 65, 2000) for G - F + 1 points.
    """
    family = runs.family
    if family is None:
        return "no column of families was named (family)"
    families = int(family.max()) + 1
    if families == 1:
        return "there is one family only: within it is the same as over all"
    value = _pooled(runs.rank, runs.quality, family)
    points = len(runs) - families + 1
    if value is None or points < 5:
        return f"{families} families of {len(runs)} configurations leave too few to compare within families"
    df = points - 2
    p = float(2 * stats.t.sf(abs(value) * np.sqrt(df / max(1 - value**2, 1e-15)), df))
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(family == f) for f in range(families)]
    draws = []
    for _ in range(bootstrap):
        drawn = np.concatenate([rng.choice(rows, len(rows)) for rows in members])
        draws.append(_pooled(runs.rank[drawn], runs.quality[drawn], family[drawn]))
    limit = 1.0 - 6.0 / (points**3 - points)
    found = np.arctanh(np.clip([draw for draw in draws if draw is not None], -limit, limit))
    centre = np.arctanh(np.clip(value, -limit, limit))
    low, high = expanded_interval(found, centre, level=level, factor=small_sample_factor(points, 2, level))
    half = stats.norm.ppf(0.5 * (1 + level)) * np.sqrt((1 + value**2 / 2) / (points - 3))
    low, high = float(np.tanh(min(low, centre - half))), float(np.tanh(max(high, centre + half)))
    return Association(value=value, low=min(low, value), high=max(high, value), p=p, n=len(runs))


def across_families(runs: Configurations, *, level: float, bootstrap: int, seed: int) -> Association | str:
    """Spearman's rho of the families' means: families are the points."""
    if runs.family is None:
        return "no column of families was named (family)"
    rank, quality = mean_over(runs.rank, runs.family), mean_over(runs.quality, runs.family)
    if len(rank) < 4:
        return f"means of {len(rank)} famil{'y' if len(rank) == 1 else 'ies'} say nothing: 4 are needed"
    if np.ptp(rank) == 0 or np.ptp(quality) == 0:
        return "the means of all families are the same"
    return associate(rank, quality, level=level, bootstrap=bootstrap, seed=seed)


def held_out_families(runs: Configurations) -> HeldOutFamilies | str:
    """Errors on each family of models that were fitted to the others."""
    family = runs.family
    if family is None:
        return "no column of families was named (family)"
    if int(family.max()) < 1:
        return "there is one family only: none can be held out"
    designs = _designs(runs)
    squares: dict[str, dict[str, Array]] = {}
    skipped = []
    for number, label in enumerate(runs.family_labels):
        inside, outside = family == number, family != number
        fitted = {name: _predicted(design, runs.quality, outside, inside) for name, design in designs.items()}
        if any(one is None for one in fitted.values()):
            skipped.append(label)
            continue
        squares[label] = {name: (one - runs.quality[inside]) ** 2 for name, one in fitted.items() if one is not None}
    if not squares:
        return "no family can be held out: the others are too few, or too alike, for the covariates"
    total = {name: np.concatenate([each[name] for each in squares.values()]) for name in designs}
    return HeldOutFamilies(
        families=tuple(sorted(squares)),
        skipped=tuple(sorted(skipped)),
        by_family={
            label: {name: float(np.sqrt(square.mean())) for name, square in squares[label].items()}
            for label in sorted(squares)
        },
        **{name: float(np.sqrt(square.mean())) for name, square in total.items()},
    )


def _designs(runs: Configurations) -> dict[str, Array]:
    one, rank = np.ones((len(runs), 1)), runs.rank[:, None]
    covariates = linear_basis(runs.covariates, None)  # collinear ones count once
    return {
        "mean": one,
        "rank": np.concatenate([one, rank], axis=1),
        "covariates": covariates,
        "both": np.concatenate([covariates, rank], axis=1),
    }


def _predicted(design: Array, quality: Array, outside: NDArray[np.bool_], inside: NDArray[np.bool_]) -> Array | None:
    """Predictions for the rows inside by least squares over those outside, which must determine it."""
    size = np.abs(design).max(axis=0)
    known = design[outside] / size
    if len(known) < known.shape[1] + 2:
        return None
    solution, _, rank, _ = np.linalg.lstsq(known, quality[outside], rcond=1e-7)
    return design[inside] / size @ solution if rank == known.shape[1] else None


def _pooled(rank: Array, quality: Array, family: Index) -> float | None:
    x, y = _centred_ranks(rank, family), _centred_ranks(quality, family)
    size = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / size, -1, 1)) if size > 0 else None


def _centred_ranks(column: Array, family: Index) -> Array:
    out = np.zeros(len(column))
    for number in np.unique(family):
        rows = family == number
        ranks = stats.rankdata(column[rows])
        out[rows] = ranks - ranks.mean()
    return out
