"""What chance would have made of the data: shared by all models of one set of clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Resamples", "resample"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Resamples:
    """R resamples.

    Attributes:
        weights: of each cluster [R, G]. Random fractions that sum to G (Rubin's Bayesian bootstrap, Annals of
            Statistics 9, 1981) and not counts: no cluster is ever absent, so that each resample determines each family
            and level.
        rows: the row whose error a new run has [R]: a cluster at random, then one of its rows.
        family: uniform numbers [R], for the effect of a family.
    """

    weights: Array
    rows: Codes
    family: Array


def resample(clusters: Codes, *, bootstrap: int, seed: int) -> Resamples:
    """Resamples of these clusters; the same for the same seed."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(clusters)
    weights = rng.dirichlet(np.ones(len(sizes)), size=bootstrap) * len(sizes)
    order = np.argsort(clusters, kind="stable")
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    group = rng.integers(len(sizes), size=bootstrap)
    within = (rng.random(bootstrap) * sizes[group]).astype(np.intp)
    return Resamples(weights, order[first[group] + within], rng.random(bootstrap))
