"""Scores of events, against values that sed_eval gave."""

import numpy as np
import pytest

from sonoscale.corpora.tasks import Event
from sonoscale.errors import SonoscaleError
from sonoscale.probe._event_scores import EVENT_METRICS, count_segments, find_event_metric, match_events

# Of sed_eval 0.2.1 (EventBasedMetrics, SegmentBasedMetrics, clip by clip, `results_overall_metrics`) for
# `_cases(seed)`, in the order of EVENT_METRICS: F-measures, then the error rate.
SED_EVAL = (
    (0.6315789474, 0.3157894737, 0.2105263158, 0.4545454545),
    (0.6956521739, 0.347826087, 0.347826087, 0.0588235294),
    (0.7407407407, 0.5185185185, 0.2222222222, 0.2857142857),
    (0.7826086957, 0.4347826087, 0.4347826087, 0.375),
    (0.4285714286, 0.2857142857, 0.2142857143, 0.5555555556),
    (0.8888888889, 0.5555555556, 0.4444444444, 0.0909090909),
    (0.5555555556, 0.4444444444, 0.2222222222, 0.5833333333),
    (0.6666666667, 0.2222222222, 0.2222222222, 0.5714285714),
    (0.8235294118, 0.3529411765, 0.1176470588, 0.4),
    (0.5, 0.375, 0.375, 0.625),
    (0.6, 0.5, 0.3, 0.6666666667),
    (0.5454545455, 0.3636363636, 0.3636363636, 0.375),
)


def _cases(seed, clips=3, n=6):
    """Random events on a grid of 10 ms: label, start, end; estimates are shifted, dropped, relabelled and added."""
    rng = np.random.default_rng(seed)
    reference, estimated = [], []
    for _ in range(clips):
        there, reported = [], []
        for _ in range(rng.integers(0, n)):
            start, length = 10 * int(rng.integers(0, 300)), 10 * int(rng.integers(5, 120))
            label = "abc"[rng.integers(3)]
            there.append(Event(label, start, start + length))
            if rng.random() < 0.8:
                shifted = max(0, start + 10 * int(rng.integers(-12, 13)))
                label = label if rng.random() < 0.8 else "abc"[rng.integers(3)]
                reported.append(Event(label, shifted, shifted + max(10, length + 10 * int(rng.integers(-15, 16)))))
        for _ in range(rng.integers(0, 3)):
            start = 10 * int(rng.integers(0, 400))
            label = "abc"[rng.integers(3)]
            reported.append(Event(label, start, start + 10 * int(rng.integers(1, 90))))
        reference.append(there)
        estimated.append(reported)
    return reference, estimated


def _score(name, reference, estimated):
    metric = EVENT_METRICS[name]
    counts = [metric.count(*each) for each in zip(reference, estimated, strict=True)]
    return float(metric.of(np.sum(counts, axis=0)))


@pytest.mark.parametrize("seed", range(len(SED_EVAL)))
def test_scores_equal_sed_eval(seed):
    ours = [_score(name, *_cases(seed)) for name in EVENT_METRICS]
    np.testing.assert_allclose(ours, SED_EVAL[seed], atol=1e-9)


@pytest.mark.parametrize("name", EVENT_METRICS)
def test_all_found_and_nothing_found(name):
    reference = [[Event("a", 0, 500), Event("b", 400, 2100)], [Event("a", 1000, 1500)]]
    best, worst = (1, 0) if EVENT_METRICS[name].higher else (0, 1)
    assert _score(name, reference, reference) == best
    assert _score(name, reference, [[], []]) == worst
    assert np.isnan(_score(name, [[], []], reference))


def test_as_many_pairs_as_possible():
    """Taking the nearest onset first would pair the second reference with the first estimate, and leave two alone."""
    reference = [Event("a", 0, 100), Event("a", 180, 300)]
    estimated = [Event("a", 150, 300), Event("a", 350, 400)]
    assert match_events(reference, estimated, collar=0.2).tolist() == [2, 2, 2]


def test_collar_is_inclusive_and_offsets_have_a_share_of_the_length():
    reference = [Event("a", 1000, 3000)]
    assert (
        match_events(reference, [Event("a", 1050, 1100)], collar=0.05).tolist()[0] == 0
    )  # 1.05 - 1.0 > 0.05 in floats
    assert match_events(reference, [Event("a", 1049, 1100)], collar=0.05).tolist()[0] == 1
    for end, found in ((3399, 1), (3401, 0), (2601, 1), (2599, 0)):
        assert match_events(reference, [Event("a", 1000, end)], collar=0.05, share=0.2).tolist()[0] == found


def test_segments_are_those_that_an_event_touches():
    assert count_segments([Event("a", 900, 1100)], []).tolist() == [2, 2]
    assert count_segments([Event("a", 1000, 2000)], [Event("b", 1000, 2000)]).tolist() == [1, 1]  # one substitution
    assert count_segments([], []).tolist() == [0, 0]


def test_unknown_metric():
    with pytest.raises(SonoscaleError, match="no metric 'f1' for events; there are event_onset_200ms_fms"):
        find_event_metric("f1")
