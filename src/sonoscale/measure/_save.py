"""Embeddings written on the way, to be measured or probed again without the encoder."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sonoscale.corpora import AudioCorpus
from sonoscale.errors import SonoscaleError


class EmbeddingWriter:
    """A Parquet file with the columns name, group and embedding (float32 lists), there only when it is complete.

    Rows are in the order in which batches came; `name` says which clip each is.

    Arguments:
        path: of the file, `.parquet`.
        corpus: where the clips come from.
        dim: width of the embeddings.
    """

    def __init__(self, path: Path, corpus: AudioCorpus, dim: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if path.suffix != ".parquet":
            raise SonoscaleError(f"{path}: embeddings are saved to a .parquet file")
        self.path = path
        self._corpus = corpus
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        self._schema = pa.schema(
            [("name", pa.string()), ("group", pa.string()), ("embedding", pa.list_(pa.float32(), dim))]
        )
        self._writer: Any = pq.ParquetWriter(self._unfinished, self._schema)

    def __call__(self, indices: np.ndarray, embeddings: np.ndarray) -> None:
        """Write a batch: indices `[batch]`, embeddings `[batch, dim]`."""
        import pyarrow as pa

        flat = pa.array(embeddings.astype(np.float32, copy=False).reshape(-1))
        columns = [
            pa.array([self._corpus.name(int(i)) for i in indices]),
            pa.array([self._corpus.group(int(i)) for i in indices]),
            pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1]),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def __enter__(self) -> EmbeddingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        if kind is None:
            self._unfinished.replace(self.path)
        else:
            self._unfinished.unlink(missing_ok=True)
