"""Which end of y a plan is to reach."""

from __future__ import annotations

import numpy as np

from sonoscale.laws._better import is_better
from sonoscale.laws._names import more_is_better
from sonoscale.laws._target import Direction
from sonoscale.laws.plan._candidates import Columns
from sonoscale.laws.plan._value import Array

__all__ = ["allocation_direction", "design_better"]

_COUNTED = ("param", "token", "flop", "hour", "clip", "sample", "compute", "step", "width", "depth")
"""Columns with these words in their names make a run larger."""


def allocation_direction(y: Array, flops: Array, name: str, higher_is_better: bool | None) -> Direction | None:
    """How y [n] is to improve, or None where it runs so of itself along FLOPs [n] (see `is_better`)."""
    better = is_better(name, y, flops, along="FLOPs", told=higher_is_better)
    if better is None or better == is_better("", y, flops, along="FLOPs", told=None):
        return None
    return "falling" if not better else "score" if y.max() <= 1.0 else "rising"


def design_better(
    y: Array, design: Columns, flops: Array | None, name: str, told: bool | None
) -> tuple[bool, list[str]]:
    """Whether more of y [n] is better, and a note where nothing says so (see `is_better`).

    y is held against what the runs cost; where that is not known, against the product of the columns that make a run
    larger.

    Arguments:
        design: the columns of the design, [n].
        flops: [n], NaN for what cannot be built, or None.
    """
    size, along = flops, "FLOPs"
    counted = [
        column for column, values in design.items()
        if values.dtype.kind in "iuf" and any(word in column.lower() for word in _COUNTED) and (values > 0).all()
    ]  # fmt: skip
    if size is None and counted:
        size = np.exp(np.sum([np.log(design[column].astype(np.float64)) for column in counted], axis=0))
        along = " * ".join(counted)
    if size is not None:
        known = np.isfinite(size)
        size, y = (size[known], y[known]) if known.any() else (None, y)
    better = is_better(name, y, size, along=along, told=told)
    if better is None:
        return True, [f"nothing tells whether more {name} is better: taken so"]
    if told is None and more_is_better(name) is None:
        return better, [f"{name} {'rises' if better else 'falls'} with {along}: {'more' if better else 'less'} of it "
                        "is taken as better"]  # fmt: skip
    return better, []
