"""Download a file over HTTP: goes on where it stopped, tries again, and verifies."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonoscale import __version__
from sonoscale.errors import SonoscaleError
from sonoscale.files import write_json

__all__ = ["CHECKSUM", "URL", "Patience", "download", "read_json"]

CHECKSUM = re.compile("md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")
URL = re.compile(r"https?://[^/?#\s\\\x00-\x20\x7f]+/[^\s\x00-\x20\x7f]*")
"""What an address of a file must look like: nothing of this machine can be asked for."""

_BLOCK = 1 << 20
_WORTH = 1 << 16  # bytes that an attempt must bring to have been worth it
_MOST_JSON = 1 << 24  # bytes of a JSON answer
_RESERVE = 1 << 28  # bytes that a download leaves free on the disk
_RETRIED = {408, 425, 429, 500, 502, 503, 504}  # HTTP status codes of troubles that pass
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Patience:
    """How often and how long to try."""

    retries: int = 6  # in a row without a byte more
    pause: float = 1.0  # seconds before the first retry; each further one waits twice as long, at most a minute
    timeout: float = 60.0  # seconds without a byte after which a connection counts as dead
    slowest: float = 1024.0  # bytes a second, over `timeout` seconds, below which it counts as dead too


class _PassingError(Exception):
    """Worth another try."""


class _FinalError(Exception):
    """Not worth another try at this address."""


def download(
    urls: Sequence[str],
    target: Path,
    *,
    checksum: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> str:
    """Download one file to `target`, which appears only when it is complete and verified.

    What has arrived lies beside it as `.part`, and a later call resumes from there if the server still has the
    same file. With several addresses, the next is tried when one fails.

    Arguments:
        urls: addresses of the same file.
        target: where to put it.
        checksum: "md5:..." or "sha256:..."; None if none is known.
        size: bytes, if known.
        progress: called with (bytes there, bytes in all if known).
        patience: by default six retries.

    Returns:
        the checksum of the file: by the kind of `checksum`, or else SHA-256.

    Raises:
        SonoscaleError: no address works, or what came has another checksum.
    """
    patience = patience or Patience()
    kind = checksum.partition(":")[0] if checksum else "sha256"
    part, reasons = target.with_name(target.name + ".part"), []
    if target.exists():  # from a call that was interrupted later on
        found = _digest(target, kind)
        if checksum in (None, found):
            return found
    for url in urls:
        try:
            _persist(url, part, size, progress, patience)
            found = _digest(part, kind)
            if checksum and found != checksum:
                _forget(part)
                raise _FinalError(f"the content is not what was published: {found}, not {checksum}")
        except _FinalError as error:
            reasons.append(f"{url}: {error}")
            continue
        part.replace(target)
        _forget(part)
        return found
    raise SonoscaleError("; ".join(reasons))


def read_json(url: str, patience: Patience | None = None) -> Any:
    """What a JSON interface answers.

    Raises:
        SonoscaleError: it does not answer, or not with JSON.
    """
    patience = patience or Patience()
    for attempt in range(patience.retries + 1):
        try:
            with _open(url, {}, patience) as answer:
                content = bytearray()
                for block in _blocks(answer, patience):
                    content += block
                    if len(content) > _MOST_JSON:
                        raise _FinalError(f"the answer is longer than {_MOST_JSON:,} bytes")
                return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise SonoscaleError(f"{url}: the answer is not JSON ({str(error)[:200]})") from error
        except _FinalError as error:
            raise SonoscaleError(f"{url}: {error}") from error
        except (_PassingError, OSError, http.client.HTTPException) as error:
            if attempt == patience.retries:
                raise SonoscaleError(f"{url}: {error}") from error
            _wait(patience, attempt)
    raise AssertionError


def _digest(file: Path, kind: str) -> str:
    with file.open("rb") as stream:
        return f"{kind}:{hashlib.file_digest(stream, kind).hexdigest()}"


def _persist(url: str, part: Path, size: int | None, progress: Progress | None, patience: Patience) -> None:
    """Attempts until the file is there; only those in a row that bring nothing count."""
    failed = 0
    while True:
        before = _length(part)
        try:
            return _attempt(url, part, size, progress, patience)
        except _PassingError as error:
            failed = 1 if _length(part) - before >= _WORTH else failed + 1
            if failed > patience.retries:
                raise _FinalError(f"{error} ({failed} times); what arrived is kept") from error
            _wait(patience, failed - 1)


def _attempt(url: str, part: Path, size: int | None, progress: Progress | None, patience: Patience) -> None:
    state_file = part.with_name(part.name + ".json")
    start, headers = _resume(url, part, state_file)
    try:
        answer = _open(url, headers, patience)
    except _NotSatisfiableError as error:
        if start and error.total == start:  # everything had arrived already
            return
        _forget(part)
        raise _PassingError("the server has another file now; starting again") from error
    with answer:
        expected = _content_range(answer) if answer.status == 206 else None
        if answer.status == 206 and (expected is None or expected[0] != start):
            _forget(part)
            raise _PassingError("the server sent another range than was asked for; starting again")
        if expected is None:  # the whole file, from its start
            start, length = 0, answer.headers.get("Content-Length") or ""
            total = int(length) if re.fullmatch("[0-9]{1,18}", length) else None
        else:
            total = expected[1]
        if size is not None and total is not None and total != size:
            _forget(part)
            raise _FinalError(f"the server sends {total} bytes; the file that was published has {size}")
        validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        write_json(state_file, {"url": url, "validator": validator})
        done, most = start, total if total is not None else size
        room = shutil.disk_usage(part.parent).free - _RESERVE
        if most is not None and most - start > room:
            raise SonoscaleError(
                f"{part.parent}: {room / 1e9:.1f} GB to spare; {url} needs {(most - start) / 1e9:.1f} GB"
            )
        with part.open("ab" if start else "wb") as stream:
            for block in _blocks(answer, patience):
                done += len(block)
                if most is not None and done > most:
                    stream.close()
                    _forget(part)
                    raise _FinalError(f"the server sends more than the {most} bytes of the file")
                if done - start > room:
                    raise SonoscaleError(f"{part.parent}: the disk is nearly full after {done / 1e9:.1f} GB of {url}")
                stream.write(block)
                if progress:
                    progress(done, most)
    if total is not None and done != total:
        raise _PassingError(f"the connection ended after {done} of {total} bytes")


def _resume(url: str, part: Path, state_file: Path) -> tuple[int, dict[str, str]]:
    """Where to go on, and the headers that ask for the rest of that very file."""
    start = _length(part)
    try:
        state = json.loads(state_file.read_text())
        validator = state["validator"] if state["url"] == url else None
        validator = validator if isinstance(validator, str) and re.fullmatch(r"[\x20-\x7e]*", validator) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        validator = None
    if not start or not validator or validator.startswith("W/"):  # nothing shows that it is the same file
        _forget(part)
        return 0, {}
    return start, {"Range": f"bytes={start}-", "If-Range": validator}


class _NotSatisfiableError(Exception):
    """Status 416: the range that was asked for is not in the file."""

    def __init__(self, total: int | None) -> None:
        super().__init__()
        self.total = total


def _open(url: str, headers: dict[str, str], patience: Patience) -> Any:
    headers = {"User-Agent": f"sonoscale/{__version__}", "Accept-Encoding": "identity", **headers}
    try:
        return _opener().open(urllib.request.Request(url, headers=headers), timeout=patience.timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            match = re.fullmatch(r"bytes \*/([0-9]{1,18})", error.headers.get("Content-Range", ""))
            raise _NotSatisfiableError(int(match[1]) if match else None) from error
        reported = f"the server answers {error.code} {error.reason}"
        raise (_PassingError if error.code in _RETRIED else _FinalError)(reported) from error
    except (ValueError, UnicodeError) as error:
        raise _FinalError(f"not an address that can be asked ({error})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(f"no connection ({getattr(error, 'reason', None) or error})") from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To other addresses of the web only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not URL.match(newurl if newurl.count("/") > 2 else newurl + "/"):
            raise _FinalError(f"the server points to {newurl[:200]!r}, which is not http:// or https://")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Knows http and https, and nothing else: no files, no FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.UnknownHandler, urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler, urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _blocks(answer: Any, patience: Patience) -> Iterator[bytes]:
    """The body as it comes, with what had arrived when the connection broke."""
    since, arrived = time.monotonic(), 0
    try:
        while block := answer.read1(_BLOCK):
            yield block
            arrived += len(block)
            if (waited := time.monotonic() - since) > patience.timeout:
                if arrived < patience.slowest * waited:
                    raise _PassingError(f"the connection brings {arrived / waited:.0f} bytes a second only")
                since, arrived = time.monotonic(), 0
    except http.client.IncompleteRead as error:
        yield error.partial
        raise _PassingError("the connection ended too early") from error
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(f"the connection broke ({error})") from error


def _content_range(answer: Any) -> tuple[int, int] | None:
    match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", answer.headers.get("Content-Range", ""))
    return (int(match[1]), int(match[2])) if match else None


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".json").unlink(missing_ok=True)


def _wait(patience: Patience, attempt: int) -> None:
    time.sleep(min(60.0, patience.pause * 2**attempt))
