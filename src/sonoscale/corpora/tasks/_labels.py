"""From what a table, a JSON document or a row says of a clip to its label."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sonoscale.corpora.tasks._kinds import Event
from sonoscale.errors import SonoscaleError

_MS = {"ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class EventKeys:
    """Under which keys an event has its label, beginning and end, and the unit of these."""

    label: str = "label"
    start: str = "start"
    end: str = "end"
    unit: str = "ms"  # or s


@dataclass(frozen=True)
class LabelRule:
    """How a label is written.

    Attributes:
        kind: of the task. A text is one name in a retrieval task, unless there is a separator.
        mapping: from what is written to a class; None if that is the class.
        separator: between the names of a text that holds several; None for ; and |.
        events: keys of events.
    """

    kind: str
    mapping: Mapping[str, str] | None = None
    separator: str | None = None
    events: EventKeys = EventKeys()

    def read(self, value: Any, where: str) -> Any:
        """The label that `value` stands for.

        Raises:
            SonoscaleError: it is none of this kind; `where` says of what.
        """
        if self.kind == "multiclass":
            if isinstance(value, list | tuple) and len(value) == 1:
                value = value[0]
            return self._name(value, where)
        if self.kind == "regression":
            return _number(value, where)
        if self.kind == "retrieval" and self.separator is None and not isinstance(value, list | tuple):
            return (self._name(value, where),)
        if self.kind in ("multilabel", "retrieval"):
            return tuple(dict.fromkeys(self._name(each, where) for each in self._several(value, where)))
        return self._events(value, where)

    def _name(self, value: Any, where: str) -> str:
        if isinstance(value, list | tuple | Mapping) or value is None or not str(value).strip():
            shown = "nothing" if value is None or value == "" else f"{value!r}"
            raise SonoscaleError(f"{where}: the name of a class is needed as label, not {shown}")
        name = str(value).strip()
        if self.mapping is None:
            return name
        if name not in self.mapping:
            known = ", ".join(list(self.mapping)[:10])
            raise SonoscaleError(f"{where}: label {name!r} is not in the mapping of labels, which has {known}")
        return self.mapping[name]

    def _several(self, value: Any, where: str) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, str):
            parts = value.split(self.separator) if self.separator else re.split(r"[;|]", value)
            return [part for part in parts if part.strip()]
        if not isinstance(value, list | tuple):
            raise SonoscaleError(f"{where}: a list of labels is needed, or names with ; between them, not {value!r}")
        return list(value)

    def _events(self, value: Any, where: str) -> tuple[Event, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(each, Mapping) for each in value):
            raise SonoscaleError(f"{where}: a list of events is needed, not {str(value)[:80]!r}")
        keys, scale = self.events, _MS[self.events.unit]
        found: list[Event] = []
        for each in value:
            for key in (keys.label, keys.start, keys.end):
                if key not in each:
                    raise SonoscaleError(f"{where}: an event without '{key}'; it has {', '.join(map(str, each))}")
            start, end = (_number(each[key], where) * scale for key in (keys.start, keys.end))
            if not 0 <= start <= end:
                raise SonoscaleError(f"{where}: an event from {start:g} to {end:g} ms")
            said = each[keys.label]
            names = said.split(self.separator) if self.separator and isinstance(said, str) else [said]
            found += [Event(self._name(name, where), start, end) for name in names]
        return tuple(found)


def _number(value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise SonoscaleError(f"{where}: a number is needed, not {value!r}") from None


def at_pointer(document: Any, pointer: str, where: str) -> Any:
    """What stands at a JSON pointer (RFC 6901) such as `/labels/0`; a name without / is a key of the document.

    Raises:
        SonoscaleError: there is nothing.
    """
    steps = pointer.split("/")[1:] if pointer.startswith("/") else [pointer] if pointer else []
    for step in steps:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping) and key in document:
            document = document[key]
        elif isinstance(document, list) and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        else:
            has = f"it has {', '.join(map(str, document))}" if isinstance(document, Mapping) else "it is no object"
            raise SonoscaleError(f"{where}: no key '{key}' ({has}); say with label where the label is")
    return document
