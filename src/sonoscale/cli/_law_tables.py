"""The table that a law is fitted to: a file, or the ledger of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["open_table"]


def open_table(path: Path) -> dict[str, NDArray[Any]]:
    """The columns of a table.

    Arguments:
        path: A table in CSV or Parquet (see `sonoscale.laws.read_table`), or the folder of a study. A study has
            one row per run and checkpoint: `quality` is the mean score over its tasks, and `score:TASK` the score
            of each (`score:TASK:PROTOCOL` where there are several protocols), NaN where a run has none.

    Returns:
        Column name -> values [n].

    Raises:
        SonoscaleError: There is no such file, it is not a table, or the study has no finished run.
    """
    from sonoscale.laws import read_table

    if not path.is_dir():
        return read_table(path)
    if not (path / "ledger.parquet").is_file():
        raise SonoscaleError(f"{path}: a folder without a ledger.parquet: give a study's folder, a CSV or Parquet file")
    return _study_table(path / "ledger.parquet")


def _study_table(file: Path) -> dict[str, NDArray[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sonoscale.laws._ledger import ledger_runs

    try:
        ledger = pq.ParquetFile(file).read()
    except (OSError, pa.ArrowException) as error:
        raise SonoscaleError(f"{file}: not readable as Parquet ({str(error).splitlines()[0]})") from error
    if ledger.num_rows == 0:
        raise SonoscaleError(f"{file}: no run of this study is finished")
    lacking = {"run", "step", "task", "protocol", "score"} - set(ledger.column_names)
    if lacking:
        raise SonoscaleError(f"{file}: not the ledger of a study: no column {', '.join(sorted(lacking))}")
    return ledger_runs(ledger.to_pydict())
