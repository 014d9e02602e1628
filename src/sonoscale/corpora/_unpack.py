"""Unpack an archive that came from elsewhere: nothing lands outside the folder, and no links are made."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from sonoscale.corpora._split_zip import SplitZip
from sonoscale.errors import SonoscaleError

__all__ = ["is_archive", "merge_into", "unpack"]

_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, ValueError, EOFError, zlib.error, lzma.LZMAError, RuntimeError)
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def is_archive(name: str) -> bool:
    """Whether a file of that name is one that `unpack` reads."""
    return name.lower().endswith((".zip", *_TARS))


def unpack(archive: Path, into: Path, segments: Sequence[Path] = ()) -> list[str]:
    """Write the files of an archive below `into`, a new folder.

    Arguments:
        archive: .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz.
        into: is removed again if something is wrong.
        segments: of a split zip, those before `archive`, in order.

    Returns:
        names of what was left out: links, devices and the like.

    Raises:
        SonoscaleError: the archive is damaged, encrypted, or a member of it would land outside the folder.
    """
    into.mkdir(parents=True)
    try:
        if segments:
            return _split_zip([*segments, archive], into)
        return _zip(archive, into) if archive.name.lower().endswith(".zip") else _tar(archive, into)
    except BaseException as error:
        shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, _DAMAGE) or (isinstance(error, OSError) and error.errno is None):  # not of the disk
            raise SonoscaleError(f"{archive.name}: cannot be unpacked ({error})") from error
        raise


def merge_into(source: Path, target: Path) -> None:
    """Move everything below `source` to `target`, into folders that are there already, over files of the same name."""
    target.mkdir(parents=True, exist_ok=True)
    for item in source.iterdir():
        place = target / item.name
        if item.is_dir() and place.is_dir():
            merge_into(item, place)
        else:
            item.replace(place)
    source.rmdir()


def _zip(archive: Path, into: Path) -> list[str]:
    left_out = []
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            mode = member.external_attr >> 16
            if not _regular(mode):
                left_out.append(member.filename)
            elif (path := _place(into, member.filename, member.is_dir())) is not None:
                with opened.open(member) as stream, path.open("wb") as out:
                    shutil.copyfileobj(stream, out, 1 << 20)
    return left_out


def _tar(archive: Path, into: Path) -> list[str]:
    left_out = []
    with tarfile.open(archive, "r:*") as opened:
        for member in opened:
            if not member.isfile() and not member.isdir():
                left_out.append(member.name)
            elif (path := _place(into, member.name, member.isdir())) is not None:
                stream = opened.extractfile(member)
                assert stream is not None
                with stream, path.open("wb") as out:
                    shutil.copyfileobj(stream, out, 1 << 20)
            opened.members.clear()  # else it remembers them all  # pyright: ignore[reportAttributeAccessIssue]
        while opened.fileobj and opened.fileobj.read(1 << 20):  # to the checksum at the end
            pass
    return left_out


def _split_zip(segments: Sequence[Path], into: Path) -> list[str]:
    left_out, archive = [], SplitZip(segments)
    for member in archive.members():
        if not _regular(member.mode):
            left_out.append(member.name)
        elif (path := _place(into, member.name, member.name.endswith("/"))) is not None:
            _write(path, archive.read(member))
    return left_out


def _write(path: Path, blocks: Iterable[bytes]) -> None:
    with path.open("wb") as out:
        out.writelines(blocks)


def _regular(mode: int) -> bool:
    """A file or a folder by its Unix mode; 0 where the archive has none."""
    return stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)


def _place(into: Path, name: str, folder: bool) -> Path | None:
    """Where a file goes, its folder made; None for a folder."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or (pure.parts and pure.parts[0].endswith(":")):
        raise ValueError(f"its member {name!r} would be written outside the folder; nothing was unpacked")
    path = into / pure
    (path if folder else path.parent).mkdir(parents=True, exist_ok=True)
    return None if folder else path
