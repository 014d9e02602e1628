"""Questions to the ledger of a study, in SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.files import replacing
from sonoscale.results import Result

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Queried", "runs_table", "sql", "write_table"]


@dataclass(frozen=True, repr=False)
class Queried(Result):
    """The answer to a query.

    Attributes:
        query: in SQL.
        table: the answer, an Arrow table.
    """

    query: str
    table: pa.Table

    @property
    def headline(self) -> str:
        """How many rows."""
        return f"{self.table.num_rows} row(s): {self.query}"

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per row of the answer."""
        return self.table.to_pylist()

    def as_dict(self) -> dict[str, Any]:
        """Query and rows."""
        return {"query": self.query, "rows": self.rows()}


def sql(folder: str | Path, query: str) -> Queried:
    """Query the ledger of a study with DuckDB; the query can read it, and no other file.

    There are two tables: `ledger`, one row per run, checkpoint, task, protocol, readout and layer (docs/ledger.md), and
    `runs`, one row per run and checkpoint with its `quality`, as laws read it.

    Arguments:
        folder: of the study, or its ledger.
        query: one statement, such as `select label, max(quality) from runs group by label`.

    Returns:
        The answer.

    Raises:
        SonoscaleError: DuckDB is not installed, there is no ledger, or the query cannot be answered.

    Example:
        >>> sql("no-study", "select 1")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: no-study/ledger.parquet: no such ledger
    """
    check_arguments(sql, locals())
    from sonoscale.study._ledger import read_ledger

    file = Path(folder) if Path(folder).suffix == ".parquet" else Path(folder) / "ledger.parquet"
    ledger = read_ledger(file).table
    duckdb: Any = need("duckdb", what="a query")
    try:
        with duckdb.connect(config={"enable_external_access": "false", "threads": "1"}) as database:
            database.register("ledger", ledger)
            if re.search(r"\bruns\b", query, re.IGNORECASE):
                database.register("runs", runs_table(ledger))
            database.execute("set lock_configuration = true")
            answer = database.sql(query)
            return Queried(query, ledger.select([]).slice(0, 0) if answer is None else answer.to_arrow_table())
    except duckdb.Error as error:
        raise SonoscaleError(f"query: {' '.join(str(error).split())[:500]}") from error


def runs_table(ledger: pa.Table) -> pa.Table:
    """One row per run and checkpoint, with quality and a column `score:TASK` for each score."""
    import pyarrow as pa

    from sonoscale.laws._ledger import ledger_runs
    from sonoscale.laws._table import arrow_columns

    columns = ledger_runs(arrow_columns(ledger))
    return pa.table({name: pa.array(values.tolist(), from_pandas=True) for name, values in columns.items()})


def write_table(table: pa.Table, file: Path) -> None:
    """Write it as CSV or Parquet, by the suffix, atomically.

    Raises:
        SonoscaleError: another suffix.
    """
    import pyarrow.csv
    import pyarrow.parquet

    suffix = file.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise SonoscaleError(f"{file}: a table is written as .csv or .parquet, not as {suffix or 'no suffix'!r}")
    with replacing(file) as partial:
        if suffix == ".csv":
            pyarrow.csv.write_csv(table, partial)
        else:
            pyarrow.parquet.write_table(table, partial, compression="zstd")
