"""Embeddings + labels -> downstream score, by a named protocol."""

from typing import TYPE_CHECKING

from sonoscale._callable import make_callable
from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.probe._embeddings import probe_embeddings
    from sonoscale.probe._events import probe_events
    from sonoscale.probe._hear import Training
    from sonoscale.probe._metrics import METRICS, find_metric
    from sonoscale.probe._probe import probe
    from sonoscale.probe._protocol import Outcome, Protocol
    from sonoscale.probe._protocols import PROTOCOLS, find_protocol
    from sonoscale.probe._results import ProbeResult, ProbeResults, Score
    from sonoscale.probe._rounds import Round
    from sonoscale.probe._store import logmel_statistics, probe_layers, probe_store
    from sonoscale.probe._targets import Targets

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "Outcome",
    "ProbeResult",
    "ProbeResults",
    "Protocol",
    "Round",
    "Score",
    "Targets",
    "Training",
    "probe",
    "probe_embeddings",
    "probe_events",
]

__getattr__ = lazy(__name__)
make_callable(__name__)
