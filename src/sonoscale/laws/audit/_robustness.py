"""What would undo the verdict: a covariate that nobody recorded, or sizes recorded badly."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from sonoscale.laws.audit._joint import Joint
from sonoscale.laws.audit._partial import Adjusted

__all__ = ["Robustness", "robustness", "robustness_value"]


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """How strong an omission would have to be (Cinelli and Hazlett, Journal of the Royal Statistical Society B, 2020).

    Attributes:
        third: share of what the covariates leave of rank, and of quality, that an unrecorded covariate would have to
            explain in both to bring the association to nothing;
        third_significance: the same, to bring it below significance; 0 where it is.
        sizes: reliability of the recorded sizes (share of their variance that is no error) below which their error
            alone would make the lower end of the correlation; 0 where none would, 1 where it takes no error, None
            where it was not tested.
    """

    third: float
    third_significance: float
    sizes: float | None

    @property
    def words(self) -> str:
        """The same in a sentence."""
        out = (
            f"a covariate that was not recorded would undo it by explaining {self.third_significance:.0%} of what the "
            f"covariates leave of rank and of quality ({self.third:.0%} to bring the association to nothing)"
        )
        if self.sizes is None or self.sizes >= 1:
            return out
        if self.sizes <= 0:
            return f"{out}; no error in the sizes would"
        return f"{out}; so would sizes of which less than {self.sizes:.1%} of the variance as recorded is true"


def robustness_value(t: float, df: int, *, quantile: float = 0.0) -> float:
    """Robustness value of a coefficient with this t and these residual degrees of freedom.

    Arguments:
        quantile: that t must not fall below, with one degree of freedom less: 0 for the value that brings the
            estimate to nothing.

    Example:
        >>> round(robustness_value(4.18, 783), 3)  # violence and attitudes to peace in Darfur, as published
        0.139
    """
    f = abs(t) / math.sqrt(df)
    least = quantile / math.sqrt(max(df - 1, 1))
    if f <= least:
        return 0.0
    if f * least > 1:  # few degrees of freedom: such a covariate explains rank by so much, and quality by less
        return (f**2 - least**2) / (1 + f**2)
    # .5 (sqrt(g^4 + 4 g^2) - g^2), without the difference of two large numbers
    return 2 / (1 + math.sqrt(1 + 4 / (f - least) ** 2))


def robustness(adjusted: Adjusted, joint: Joint | str | None, *, level: float) -> Robustness:
    """Of the association at equal covariates; the weaker of the two bases that the verdict rests on counts."""
    partial = min(adjusted.partial, adjusted.richer, key=lambda one: one.value)
    t = partial.value * math.sqrt(partial.df / max(1 - partial.value**2, 1e-15))
    quantile = float(stats.t.ppf(level, max(partial.df - 1, 1)))
    return Robustness(
        third=robustness_value(max(t, 0.0), partial.df),
        third_significance=robustness_value(max(t, 0.0), partial.df, quantile=quantile),
        sizes=joint.undone_by if isinstance(joint, Joint) else None,
    )
