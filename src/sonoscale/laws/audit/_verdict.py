"""The rules, as the package's docstring states them, and how many configurations a question needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from scipy import stats

from sonoscale.laws.audit._joint import Joint
from sonoscale.laws.audit._marginal import Association
from sonoscale.laws.audit._pairs import SeedFloor
from sonoscale.laws.audit._partial import DETERMINED, Adjusted

__all__ = ["VERDICTS", "Ruling", "Verdict", "configurations_needed", "decide", "upper_bound"]

Verdict = Literal["supported", "only_through_capacity", "not_supported", "insufficient_data"]

VERDICTS: dict[Verdict, str] = {
    "supported": "Supported: in these runs rank predicts quality beyond the covariates",
    "only_through_capacity": "Only through capacity: at equal covariates, rank adds less than the margin",
    "not_supported": "Not supported: in these runs more rank does not go with more quality",
    "insufficient_data": "Insufficient data: these runs cannot say whether rank is to be trusted",
}
"""Verdict -> its words."""

LEAST_CONFIGURATIONS = 8
SPARE_CONFIGURATIONS = 4
"""Configurations beyond the columns of the covariates."""
ASSUMED = 0.5
"""The partial correlation that an audit should be able to detect."""
LENIENT = 2.0
"""By how much the p of the parametric bases may exceed that of the joint model, which holds the level."""
EXCUSE = 2.4
"""By how much the p may, with which the correlation exceeds what errors of the sizes would make."""
AGREE, DISAGREE = 1.5, 2.5
"""Standard errors by which the parametric bases may differ from the joint model for the mean of the two to count; from
the first on it counts less, from the second on not at all: then there is a bend that the bases miss."""
POWER = 0.8
"""Probability with which the number of runs is to show the effect."""
MOST = 1000
"""Numbers above this are printed as 'more than'."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A verdict.

    Attributes:
        verdict: one of `VERDICTS`; reason: the sentence why.
        needed_assumed, needed_observed, needed_margin: configurations (see `Audit`); needed: in words.
        p: one-sided, below 1 - level where the tests on which `supported` rests agree, None where it did not come to
            them.
        bound: one-sided upper bound of the correlation that was compared with the margin, or None.
    """

    verdict: Verdict
    reason: str
    needed_assumed: int | None
    needed_observed: int | None
    needed_margin: int | None
    needed: str
    p: float | None = None
    bound: float | None = None


def decide(
    count: int,
    marginal: Association | None,
    adjusted: Adjusted | str | None,
    joint: Joint | str | None,
    floors: dict[str, SeedFloor | str],
    *,
    columns: int,
    covariates: bool,
    level: float,
    margin: float,
) -> Ruling:
    """Applies the rules.

    Arguments:
        count: configurations.
        marginal, adjusted: what was found, None with too few configurations.
        joint: the joint model of rank and quality, None where no covariate varies.
        floors: `rank` and `quality` -> the seed floor, or why there is none.
        columns: of the covariates and families, the constant not counted.
        covariates: whether any are known.
        margin: correlation below which rank is taken to add nothing that matters.
    """
    alpha = 1 - level
    least = max(LEAST_CONFIGURATIONS, columns + SPARE_CONFIGURATIONS)
    parameters = adjusted.partial.parameters if isinstance(adjusted, Adjusted) else columns + 1

    def ruled(
        verdict: Verdict, reason: str, *, observed: float | None = None, alone: bool = False, p: float | None = None,
        bound: float | None = None, z: float | None = None,
    ) -> Ruling:  # fmt: skip
        fewest = adjusted.resolved_by if isinstance(adjusted, Adjusted) and adjusted.exhausted and not alone else least
        return _ruling(
            verdict, reason, count, 1 if alone else parameters, observed, level, margin, max(fewest, least), p, bound, z
        )

    if count < least or marginal is None or adjusted is None:
        return ruled("insufficient_data", f"there are {count} independent configurations; at least {least} are needed")
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
        bound = upper_bound(marginal.value, count - 2, level, inflation=1 + marginal.value**2 / 2)
        return ruled(
            "not_supported" if bound < margin else "insufficient_data",
            f"{rho}; {_bounded(bound, margin, level)}",
            observed=marginal.value,
            alone=True,
            bound=bound,
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
    if isinstance(joint, str):
        return ruled("insufficient_data", f"{rho}, but {joint}")
    return _beyond(adjusted, joint, rho, level, margin, ruled)


def _beyond(
    adjusted: Adjusted, joint: Joint | None, rho: str, level: float, margin: float, ruled: Callable[..., Ruling]
) -> Ruling:
    partial, richer = adjusted.partial, adjusted.richer
    alpha = 1 - level
    at_equal = f"at equal covariates the partial correlation is {partial.value:.2f} ({_p(partial.p)})"
    own = max(one.p / 2 if one.value > 0 else 1.0 for one in (partial, richer))
    bound = max(upper_bound(one.value, one.df, level) for one in (partial, richer))
    p, excused, both, beyond, z = own, False, "", 0.0, None
    if joint is not None:
        moved = _moved(adjusted, joint)
        z = joint.z + moved
        beyond = float(stats.norm.sf(z))
        p, bound = max(own / LENIENT, beyond), max(bound, joint.bound)
        excused = float(stats.norm.sf(stats.norm.isf(joint.made_p) + moved)) >= EXCUSE * alpha
        both = f"beyond any common bend or step in size the correlation is {joint.value:.2f} (one-sided {_p(beyond)})"
    # The number of runs is of the correlation that the reason names; of one against the claim there is none.
    judged = own < LENIENT * alpha  # by the joint model, not by the bases alone
    named = joint.value if joint is not None and judged and beyond >= alpha else partial.value
    found: dict[str, Any] = {
        "observed": named if named > 0 else None, "p": p, "bound": bound, "z": z if judged else None,
    }  # fmt: skip
    gain = adjusted.gain
    if p < alpha and gain > 0 and not excused:
        if adjusted.exhausted:
            return ruled(
                "insufficient_data",
                f"{at_equal}, but there are too few runs to separate rank from a bend in the covariates' effect",
                **found,
            )
        words = [at_equal, *([both] if both else []), f"rank lowers the leave-one-out error by {gain:.0%}"]
        return ruled("supported", f"{rho}; {', '.join(words[:-1])}, and {words[-1]}", **found)
    why = at_equal
    if not judged:
        if partial.value > 0 and partial.p < 2 * LENIENT * alpha:
            why += f", and {richer.value:.2f} ({_p(richer.p)}) once a little more curvature is allowed"
    elif beyond >= alpha:
        why += f", but {both}"
    elif gain <= 0:
        why += ", but rank does not lower the leave-one-out error"
    elif joint is not None and excused:
        why += f", of which errors in the sizes may make {joint.made:.2f}"
        why += f" if {joint.reliability:.0%} of their variance is true"
    why += f"; {_bounded(bound, margin, level)}"
    if bound < margin:
        return ruled("only_through_capacity", f"{rho}, but {why}", **found)
    return ruled("insufficient_data", f"{rho}, but whether beyond capacity is open: {why}", **found)


def _moved(adjusted: Adjusted, joint: Joint) -> float:
    """By how much the joint model's z moves towards that of the parametric bases, the smaller of the two.

    Both estimate the same where the bases hold, and the mean of two estimates varies less than one. Where the bases
    miss a bend they are far above, and nothing is moved (in the spirit of Hausman, Econometrica 46, 1978).
    """
    ends = (math.atanh(min(max(one.value, -1 + 1e-12), 1 - 1e-12)) * math.sqrt(max(one.df - 1, 1))
            for one in (adjusted.partial, adjusted.richer))  # fmt: skip
    off = min(ends) - joint.z
    return 0.5 * off * min(max((DISAGREE - abs(off)) / (DISAGREE - AGREE), 0.0), 1.0)


def _bounded(bound: float, margin: float, level: float) -> str:
    side = "below" if bound < margin else "not below"
    return f"the correlation is at most {bound:.2f} ({level:.0%}, one-sided), {side} the margin of {margin:g}"


def _ruling(
    verdict: Verdict, reason: str, count: int, parameters: int, observed: float | None, level: float, margin: float,
    least: int, p: float | None, bound: float | None, z: float | None,
) -> Ruling:  # fmt: skip
    assumed = configurations_needed(ASSUMED, parameters, level)
    assumed = None if assumed is None else max(assumed, least)
    found = None if observed is None else configurations_needed(observed, parameters, level)
    found = None if found is None else max(found, least)
    if found is not None and z is not None:  # what the joint model made of these runs, as the root of their number
        ratio = float(stats.norm.ppf(level) + stats.norm.ppf(POWER)) / max(z, 1e-3)
        found = max(found, math.ceil(count * ratio**2))
        found = found if found <= MOST else None
    excluded = configurations_needed(margin, parameters, level)
    excluded = None if excluded is None else max(excluded, least)
    settled = verdict in ("supported", "only_through_capacity") or (
        verdict == "not_supported" and (bound is not None or (found or MOST + 1) <= count)
    )
    if settled:
        words = f"settled by these {count} configurations"
    else:
        words = (
            f"{assumed} configurations in all show a correlation of {ASSUMED:g}, if there is one, with a chance of "
            f"{POWER:.0%}"
        )
        if observed is not None:
            size = f"one like that observed ({observed:.2f})"
            words += f"; {size} takes {found if found is not None else f'more than {MOST}'}"
        words += (
            f"; if there is none, {excluded if excluded is not None else f'more than {MOST}'} show that it is below "
            f"{margin:g}"
        )
    return Ruling(
        verdict=verdict, reason=reason, needed_assumed=assumed, needed_observed=found, needed_margin=excluded,
        needed=words, p=p, bound=bound,
    )  # fmt: skip


def upper_bound(correlation: float, df: int, level: float, *, inflation: float = 1.0) -> float:
    """One-sided, by Fisher's z with `df` residual degrees of freedom.

    Arguments:
        inflation: of its variance, such as Bonett and Wright's 1 + rho^2 / 2 of Spearman's rho.
    """
    if df <= 1:
        return 1.0
    z = math.atanh(min(max(correlation, -1 + 1e-12), 1 - 1e-12))
    return math.tanh(z + float(stats.norm.ppf(level)) * math.sqrt(inflation / (df - 1)))


def configurations_needed(correlation: float, parameters: int, level: float) -> int | None:
    """How many show a partial correlation with a chance of `POWER`, given `parameters` columns of covariates.

    By a one-sided test. As many show, if there is none, that it is below this. None where that is more than `MOST`.
    """
    size = abs(correlation)
    if size < 1e-6:
        return None
    if size >= 1 - 1e-9:
        return parameters + 4
    quantiles = stats.norm.ppf(level) + stats.norm.ppf(POWER)
    df = 1 + (quantiles / math.atanh(size)) ** 2
    count = math.ceil(df + parameters + 1)
    return count if count <= MOST else None


def _lacking(reason: str, missing: str) -> Ruling:
    """Where more runs of the same kind settle nothing."""
    return Ruling(
        verdict="insufficient_data", reason=reason, needed_assumed=None, needed_observed=None, needed_margin=None,
        needed=missing,
    )  # fmt: skip


def _p(value: float | None) -> str:
    if value is None:
        return "p unknown"
    return f"p = {value:.2g}" if value >= 0.001 else "p < 0.001"
