"""Embeddings in Parquet files: a column of lists, or float columns as dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale.errors import SonoscaleError

Arrays = dict[str | None, tuple[tuple[int, ...], str]]  # key -> shape, dtype name

FLOATS = ("float16", "bfloat16", "float32", "float64")
_BUFFER = 1 << 16  # bytes read ahead in a column, instead of all that its row group holds


def _parquet(path: Path) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True)


def _is_list(arrow_type: Any) -> bool:
    from pyarrow import types

    return types.is_list(arrow_type) or types.is_large_list(arrow_type) or types.is_fixed_size_list(arrow_type)


def _float_columns(schema: Any) -> list[str]:
    return [field.name for field in schema if _arrow_name(field.type) in FLOATS]


def _arrow_name(arrow_type: Any) -> str:
    text = str(arrow_type)
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(text, text)


def parquet_arrays(path: Path) -> Arrays:
    with _parquet(path) as file:
        schema, n = file.schema_arrow, file.metadata.num_rows
        arrays: Arrays = {field.name: ((n,), _arrow_name(field.type)) for field in schema}
        lists = [field.name for field in schema if _is_list(field.type)]
        floats = _float_columns(schema)
        if floats and not lists:
            arrays[None] = ((n, len(floats)), np.result_type(*(arrays[name][1] for name in floats)).name)
        if lists:
            head = next(file.iter_batches(1, columns=lists), None)
            for name in lists:
                row = head.column(name)[0].as_py() if head is not None else None
                arrays[name] = ((n, len(row or ())), _arrow_name(schema.field(name).type.value_type))
    return arrays


def parquet_chunks(path: Path, key: str | None, shape: tuple[int, int], rows: int) -> Iterator[np.ndarray]:
    first = 0
    with _parquet(path) as file:
        floats = _float_columns(file.schema_arrow)
        for batch in file.iter_batches(rows, columns=floats if key is None else [key]):
            if key is None:
                columns = [_values(path, name, batch.column(name), 1, first) for name in floats]
                yield np.concatenate(columns, axis=1)
            else:
                yield _list_rows(path, key, batch.column(key), shape[1], first)
            first += batch.num_rows


def _list_rows(path: Path, key: str, column: Any, dim: int, first: int) -> np.ndarray:
    from pyarrow.compute import call_function

    lengths = call_function("list_value_length", [column]).fill_null(-1).to_numpy()
    wrong = np.flatnonzero(lengths != dim)
    if wrong.size:
        length = lengths[wrong[0]]
        found = "is null" if length < 0 else f"holds {length} values"
        raise SonoscaleError(f"{path}: row {first + wrong[0]} of column {key!r} {found}; row 0 holds {dim}")
    return _values(path, key, column.flatten(), dim, first)


def _values(path: Path, key: str, values: Any, dim: int, first: int) -> np.ndarray:
    """`[rows, dim]` of a flat Arrow array without nulls."""
    if values.null_count:
        row = first + int(values.is_null().to_numpy(zero_copy_only=False).argmax()) // dim
        raise SonoscaleError(f"{path}: row {row} of column {key!r} holds a null; drop the row or fill it")
    return values.to_numpy(zero_copy_only=False).reshape(-1, dim)
