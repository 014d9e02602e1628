"""The end of packing: the index as Parquet and the description as JSON, each in one step."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sonoscale._text import encodable
from sonoscale.corpora._pack_journal import Journal
from sonoscale.corpora._packed import FORMAT, INDEX_FILE, META_FILE, VERSION, content_digest, shard_name
from sonoscale.digests import write_sealed
from sonoscale.files import digest, replacing, settle

__all__ = ["finish_pack", "plain"]

_FIELDS = {
    "name": pa.string(), "group": pa.string(), "shard": pa.int32(), "offset": pa.int64(), "samples": pa.int64(),
    "seconds": pa.float64(), "peak": pa.float64(), "scale": pa.float64(),
}  # fmt: skip
_ROWS = 1 << 16  # clips in a row group


def plain(value: Any) -> Any:
    """A metadata value as JSON keeps it; what it does not know as text, NaN and infinity as None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return encodable(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {encodable(str(key)): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else encodable(str(value))


def finish_pack(
    out: Path, settings: dict[str, Any], source: dict[str, Any], journal: Journal, skipped: list[tuple[str, str]]
) -> None:
    """Write the index and, as the last of all, the description that makes the folder a pack."""
    columns = _columns(journal.clips())
    content = hashlib.sha256()
    schema = pa.schema([*_FIELDS.items(), *((column.name, column.type) for column in columns.values())])
    samples = 0
    with replacing(out / INDEX_FILE) as unfinished, pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        clips = journal.clips()
        while batch := list(itertools.islice(clips, _ROWS)):
            for clip in batch:
                content.update(json.dumps([clip["samples"], clip["scale"], clip["group"], clip["row"]]).encode())
                samples += clip["samples"]
            writer.write_table(_table(batch, settings["rate"], columns, schema), row_group_size=_ROWS)
    settle(out / INDEX_FILE)
    shards = [_described(out / shard_name(number)) for number in range(journal.state.shard + 1)]
    source_text = json.dumps(source, default=str)
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "sha256": content_digest(shards, content.hexdigest()),
        "rate": settings["rate"],
        "clips": journal.state.clips,
        "seconds": samples / settings["rate"],
        "columns": [{"name": key, "stored": columns[key].name, "json": columns[key].nested} for key in columns],
        "shards": shards,
        "index": _described(out / INDEX_FILE),
        "skipped": [{"name": name, "reason": reason} for name, reason in [*skipped, *journal.state.skipped]],
        "source": source if len(source_text) < 10_000 else {"sha256": settings["source"]},
        "settings": settings,
    }
    write_sealed(out / META_FILE, meta)
    settle(out / META_FILE)
    settle(out)


@dataclass(frozen=True)
class _Column:
    """A column of the source in the index."""

    name: str
    type: pa.DataType
    nested: bool  # lists and mappings, stored as JSON


def _columns(clips: Iterator[dict[str, Any]]) -> dict[str, _Column]:
    """The source's columns, each with the narrowest type that holds every value."""
    kinds: dict[str, set[type]] = {}
    for clip in clips:
        for key, value in clip["row"].items():
            kinds.setdefault(key, set())
            if value is not None:
                kinds[key].add(type(value))
    return {
        key: _Column(f"source.{key}" if key in _FIELDS else key, _type(found), bool(found) and found <= {list, dict})
        for key, found in kinds.items()
    }


def _type(kinds: set[type]) -> pa.DataType:
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    return pa.float64() if kinds and kinds <= {int, float} else pa.string()


def _table(batch: list[dict[str, Any]], rate: int, columns: dict[str, _Column], schema: pa.Schema) -> pa.Table:
    data = {key: [clip[key] for clip in batch] for key in _FIELDS if key != "seconds"}
    data["seconds"] = [clip["samples"] / rate for clip in batch]
    for key, column in columns.items():
        values = [clip["row"].get(key) for clip in batch]
        data[column.name] = [_text(value) for value in values] if column.type == pa.string() else values
    return pa.table({field.name: pa.array(data[field.name], field.type) for field in schema})


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _described(shard: Path) -> dict[str, Any]:
    return {"bytes": shard.stat().st_size, "sha256": digest(shard)}
