"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["default_cache", "replacing", "write_bytes", "write_json", "write_text"]


def default_cache() -> Path:
    """Where log-mels and embeddings are kept: `$SONOSCALE_CACHE`, or `sonoscale` in the user's cache folder."""
    asked = os.environ.get("SONOSCALE_CACHE")
    return Path(asked) if asked else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sonoscale"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when the block ends, and is removed if it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace a file atomically: a reader sees the old one or the new one."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Replace a text file (UTF-8) atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any, *, indent: int | None = 1) -> None:
    """Replace a JSON file atomically; the content as `sonoscale.results.plain` leaves it, without NaN or infinity."""
    from sonoscale.results import plain

    write_text(path, json.dumps(plain(content), indent=indent, allow_nan=False))
