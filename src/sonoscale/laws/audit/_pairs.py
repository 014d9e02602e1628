"""Differences that count: the seed floor, and pairs of runs of equal size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sonoscale.laws._bootstrap import expanded_interval, small_sample_factor
from sonoscale.laws._estimate import Estimate
from sonoscale.laws.audit._gather import Configurations, mean_over
from sonoscale.laws.audit._marginal import paired, resamples

__all__ = ["MATCHED", "Pairs", "SeedFloor", "matched_pairs", "ordered_pairs", "seed_floor"]

Array = NDArray[np.float64]

MATCHED = 1.10
"""Pairs whose parameters differ by less than this factor are of equal size."""


@dataclass(frozen=True, kw_only=True)
class SeedFloor:
    """How far apart runs are that differ by their seeds only.

    Attributes:
        sd: pooled standard deviation within configurations, in the unit of the column.
        difference: what two single runs of one configuration exceed in 1 - level of all cases: t sd sqrt(2).
        df: degrees of freedom of `sd`: rows less configurations, over those with several rows.
        f, p: of the analysis of variance between configurations: is there more than seeds? None where seeds do not
            differ at all, or only one configuration has several.
    """

    sd: float
    difference: float
    df: int
    f: float | None
    p: float | None


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of configurations whose qualities differ by more than seeds do.

    Attributes:
        by: what is equal in them, or None for all pairs.
        candidates: pairs that are so.
        counted: those of them above the seed floor, with different ranks.
        share: of the counted in which the higher rank has the higher quality. Its interval is over resampled
            configurations, since the pairs of one configuration are dependent, and never narrower than Wilson's for
            half as many independent pairs as there are configurations in them.
        configurations: in the counted pairs.
    """

    by: str | None
    candidates: int
    counted: int
    share: Estimate
    configurations: int


def seed_floor(runs: Configurations, column: str, *, level: float) -> SeedFloor | str:
    """Of `rank` or `quality`, from rows of one configuration with the same design."""
    rows = runs.rows
    values = rows.rank if column == "rank" else rows.quality
    size = np.bincount(rows.cell)
    df = int((size - 1).sum())
    if df == 0:
        return "no configuration has several seeds: what seeds alone would change is not known"
    centred = values - mean_over(values, rows.cell)[rows.cell]
    within = float(centred @ centred)
    sd = float(np.sqrt(within / df))
    means = mean_over(values, rows.cell)
    between = float(size @ (means - values.mean()) ** 2)
    groups = len(size)
    f = between / (groups - 1) / (within / df) if groups > 1 and within > 0 else None
    return SeedFloor(
        sd=sd,
        difference=float(stats.t.ppf(0.5 * (1 + level), df) * np.sqrt(2) * sd),
        df=df,
        f=f,
        p=None if f is None else float(stats.f.sf(f, groups - 1, df)),
    )


def ordered_pairs(
    runs: Configurations, floor: SeedFloor | str, *, level: float, bootstrap: int, seed: int
) -> Pairs | str:
    """All pairs of configurations, or of those that are drawn (see `paired`)."""
    drawn = paired(len(runs), seed)
    alike = np.ones((len(drawn), len(drawn)), dtype=bool)
    return _counted(runs, drawn, alike, None, floor, level=level, bootstrap=bootstrap, seed=seed)


def matched_pairs(
    runs: Configurations, floor: SeedFloor | str, *, level: float, bootstrap: int, seed: int
) -> Pairs | str:
    """Those of them whose parameters (else the first covariate that counts something) differ by less than `MATCHED`."""
    chosen = runs.size_by
    if chosen is None:
        return "no covariate says how large the runs are"
    drawn = paired(len(runs), seed)
    size = runs.covariates[drawn, chosen]
    alike = np.abs(size[:, None] - size) < np.log(MATCHED)
    return _counted(runs, drawn, alike, runs.names[chosen].name, floor, level=level, bootstrap=bootstrap, seed=seed)


def _counted(
    runs: Configurations, drawn: NDArray[np.intp], alike: NDArray[np.bool_], by: str | None, floor: SeedFloor | str, *,
    level: float, bootstrap: int, seed: int,
) -> Pairs | str:  # fmt: skip
    upper = np.triu(np.ones_like(alike), 1)
    candidates = int((alike & upper).sum())
    if candidates == 0:
        return f"no two configurations are within a factor {MATCHED:g} of one another in {by}"
    rank = runs.rank[drawn, None] - runs.rank[drawn]
    quality = runs.quality[drawn, None] - runs.quality[drawn]
    least = np.zeros_like(quality)
    if isinstance(floor, SeedFloor):  # means of several seeds resolve smaller differences
        least = floor.difference * np.sqrt(0.5 * (1 / runs.size[drawn, None] + 1 / runs.size[drawn]))
    counted = alike & (np.abs(quality) > least) & (rank != 0)
    total = int((counted & upper).sum())
    if total == 0:
        return f"none of {candidates} pairs differs by more than seeds do"
    right = (counted & (rank * quality > 0)).astype(np.float64)
    share = float((right * upper).sum() / total)
    members = int(counted.any(axis=1).sum())
    weights = resamples(len(drawn), bootstrap, seed)
    weight_all = np.einsum("rg,rg->r", weights @ counted.astype(np.float64), weights)
    shares = np.einsum("rg,rg->r", weights @ right, weights)[weight_all > 0] / weight_all[weight_all > 0]
    factor = small_sample_factor(max(members, 3), 1, level)
    drawn_low, drawn_high = expanded_interval(shares, share, level=level, factor=factor)
    low, high = _wilson(share, max(members // 2, 1), level)
    return Pairs(
        by=by,
        candidates=candidates,
        counted=total,
        share=Estimate(share, max(float(min(drawn_low, low)), 0.0), min(float(max(drawn_high, high)), 1.0)),
        configurations=members,
    )


def _wilson(share: float, n: int, level: float) -> tuple[float, float]:
    """Of a share of n independent pairs (Wilson, Journal of the American Statistical Association 22, 1927)."""
    z = float(stats.norm.ppf(0.5 * (1 + level)))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half
