"""Audio that a table lists: CSV, TSV, JSON lines or Parquet. Corpora and tasks read their tables here."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from sonoscale.corpora._files_corpus import Clip, Recording, Segments, Skipped, cut, headers, need_clips
from sonoscale.errors import SonoscaleError

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "audio_filepath", "audio")

Row = tuple[str, Mapping[str, Any]]
"""Where a row stands, for messages, and its values."""
_LONGEST = 1e9
"""Seconds; a recording of 30 years."""
_MOST_VALUES = 100_000_000
"""Values of a Parquet table, which are all in memory."""


def open_manifest(
    file: Path,
    *,
    sample_rate: int,
    max_seconds: float | None,
    path_column: str | None = None,
    audio_root: Path | None = None,
) -> Segments:
    """The clips of a manifest, in its order.

    Paths are relative to `audio_root`, by default the manifest's folder. A clip begins at the column `start` or
    `offset` and ends at `end`, or after `duration`, in seconds; without these, and without a value in them, it is
    all of the file. (`duration` without a `start` or `offset` only says how long the file is.) A row holds all
    columns but the path's.

    A row whose audio is missing or cannot be used, or that repeats another's, is in `skipped` with its line.

    Raises:
        SonoscaleError: the file is missing or in another format; there is no path column, or no usable row.
    """
    if not file.is_file():
        raise SonoscaleError(f"{file}: no such manifest")
    columns, rows = read_rows(file)
    column = path_column_of(file, columns, path_column)
    if not rows:
        raise SonoscaleError(f"{file}: no rows")
    root = file.parent if audio_root is None else audio_root
    paths = [_path(values.get(column)) for _, values in rows]
    unique = list(dict.fromkeys(path for path in paths if path))
    read = dict(zip(unique, headers(root / path for path in unique), strict=True))
    recordings = {
        path: Recording(_relative(path, root), root / path, header)
        for path, header in read.items()
        if not isinstance(header, str)
    }

    clips: list[Clip] = []
    skipped: list[Skipped] = []
    first_place: dict[tuple[str, float, float | None], str] = {}
    for (place, values), path in zip(rows, paths, strict=True):
        try:
            if path not in recordings:
                raise SonoscaleError(_why_not(path, column, read, root))
            start, stop = span_of(values)
            if (path, start, stop) in first_place:
                raise SonoscaleError(f"the same audio as {first_place[path, start, stop]}")
            described = {key: value for key, value in values.items() if key != column}
            clips += cut(recordings[path], described, max_seconds, start, stop)
        except SonoscaleError as error:
            skipped.append((path or file.name, f"{file.name}: {place}: {error}"))
            continue
        first_place[path, start, stop] = place
    hint = "" if audio_root else f" (paths are taken relative to {root}; give another folder as audio_root)"
    need_clips(clips, skipped, str(file), hint)
    return Segments("manifest", str(root), tuple(clips), sample_rate, max_seconds, tuple(skipped))


def described_by(file: Path) -> dict[str, Mapping[str, Any]]:
    """What a table beside audio says of each file: by its path, relative to the table's folder, all other columns.

    Nothing where there is no such table, where it has no column of paths, and of what it lists more than once.

    Raises:
        SonoscaleError: it is there and cannot be read.
    """
    if not file.is_file():
        return {}
    columns, rows = read_rows(file)
    column = next((each for each in PATH_COLUMNS if each in columns), None)
    if column is None:
        return {}
    found: dict[str, Mapping[str, Any]] = {}
    twice: set[str] = set()
    for _, values in rows:
        path = os.path.normpath(_path(values.get(column)))
        twice |= {path} & found.keys()
        found[path] = {key: value for key, value in values.items() if key != column}
    return {path: values for path, values in found.items() if path not in twice}


def has_bytes(file: Path) -> bool:
    """Whether a Parquet file holds encoded audio itself, as Hugging Face's do."""
    try:
        schema = pyarrow.parquet.read_schema(file)
    except Exception:  # whoever reads it says what is wrong
        return False
    return any(pyarrow.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0 for field in schema)


def path_column_of(file: Path, columns: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in columns:
            raise SonoscaleError(f"{file}: no column '{wanted}'; its columns are {', '.join(columns)}")
        return wanted
    for column in PATH_COLUMNS:
        if column in columns:
            return column
    raise SonoscaleError(
        f"{file}: no column of paths (looked for {', '.join(PATH_COLUMNS)}); its columns are {', '.join(columns)}: "
        "name one as path_column"
    )


def _path(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("path")
    return value.strip() if isinstance(value, str) else ""


def _relative(path: str, root: Path) -> str:
    return os.path.relpath(path, root) if Path(path).is_relative_to(root) else path


def _why_not(path: str, column: str, read: Mapping[str, Any], root: Path) -> str:
    if not path:
        return f"no value in column '{column}'"
    reason = read[path]
    return f"no such audio file {root / path}" if reason == "no such audio file" else reason


def span_of(values: Mapping[str, Any]) -> tuple[float, float | None]:
    """Start and end in seconds; None is the end of the file.

    Raises:
        SonoscaleError: a value is no number of seconds, or there is no audio between the two.
    """
    start = _number(values, "start", "offset")
    if start is None:
        return 0.0, _number(values, "end") if "start" in values or "offset" in values else None
    stop, duration = _number(values, "end"), _number(values, "duration")
    if stop is None and duration is not None:
        stop = start + duration
    if start < 0 or (stop is not None and stop <= start):
        raise SonoscaleError(f"start {start:g} s and end {stop if stop is None else f'{stop:g} s'} hold no audio")
    return start, stop


def _number(values: Mapping[str, Any], *columns: str) -> float | None:
    for column in columns:
        value = values.get(column)
        if value is None or value == "":
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not abs(number) <= _LONGEST:
            raise SonoscaleError(f"column '{column}': {str(value)[:80]!r} is not a number of seconds")
        return number
    return None


def read_rows(file: Path) -> tuple[list[str], list[Row]]:
    """The columns, and the rows with where each stands.

    Raises:
        SonoscaleError: the file cannot be read, or is in another format.
    """
    suffix = file.suffix.lower()
    try:
        if suffix == ".parquet":
            with pyarrow.parquet.ParquetFile(file, page_checksum_verification=True) as opened:
                values = opened.metadata.num_rows * max(1, opened.metadata.num_columns)
                if not 0 <= values <= _MOST_VALUES:
                    raise SonoscaleError(f"{file}: {values:,} values; at most {_MOST_VALUES:,} are read of a manifest")
                table = opened.read()
            if len(set(table.column_names)) < len(table.column_names):
                raise SonoscaleError(f"{file}: two columns of one name")
            return table.column_names, [(f"row {i}", row) for i, row in enumerate(table.to_pylist())]
        if suffix in (".csv", ".tsv"):
            return _read_csv(file, "\t" if suffix == ".tsv" else ",")
        return _read_json(file)
    except SonoscaleError:
        raise
    except Exception as error:  # damaged Parquet makes exceptions of any kind
        what = "Parquet" if suffix == ".parquet" else "text in UTF-8"
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SonoscaleError(f"{file}: not readable as {what} ({reason})") from error


def _read_csv(file: Path, delimiter: str) -> tuple[list[str], list[Row]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, delimiter=delimiter, restkey="", restval="")
        rows: list[Row] = []
        for row in reader:
            if row.get("") is not None:
                raise SonoscaleError(f"{file}: line {reader.line_num}: more values than there are columns")
            rows.append((f"line {reader.line_num}", row))
        return list(reader.fieldnames or []), rows


def _read_json(file: Path) -> tuple[list[str], list[Row]]:
    text = file.read_text(encoding="utf-8-sig")
    columns: dict[str, None] = {}
    rows: list[Row] = []
    if text.lstrip().startswith("["):  # one array of objects
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SonoscaleError(f"{file}: not valid JSON ({error})") from error
        entries = [(f"entry {i}", value) for i, value in enumerate(values)]
    else:
        entries = []
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    entries.append((f"line {number}", json.loads(line)))
                except (ValueError, RecursionError) as error:
                    raise SonoscaleError(f"{file}: line {number}: not a JSON object ({error})") from error
    for place, value in entries:
        if not isinstance(value, dict):
            raise SonoscaleError(f"{file}: {place}: not a JSON object with a path, but {type(value).__name__}")
        columns.update(dict.fromkeys(value))
        rows.append((place, value))
    return list(columns), rows
