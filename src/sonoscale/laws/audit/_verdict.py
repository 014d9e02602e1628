"""The rules, as the package's docstring states them, and how many configurations a question needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from sonoscale.laws.audit._marginal import Association
from sonoscale.laws.audit._pairs import SeedFloor
from sonoscale.laws.audit._partial import DETERMINED, Adjusted

__all__ = ["VERDICTS", "Ruling", "Verdict", "configurations_needed", "decide", "power_of"]

Verdict = Literal["supported", "only_through_capacity", "not_supported", "insufficient_data"]

VERDICTS: dict[Verdict, str] = {
    "supported": "Supported: in these runs rank predicts quality beyond the covariates",
    "only_through_capacity": "Only through capacity: at equal covariates, rank adds nothing that these runs can show",
    "not_supported": "Not supported: in these runs more rank does not go with more quality",
    "insufficient_data": "Insufficient data: these runs cannot say whether rank is to be trusted",
}
"""Verdict -> its words."""

LEAST_CONFIGURATIONS = 8
SPARE_CONFIGURATIONS = 4
"""Configurations beyond the columns of the covariates."""
ASSUMED = 0.5
"""The partial correlation that an audit should be able to detect."""
LEAST_POWER = 0.5
"""Chance to detect `ASSUMED` below which a result that is not significant says nothing."""
POWER = 0.8
"""Probability with which the number of runs is to show the effect."""
MOST = 1000
"""Numbers above this are printed as 'more than'."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A verdict and its `reason`; `needed_assumed`, `needed_observed`: configurations; `needed`: in words."""

    verdict: Verdict
    reason: str
    needed_assumed: int | None
    needed_observed: int | None
    needed: str


def decide(
    count: int,
    marginal: Association | None,
    adjusted: Adjusted | str | None,
    floors: dict[str, SeedFloor | str],
    *,
    columns: int,
    covariates: bool,
    level: float,
) -> Ruling:
    """Applies the rules.

    Arguments:
        count: configurations.
        marginal, adjusted: what was found, None with too few configurations.
        floors: `rank` and `quality` -> the seed floor, or why there is none.
        columns: of the covariates and families, the constant not counted.
        covariates: whether any are known.
    """
    alpha = 1 - level
    least = max(LEAST_CONFIGURATIONS, columns + SPARE_CONFIGURATIONS)
    parameters = adjusted.partial.parameters if isinstance(adjusted, Adjusted) else columns + 1

    def ruled(verdict: Verdict, reason: str, *, observed: float | None = None, alone: bool = False) -> Ruling:
        fewest = adjusted.resolved_by if isinstance(adjusted, Adjusted) and adjusted.exhausted and not alone else least
        return _ruling(verdict, reason, count, 1 if alone else parameters, observed, level, max(fewest, least))

    if count < least or marginal is None or adjusted is None:
        return ruled("insufficient_data", f"there are {count} independent configurations, and {least} are the least")
    for name, floor in floors.items():
        if isinstance(floor, SeedFloor) and floor.p is not None and floor.p > alpha:
            return ruled(
                "insufficient_data",
                f"{name} differs no more between configurations than between seeds (p = {floor.p:.2g})",
            )
    rho = f"Spearman's rho is {marginal.value:.2f} over {count} configurations ({_p(marginal.p)})"
    significant = marginal.p is not None and marginal.p < alpha
    if significant and marginal.value < 0:
        return ruled("not_supported", f"more rank goes with less quality: {rho}", observed=marginal.value, alone=True)
    if not significant:
        chance = power_of(ASSUMED, count - 2, level)
        verdict: Verdict = "not_supported" if chance >= LEAST_POWER else "insufficient_data"
        return ruled(
            verdict,
            f"{rho}; a correlation of {ASSUMED:g} would be detected with a chance of {chance:.0%}",
            observed=marginal.value,
            alone=True,
        )
    if not covariates:
        return _lacking(
            f"{rho}, but without covariates rank cannot be separated from capacity",
            "no number of these; missing is a column of capacity (parameters, data, compute), named as a covariate",
        )
    if adjusted == DETERMINED:
        return _lacking(
            f"{rho}, but {adjusted}",
            "no number of such runs; missing are runs of equal capacity and different rank",
        )
    if isinstance(adjusted, str):
        return ruled("insufficient_data", f"{rho}, but {adjusted}")
    return _beyond(adjusted, rho, alpha, level, ruled)


def _beyond(adjusted: Adjusted, rho: str, alpha: float, level: float, ruled: Callable[..., Ruling]) -> Ruling:
    partial, richer = adjusted.partial, adjusted.richer
    at_equal = f"at equal covariates the partial correlation is {partial.value:.2f} ({_p(partial.p)})"
    if all(one.p < alpha and one.value > 0 for one in (partial, richer)) and adjusted.gain > 0:
        if adjusted.exhausted:
            return ruled(
                "insufficient_data",
                f"{at_equal}, but there are too few runs to separate rank from a bend in the covariates' effect",
                observed=partial.value,
            )
        gain = f"rank lowers the leave-one-out error by {adjusted.gain:.0%}"
        return ruled("supported", f"{rho}; {at_equal}, and {gain}", observed=partial.value)
    chance = power_of(ASSUMED, partial.df, level)
    if partial.p < alpha and partial.value < 0:
        return ruled("only_through_capacity", f"{rho}, but {at_equal}, against rank", observed=partial.value)
    if chance < LEAST_POWER:
        return ruled(
            "insufficient_data",
            f"{rho}, but whether beyond capacity is open: {at_equal}, and a correlation of {ASSUMED:g} would be "
            f"detected with a chance of {chance:.0%} only",
            observed=partial.value,
        )
    why = at_equal
    if partial.p < alpha and richer.p >= alpha:
        why += f", and {richer.value:.2f} ({_p(richer.p)}) once a little more curvature is allowed"
    elif partial.p < alpha:
        why += ", and rank does not lower the leave-one-out error"
    return ruled("only_through_capacity", f"{rho}, but {why}", observed=partial.value)


def _ruling(
    verdict: Verdict, reason: str, count: int, parameters: int, observed: float | None, level: float, least: int
) -> Ruling:
    assumed = configurations_needed(ASSUMED, parameters, level)
    assumed = None if assumed is None else max(assumed, least)
    found = None if observed is None else configurations_needed(observed, parameters, level)
    found = None if found is None else max(found, least)
    if verdict == "supported" or (verdict == "not_supported" and (observed or 0) < 0 and (found or MOST + 1) <= count):
        words = f"settled by these {count} configurations"
    else:
        words = (
            f"{assumed} configurations in all show a correlation of {ASSUMED:g}, if there is one, with a chance of "
            f"{POWER:.0%}"
        )
        if observed is not None:
            size = f"one as small as that observed ({observed:.2f})"
            words += f"; {size} takes {found if found is not None else f'more than {MOST}'}"
    return Ruling(verdict=verdict, reason=reason, needed_assumed=assumed, needed_observed=found, needed=words)


def power_of(correlation: float, df: int, level: float) -> float:
    """The chance that a two-sided test detects a partial correlation with `df` residual degrees of freedom.

    By Fisher's z, whose variance is 1 / (df - 1): atanh(r) sqrt(df - 1) against the normal quantile.
    """
    if df <= 1:
        return 0.0
    return float(stats.norm.cdf(math.atanh(correlation) * math.sqrt(df - 1) - stats.norm.ppf(0.5 * (1 + level))))


def configurations_needed(correlation: float, parameters: int, level: float) -> int | None:
    """How many show a partial correlation with a chance of `POWER`, given `parameters` columns of covariates.

    None where that is more than `MOST`.
    """
    size = abs(correlation)
    if size < 1e-6:
        return None
    if size >= 1 - 1e-9:
        return parameters + 4
    quantiles = stats.norm.ppf(0.5 * (1 + level)) + stats.norm.ppf(POWER)
    df = 1 + (quantiles / math.atanh(size)) ** 2
    count = math.ceil(df + parameters + 1)
    return count if count <= MOST else None


def _lacking(reason: str, missing: str) -> Ruling:
    """Where more runs of the same kind settle nothing."""
    return Ruling(verdict="insufficient_data", reason=reason, needed_assumed=None, needed_observed=None, needed=missing)


def _p(value: float | None) -> str:
    if value is None:
        return "p unknown"
    return f"p = {value:.2g}" if value >= 0.001 else "p < 0.001"
