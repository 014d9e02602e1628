"""Damage and malice: what a file may look like after a crash, a bad copy, or the hands of someone who knows it."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

__all__ = ["ODD", "mutated", "mutated_json", "mutated_text"]

ODD: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 2**70, -(2**63), 1e308, -1e-308, float("nan"), float("inf"), 0.5, "", " ", "a",
    "..", "../../x", "/etc/passwd", "file:///etc/passwd", "x" * 10_000, "\x00", "\x1b[31m", "[/red]", "\udce9", "\n",
    "1e999", "²", [], {}, [[]], [None], {"a": 1}, [1] * 1000, "2024-13-45", "!!python/object:os.system x",
]  # fmt: skip
"""Values that stand where others are expected."""

_NUMBERS = [
    b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff\xff\xff\x7f", bytes(4), b"\xff" * 8,
    b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", b"\x01" + bytes(3), b"\x00\x00\x00\x01", bytes(16),
]  # fmt: skip


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One to four kinds of damage, at random places."""
    made = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        size = max(1, len(made))
        at, length = rng.randrange(size), rng.choice([1, 2, 4, 16, 64, size // 4 + 1])
        if rng.random() < 0.3:  # heads are where formats keep their sizes
            at = rng.randrange(min(size, 256))
        kind = rng.randrange(9)
        if kind == 0 and made:
            made[min(at, len(made) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1 and made:
            made[min(at, len(made) - 1)] = rng.randrange(256)
        elif kind == 2:
            del made[at:]
        elif kind == 3:
            del made[at : at + length]
        elif kind == 4:
            made[at:at] = made[at : at + length]
        elif kind == 5:
            made[at:at] = rng.randbytes(length % 4096)
        elif kind == 6:
            number = rng.choice(_NUMBERS)
            made[at : at + len(number)] = number
        elif kind == 7:
            made[at : at + length] = bytes(len(made[at : at + length]))
        else:
            made += rng.randbytes(rng.randrange(600))
    return bytes(made)


def mutated_json(value: Any, rng: random.Random) -> Any:
    """The value with some of what it holds replaced, left out, renamed, or nested deeply."""
    made = copy.deepcopy(value)
    for _ in range(rng.choice([1, 1, 2, 3])):
        places = list(_places(made))
        if not places or rng.random() < 0.03:
            return _deep(rng) if rng.random() < 0.3 else copy.deepcopy(rng.choice(ODD))
        holder, key = rng.choice(places)
        kind = rng.randrange(5)
        if kind <= 2:
            holder[key] = copy.deepcopy(rng.choice(ODD))
        elif kind == 3:
            del holder[key]
        elif isinstance(holder, dict):
            holder[str(rng.choice(ODD))] = holder.pop(key)
        else:
            holder += holder[:1] * rng.choice([1, 100])
    return made


def _places(value: Any) -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from _places(inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value[:50]):
            yield value, i
            yield from _places(inner)


def _deep(rng: random.Random) -> Any:
    deep: Any = 1
    for _ in range(rng.choice([50, 250])):
        deep = [deep]
    return deep


def mutated_text(text: str, rng: random.Random) -> bytes:
    """A text of lines and cells: as bytes, damaged; or with odd cells, lines twice, left out, or out of order."""
    if rng.random() < 0.4:
        return mutated(text.encode(), rng)
    lines = text.splitlines()
    for _ in range(rng.choice([1, 2, 5])):
        at = rng.randrange(len(lines)) if lines else 0
        kind = rng.randrange(6)
        if kind == 0 and lines:
            cells = lines[at].split(",")
            odd = rng.choice(ODD)
            cells[rng.randrange(len(cells))] = odd if isinstance(odd, str) else json.dumps(odd)
            lines[at] = ",".join(cells)
        elif kind == 1 and lines:
            del lines[at]
        elif kind == 2:
            lines.insert(at, lines[at] if lines else "")
        elif kind == 3:
            rng.shuffle(lines)
        elif kind == 4:
            lines.insert(
                at, rng.choice(['"', ",", ",,,,,,", "\0", "[" * 5000, "{" * 5000, "&a [*a, *a]", "- " * 300, "\t"])
            )
        elif lines:
            lines[at] = lines[at].replace(
                rng.choice([",", ":", '"', "e", "0", " "]), rng.choice(["", ",", ":", '"', "1e308"])
            )
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
