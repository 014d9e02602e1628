"""What both forms of `sonoscale measure` take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["MeasureOptions"]


@dataclass(frozen=True)
class MeasureOptions:
    """Checked options; see the command's help."""

    estimators: list[str]
    everything: bool
    json: Path | None
    plot: Path | None
    out: Path | None
    level: float
    tolerance: float
    blocks: int
    method: Literal["gram", "qr"]
    nan_policy: Literal["raise", "omit"]
    force: bool
