"""Scores of detected sound events, as sed_eval defines them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from sonoscale.corpora import Event
from sonoscale.errors import SonoscaleError


def match_events(
    reference: Sequence[Event], estimated: Sequence[Event], *, collar: float, share: float | None = None
) -> np.ndarray:
    """How many events of one clip were found.

    As many pairs as possible are formed (maximum bipartite matching) of a reference and an estimate with the same
    label, whose onsets are at most `collar` apart and, if `share` is given, whose offsets are at most
    `max(collar, share * length of the reference)` apart. This is `EventBasedMetrics` of sed_eval with its optimal
    matching (Mesaros et al., "Metrics for Polyphonic Sound Event Detection", Applied Sciences 6(6), 2016).

    Arguments:
        reference, estimated: events of the clip.
        collar: seconds.
        share: of the length of the reference event.

    Returns:
        int64 `[3]`: pairs, reference events, estimated events.
    """
    pairs = 0
    if reference and estimated:
        (labels, starts, ends), (found, begins, stops) = _columns(reference), _columns(estimated)
        hit = (labels[:, None] == found) & (np.abs(starts[:, None] - begins) <= collar)
        if share is not None:
            hit &= np.abs(ends[:, None] - stops) <= np.maximum(collar, share * (ends - starts))[:, None]
        pairs = int((maximum_bipartite_matching(csr_array(hit)) >= 0).sum())
    return np.array([pairs, len(reference), len(estimated)])


def f_measure(counts: np.ndarray) -> np.ndarray:
    """2 x pairs / (reference events + estimated events), the harmonic mean of precision and recall.

    0 if nothing was estimated, as sed_eval with `empty_system_output_handling="zero_score"` (it gives NaN without); NaN
    if there is nothing to find.

    Arguments:
        counts: `[..., 3]` of `match_events`, summed over clips.
    """
    pairs, references, estimates = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    return np.where(references > 0, 2 * pairs / np.maximum(references + estimates, 1), np.nan)


def count_segments(reference: Sequence[Event], estimated: Sequence[Event], *, seconds: float = 1.0) -> np.ndarray:
    """Errors of one clip in segments of equal length.

    A label is active in every segment that its event touches. In each segment, of R labels of the reference, E
    estimated, and C that agree, min(R, E) - C are substituted, max(0, R - E) deleted and max(0, E - R) inserted. This
    is `SegmentBasedMetrics` of sed_eval.

    Arguments:
        reference, estimated: events of the clip.
        seconds: length of a segment.

    Returns:
        int64 `[2]`: errors, and active labels of the reference, summed over segments.
    """
    labels = sorted({event.label for event in (*reference, *estimated)})
    end = max((event.end_ms for event in (*reference, *estimated)), default=0.0)
    rolls = np.zeros((2, int(np.ceil(end / 1000 / seconds)), len(labels)), dtype=bool)
    for roll, events in zip(rolls, (reference, estimated), strict=True):
        for event in events:
            first, last = np.floor(event.start_ms / 1000 / seconds), np.ceil(event.end_ms / 1000 / seconds)
            roll[int(first) : int(last), labels.index(event.label)] = True
    there, reported = rolls.sum(axis=2)  # [segments] each
    # Substituted, deleted and inserted together are max(R, E) - C.
    errors = np.maximum(there, reported) - rolls.all(axis=0).sum(axis=1)
    return np.array([errors.sum(), there.sum()])


def error_rate(counts: np.ndarray) -> np.ndarray:
    """Errors / active labels of the reference; 1 if nothing was estimated, more is possible. NaN with no reference.

    Arguments:
        counts: `[..., 2]` of `count_segments`, summed over clips.
    """
    errors, references = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    return np.where(references > 0, errors / np.maximum(references, 1), np.nan)


@dataclass(frozen=True)
class EventMetric:
    """A score of events, of counts that add up over clips.

    Attributes:
        name: as HEAR calls it.
        higher: whether more is better.
        count: reference and estimated events of a clip -> counts `[k]`.
        of: counts `[..., k]`, summed over clips -> scores `[...]`.
        collar: seconds that an onset may be off; None if it is no matter of onsets.
    """

    name: str
    higher: bool
    count: Callable[[Sequence[Event], Sequence[Event]], np.ndarray]
    of: Callable[[np.ndarray], np.ndarray]
    collar: float | None = None


EVENT_METRICS = {
    metric.name: metric
    for metric in (
        EventMetric("event_onset_200ms_fms", True, partial(match_events, collar=0.2), f_measure, 0.2),
        EventMetric("event_onset_50ms_fms", True, partial(match_events, collar=0.05), f_measure, 0.05),
        EventMetric(
            "event_onset_offset_50ms_20perc_fms", True, partial(match_events, collar=0.05, share=0.2), f_measure, 0.05
        ),
        EventMetric("segment_1s_er", False, count_segments, error_rate),
    )
}


def find_event_metric(name: str) -> EventMetric:
    """The metric of this name.

    Raises:
        SonoscaleError: there is none.
    """
    if name not in EVENT_METRICS:
        raise SonoscaleError(f"probe: no metric '{name}' for events; there are {', '.join(EVENT_METRICS)}")
    return EVENT_METRICS[name]


def _columns(events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, onsets and offsets (seconds)."""
    times = np.array([(event.start_ms, event.end_ms) for event in events]) / 1000.0
    return np.array([event.label for event in events]), times[:, 0], times[:, 1]
