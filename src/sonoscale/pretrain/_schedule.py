"""The order of things in a run: one trunk, and a branch off it for each budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sonoscale.pretrain._config import RunConfig


@dataclass(frozen=True)
class Segment:
    """Steps `start` to `stop` (not included), of the trunk (`budget` None) or of the branch that ends a budget."""

    start: int
    stop: int
    budget: int | None

    @property
    def phase(self) -> str:
        """Its name in the metrics."""
        return "trunk" if self.budget is None else f"branch-{self.budget}"


@dataclass(frozen=True)
class Schedule:
    """All segments of a run, in the order in which they are trained.

    Attributes:
        segments: a branch comes where it leaves the trunk, which goes on afterwards as if there had been none.
        rank_at: steps of the trunk at which the rank is read, 0 among them, log-spaced.
    """

    segments: tuple[Segment, ...]
    rank_at: frozenset[int]

    @property
    def steps(self) -> int:
        """Of all segments together."""
        return sum(segment.stop - segment.start for segment in self.segments)

    def before(self, segment: int, step: int) -> int:
        """Steps done when `step` of a segment is the next."""
        return sum(s.stop - s.start for s in self.segments[:segment]) + step - self.segments[segment].start

    def check(self, segment: int, step: int) -> None:
        """Whether a training can be at `step` of a segment.

        Raises:
            ValueError: it cannot.
        """
        last = segment == len(self.segments)
        if not last and not (0 <= segment < len(self.segments) and self.segments[segment].stop >= step >= 0):
            raise ValueError(f"no step {step} in segment {segment}")

    def after(self, step: int, done: set[int]) -> int:
        """Index of the first segment to be trained, when the trunk is at `step` and the budgets `done` are trained."""
        for index, segment in enumerate(self.segments):
            if segment.budget not in done if segment.budget is not None else segment.stop > step:
                return index
        return len(self.segments)


def make_schedule(config: RunConfig) -> Schedule:
    """The schedule of a run's budgets."""
    segments, at = [], 0
    for budget in config.budgets:
        start = config.train.decay_start(budget)
        if start > at:
            segments.append(Segment(at, start, None))
        segments.append(Segment(start, budget, budget))
        at = start
    points = np.geomspace(10, max(11, at), config.train.rank_points - 1)
    return Schedule(tuple(segments), frozenset({0, *(round(s) for s in points if round(s) <= at)}))
