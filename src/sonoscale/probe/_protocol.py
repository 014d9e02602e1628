"""What every probing protocol is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sonoscale.probe._metrics import Metric
from sonoscale.probe._rounds import Round
from sonoscale.probe._targets import Kind, Targets


@dataclass(frozen=True)
class Outcome:
    """Of one round.

    Attributes:
        predictions: of the round's test clips, float `[len(test), outputs]`: logits, votes or probabilities, of which
            the highest is the guess; numbers for regression.
        chosen: settings that the validation clips chose, JSON-able.
        repeats: predictions of several trainings, if there were: the score is the mean of theirs.
    """

    predictions: np.ndarray
    chosen: dict[str, Any] = field(default_factory=dict)
    repeats: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """A way to score frozen embeddings.

    Attributes:
        name: what `--protocol` takes.
        version: raised with any change that can change a score; named in every result.
        kinds: of targets that it can predict.
        run: embeddings float32 `[n, dim]` (finite), targets of n clips, rounds, the metric by which settings are
            chosen on validation clips, a seed, the device that large products may use, and a function that is called
            with the progress (done, in all) -> one outcome for each round.
        summary: in a line, with the source.
        remark: a caveat that goes with each of its scores; empty if nothing.
    """

    name: str
    version: str
    kinds: tuple[Kind, ...]
    run: Callable[[np.ndarray, Targets, Sequence[Round], Metric, int, str, Callable[[int, int], None]], list[Outcome]]
    summary: str
    remark: str = ""
