"""Audio in tar shards, as WebDataset writes and X-ARES publishes it, read where it lies."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import struct
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonoscale.audio import AUDIO_SUFFIXES
from sonoscale.audio._slice import FileSlice
from sonoscale.corpora._files_corpus import Segments, Skipped, contents, cut_all, headers, need_clips
from sonoscale.corpora._unpack import CheckedTarInfo
from sonoscale.errors import SonoscaleError

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}


@dataclass(frozen=True)
class TarSegments(Segments):
    """Clips of the audio members of tar files. A row's other members are read when asked for."""

    def _content(self) -> bytes:
        """Shards by name and content; members by name and size."""
        parts = [(recording.name, recording.source) for recording in self._recordings()]
        shards = list(dict.fromkeys(part.path for _, part in parts if isinstance(part, FileSlice)))
        digest = hashlib.sha256()
        for shard, content in zip(shards, contents(shards), strict=True):
            digest.update(os.fsencode(shard.name) + b"\0" + content)
        for name, part in parts:
            assert isinstance(part, FileSlice)
            digest.update(os.fsencode(f"{part.path.name}\0{name}\0{part.offset}\0{part.size}\0"))
        return digest.digest()

    def row(self, index: int) -> Mapping[str, Any]:
        """The sample's key and shard as `__key__` and `__url__`; what its json holds; its other members by extension.

        Raises:
            SonoscaleError: a member is not what its extension says.
        """
        row = dict(self.clips[index].row)
        for extension, part in self.clips[index].row.items():
            if isinstance(part, FileSlice):
                del row[extension]
                value = _member(extension, part, self.name(index))
                row |= value if isinstance(value, dict) else {extension: value}
        return row


def _member(extension: str, part: FileSlice, name: str) -> Any:
    try:
        text = part.read().decode("utf-8-sig")
        if extension.endswith("json"):
            return json.loads(text)
        return int(text) if extension == "cls" and text.strip().lstrip("-").isdigit() else text.strip()
    except (OSError, ValueError, RecursionError) as error:
        raise SonoscaleError(f"{name}: its .{extension} in {part} cannot be read ({error})") from error


def is_tar_spec(spec: str) -> bool:
    """Whether a path, pattern or brace pattern is of tar files."""
    return bool(re.search(r"\.(tar|tgz)(\.\w+)?$", spec.lower()))


def shards_of(spec: str) -> list[Path]:
    """The tar files of a file, folder, glob or brace pattern such as `train-{000..010}.tar`.

    Raises:
        SonoscaleError: one is missing, or there are none.
    """
    if Path(spec).is_dir():
        found = sorted(Path(spec).glob("*.tar"))
    else:
        found = []
        for one in [spec] if Path(spec).exists() else expand_braces(spec):
            some_files = sorted(glob.glob(one)) if glob.has_magic(one) and not Path(one).exists() else [one]  # noqa: PTH207
            found += [Path(file) for file in some_files]
    if not found:
        raise SonoscaleError(f"{spec}: no tar files")
    for file in found:
        if not file.is_file():
            raise SonoscaleError(f"{file}: no such tar file" + (f" (from {spec})" if str(file) != spec else ""))
    return found


def expand_braces(pattern: str) -> list[str]:
    """`a{00..02}b{x,y}` -> a00bx, a00by, a01bx, ..., as a shell and WebDataset do."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    inner = match[1]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", inner)
    if numbers:
        first, last = int(numbers[1]), int(numbers[2])
        width = max(len(numbers[1]), len(numbers[2])) if "0" in (numbers[1][0], numbers[2][0]) else 0
        options = [f"{n:0{width}d}" for n in range(first, last + 1)]
    else:
        options = inner.split(",")
    before, after = pattern[: match.start()], pattern[match.end() :]
    every = (one for option in options for one in expand_braces(before + option + after))
    return list(dict.fromkeys(every))  # braces in braces would give some twice


def open_tars(spec: str, *, sample_rate: int, max_seconds: float | None, key: str | None = None) -> TarSegments:
    """The audio of tar shards, in their order.

    Members whose path is the same up to the first dot of the file name are one sample: `a/7.flac` with `a/7.json`.
    The shards are indexed by offset and read by seeking; nothing is unpacked.

    Arguments:
        spec: a tar file, a folder of them, a glob or a brace pattern.
        sample_rate: Hz.
        max_seconds: see `open_corpus`.
        key: the extension of the audio in samples that have several, such as 'mix.flac'.

    Raises:
        SonoscaleError: a shard is missing, compressed or no tar file; a sample has several audio members; there
            is no audio.
    """
    skipped: list[Skipped] = []
    found: list[tuple[str, FileSlice]] = []
    rows: list[dict[str, Any]] = []
    shards = shards_of(spec)
    root = Path(os.path.commonpath([shard.parent for shard in shards]))
    for shard in shards:
        place = shard.relative_to(root).as_posix()
        index, reported = _index(shard)
        skipped += reported
        before = len(found)
        for sample, members in index.items():
            extension = _audio(members, key, f"{shard}: sample '{sample}'")
            if extension is None:
                continue
            found.append((f"{place}/{sample}.{extension}", members.pop(extension)))
            texts = {e: part for e, part in members.items() if e.rpartition(".")[2] in ("json", "txt", "cls")}
            rows.append({"__key__": sample, "__url__": place, **texts})
        if len(found) == before and not reported:
            skipped.append((place, "no audio in this shard" if key is None else f"no member '.{key}' in this shard"))
    clips, unreadable = cut_all(found, headers(part for _, part in found), rows.__getitem__, max_seconds)
    skipped += unreadable
    need_clips(clips, skipped, spec)
    return TarSegments("webdataset", str(root), tuple(clips), sample_rate, max_seconds, tuple(skipped))


def _audio(members: Mapping[str, FileSlice], key: str | None, where: str) -> str | None:
    """The extension of a sample's audio."""
    if key is not None:
        return key.lstrip(".").lower() if key.lstrip(".").lower() in members else None
    several = [extension for extension in members if f".{extension.rpartition('.')[2]}" in AUDIO_SUFFIXES]
    if len(several) > 1:
        raise SonoscaleError(f"{where} has several audio members ({', '.join(several)}); choose one with key")
    return several[0] if several else None


def _index(shard: Path) -> tuple[dict[str, dict[str, FileSlice]], list[Skipped]]:
    """Members by sample and extension, and what could not be indexed."""
    index: dict[str, dict[str, FileSlice]] = {}
    skipped: list[Skipped] = []
    places: dict[str, FileSlice] = {}  # by name, for hard links, which only name an earlier member
    try:
        size = shard.stat().st_size
        with shard.open("rb") as stream:
            kind = _COMPRESSED.get(stream.read(2))
    except OSError as error:
        raise SonoscaleError(f"{shard}: cannot be read ({error.strerror})") from error
    if kind is not None:
        raise SonoscaleError(
            f"{shard}: compressed with {kind}, which rules out reading at random; make it a plain .tar"
        )
    end = 0
    try:
        for member in _members(shard):
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if member.isdir():
                continue
            folder, _, file = member.name.rpartition("/")
            stem, _, extension = file.partition(".")
            if not stem:  # hidden: WebDataset leaves it out too
                continue
            name = f"{shard.name}/{member.name}"
            part = places.get(member.linkname) if member.islnk() else _slice(shard, member)
            if part is None:
                skipped.append((name, _why_no_file(member)))
                continue
            places[member.name] = part
            sample = index.setdefault(f"{folder}/{stem}" if folder else stem, {})
            if part.offset + part.size > size:
                skipped.append((name, f"cut off: the shard ends at byte {size}, the member at {end}"))
            elif extension.lower() in sample:
                skipped.append((name, "a second member of this name in its shard"))
            else:
                sample[extension.lower()] = part
    except (tarfile.TarError, ValueError, RecursionError, OverflowError, struct.error) as error:
        what = f"damaged or cut off after byte {end}" if end else "not a tar file"
        skipped.append((shard.name, f"{what} ({str(error)[:200] or type(error).__name__})"))
    else:
        with shard.open("rb") as stream:
            stream.seek(end)
            block = stream.read(tarfile.BLOCKSIZE)
        if block.strip(b"\0") or (not block and end == size):
            skipped.append((shard.name, f"damaged or cut off after byte {end}: no end-of-archive mark there"))
    return index, skipped


def _slice(shard: Path, member: tarfile.TarInfo) -> FileSlice | None:
    """Where a member lies as it is; None if it does not."""
    if not member.isreg() or member.issparse():
        return None
    return FileSlice(shard, member.offset_data, member.size)


def _why_no_file(member: tarfile.TarInfo) -> str:
    if member.islnk():
        return f"a hard link to {member.linkname!r}, which is not among the members before it"
    if member.issym():
        return f"a symbolic link to {member.linkname!r}, which is not followed"
    return "a sparse file, which is not read" if member.issparse() else "not a file"


def _members(shard: Path) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(shard, "r:", tarinfo=CheckedTarInfo) as tar:
        while (member := tar.next()) is not None:
            if not 0 <= member.size < 1 << 60:  # as a pax header may say
                raise tarfile.ReadError(f"a member says that it has {member.size} bytes")
            yield member
            tar.members = []  # pyright: ignore[reportAttributeAccessIssue]  # it would keep every one
