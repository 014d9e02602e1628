"""Musical instruments: every family, whatever its physics."""

from __future__ import annotations

from sonoscale.corpora.procedural import _struck, _sustained  # noqa: F401 (they register)
from sonoscale.corpora.procedural._notes import REGISTER, Instrument

__all__ = ["INSTRUMENTS", "UNPITCHED"]

# Class name -> family, in the order of the class names.
INSTRUMENTS: dict[str, Instrument] = dict(sorted(REGISTER.items()))

# Families whose notes have no pitch; their frequency says which piece is hit.
UNPITCHED = frozenset({"drum"})
