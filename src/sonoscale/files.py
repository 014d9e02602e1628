"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError

__all__ = [
    "check_outputs", "check_zip", "default_cache", "digest", "make_folder", "read_json", "remove_partial", "replacing",
    "settle", "write_bytes", "write_json", "write_text",
]  # fmt: skip


def default_cache() -> Path:
    """Where log-mels and embeddings are kept: `$SONOSCALE_CACHE`, or `sonoscale` in the user's cache folder."""
    asked = os.environ.get("SONOSCALE_CACHE")
    return Path(asked) if asked else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sonoscale"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when the block ends, and is removed if it fails."""
    make_folder(path.parent)
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NOT_TO_BE_WRITTEN and _about(error, path, partial):
            raise SonoscaleError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error
        raise


def remove_partial(path: Path) -> None:
    """Remove what processes of this machine that were killed have left of a file that they were writing."""
    for left in path.parent.glob(f".*-{glob.escape(path.name)}"):
        pid = left.name[1:].partition("-")[0]
        if left.name == f".{pid}-{path.name}" and pid.isdecimal() and not Path("/proc", pid).exists():
            with suppress(OSError):
                left.unlink()


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        SonoscaleError: it cannot be made there; the path and the reason.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in _NOT_TO_BE_WRITTEN:
            raise  # such as a full disk
        raise SonoscaleError(f"{path}: cannot be made a folder: {(error.strerror or str(error)).lower()}") from error


_NOT_TO_BE_WRITTEN = {
    errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip
"""Errors of the system that are about a place, and not about the disk."""


def _about(error: OSError, *paths: Path) -> bool:
    return error.filename is not None and any(os.fspath(error.filename) == str(path) for path in paths)


def settle(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk, so that a crash of the machine leaves them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that know no such thing
            raise
    finally:
        os.close(descriptor)


def read_json(path: Path, what: str = "a JSON file") -> Any:
    """What a JSON file (UTF-8) holds.

    Arguments:
        path: the file.
        what: it is, for messages.

    Raises:
        SonoscaleError: it is missing, cannot be read, or is not JSON; the file and the reason.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be read as {what}: {(error.strerror or str(error)).lower()}") from error
    except RecursionError:
        raise SonoscaleError(f"{path}: not {what}: nested too deeply") from None
    except ValueError as error:
        raise SonoscaleError(f"{path}: not {what}: {str(error)[:200]}") from error


def digest(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_zip(path: Path) -> None:
    """Whether a zip file, such as torch's, holds what was written: every member against its checksum.

    Raises:
        SonoscaleError: it is truncated or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except FileNotFoundError:
        raise SonoscaleError(f"{path}: no such file") from None
    except Exception as error:  # damage brings about many: bad numbers, seeks, methods of compression
        raise SonoscaleError(f"{path}: truncated or damaged, or not a file of this kind ({error})") from error
    if bad is not None:
        raise SonoscaleError(f"{path}: damaged: the checksum of {bad} in it does not hold")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace a file atomically: a reader sees the old one or the new one."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Replace a text file (UTF-8) atomically; what UTF-8 cannot hold is escaped."""
    from sonoscale._text import encodable

    write_bytes(path, encodable(text).encode("utf-8"))


def write_json(path: Path, content: Any, *, indent: int | None = 1) -> None:
    """Replace a JSON file atomically; the content as `sonoscale.results.plain` leaves it, without NaN or infinity."""
    from sonoscale.results import plain

    write_text(path, json.dumps(plain(content), indent=indent, allow_nan=False))


def check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path]) -> None:
    """Try the files that a command will write, None for those that it will not.

    Raises:
        SonoscaleError: a file cannot be written there, is written twice, or is one that the command reads.
    """
    read = {path.expanduser().resolve() for path in inputs}
    written: set[Path] = set()
    for path in filter(None, outputs):
        where = path.resolve()
        if where in read:
            raise SonoscaleError(f"{path}: is to be measured, and would be overwritten")
        if where in written:
            raise SonoscaleError(f"{path}: is to be written twice; name another file")
        written.add(where)
        _check_writable(path)


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise SonoscaleError(f"{path}: is a folder")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None
