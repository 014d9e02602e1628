"""What a probe finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class ProbeResult:
    """A score on clips that neither fitted nor chose anything, unless the protocol's remark says otherwise.

    Attributes:
        score: mean over the test folds.
        interval: 95%, over test clips (see `clip_interval`).
        fold_std: standard deviation over folds (ddof 1), None for one.
        per_fold: score by test fold.
        chosen: settings that the validation clips chose, by test fold.
        chance: the same metric of a probe that knows how common each class is (or the mean) and nothing else; of
            retrieval, the mean over all orders of the gallery.
        n, classes: clips (of retrieval: queries that were scored) and classes; 0 classes for regression.
        metric, kind, protocol: what was measured, of what, how; the protocol with its version.
        warnings: what to know of the score.
        others: other metrics of the same test by name, each with its score, lower and upper end of its interval, and
            chance.
    """

    score: float
    interval: tuple[float, float]
    fold_std: float | None
    per_fold: dict[str, float]
    chosen: dict[str, dict[str, Any]]
    chance: float
    n: int
    classes: int
    metric: str
    kind: str
    protocol: str
    warnings: tuple[str, ...] = ()
    others: dict[str, dict[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return {**asdict(self), "interval": list(self.interval), "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> ProbeResult:
        """What `as_dict` gave."""
        return cls(**{**content, "interval": tuple(content["interval"]), "warnings": tuple(content["warnings"])})
