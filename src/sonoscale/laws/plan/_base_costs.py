"""Exact costs of designs, counted from the YAML of the run that they start from: all that laws need of pre-training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws.plan._candidates import DesignCost

__all__ = ["base_costs"]


def base_costs(
    base: str | PathLike[str], table: Mapping[str, NDArray[Any]], design: Sequence[str]
) -> tuple[DesignCost, list[str]]:
    """The costs of designs that start from a run, and what is to be known of them.

    Arguments:
        base: YAML of a run or of a study.
        table: the runs: how long their clips are, and how many make one training example.
        design: columns of the design.

    Raises:
        SonoscaleError: The file cannot be read, or Sonoscale is installed without pre-training.
    """
    try:
        from sonoscale.pretrain._design_costs import base_run, cost_notes, exact_costs
    except ImportError as error:
        raise SonoscaleError(
            f"{base}: exact costs are counted by pre-training, which is not installed ({error}): "
            'pip install "sonoscale[train]"'
        ) from None
    start, notes = base_run(Path(base))
    cost = exact_costs(
        start,
        hours_per_clip=_ratio(table, "train_hours", "train_clips"),
        clips_per_example=_ratio(table, "clips_seen", "examples_seen"),
    )
    if "clips_seen" in design and "examples_seen" not in table:
        notes.append(
            "clips_seen are taken as training examples: where short clips are joined, name examples_seen or step"
        )
    return cost, [*notes, *cost_notes(cost, table, design)]


def _ratio(table: Mapping[str, NDArray[Any]], upper: str, lower: str) -> float | None:
    """The sum of one column over that of another, or None where the table lacks them."""
    if upper not in table or lower not in table:
        return None
    ratio = np.sum(table[upper], dtype=np.float64) / np.sum(table[lower], dtype=np.float64)
    return float(ratio) if np.isfinite(ratio) else None
