"""Where a logarithmic axis has its ticks and what they say, so that both renderers write the same."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sonoscale.report._format import count
from sonoscale.report._spec import Axis

__all__ = ["log_ticks"]

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def log_ticks(axis: Axis, values: Iterable[float]) -> list[tuple[float, str]]:
    """The ticks of a logarithmic axis over the positive ones among `values`.

    Arguments:
        axis: The axis; its `ticks` says how numbers are written.
        values: Everything that is drawn along the axis.

    Returns:
        Values and labels: at 1, 2 and 5 (or 1 and 3) over a narrow range, at whole decades over a wide one.
    """
    drawn = [value for value in values if math.isfinite(value) and value > 0]
    if not drawn:
        return []
    low, high = math.log10(min(drawn)) - 0.08, math.log10(max(drawn)) + 0.08
    steps = (1, 2, 5) if high - low < (1.0 if axis.ticks == "power" else 2.5) else (1,)
    if axis.ticks == "power" and 1.0 <= high - low < 2.5:
        steps = (1, 3)  # powers are wide labels
    every = max(1, math.ceil((high - low) / 7))
    ticks = []
    for decade in range(math.floor(low), math.ceil(high) + 1):
        for step in steps:
            if low <= decade + math.log10(step) <= high and decade % every == 0:
                ticks.append((step * 10.0**decade, _label(step, decade, axis)))
    return ticks


def _label(step: int, decade: int, axis: Axis) -> str:
    if axis.ticks == "si":
        return count(step * 10.0**decade).replace(".0", "")
    if axis.ticks == "plain" and -4 < decade < 5:
        return f"{step * 10.0**decade:g}"
    power = f"10{str(decade).translate(_SUPERSCRIPTS)}"
    return power if step == 1 else f"{step}×{power}"
