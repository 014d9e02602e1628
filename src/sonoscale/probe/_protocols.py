"""All protocols by name."""

from __future__ import annotations

from sonoscale.errors import SonoscaleError
from sonoscale.probe._fewshot import FEW_SHOT
from sonoscale.probe._hear import HEAR
from sonoscale.probe._knn import KNN, KNN_TUNED
from sonoscale.probe._linear import LINEAR
from sonoscale.probe._protocol import Protocol
from sonoscale.probe._retrieval import RETRIEVAL, RETRIEVAL_ALL, Retrieval
from sonoscale.probe._xares import XARES, XARES_ASIS

PROTOCOLS: dict[str, Protocol | Retrieval] = {
    each.name: each for each in (LINEAR, KNN, KNN_TUNED, FEW_SHOT, HEAR, XARES, XARES_ASIS, RETRIEVAL, RETRIEVAL_ALL)
}


def find_protocol(name: str) -> Protocol | Retrieval:
    """The protocol of this name.

    Raises:
        SonoscaleError: there is none.

    Example:
        >>> find_protocol("knn").version
        'knn/1'
    """
    if name not in PROTOCOLS:
        raise SonoscaleError(f"no protocol '{name}'; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
