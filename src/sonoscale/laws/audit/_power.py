"""How often an audit comes to a verdict at so many configurations, by simulation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sonoscale.errors import SonoscaleError
from sonoscale.laws.audit._verdict import LEAST_CONFIGURATIONS

__all__ = ["AuditPower", "audit_power"]

MEASURED_AT: Sequence[int] = (12, 20, 40, 80)
"""Configurations."""

MEASURED: Mapping[str, Mapping[str, Sequence[float]]] = MappingProxyType(
    {
        "supported": {
            "partial 0.3": (0.060, 0.200, 0.260, 0.480),
            "partial 0.5": (0.210, 0.475, 0.810, 0.990),
            "partial 0.7": (0.380, 0.760, 0.900, 1.000),
        },
        "only_through_capacity": {"smooth": (0.110, 0.400, 0.780, 0.960)},
    }
)
"""Verdict -> what is true of the runs -> how often the verdict is given at each number: docs/audit-verdicts.md."""


@dataclass(frozen=True, kw_only=True)
class AuditPower:
    """How often an audit would come to the verdict that is true.

    Attributes:
        n: configurations.
        supported: of runs in which rank and quality correlate by 0.3, 0.5 and 0.7 at equal size: partial correlation ->
            share of such studies in which the audit says so.
        only_through_capacity: share of studies that end in this verdict where rank adds nothing to size.
        nearest: the number that was simulated, where n is beyond all of these; None where it lies between two.
    """

    n: int
    supported: dict[float, float]
    only_through_capacity: float
    nearest: int | None


def audit_power(n: int) -> AuditPower:
    """How often an audit of n configurations comes to the verdict that is true.

    Interpolated along log n between what `benchmarks/audit_verdicts.py` measured on sizes that are uniform on a log
    scale, with noise a tenth of what size does.

    Arguments:
        n: configurations; seeds and checkpoints of one do not count.

    Returns:
        The shares.

    Raises:
        SonoscaleError: n is below 1.

    Example:
        >>> audit_power(20).supported
        {0.3: 0.2, 0.5: 0.475, 0.7: 0.76}
        >>> audit_power(7).only_through_capacity, audit_power(100).nearest
        (0.0, 80)
    """
    if n < 1:
        raise SonoscaleError(f"n = {n}: give at least one configuration")
    supported = {float(name.split()[1]): _at(n, shares) for name, shares in MEASURED["supported"].items()}
    nearest = MEASURED_AT[0] if n < MEASURED_AT[0] else MEASURED_AT[-1] if n > MEASURED_AT[-1] else None
    return AuditPower(
        n=n, supported=supported, only_through_capacity=_at(n, MEASURED["only_through_capacity"]["smooth"]),
        nearest=None if n < LEAST_CONFIGURATIONS else nearest,
    )  # fmt: skip


def _at(n: int, shares: Sequence[float]) -> float:
    """The share at n; none where rule 0 of the audit refuses, that of the nearest beyond what was measured."""
    if n < LEAST_CONFIGURATIONS:
        return 0.0
    n = min(max(n, MEASURED_AT[0]), MEASURED_AT[-1])
    above = next(i for i, m in enumerate(MEASURED_AT) if m >= n)
    if MEASURED_AT[above] == n:
        return shares[above]
    first, last = MEASURED_AT[above - 1], MEASURED_AT[above]
    part = math.log(n / first) / math.log(last / first)
    return round(shares[above - 1] + part * (shares[above] - shares[above - 1]), 3)
