"""Embeddings + labels -> downstream score, by a named protocol."""

from sonoscale.probe._embeddings import probe_embeddings
from sonoscale.probe._encoders import Agreement, Score, check_protocols, protocol_agreement, score_encoder
from sonoscale.probe._event_scores import EVENT_METRICS
from sonoscale.probe._events import probe_events
from sonoscale.probe._metrics import METRICS, Metric, find_metric
from sonoscale.probe._overlap import content_hashes, overlap
from sonoscale.probe._protocol import Outcome, Protocol
from sonoscale.probe._ranking import RETRIEVAL_METRICS
from sonoscale.probe._registry import PROTOCOLS, find_protocol
from sonoscale.probe._result import ProbeResult
from sonoscale.probe._retrieval import Retrieval, probe_retrieval
from sonoscale.probe._rounds import Round, folds_by_group, make_rounds
from sonoscale.probe._store import logmel_statistics, probe_store
from sonoscale.probe._targets import Targets, make_targets

__all__ = [
    "EVENT_METRICS",
    "METRICS",
    "PROTOCOLS",
    "RETRIEVAL_METRICS",
    "Agreement",
    "Metric",
    "Outcome",
    "ProbeResult",
    "Protocol",
    "Retrieval",
    "Round",
    "Score",
    "Targets",
    "check_protocols",
    "content_hashes",
    "find_metric",
    "find_protocol",
    "folds_by_group",
    "logmel_statistics",
    "make_rounds",
    "make_targets",
    "overlap",
    "probe_embeddings",
    "probe_events",
    "probe_retrieval",
    "probe_store",
    "protocol_agreement",
    "score_encoder",
]
