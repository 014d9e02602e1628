"""What is complete in a pack that is being written: one line per batch of clips, after their samples."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError

__all__ = ["Journal", "Progressed"]

_NAME = ".journal.jsonl"


@dataclass
class Progressed:
    """How far a pack is."""

    done: int = 0  # clips of the source that were handled
    clips: int = 0  # of these, packed
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (name, reason)
    shard: int = 0  # the one being written
    bytes: int = 0  # complete in it


class Journal:
    """The journal of one pack. A line that was cut or damaged does not count, nor does what comes after it."""

    def __init__(self, file: Path, state: Progressed) -> None:
        self.file, self.state = file, state

    @staticmethod
    def check_place(out: Path) -> None:
        """Raises:
        SonoscaleError: the folder holds something, and it is no pack that was begun.
        """
        others = [path for path in out.iterdir() if not path.name.startswith((".", "shard-"))]
        if others and not (out / _NAME).exists():
            raise SonoscaleError(f"{out}: is not empty, and no pack ({others[0].name}, ...); give a new folder")

    @classmethod
    def open(cls, out: Path, settings: dict[str, Any]) -> Journal:
        """Find or begin the journal of the pack in `out`.

        Raises:
            SonoscaleError: it belongs to other audio or settings, or there are shards without a journal.
        """
        file = out / _NAME
        if not file.exists() or b"\n" not in file.read_bytes()[: 1 << 16]:
            stray = sorted(out.glob("shard-*.bin"))
            if stray:
                raise SonoscaleError(f"{stray[0]}: a shard without a journal is in the way; delete it")
            file.write_bytes(_line(settings))
        journal = cls(file, Progressed())
        with file.open("rb+") as stream:
            first = _entry(stream.readline())
            if first is None:
                raise SonoscaleError(f"{file}: damaged; delete {out} and pack again")
            if first != settings:
                raise SonoscaleError(
                    f"{out}: holds an unfinished pack of other audio or with other settings; choose another folder, "
                    "or delete this one"
                )
            complete = stream.tell()
            for line in stream:
                entry = _entry(line)
                if entry is None:
                    break
                journal._count(entry)
                complete += len(line)
            stream.truncate(complete)
        return journal

    def append(
        self, handled: int, clips: list[dict[str, Any]], skipped: list[tuple[str, str]], shard: int, size: int
    ) -> None:
        """Note a batch whose samples are on the disk."""
        entry = {"handled": handled, "shard": shard, "bytes": size, "clips": clips, "skipped": skipped}
        with self.file.open("ab") as stream:
            stream.write(_line(entry))
            stream.flush()
            os.fsync(stream.fileno())
        self._count(entry)

    def clips(self) -> Iterator[dict[str, Any]]:
        """What was noted of each packed clip, in order, not all at once in memory."""
        with self.file.open("rb") as stream:
            stream.readline()
            for line in stream:
                yield from (_entry(line) or {"clips": []})["clips"]

    def remove(self) -> None:
        """The pack is finished."""
        self.file.unlink()

    def _count(self, entry: dict[str, Any]) -> None:
        state = self.state
        state.done += entry["handled"]
        state.clips += len(entry["clips"])
        state.skipped.extend((name, reason) for name, reason in entry["skipped"])
        state.shard, state.bytes = entry["shard"], entry["bytes"]


def _line(entry: dict[str, Any]) -> bytes:
    """A line of the journal: its checksum, and the entry as JSON."""
    text = json.dumps(entry).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _entry(line: bytes) -> dict[str, Any] | None:
    """What a line of the journal holds, None if it was cut or damaged."""
    checksum, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    return json.loads(text)
