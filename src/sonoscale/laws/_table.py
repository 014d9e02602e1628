"""A table of runs out of a file: CSV, tab-separated or Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._checksum import read_checked

__all__ = ["arrow_columns", "as_point", "as_table", "frame_columns", "read_table"]

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_NUMBERS = (bool, int, float, np.number, Decimal, Fraction)
_MISSING = {"", "na", "n/a", "nan", "null", "none"}
_TRUTH = {"true": True, "false": False}
_ZEROS_BEFORE = re.compile(r"[+-]?0\d")  # 0012 is a label, not twelve


def read_table(path: str | PathLike[str]) -> dict[str, NDArray[Any]]:
    """The columns of a table, in the file's order.

    Arguments:
        path: a file in UTF-8 with one line of column names, comma-separated (`.csv`) or tab-separated (`.tsv`), or a
            Parquet file (`.parquet`). A first column without a name, as data frames write their index, is left out, and
            so are empty lines.

    Returns:
        Column name -> values [n]: bool where all are true or false, int64 where all are whole numbers, float64 for
        other numbers (and where some of those are missing: NaN), and objects for the rest: strings without the blanks
        around them, None where missing. Missing is an empty cell, or `NA`, `N/A`, `NaN`, `null` or `None` in any case.
        Numbers with zeros before them or with underscores are taken as labels.

    Raises:
        SonoscaleError: With the file and, where there is one, the line and column, for a missing or empty file, another
            suffix, a first line that holds values instead of names, names that are missing or repeated, a line with
            more or fewer values than there are columns, text that is not UTF-8, and a file that is not Parquet though
            it is called so.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if not file.exists():
        raise SonoscaleError(f"{file}: no such table")
    if suffix not in (*_DELIMITERS, ".parquet"):
        raise SonoscaleError(f"{file}: a table is read from .csv, .tsv or .parquet, not from {suffix or 'no suffix'!r}")
    if not file.is_file():
        raise SonoscaleError(f"{file}: {'is a folder' if file.is_dir() else 'no file'}, not a table")
    if file.stat().st_size == 0:
        raise SonoscaleError(f"{file}: the file is empty")
    return _read_parquet(file) if suffix == ".parquet" else _read_text(file, _DELIMITERS[suffix])


def as_table(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Python values, None where missing, or arrays, as the arrays that `read_table` gives."""
    return {name: _as_array(values) for name, values in columns.items()}


def _as_array(values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    if isinstance(values, np.ndarray) and values.dtype.kind in "bf":
        return values.astype(bool if values.dtype.kind == "b" else np.float64)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.dtype != np.uint64:
        return values.astype(np.int64)
    return _array(values.tolist() if isinstance(values, np.ndarray) else list(values))


def frame_columns(frame: Any) -> dict[str, NDArray[Any]] | None:
    """The columns of a pandas, Polars or Arrow table as `read_table` gives them, or None for anything else.

    Raises:
        SonoscaleError: For two columns of one name.
    """
    if hasattr(frame, "column_names") and hasattr(frame, "to_pydict"):  # Arrow
        names, listed = list(frame.column_names), [_arrow_array(column) for column in frame.columns]
    elif hasattr(frame, "get_columns") and hasattr(frame, "to_dicts"):  # Polars
        names, listed = list(frame.columns), [column.to_list() for column in frame.get_columns()]
    elif hasattr(frame, "iloc") and hasattr(frame, "columns"):  # pandas
        names = [str(name) for name in frame.columns]
        parts = [frame.iloc[:, i] for i in range(len(names))]
        listed = [
            part.to_numpy()
            if isinstance(part.dtype, np.dtype) and part.dtype.kind in "biuf"
            else part.astype(object).where(part.notna(), None).tolist()
            for part in parts
        ]
    else:
        return None
    for name in names:
        if names.count(name) > 1:
            raise SonoscaleError(f"the table has {names.count(name)} columns called {name!r}")
    return as_table(dict(zip(names, listed, strict=True)))


def as_point(at: Any, what: str) -> dict[str, Any]:
    """What a prediction is asked at: column -> a number or a sequence of them, from a mapping or a data frame.

    Raises:
        SonoscaleError: For anything else.
    """
    if isinstance(at, Mapping):
        return {str(name): value for name, value in at.items()}
    columns = frame_columns(at)
    if columns is None:
        raise SonoscaleError(f"{what} is asked with a mapping of columns to numbers, or a data frame, not {at!r}")
    return dict(columns)


def _array(values: list[Any]) -> NDArray[Any]:
    kinds = set(map(type, values))
    if kinds == {float}:
        return np.array(values, dtype=np.float64)
    if str in kinds and kinds <= {str, type(None)}:
        return np.array([*values, None], dtype=object)[:-1]
    present = [value for value in values if value is not None]
    if len(present) == len(values) and all(isinstance(value, bool) for value in present):
        return np.array(values, dtype=bool)
    if all(isinstance(value, _NUMBERS) for value in present):
        if len(present) == len(values) and all(isinstance(value, (int, np.integer)) for value in present):
            low, high = (min(map(int, present)), max(map(int, present))) if present else (0, 0)
            for kind in (np.int64, np.uint64):  # labels of 64 bits, such as hashes, must stay apart
                if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                    return np.array(values, dtype=kind)
        return np.array([np.nan if value is None else _as_float(value) for value in values])
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _read_text(file: Path, delimiter: str) -> dict[str, NDArray[Any]]:
    rows: list[list[str]] = []
    names: list[str] | None = None
    line = 0
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            for cells in reader:
                line = reader.line_num
                if not any(cell.strip() for cell in cells) and len(cells) <= 1:
                    continue
                if names is None:
                    names = [cell.strip() for cell in cells]
                    _check_header(file, line, names)
                elif len(cells) != len(names):
                    raise SonoscaleError(_ragged(file, line, cells, names))
                else:
                    rows.append([cell.strip() for cell in cells])
    except UnicodeDecodeError as error:
        raise SonoscaleError(f"{file}: not text in UTF-8 ({_bad_byte(file)})") from error
    except csv.Error as error:
        raise SonoscaleError(f"{file}: line {line + 1}: not a table ({error})") from error
    if names is None:
        raise SonoscaleError(f"{file}: the file is empty")
    if not rows:
        raise SonoscaleError(f"{file}: column names but no rows")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return {name: _array(_values(cells)) for name, cells in columns.items() if name}


def _check_header(file: Path, line: int, names: list[str]) -> None:
    where = f"{file}: line {line}"
    if all(_number(name) is not None or name.lower() in _MISSING for name in names):
        raise SonoscaleError(f"{where}: values instead of column names ({', '.join(names[:4])}): a header is needed")
    if len(names) == 1 and re.search(r"[;\t]", names[0]):
        raise SonoscaleError(
            f"{where}: one column, {names[0]!r}: separate columns by commas (.csv) or by tabs (.tsv), "
            "and write decimals with a point"
        )
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name and number > 1:
            raise SonoscaleError(f"{where}: column {number} has no name")
        if name in first:
            raise SonoscaleError(f"{where}: columns {first[name]} and {number} are both called {name!r}")
        first[name] = number


def _ragged(file: Path, line: int, cells: list[str], names: list[str]) -> str:
    if len(cells) < len(names):
        detail = f"{len(cells)} values for {len(names)} columns, none for {names[len(cells)]!r}"
    else:
        detail = f"{len(cells)} values for {len(names)} columns, {cells[len(names)]!r} after the last ({names[-1]!r})"
    return f"{file}: line {line}: {detail}"


def _bad_byte(file: Path) -> str:
    data = file.read_bytes()
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return f"line {data.count(10, 0, error.start) + 1}: byte 0x{data[error.start]:02x}"
    return "it changed while it was read"


def _values(cells: Sequence[str]) -> list[Any]:
    present = [cell for cell in cells if cell.lower() not in _MISSING]
    for read in (lambda cell: _TRUTH.get(cell.lower()), _number):
        found = {cell: read(cell) for cell in set(present)}
        if all(value is not None for value in found.values()):
            return [found.get(cell) for cell in cells]
    return [cell if cell.lower() not in _MISSING else None for cell in cells]


def _number(cell: str) -> int | float | None:
    if "_" in cell or _ZEROS_BEFORE.match(cell):
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return None


def _read_parquet(file: Path) -> dict[str, NDArray[Any]]:
    import pyarrow as pa

    try:
        table = read_checked(file)
    except (OSError, pa.ArrowException) as error:
        raise SonoscaleError(f"{file}: not readable as Parquet ({str(error).splitlines()[0]})") from error
    names = table.column_names
    for name in names:
        if names.count(name) > 1:
            raise SonoscaleError(f"{file}: {names.count(name)} columns are called {name!r}")
    if table.num_rows == 0 or not names:
        raise SonoscaleError(f"{file}: no rows")
    return arrow_columns(table)


def arrow_columns(table: Any) -> dict[str, NDArray[Any]]:
    """The columns of an Arrow table, of names that differ, as `read_table` gives them; equal texts are one object."""
    return {name: _arrow_array(table.column(name)) for name in table.column_names}


def _arrow_array(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_integer(kind) and column.null_count == 0 and kind != pa.uint64():
        return column.cast(pa.int64()).to_numpy()
    if pa.types.is_floating(column.type):
        return column.cast(pa.float64()).to_numpy()  # nulls become NaN
    coded = pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)
    if (coded or pa.types.is_string(kind)) and column.null_count < len(column):
        coded = (column.unify_dictionaries() if coded else column.dictionary_encode()).combine_chunks()
        coded = coded if isinstance(coded, pa.DictionaryArray) else coded.chunk(0)
        texts = np.array([*coded.dictionary.to_pylist(), None], dtype=object)  # each kept once
        return texts[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return _array(column.to_pylist())
