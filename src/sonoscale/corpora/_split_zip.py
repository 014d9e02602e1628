"""Zip archives in several segments (.z01, .z02, ..., .zip), which Python's zipfile does not read.

After PKWARE's APPNOTE 6.3.10. Such an archive is one run of bytes, cut; places in it are given as a segment and an
offset there.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

__all__ = ["SplitZip", "SplitZipMember"]

_END, _END64, _LOCATOR, _CENTRAL, _LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02", b"PK\x03\x04"
_BLOCK = 1 << 20
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class SplitZipMember:
    """An entry of the archive."""

    name: str
    mode: int  # of Unix, 0 if unknown
    method: int
    encrypted: bool
    crc: int
    packed: int  # bytes in the archive
    size: int  # bytes unpacked
    at: int  # of its local header, from the start of the first segment


class SplitZip:
    """The segments of one archive, in order, the .zip last.

    Raises:
        ValueError: it is not such an archive, or a part of it is damaged.
    """

    def __init__(self, segments: Sequence[Path]) -> None:
        self._segments = list(segments)
        sizes = [segment.stat().st_size for segment in segments]
        self._starts = [0, *accumulate(sizes)]

    def members(self) -> Iterator[SplitZipMember]:
        """The entries, in the order of the archive's directory."""
        at, count = self._directory()
        for _ in range(count):
            head = self._read(at, 46)
            if head[:4] != _CENTRAL:
                raise ValueError("its directory is damaged or a segment is missing")
            made, flags, method = struct.unpack("<4xH2xHH", head[:12])
            crc, packed, size, name_size, extra_size, comment_size, disk = struct.unpack("<IIIHHHH", head[16:36])
            attributes, offset = struct.unpack("<II", head[38:46])
            raw = self._read(at + 46, name_size)
            extra = dict(_extra(self._read(at + 46 + name_size, extra_size)))
            size, packed, offset, disk = _large(extra.get(1, b""), size, packed, offset, disk)
            name = _name(raw)
            at += 46 + name_size + extra_size + comment_size
            mode = attributes >> 16 if made >> 8 == 3 else 0
            yield SplitZipMember(name, mode, method, bool(flags & 1), crc, packed, size, self._place(disk, offset))

    def read(self, member: SplitZipMember) -> Iterator[bytes]:
        """The content of an entry, block by block; its checksum is verified at the end."""
        if member.encrypted or member.method not in (0, 8):
            raise ValueError(f"{member.name}: encrypted, or packed in a way that is not known ({member.method})")
        head = self._read(member.at, 30)
        if head[:4] != _LOCAL:
            raise ValueError(f"{member.name}: not where the directory says; a segment is damaged or missing")
        at = member.at + 30 + sum(struct.unpack("<HH", head[26:30]))
        unpack = zlib.decompressobj(-15) if member.method == 8 else None
        crc = size = 0
        for start in range(at, at + member.packed, _BLOCK):
            block = self._read(start, min(_BLOCK, at + member.packed - start))
            for part in _inflated(unpack, block, member.name) if unpack else (block,):
                crc, size = zlib.crc32(part, crc), size + len(part)
                yield part
        if (crc, size) != (member.crc, member.size):
            raise ValueError(f"{member.name}: damaged (its checksum is wrong)")

    def _directory(self) -> tuple[int, int]:
        """Where the list of entries begins, and how many there are."""
        length = self._starts[-1]
        tail = self._read(max(0, length - 65_557), min(length, 65_557))
        found = tail.rfind(_END)
        if found < 0:
            raise ValueError("not a zip archive, or its last segment is cut")
        disk, count, offset = struct.unpack("<6xH2xH4xI", tail[found : found + 20])
        locator = tail[found - 20 : found] if found >= 20 else b""
        if locator[:4] == _LOCATOR:
            where, start = struct.unpack("<4xIQ", locator[:16])
            record = self._read(self._place(where, start), 56)
            if record[:4] != _END64:
                raise ValueError("its end is damaged or a segment is missing")
            disk, count, offset = struct.unpack("<20xI8xQ8xQ", record)
        return self._place(disk, offset), count

    def _place(self, disk: int, offset: int) -> int:
        if disk >= len(self._segments):
            raise ValueError(f"segment {disk + 1} is missing")
        return self._starts[disk] + offset

    def _read(self, at: int, length: int) -> bytes:
        parts: list[bytes] = []
        while length > 0 and 0 <= at < self._starts[-1]:
            number = bisect_right(self._starts, at) - 1
            with self._segments[number].open("rb") as stream:
                stream.seek(at - self._starts[number])
                parts.append(stream.read(min(length, self._starts[number + 1] - at)))
            at, length = at + len(parts[-1]), length - len(parts[-1])
        if length > 0:
            raise ValueError("it ends too early; a segment is cut or missing")
        return b"".join(parts)


def _inflated(unpack: Any, block: bytes, name: str) -> Iterator[bytes]:
    """What a block holds, in parts of bounded size."""
    while block:
        try:
            part = unpack.decompress(block, _BLOCK)
        except zlib.error as error:
            raise ValueError(f"{name}: damaged ({error})") from error
        yield part
        if not part and unpack.unconsumed_tail == block:  # its end came before
            return
        block = unpack.unconsumed_tail


def _extra(fields: bytes) -> Iterator[tuple[int, bytes]]:
    """The extra fields of an entry: number and content."""
    while len(fields) >= 4:
        kind, length = struct.unpack("<HH", fields[:4])
        yield kind, fields[4 : 4 + length]
        fields = fields[4 + length :]


def _name(raw: bytes) -> str:
    """The name of an entry: UTF-8, which Unix writes even where it does not say so, or else that of DOS."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _large(field: bytes, size: int, packed: int, offset: int, disk: int) -> tuple[int, int, int, int]:
    """The numbers of an entry; those that do not fit their fields stand in the zip64 extra field."""
    numbers = [size, packed, offset, disk]
    for i, (limit, form) in enumerate(((_MAX32, "<Q"), (_MAX32, "<Q"), (_MAX32, "<Q"), (_MAX16, "<I"))):
        width = struct.calcsize(form)
        if numbers[i] == limit and len(field) >= width:
            numbers[i], field = struct.unpack(form, field[:width])[0], field[width:]
    return numbers[0], numbers[1], numbers[2], numbers[3]
