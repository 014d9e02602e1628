"""Constraints on what a procedural corpus makes: parsing and checking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sonoscale.corpora.procedural._environment import EVENTS
from sonoscale.corpora.procedural._instruments import INSTRUMENTS, UNPITCHED
from sonoscale.corpora.procedural._music import MATERIALS, PITCHES
from sonoscale.corpora.procedural._speech import vocabulary
from sonoscale.errors import SonoscaleError

__all__ = ["DOMAINS", "Constraints", "one_of"]

DOMAINS = ("speech", "music", "environment")

_MOST_WORDS = 64

# Constraint -> the domain that it is about.
_ABOUT = {
    "language": "speech",
    "word": "speech",
    "words": "speech",
    "instrument": "music",
    "material": "music",
    "pitch": "music",
    "event": "environment",
}


def one_of(what: str, value: Any, options: Sequence[Any]) -> None:
    """Refuse a value that is not among the options.

    Raises:
        SonoscaleError: it is not; the message names it and them.
    """
    if value not in options:
        raise SonoscaleError(f"{what}={value!r} is unknown; known: {', '.join(map(str, options))}")


def _options(key: str) -> Sequence[Any]:
    if key == "domain":
        return DOMAINS
    if key == "language":
        return tuple(vocabulary().languages)
    if key == "word":
        return vocabulary().concepts
    if key == "words":
        return range(1, _MOST_WORDS + 1)
    return {
        "instrument": tuple(INSTRUMENTS),
        "material": MATERIALS,
        "pitch": PITCHES,
        "event": tuple(EVENTS),
    }[key]


@dataclass(frozen=True)
class Constraints:
    """Checked constraints.

    Arguments:
        values: constraint -> its values, one or several, in the order given.
    """

    values: dict[str, tuple[Any, ...]]

    @classmethod
    def parse(cls, fixed: Mapping[str, Any], domains: tuple[str, ...]) -> Constraints:
        """Check constraints against what there is, the corpus's domains, and each other.

        Raises:
            SonoscaleError: a name or value is unknown, or constraints contradict each other.
        """
        values: dict[str, tuple[Any, ...]] = {}
        for key, given in fixed.items():
            one_of("constraint", key, ("domain", *_ABOUT))
            several = tuple(given) if isinstance(given, list | tuple) else (given,)
            if not several or len(set(several)) != len(several):
                raise SonoscaleError(f"fixed {key}={given!r}: one value or several different ones are needed")
            for value in several:
                if isinstance(value, bool) or (key == "words" and not isinstance(value, int | np.integer)):
                    raise SonoscaleError(f"fixed {key}={value!r}: a whole number is needed")
                if key == "words" and not 1 <= value <= _MOST_WORDS:
                    raise SonoscaleError(f"fixed words={value}: 1 to {_MOST_WORDS} are possible")
                one_of(f"fixed {key}", value, _options(key))
            values[key] = tuple(int(value) for value in several) if key == "words" else several
        for domain in values.get("domain", ()):
            one_of("fixed domain", domain, domains)
        within = values.get("domain", domains)
        for key in values:
            if key in _ABOUT and _ABOUT[key] not in within:
                raise SonoscaleError(f"fixed {key} is about {_ABOUT[key]}, which is not among the domains {within}")
        if "word" in values and values.get("words", (1,)) != (1,):
            raise SonoscaleError(f"fixed words={values['words']} contradicts a fixed word: a word is said alone")
        if "pitch" in values and values.get("material", ("note",)) != ("note",):
            raise SonoscaleError(f"fixed material={values['material']} contradicts a fixed pitch: only a note has one")
        if "pitch" in values or {"chord", "melody"} & set(values.get("material", ())):
            unpitched = sorted(UNPITCHED & set(values.get("instrument", ())))
            if unpitched:
                raise SonoscaleError(f"fixed instrument={unpitched[0]!r} has no pitch, but the constraints need one")
        return cls(values)

    def needs(self, domain: str) -> bool:
        """Whether a constraint makes sense only if this domain is made."""
        return domain in self.values.get("domain", ()) or any(_ABOUT.get(key) == domain for key in self.values)
