"""Kinds of tasks, and what a label of each may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["multiclass", "multilabel", "regression", "events", "retrieval"]
KINDS: tuple[Kind, ...] = ("multiclass", "multilabel", "regression", "events", "retrieval")
ROLES = ("query", "gallery")
"""What a clip of a retrieval task may be."""
_OF_LABELS = ("top1_acc", "mAP", "aucroc", "d_prime")
METRICS_OF: dict[str, tuple[str, ...]] = {
    "multiclass": ("accuracy", "pitch_acc", "chroma_acc", *_OF_LABELS),
    "multilabel": _OF_LABELS,
    "regression": ("mae", "r2", "spearman"),
    "events": (
        "event_onset_200ms_fms", "event_onset_50ms_fms", "event_onset_offset_50ms_20perc_fms", "segment_1s_er",
    ),
    "retrieval": ("mAP", "recall@1", "recall@5", "recall@10", "mrr", "ndcg@10"),
}  # fmt: skip
"""Names of scores by kind of task, as the probe has them."""


@dataclass(frozen=True, slots=True)
class Event:
    """A sound in a part of a clip, in milliseconds from its beginning."""

    label: str
    start_ms: float
    end_ms: float
