"""From a file, a study, a mapping or a data frame to a table of runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.laws._data import as_column, as_names, codes_of
from sonoscale.laws._ledger import LEDGER, is_ledger, ledger_runs
from sonoscale.laws._names import CONFIGURATIONS, QUALITIES, SEEDS, find_sizes
from sonoscale.laws._runs import RunTable, guess_note, has_values, missing, numbered
from sonoscale.laws._table import as_table, frame_columns, read_table
from sonoscale.laws._target import UNITS, Unit

__all__ = ["Reading", "Source", "as_runs", "read_runs"]

Index = NDArray[np.intp]
Source = Any
"""A path, a mapping of column names to values, a pandas, Polars or Arrow table, or a `RunTable`."""


class Reading(TypedDict, total=False):
    """How a table is read: the options of `read_runs`, which every verb takes too."""

    y: str | None
    clusters: str | Sequence[str] | None
    held_out: str | Sequence[bool] | NDArray[np.bool_] | None
    group: str | Sequence[str]
    family: str | None
    step: str | None
    omit: bool
    higher_is_better: bool | None
    unit: Unit | None


@in_one_line
def read_runs(
    source: Source,
    *,
    y: str | None = None,
    clusters: str | Sequence[str] | None = None,
    held_out: str | Sequence[bool] | NDArray[np.bool_] | None = None,
    group: str | Sequence[str] = (),
    family: str | None = None,
    step: str | None = None,
    omit: bool = False,
    higher_is_better: bool | None = None,
    unit: Unit | None = None,
) -> RunTable:
    """Read a table of runs, as `fit`, `audit`, `plan` and `compare` take it.

    Rows that repeat another in every column count once. A ledger (see `sonoscale.study`) becomes one row per run and
    checkpoint.

    Arguments:
        source: a file in CSV, TSV or Parquet, the folder of a study, a mapping of column names to values, or a pandas,
            Polars or Arrow table.
        y: the column of the quality or loss. None: `quality`, `score`, `accuracy` or `loss`, the first there is.
        clusters: columns whose values name the configuration of a row: seeds and checkpoints of one are dependent.
            None: `config` if there is such a column; else each row is its own if a column (`run`, `model`, `encoder`,
            `name`) names each and no `seed` sets rows of equal sizes apart; else rows that are equal in all known sizes
            (parameters, data, compute) and the family are one, unless all are equal. An empty sequence: each row is
            its own.
        held_out: rows to predict and not to fit: a column that is true or 1 there, a comparison (`fitted==0`,
            `params>1e9`), or a mask [n].
        group: columns whose values make the groups that are fitted or judged separately.
        family: the column of families (architectures, objectives).
        step: the column of training steps; of a study, `step`.
        omit: leave out rows in which a needed cell is missing; else they are refused.
        higher_is_better: whether more of y is better. None: by its name, else as it runs along the sizes; of the scores
            of a study, always.
        unit: `fraction` (y ends at 1), `percent` (at 100) or `none` (it has no ceiling), of a y of which more is
            better. None: by its name and values.

    Returns:
        The `RunTable`.

    Raises:
        SonoscaleError: For a file that cannot be read, columns that are not there or of unlike lengths, and a
            comparison that is none.

    Example:
        >>> runs = read_runs({"params": [1e6, 2e6, 4e6], "loss": [3.0, 2.5, 2.2]}, y="loss")
        >>> runs.counts
        '3 runs'
        >>> runs.target().words
        'loss'
    """
    for option, value in (("y", y), ("family", family), ("step", step)):
        if value is not None and not isinstance(value, str):
            raise SonoscaleError(f"{option} must be the name of a column, not {value!r}")
    for option, value in (("omit", omit), ("higher_is_better", higher_is_better)):
        if not isinstance(value, (bool, np.bool_)) and (value is not None or option == "omit"):
            raise SonoscaleError(f"{option} must be true or false, not {value!r}")
    if unit is not None and (not isinstance(unit, str) or unit not in UNITS):
        raise SonoscaleError(f"unit must be one of {', '.join(UNITS)}, not {unit!r}")
    columns, where = _columns(source)
    if not columns:
        raise SonoscaleError(f"{where}: no columns")
    lengths = {name: len(values) for name, values in columns.items()}
    n = max(lengths.values())
    for name, length in lengths.items():
        if length != n:
            longest = next(other for other, one in lengths.items() if one == n)
            raise SonoscaleError(f"{name} has {length} rows but {longest} has {n}")
    if n == 0:
        raise SonoscaleError(f"{where}: no rows")
    study = is_ledger(columns)
    if study:
        columns = ledger_runs(columns)
        n = len(columns["run"])
        if n == 0:
            raise SonoscaleError(f"{where}: all rows are of layers before the last: there is no run to read")
    if y is None:
        named = [name for name in QUALITIES if name in columns]
        y = next((name for name in named if has_values(columns[name])), next(iter(named), None))
        if y is None:
            raise SonoscaleError(
                f"no column {', '.join(QUALITIES)}: name the column of the quality or loss (y); there are: "
                f"{', '.join(columns)}"
            )
    step = step if step is not None or not study else "step"
    if study and higher_is_better is None and (y == "quality" or y.startswith("score:")):
        higher_is_better = True  # a study takes only scores of which more is better, however they run along its sizes
    table = RunTable(
        source=where, columns=columns, rows=np.arange(n), y=y, held=np.zeros(n, dtype=bool), clusters=np.arange(n),
        clusters_by=(), group_by=as_names(() if group is None else group, "group"), family_by=family, step_by=step,
        omit=omit, higher_is_better=higher_is_better, unit=unit,
    )  # fmt: skip
    table.need(y, *table.group_by, *(name for name in (family, step) if name is not None))
    table = replace(table, held=_held(table, held_out))
    kept, copies = _without_copies(table)
    table = table.take(kept, *copies)
    return _clustered(table, clusters)


def as_runs(source: Source, **reading: Unpack[Reading]) -> RunTable:
    """A `RunTable` as it is, or whatever else `read_runs` reads.

    Raises:
        SonoscaleError: For options of reading beside a table that was read already.
    """
    for name in reading.keys() - Reading.__annotations__.keys():
        near = get_close_matches(name, [*Reading.__annotations__], n=1)
        raise SonoscaleError(f"no option {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    if isinstance(source, RunTable):
        given = [n for n, value in reading.items() if value is not None and (n not in ("group", "omit") or value)]
        if given:
            raise SonoscaleError(f"{', '.join(given)}: the table was read already; say this to read_runs")
        return source
    return read_runs(source, **reading)


def _columns(source: Source) -> tuple[dict[str, NDArray[Any]], str]:
    """The columns, and where they come from, for messages."""
    if isinstance(source, (str, PathLike)):
        path = Path(source)
        if not path.is_dir():
            return read_table(path), str(path)
        file = path / "ledger.parquet"
        if not file.is_file():
            raise SonoscaleError(
                f"{path}: a folder without a ledger.parquet: give a study's folder, a CSV or Parquet file"
            )
        try:
            columns = read_table(file)
        except SonoscaleError as error:
            if str(error) == f"{file}: no rows":
                raise SonoscaleError(f"{file}: no run of this study is finished") from None
            raise
        if not is_ledger(columns):
            raise SonoscaleError(
                f"{file}: not the ledger of a study: no column {', '.join(sorted(set(LEDGER) - set(columns)))}"
            )
        return columns, str(path)
    if isinstance(source, Mapping):
        for name, values in source.items():
            if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
                raise SonoscaleError(f"{name}: a column is a sequence of values, not {values!r}")
            try:
                shape = np.shape(values)
            except ValueError:
                raise SonoscaleError(f"{name}: a column is a flat sequence, not lists of unlike lengths") from None
            if len(shape) != 1:
                raise SonoscaleError(f"{name}: a column is a flat sequence, not an array of shape {shape}")
        plain = {str(name): values for name, values in source.items()}
        if len(plain) < len(source):
            name = next(n for n in source if not isinstance(n, str) and str(n) in source)
            raise SonoscaleError(f"the table has several columns called {str(name)!r}")
        return as_table(plain), "the table"
    columns = frame_columns(source)
    if columns is None:
        raise SonoscaleError(
            "runs are a path, a mapping of column names to values, or a pandas, Polars or Arrow table, not "
            f"{type(source).__name__}"
        )
    return columns, "the table"


_COMPARISON = r"^\s*(?P<name>{name})\s*(?P<sign>==|!=|<=|>=|<|>|=)\s*(?P<value>.+?)\s*$"


def _held(table: RunTable, held_out: Any) -> NDArray[np.bool_]:
    n = len(table)
    if held_out is None:
        return np.zeros(n, dtype=bool)
    if not isinstance(held_out, str):
        mask = np.asarray(held_out)
        if mask.shape != (n,) or mask.dtype != bool:
            raise SonoscaleError(f"held_out must be {n} times true or false, one for each row, or a comparison")
    elif held_out in table.columns:
        mask = _flags(table, held_out)
    else:
        mask = _compared(table, held_out)
    if not mask.any():
        raise SonoscaleError(f"held_out ({_shown(held_out)}): no row is held out")
    if mask.all():
        raise SonoscaleError(f"held_out ({_shown(held_out)}): all rows are held out, and none is left to fit")
    return mask


def _shown(held_out: Any) -> str:
    return held_out if isinstance(held_out, str) else "a mask"


def _flags(table: RunTable, name: str) -> NDArray[np.bool_]:
    values = table.columns[name].tolist()
    for row, value in enumerate(values):
        if value not in (0, 1, True, False, "0", "1"):
            raise SonoscaleError(
                f"{name}, row {row}: {value!r} is neither 1 (held out) nor 0 (fitted); or compare, such as "
                f"{name}=={value}"
            )
    return np.array([value in (1, True, "1") for value in values])


def _compared(table: RunTable, text: str) -> NDArray[np.bool_]:
    names = sorted((name for name in table.columns if text.strip().startswith(name)), key=len)
    known = [re.escape(name) for name in names[-1:]]  # a name may hold a sign
    match = re.match(_COMPARISON.format(name=known[0] if known else ".+?"), text) or re.match(
        _COMPARISON.format(name=".+?"), text
    )
    if match is None or match["sign"] == "=":
        raise SonoscaleError(
            f"held_out {text!r}: give a column that is 1 in rows to hold out, or a comparison such as params>1e9 or "
            "fitted==0"
        )
    name, sign, value = match["name"], match["sign"], match["value"].strip("'\"")
    table.need(name)
    given = table.columns[name]
    try:
        number = float({"true": 1, "false": 0}.get(value.lower(), value))
    except ValueError:
        number = None
    if sign in ("==", "!="):
        same = np.array([_equal(one, value, number) for one in given.tolist()])
        return same if sign == "==" else ~same
    if number is None:
        raise SonoscaleError(f"held_out {text!r}: {value!r} is no number to compare with")
    gaps = missing(given)
    if gaps.any():
        row = int(gaps.argmax())
        raise SonoscaleError(f"{name}, row {row}: no value, and rows are held out by it: fill it in, or leave it out")
    column = as_column(given, name=name)
    return {"<": column < number, "<=": column <= number, ">": column > number, ">=": column >= number}[sign]


def _equal(one: Any, value: str, number: float | None) -> bool:
    if number is not None and isinstance(one, (int, float)):
        return float(one) == number
    return str(one) == value


def _without_copies(table: RunTable) -> tuple[Index, list[str]]:
    """The rows that repeat no other in every column, and what was left out."""
    n = len(table)
    key = np.zeros(n, dtype=np.intp)
    for values in sorted(table.columns.values(), key=lambda one: "fiuOb".find(one.dtype.kind)):
        codes = codes_of(values)
        key = np.unique(key * (int(codes.max()) + 1) + codes, return_inverse=True)[1].reshape(-1)
        if int(key.max()) + 1 == n:  # no two rows are alike in these columns
            return np.arange(n), []
    first = np.unique(key, return_index=True)[1]
    kept = np.sort(first)
    copies = np.setdiff1d(np.arange(n), kept).tolist()
    shown = ", ".join(map(str, copies[:6])) + (", ..." if len(copies) > 6 else "")
    what = f"row {shown} repeats another" if len(copies) == 1 else f"rows {shown} repeat others"
    return kept, [f"{what} in every column: counted once"]


def _clustered(table: RunTable, clusters: str | Sequence[str] | None) -> RunTable:
    if clusters is not None:
        by = as_names(clusters, "clusters")
        if not by:
            return table
        part = table.use(labels=by)
        keys = list(zip(*(part.columns[name].tolist() for name in by), strict=True))
        return replace(part, clusters=numbered(keys), clusters_by=by)
    if "config" in table.columns and not missing(table.columns["config"]).any():
        keys = table.use(labels=("config",)).columns["config"].tolist()
        return replace(table, clusters=numbered(keys), clusters_by=("config",))
    named = next((name for name in CONFIGURATIONS if name in table.columns and _names_each(table, name)), None)
    seeds = next((name for name in SEEDS if name in table.columns and len(set(table.columns[name].tolist())) > 1), None)
    if named is not None and (seeds is None or missing(table.columns[seeds]).any()):
        return table
    by = tuple(find_sizes(table.filled, besides=(table.y,)).values())
    by += (table.family_by,) if table.family_by else ()
    by += tuple(name for name in table.group_by if name not in by)
    if not by or by == table.group_by:
        return table
    numbers = np.zeros(len(table), dtype=np.intp)
    for name in by:
        codes = codes_of(table.columns[name])
        numbers = np.unique(numbers * (int(codes.max()) + 1) + codes, return_inverse=True)[1].reshape(-1)
    numbers = numbered(numbers)
    if numbers.max(initial=-1) + 1 in (1, len(table)):  # all of one size: then size names no configuration
        return table
    if named is not None:
        pairs = np.stack([numbers, codes_of(table.columns[str(seeds)])], axis=1)
        if len(np.unique(pairs, axis=0)) < len(table):  # the same seed twice: there is more to a configuration
            return table
    guessed = "" if named is None else f" and another {seeds}"
    note = guess_note(by, guessed)
    return replace(table, clusters=numbers, clusters_by=by, guessed=guessed, notes=(*table.notes, note))


def _names_each(table: RunTable, name: str) -> bool:
    values = table.columns[name]
    if missing(values).any():
        return False
    return len(np.unique(values) if values.dtype.kind in "iuf" else set(map(str, values.tolist()))) == len(values)
