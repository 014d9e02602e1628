"""The register of environmental events."""

from __future__ import annotations

from collections.abc import Callable

from sonoscale.corpora.procedural._random import Draw
from sonoscale.corpora.procedural._synthesis import Wave

__all__ = ["REGISTER", "Event", "event"]

# (draw, samples) -> float64 [samples], without a room.
Event = Callable[[Draw, int], Wave]

REGISTER: dict[str, Event] = {}


def event(name: str) -> Callable[[Event], Event]:
    """Register a model of an event under its class name."""

    def register(model: Event) -> Event:
        REGISTER[name] = model
        return model

    return register
