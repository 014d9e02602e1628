"""Families in a log-linear model: with random effects, with fixed ones, and left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonoscale.laws.loglinear._prepare import Prepared
from sonoscale.laws.loglinear._solve import Solved, reml_ratio, solve_linear

__all__ = ["missed_families", "solve_prepared"]

Array = NDArray[np.float64]


def solve_prepared(data: Prepared) -> Solved:
    """The fit, the variances of random effects by restricted maximum likelihood."""
    random = data.family is not None and data.effects == "random"
    ratio = reml_ratio(data.X, data.z, data.families) if random else 0.0
    return solve_linear(data.X, data.z, data.families, ratio)


def missed_families(data: Prepared) -> Array:
    """z less its prediction from all other families: [n]; NaN where they do not determine it.

    The effect of a family that was left out is taken to be the mean of the others': with random effects as the
    model has it (the ratio of variances is held), with fixed ones unweighted, in a fit of their own.
    """
    if data.effects == "random":
        return solve_prepared(data).missed(data.members)
    count = len(data.family_names)
    main = data.X[:, 1 : data.X.shape[1] - (count - 1)]
    own = (data.members[:, None] == np.arange(count)).astype(np.float64)
    missed = np.full(len(data.z), np.nan)
    for family in range(count):
        held = data.members == family
        design = np.concatenate([main, np.delete(own, family, axis=1)], axis=1)
        scale = np.linalg.norm(design[~held], axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        beta, _, rank, _ = np.linalg.lstsq(design[~held] / scale, data.z[~held], rcond=1e-10)
        if rank == design.shape[1]:
            beta = beta / scale
            split = main.shape[1]
            missed[held] = data.z[held] - main[held] @ beta[:split] - beta[split:].mean()
    return missed
