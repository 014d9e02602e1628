"""All protocols by name, and those of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.own_code import MARK, named, one_line
from sonoscale.probe._fewshot import FEW_SHOT
from sonoscale.probe._hear import HEAR
from sonoscale.probe._knn import KNN, KNN_TUNED
from sonoscale.probe._linear import LINEAR
from sonoscale.probe._protocol import Outcome, Protocol
from sonoscale.probe._retrieval import RETRIEVAL, RETRIEVAL_ALL, Retrieval
from sonoscale.probe._rounds import Round
from sonoscale.probe._targets import Targets
from sonoscale.probe._xares import XARES, XARES_ASIS

PROTOCOLS: dict[str, Protocol | Retrieval] = {
    each.name: each for each in (LINEAR, KNN, KNN_TUNED, FEW_SHOT, HEAR, XARES, XARES_ASIS, RETRIEVAL, RETRIEVAL_ALL)
}


def find_protocol(name: str) -> Protocol | Retrieval:
    """The protocol of this name.

    Arguments:
        name: of `PROTOCOLS`; or `python:module:NAME` or `python:file.py:NAME`, a `Protocol` of your own.

    Raises:
        SonoscaleError: there is none.

    Example:
        >>> find_protocol("knn").version
        'knn/1'
        >>> find_protocol("python:sonoscale.probe._knn:KNN").version
        'knn/1'
    """
    if name.startswith(MARK):
        return _own(name)
    if name not in PROTOCOLS:
        raise SonoscaleError(
            f"no protocol '{name}'; there are {', '.join(PROTOCOLS)}, and python:module:NAME for one of your own"
        )
    return PROTOCOLS[name]


def _own(spec: str) -> Protocol | Retrieval:
    found = named(spec)
    if isinstance(found, Retrieval):
        return replace(found, name=spec)
    if not isinstance(found, Protocol):
        raise SonoscaleError(f"{spec}: is a {type(found).__name__}, and must be a sonoscale.probe.Protocol")
    if any(found.version == each.version for each in PROTOCOLS.values() if each is not found):
        raise SonoscaleError(f"{spec}: its version {found.version!r} is that of a protocol of Sonoscale; name another")
    run = found.run

    def checked(x: np.ndarray, targets: Targets, rounds: Sequence[Round], *others: Any) -> list[Outcome]:
        try:
            outcomes = list(run(x, targets, rounds, *others))
            shapes = [np.shape(each.predictions) for each in outcomes]
        except SonoscaleError:
            raise
        except Exception as error:
            raise SonoscaleError(f"{spec}: failed: {one_line(error)}") from error
        wanted = [(len(each.test), targets.outputs) for each in rounds]
        if shapes != wanted:
            raise SonoscaleError(f"{spec}: gave predictions of the shapes {shapes}, and must give {wanted}")
        return outcomes

    return replace(found, name=spec, run=checked)
