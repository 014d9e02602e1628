"""The keys of a study file that say what its quality is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sonoscale.config import Config

if TYPE_CHECKING:
    from sonoscale.laws import QualityRule


class QualityConfig(Config):
    """How quality is made of scores; registered when the study is first run."""

    weights: Literal["reliability", "plain"] = (
        "reliability"  # of each score in the mean: as reliable as it is, or alike
    )
    min_reliability: float | None = Field(default=0.0, ge=0, lt=1)  # the lower end must be above this; null keeps all
    level: float = Field(default=0.95, gt=0.5, lt=1)  # coverage of the interval of reliability

    def rule(self) -> QualityRule:
        """As laws take it."""
        from sonoscale.laws import QualityRule

        return QualityRule(self.weights, self.min_reliability, self.level)
