"""Embeddings written on the way, to be measured or probed again without the encoder."""

from __future__ import annotations

import contextlib
import csv
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy_format

from sonoscale.corpora import AudioCorpus
from sonoscale.errors import SonoscaleError
from sonoscale.files import remove_partial, replacing

SUFFIXES = (".parquet", ".npy")


class _Sink(Protocol):
    """A file of rows in the making."""

    def write(self, names: list[str], groups: list[str], rows: np.ndarray) -> None: ...
    def close(self) -> None: ...


class EmbeddingWriter:
    """A file of embeddings, there only when it is complete: after `finish`, or at the end of a `with` without error.

    `.parquet` has the columns name, group and embedding (float32 lists). `.npy` is float32 `[clips, dim]`, which can
    be memory-mapped, with a table of the same name, `.csv`, of the name and group of each row. Rows are in the order
    in which batches came; the name says which clip each is.

    Arguments:
        path: of the file.
        corpus: where the clips come from.
        dim: width of the embeddings.

    Raises:
        SonoscaleError: the suffix is another, or the file cannot be written there.

    Example:
        >>> import soundfile, tempfile
        >>> from sonoscale.corpora import open_corpus
        >>> from sonoscale.rank import open_embeddings
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/a.wav", np.zeros(8000), 16_000)
        ...     with EmbeddingWriter(Path(folder, "z.npy"), open_corpus(folder), dim=4) as writer:
        ...         writer(np.array([0]), np.ones((1, 4)))
        ...     open_embeddings(f"{folder}/z.npy").n
        1
    """

    def __init__(self, path: Path, corpus: AudioCorpus, dim: int) -> None:
        if path.suffix not in SUFFIXES:
            raise SonoscaleError(f"{path}: embeddings are saved to a {' or '.join(SUFFIXES)} file")
        self._corpus, self._ended = corpus, False
        finished = [path] if path.suffix == ".parquet" else [path, path.with_suffix(".csv")]
        self._files = contextlib.ExitStack()
        try:
            for each in finished:
                remove_partial(each)
            unfinished = [self._files.enter_context(replacing(each)) for each in finished]
            self._sink: _Sink = (_Parquet if path.suffix == ".parquet" else _Npy)(unfinished, dim)
        except BaseException:
            self._files.__exit__(*sys.exc_info())
            raise

    def __call__(self, indices: np.ndarray, embeddings: np.ndarray) -> None:
        """Write a batch: indices `[batch]`, embeddings `[batch, dim]`."""
        names = [_text(self._corpus.name(int(i))) for i in indices]
        groups = [_text(self._corpus.group(int(i))) for i in indices]
        self._sink.write(names, groups, np.ascontiguousarray(embeddings, dtype=np.float32))

    def finish(self) -> None:
        """Complete the file, and let it be there; what fails leaves nothing."""
        if self._ended:
            return
        self._ended = True
        with self._files:
            self._sink.close()

    def __enter__(self) -> EmbeddingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        elif not self._ended:
            self._ended = True
            with contextlib.suppress(Exception):  # the error on its way says more
                self._sink.close()
            self._files.__exit__(kind, error, trace)


def _text(name: str) -> str:
    """A name as UTF-8 can hold it: names of files are bytes, and need not be text."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class _Parquet:
    def __init__(self, paths: list[Path], dim: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = pa.schema(
            [("name", pa.string()), ("group", pa.string()), ("embedding", pa.list_(pa.float32(), dim))]
        )
        self._writer: Any = pq.ParquetWriter(paths[0], self._schema, write_page_checksum=True)

    def write(self, names: list[str], groups: list[str], rows: np.ndarray) -> None:
        import pyarrow as pa

        lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
        columns = [pa.array(names), pa.array(groups), lists]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class _Npy:
    """The header has room for any number of rows, and is written again when they are counted."""

    def __init__(self, paths: list[Path], dim: int) -> None:
        self._rows, self._dim = 0, dim
        self._array = paths[0].open("wb")
        self._names = paths[1].open("w", newline="", encoding="utf-8")
        self._table = csv.writer(self._names)
        self._table.writerow(["name", "group"])
        self._header()
        self._start = self._array.tell()

    def _header(self) -> None:
        self._array.seek(0)
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, self._dim)}
        npy_format.write_array_header_1_0(self._array, header)

    def write(self, names: list[str], groups: list[str], rows: np.ndarray) -> None:
        self._array.write(rows.astype("<f4", copy=False).tobytes())
        self._table.writerows(zip(names, groups, strict=True))
        self._rows += len(rows)

    def close(self) -> None:
        with self._array, self._names:
            self._header()
            if self._array.tell() != self._start:
                raise SonoscaleError("the header of the .npy file has grown over its rows")
