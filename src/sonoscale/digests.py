"""What files hold, by SHA-256: digests that are kept while a file stays as it is, and JSON that vouches for itself."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.files import default_cache, digest, make_folder, read_json, write_json

__all__ = ["file_digests", "read_sealed", "write_sealed"]

_THREADS = 4
_STORE = "digests.sqlite"
_WAIT = 10.0  # seconds for another process that writes the store
_FINE, _COARSE = 0.1, 2.5  # seconds in which a second change may leave the times as they are, by the file system
_AT_ONCE = 400  # files looked up by one statement

_State = tuple[int, int, int, int, int]


def file_digests(files: Sequence[Path]) -> list[str | None]:
    """SHA-256 of all of each file; None for one that cannot be read.

    A digest is kept in `default_cache()` and used again while device, inode, size, and the times of the last change of
    content and of status are the same; no program can set the last of these.

    Arguments:
        files: any number, in any order.

    Returns:
        hexadecimal digests, in the same order.
    """
    states = [_state(file) for file in files]
    known = _recall({state for state in states if state is not None})
    missing = [i for i, state in enumerate(states) if state is not None and state not in known]
    fresh: dict[_State, str] = {}
    if missing:
        with ThreadPoolExecutor(min(_THREADS, len(missing))) as pool:
            made = list(pool.map(lambda i: _settled(files[i]), missing))
        found = {i: made_of for i, (made_of, _) in zip(missing, made, strict=True)}
        fresh = {state: made_of for made_of, state in made if made_of is not None and state is not None}
        _remember(fresh)
    else:
        found = {}
    return [found[i] if i in found else known.get(state) if state else None for i, state in enumerate(states)]


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, as `write_json` does, with its own digest; `read_sealed` reads it."""
    from sonoscale.results import plain

    written = json.loads(json.dumps(plain(content), default=str, allow_nan=False))
    write_json(path, {**written, "digest": _seal(written)})


def read_sealed(path: Path, what: str) -> dict[str, Any]:
    """A JSON object that `write_sealed` wrote, without its digest.

    Arguments:
        path: the file.
        what: it is, for messages: "the description of a pack".

    Raises:
        SonoscaleError: missing, not a JSON object, or changed since it was written.
    """
    content = read_json(path, what)
    if not isinstance(content, dict):
        raise SonoscaleError(f"{path}: not {what}: a JSON object is needed, not {type(content).__name__}")
    sealed = content.pop("digest", None)
    if sealed is None:
        raise SonoscaleError(f"{path}: not {what}: key 'digest' is missing")
    try:
        whole = sealed == _seal(content)
    except RecursionError:
        raise SonoscaleError(f"{path}: not {what}: nested too deeply") from None
    if not whole:
        raise SonoscaleError(f"{path}: damaged or changed by hand: its content does not match its digest")
    return content


def _seal(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _state(file: Path) -> _State | None:
    """What changes whenever the content does."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _settled(file: Path) -> tuple[str | None, _State | None]:
    """The digest of a file, and its state if that will show any later change."""
    before = _state(file)
    try:
        found = digest(file)
    except OSError:
        return None, None
    after = _state(file)
    if before is None or before != after:
        return found, None
    age = time.time() - max(before[3], before[4]) / 1e9
    return found, before if age > (_FINE if before[4] % 10**9 else _COARSE) else None


def _recall(states: set[_State]) -> dict[_State, str]:
    wanted, known = sorted(states), {}
    if not wanted or not (default_cache() / _STORE).is_file():
        return known
    with suppress(sqlite3.Error, OSError, ValueError, OverflowError), closing(_connect()) as store:
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            rows = store.execute(
                f"SELECT state, sha256 FROM digests WHERE state IN ({','.join('?' * len(part))})", [*map(_key, part)]
            )
            found = dict(rows.fetchall())
            known |= {state: found[key] for state in part if isinstance(found.get(key := _key(state)), str)}
    return known


def _remember(fresh: Mapping[_State, str]) -> None:
    """Keep digests; a store that is damaged is begun anew, and one that cannot be written is done without."""
    if not fresh:
        return
    for _ in range(2):
        try:
            make_folder(default_cache())
            with closing(_connect()) as store, store:
                store.execute("CREATE TABLE IF NOT EXISTS digests (state TEXT PRIMARY KEY, sha256 TEXT NOT NULL)")
                rows = [(_key(state), content) for state, content in fresh.items()]
                store.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?)", rows)
            return
        except sqlite3.OperationalError:  # locked, or a disk that is full or not to be written
            return
        except sqlite3.DatabaseError:
            with suppress(OSError):
                (default_cache() / _STORE).unlink(missing_ok=True)
        except (SonoscaleError, OSError):
            return


def _connect() -> sqlite3.Connection:
    return sqlite3.connect(os.fspath(default_cache() / _STORE), timeout=_WAIT)


def _key(state: _State) -> str:
    return "-".join(map(str, state))
