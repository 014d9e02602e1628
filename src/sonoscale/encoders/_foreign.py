"""What adapters of other people's encoders share: options of a spec, numbers, devices."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from torch import nn

from sonoscale.errors import SonoscaleError


def positive(value: Any, what: str, spec: str) -> int:
    """A positive whole number, given as an int, as a float or in text."""
    try:
        number = int(value)
        good = number > 0 and number == float(value)
    except (TypeError, ValueError, OverflowError):
        number, good = 0, False
    if not good:
        raise SonoscaleError(f"{spec}: {what} = {value!r} is not a positive whole number")
    return number


def query(text: str, spec: str, known: set[str]) -> tuple[str, dict[str, str]]:
    """Split `path?key=value&key=value`.

    Raises:
        SonoscaleError: a key is not known, or has no value.
    """
    path, _, rest = text.partition("?")
    pairs = dict(parse_qsl(rest, keep_blank_values=True))
    for key, value in pairs.items():
        if key not in known:
            raise SonoscaleError(f"{spec}: {key} is not known after the ?; known: {', '.join(sorted(known))}")
        if not value:
            raise SonoscaleError(f"{spec}: {key} has no value; write {key}=...")
    return path, pairs


def ready(module: Any, device: Any) -> Any:
    """In eval mode on the device, if it is a torch module; as it is otherwise."""
    return module.eval().to(device) if isinstance(module, nn.Module) else module
