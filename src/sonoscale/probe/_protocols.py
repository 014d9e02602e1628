"""All protocols by name: ours, those of installed packages, and those of the user's own files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import entry_points
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

GROUP = "sonoscale.protocols"
"""Of entry points that are protocols."""

PROTOCOLS: dict[str, Protocol | Retrieval] = {
    each.name: each for each in (LINEAR, KNN, KNN_TUNED, FEW_SHOT, HEAR, XARES, XARES_ASIS, RETRIEVAL, RETRIEVAL_ALL)
}


def find_protocol(name: str) -> Protocol | Retrieval:
    """The protocol of this name.

    Arguments:
        name: of `PROTOCOLS`; or of an entry point of the group `sonoscale.protocols`, which an installed package has;
            or `python:module:NAME` or `python:file.py:NAME`, a `Protocol` of your own, whose code is run.

    Raises:
        SonoscaleError: there is none.

    Example:
        >>> find_protocol("knn").version
        'knn/1'
        >>> find_protocol("python:sonoscale.probe._knn:KNN").version
        'knn/1'
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if name.startswith(MARK):
        return _own(named(name), name)
    for each in entry_points(group=GROUP, name=name):
        try:
            found = each.load()
        except Exception as error:
            raise SonoscaleError(f"protocol {name}: importing {each.value} failed: {one_line(error)}") from error
        return _own(found, name)
    raise SonoscaleError(f"no protocol '{name}'; there are {', '.join(PROTOCOLS)}")


def _own(found: Any, spec: str) -> Protocol | Retrieval:
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
