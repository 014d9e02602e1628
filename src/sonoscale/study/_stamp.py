"""Whether anything has changed since a study was finished, found out without opening its audio."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale import __version__
from sonoscale.config import config_hash
from sonoscale.files import digest, write_json

if TYPE_CHECKING:
    from sonoscale.config import Config

__all__ = ["is_stamped", "stamp"]

_FILE = ".finished.json"


def stamp(config: Config, folder: Path) -> None:
    """All runs are done, and laws are fitted: keep what that was made of."""
    write_json(folder / _FILE, _made_of(config, folder))


def is_stamped(config: Config, folder: Path) -> bool:
    """Whether the study is finished, with this configuration, by this version, on files that have not changed since.

    Files are compared by size and time of change, the ledger by its content.
    """
    import json

    try:
        return json.loads((folder / _FILE).read_text()) == _made_of(config, folder)
    except (OSError, ValueError):
        return False


def _made_of(config: Config, folder: Path) -> dict[str, Any]:
    content = config.model_dump(mode="json")
    root = content["data"].get("root")
    files = sorted({file for text in _texts(content) for file in _files(text, root)})
    return {
        "version": __version__,
        "study": config_hash(content, 64),
        "files": config_hash(files, 64),
        "results": {name: digest(folder / name) for name in ("ledger.parquet", "laws.json", "baseline.json")},
    }


def _texts(content: Any) -> Iterator[str]:
    """Whatever may name a file."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for each in content.values():
            yield from _texts(each)
    elif isinstance(content, list):
        for each in content:
            yield from _texts(each)


def _files(text: str, root: str | None) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of the file of this name, or of all files in the folder."""
    for place in {Path(text), Path(root, text)} if root and text else {Path(text)}:
        try:
            found = place.stat() if text and len(text) < 4096 and "\0" not in text else None
        except OSError:
            continue
        if found is None:
            continue
        if not place.is_dir():
            yield str(place), found.st_size, found.st_mtime_ns
        elif str(place) != ".":
            yield from _within(str(place))


def _within(folder: str) -> Iterator[tuple[str, int, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_dir():
                yield from _within(entry.path)
            else:
                stat = entry.stat()
                yield entry.path, stat.st_size, stat.st_mtime_ns
        except OSError:
            continue
