"""What an audit says."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sonoscale.laws.audit._course import Layers, Trajectory
from sonoscale.laws.audit._families import HeldOut
from sonoscale.laws.audit._marginal import Association
from sonoscale.laws.audit._pairs import Pairs, SeedFloor
from sonoscale.laws.audit._partial import Adjusted
from sonoscale.laws.audit._rivals import Rival
from sonoscale.laws.audit._selection import Regret
from sonoscale.laws.audit._verdict import VERDICTS, Verdict

__all__ = ["Audit"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Audit:
    """A verdict on rank, and all that it rests on. Where a piece of evidence is a `str`, it says why there is none.

    Attributes:
        verdict: one of `VERDICTS`;
        reason: the sentence why;
        rules: the package's docstring.
        needed_assumed: configurations in all that show a correlation of 0.5, if there is one, with a chance of 80 % at
            this level, None where no number would;
        needed_observed: that show one as large as was seen, None where more than 1000 or where nothing was seen to go
            by;
        needed: the same in words, or what is missing.
        rank, quality, covariates, family, replicate: columns; covariates as they entered (`log params`).
        higher_is_better: of quality.
        rank_logged: log rank entered the models. `level`, `seed`.
        rows, configurations, families: counts; families None where no column was named.
        spearman, kendall: over configurations.
        adjusted: at equal covariates.
        within, across, held_out: families.
        floor_rank: (in the unit of rank as it entered), `floor_quality`: between seeds.
        pairs: all pairs above the floor;
        matched: those of equal size.
        regret: of choosing by rank, each covariate, each rival, at random, and by an oracle.
        rivals: other columns in the place of rank.
        trajectory, layers: over steps and layers.
        turning_point: rank at which quality turns, in the unit of the column, or None where it does not.
        caveats: evidence beside the rules that speaks against the verdict.
        notes: what was decided about the table.
    """

    verdict: Verdict
    reason: str
    rules: str
    needed_assumed: int | None
    needed_observed: int | None
    needed: str
    rank: str
    quality: str
    covariates: tuple[str, ...]
    family: str | None
    replicate: str | None
    higher_is_better: bool
    rank_logged: bool
    level: float
    seed: int
    rows: int
    configurations: int
    families: int | None
    spearman: Association | str
    kendall: Association | str
    adjusted: Adjusted | str
    within: Association | str
    across: Association | str
    held_out: HeldOut | str
    floor_rank: SeedFloor | str
    floor_quality: SeedFloor | str
    pairs: Pairs | str
    matched: Pairs | str
    regret: tuple[Regret, ...] | str
    rivals: tuple[Rival, ...] | str
    trajectory: Trajectory | str
    layers: Layers | str
    turning_point: float | None
    caveats: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def words(self) -> str:
        """The verdict in words."""
        return VERDICTS[self.verdict]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values. Evidence that there is none of is None, and `reasons` says why."""
        out: dict[str, Any] = {"verdict": self.verdict, "words": self.words}
        reasons: dict[str, str] = {}
        for name in EVIDENCE:
            value = getattr(self, name)
            if isinstance(value, str):
                reasons[name] = value
        for field in dataclasses.fields(self):
            out[field.name] = None if field.name in reasons else _plain(getattr(self, field.name))
        if isinstance(self.adjusted, Adjusted):
            out["adjusted"]["gain"] = _plain(self.adjusted.gain)
        return out | {"reasons": reasons}


EVIDENCE = (
    "spearman", "kendall", "adjusted", "within", "across", "held_out", "floor_rank", "floor_quality", "pairs",
    "matched", "regret", "rivals", "trajectory", "layers",
)  # fmt: skip
"""Fields of an `Audit` that may be a sentence instead."""


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
