"""Unpack an archive that came from elsewhere: nothing lands outside the folder, and no links are made."""

from __future__ import annotations

import errno
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from sonoscale.corpora._split_zip import SplitZip
from sonoscale.errors import SonoscaleError

__all__ = ["CheckedTarInfo", "is_archive", "merge_into", "unpack"]

_SMALL = 1 << 30
_EXPANSION = 100
"""An archive that unpacks to more bytes than `_SMALL`, and to more than so many times its own, is not unpacked."""
_RESERVE = 1 << 28
"""Bytes that unpacking leaves free on the disk."""
_MOST_MEMBERS = 10_000_000
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE}
"""Errors of the system that are not about what is in an archive."""
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
        SonoscaleError: the archive is damaged, encrypted, unpacks to far more than an archive of audio does, or a
            member of it would land outside the folder; or the disk has no room for it.
    """
    into.mkdir(parents=True)
    try:
        room = _Room(sum(each.stat().st_size for each in [*segments, archive]), into)
        if segments:
            return _split_zip([*segments, archive], into, room)
        return _zip(archive, into, room) if archive.name.lower().endswith(".zip") else _tar(archive, into, room)
    except BaseException as error:
        shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, SonoscaleError) or not isinstance(error, Exception):
            raise
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SonoscaleError(f"{archive.name}: cannot be unpacked ({reason})") from error


class _Room:
    """What an archive may still unpack to: by its size, and by the disk."""

    def __init__(self, size: int, into: Path) -> None:
        self._into, self._most = into, max(_SMALL, _EXPANSION * size)
        self._free = shutil.disk_usage(into).free - _RESERVE
        self._bytes = self._members = 0

    def member(self) -> None:
        """One more file or folder."""
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise ValueError(f"it has more than {_MOST_MEMBERS:,} members")

    def take(self, size: int) -> None:
        """So many bytes more.

        Raises:
            ValueError: that is too much for an archive of its size.
            SonoscaleError: that is too much for the disk.
        """
        self._bytes += size
        if self._bytes > self._most:
            raise ValueError(f"it unpacks to more than {_EXPANSION} times its size")
        if self._bytes > self._free:
            raise SonoscaleError(f"{self._into}: the disk has no room for what is in the archive")

    def copy(self, stream: IO[bytes], path: Path, block: int = 1 << 20) -> None:
        """All of a stream to a file."""
        with path.open("wb") as out:
            while content := stream.read(block):
                self.take(len(content))
                out.write(content)


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


def _zip(archive: Path, into: Path, room: _Room) -> list[str]:
    left_out = []
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            room.member()
            mode = member.external_attr >> 16
            if not _regular(mode):
                left_out.append(member.filename)
            elif (path := _place(into, member.filename, member.is_dir())) is not None:
                plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
                with opened.open(member) as stream:  # the others are inflated without a bound: little by little
                    room.copy(stream, path, 1 << 20 if plain else 1 << 12)
    return left_out


class CheckedTarInfo(tarfile.TarInfo):
    """Refuses sizes that would send the reader back, or fill the memory."""

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        of_names = self.type in (
            tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )  # fmt: skip
        if not 0 <= self.size < (1 << 20 if of_names else 1 << 60):
            raise tarfile.ReadError(f"a member says that it has {self.size} bytes")
        return super()._proc_member(tarfile_)  # pyright: ignore[reportAttributeAccessIssue]


def _tar(archive: Path, into: Path, room: _Room) -> list[str]:
    left_out = []
    with tarfile.open(archive, "r:*", tarinfo=CheckedTarInfo) as opened:
        for member in opened:
            room.member()
            if not member.isfile() and not member.isdir():
                left_out.append(member.name)
            elif (path := _place(into, member.name, member.isdir())) is not None:
                if not 0 <= member.size < 1 << 60:  # as a pax header may say
                    raise ValueError(f"its member {member.name!r} says that it has {member.size} bytes")
                stream = opened.extractfile(member)
                assert stream is not None
                with stream:
                    room.copy(stream, path)
            opened.members.clear()  # else it remembers them all  # pyright: ignore[reportAttributeAccessIssue]
        while opened.fileobj and opened.fileobj.read(1 << 20):  # to the checksum at the end
            pass
    return left_out


def _split_zip(segments: Sequence[Path], into: Path, room: _Room) -> list[str]:
    left_out, archive = [], SplitZip(segments)
    for member in archive.members():
        room.member()
        if not _regular(member.mode):
            left_out.append(member.name)
        elif (path := _place(into, member.name, member.name.endswith("/"))) is not None:
            with path.open("wb") as out:
                for block in archive.read(member):
                    room.take(len(block))
                    out.write(block)
    return left_out


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
