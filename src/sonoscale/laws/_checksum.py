"""The digest of a table's content, by which damage to a ledger is seen that the checksums of its pages do not cover."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError

__all__ = ["CONTENT", "check_content", "content_digest", "read_checked"]

CONTENT = b"sonoscale.content"
"""Key of the digest in the metadata of a Parquet file."""

_ROWS = 4096
"""So many texts at a time are written out of those that a file keeps once."""


def read_checked(file: Path) -> Any:
    """An Arrow table out of a Parquet file, compared with the digests in it; text as dictionaries, which take less.

    Raises:
        SonoscaleError: its content is not what was written.
        pyarrow.ArrowException, OSError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    table = pq.ParquetFile(file, page_checksum_verification=True, read_dictionary=texts).read()
    check_content(table, file)
    return table


def content_digest(table: Any) -> str:
    """SHA-256 of the names, types and values of an Arrow table of numbers, switches and text.

    Example:
        >>> import pyarrow as pa
        >>> one, other = pa.table({"a": [1, None], "b": ["x", "yz"]}), pa.table({"a": [1, 0], "b": ["x", "yz"]})
        >>> content_digest(one) == content_digest(pa.concat_tables([one[:1], one[1:]])), content_digest(one) == (
        ...     content_digest(other)
        ... )
        (True, False)
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found = hashlib.sha256(str(table.num_rows).encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        coded = pa.types.is_dictionary(column.type)
        found.update(f"{name}:{column.type.value_type if coded else column.type};".encode())
        values = column.combine_chunks()
        values = pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values
        found.update(values.is_null().to_numpy(zero_copy_only=False).tobytes())
        if coded:
            parts = [values.slice(at, _ROWS) for at in range(0, len(values), _ROWS)]
            texts = (part.cast(column.type.value_type).fill_null("") for part in parts)  # as long as one is needed
            sizes = [pc.call_function("binary_length", [text]).to_numpy(zero_copy_only=False) for text in texts]
            found.update(b"".join(size.tobytes() for size in sizes))
            for part in parts:
                found.update(_text_bytes(part.cast(column.type.value_type).fill_null("")))
        elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            text = values.fill_null("")
            found.update(pc.call_function("binary_length", [text]).to_numpy(zero_copy_only=False).tobytes())
            found.update(_text_bytes(text))
        elif not pa.types.is_null(values.type):
            filled = values.fill_null(False if pa.types.is_boolean(values.type) else 0)
            found.update(filled.to_numpy(zero_copy_only=False).tobytes())
    return found.hexdigest()


def _text_bytes(text: Any) -> memoryview:
    """All texts of an Arrow array without nulls, one after the other, in UTF-8, and not copied."""
    import pyarrow as pa

    _, places, content = text.buffers()
    if content is None or not len(text):
        return memoryview(b"")
    wide = pa.types.is_large_string(text.type)
    at = memoryview(places).cast("q" if wide else "i")
    return memoryview(content)[at[text.offset] : at[text.offset + len(text)]]


def check_content(table: Any, path: Path) -> None:
    """Compare a table that was read with the digest in its metadata, if there is one.

    Raises:
        SonoscaleError: they differ.
    """
    told = (table.schema.metadata or {}).get(CONTENT)
    if told is not None and told.decode("ascii", "replace") != content_digest(table):
        raise SonoscaleError(f"{path}: damaged: its values are not those that were written")
