"""Text that came from elsewhere, such as names of files and labels, as it can be written and shown."""

from __future__ import annotations

import re

__all__ = ["encodable", "visible"]

_SURROGATES = re.compile("[\ud800-\udfff]")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def encodable(text: str) -> str:
    r"""Text as UTF-8 can hold it: bytes of a name that are not UTF-8 as `\xe9`.

    Example:
        >>> print(encodable(b"caf\xe9.wav".decode("utf-8", "surrogateescape")))
        caf\xe9.wav
    """
    return _SURROGATES.sub(_escaped, text) if not text.isascii() else text


def visible(text: str) -> str:
    r"""Text that does nothing to a terminal: control characters and changes of direction as `\x1b`; line ends stay.

    Example:
        >>> print(visible("a\x1b[31mb"))
        a\x1b[31mb
    """
    return text if text.isprintable() else _UNSEEN.sub(_escaped, encodable(text))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte, as Python has it in names
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
