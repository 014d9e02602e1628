"""Environmental sound: every event class, whatever its physics."""

from __future__ import annotations

from sonoscale.corpora.procedural import _animals, _impacts, _machines, _nature  # noqa: F401 (they register)
from sonoscale.corpora.procedural._events import REGISTER, Event

__all__ = ["EVENTS"]

# Class name -> model, in the order of the class names.
EVENTS: dict[str, Event] = dict(sorted(REGISTER.items()))
