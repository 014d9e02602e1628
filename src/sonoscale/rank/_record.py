"""A number and how it was measured: it never travels alone."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonoscale._figure import new_axes
from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.files import read_json, replacing, write_json
from sonoscale.rank._estimators import title_of
from sonoscale.results import Result, plain


@dataclass(frozen=True, repr=False)
class RankRecord(Result):
    """One number out of the spectrum of embeddings, with its interval and provenance.

    `low` and `high` bound the mean of the estimator over samples of this size from the same population: a single
    other sample spreads about sqrt(2) wider, and the bias of a finite sample (the population's own rank is higher) is
    not in it; see `extrapolate` for that.

    Attributes:
        estimator: name, as in `ESTIMATORS`, which fixes the formula.
        value: the number, without unit.
        low, high: interval, by the jackknife over blocks of rows.
        level: its nominal coverage.
        eps: the constant added somewhere in the formula, 0 if none.
        centred: whether the mean was taken out.
        n: embeddings measured.
        dim: width of the embeddings.
        mean_energy: share of the uncentred energy that lies in the mean, in [0, 1].
        method: how the spectrum was accumulated, "gram" or "qr".
        dtype: of the embeddings, e.g. "float32".
        omitted: rows left out as they held NaN or infinity.
        layer: layer of the encoder, if known: None is the encoder's output.
        mean_seconds: mean duration of the clips, if known.
        encoder, corpus: identities, if known.
        version: of Sonoscale.
        note: what else there is to say of the value, such as the range a law was fitted on.
        warnings: what should stop a reader from trusting the number.
    """

    estimator: str
    value: float
    low: float
    high: float
    level: float
    eps: float
    centred: bool
    n: int
    dim: int
    mean_energy: float
    method: str = "gram"
    dtype: str = ""
    omitted: int = 0
    layer: int | None = None
    mean_seconds: float | None = None
    encoder: str = ""
    corpus: str = ""
    version: str = ""
    note: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def n_per_dim(self) -> float:
        """n / dim."""
        return self.n / self.dim

    @property
    def normalised(self) -> float:
        """The value as a share of min(n, dim), the largest rank there can be."""
        return self.value / min(self.n, self.dim)

    @property
    def span(self) -> str:
        """The interval as text, empty if there is none."""
        return "" if math.isnan(self.low) else f"[{number(self.low)}, {number(self.high)}]"

    @property
    def headline(self) -> str:
        """The number, its interval, and of how many embeddings it is."""
        span = f" {self.span}" if self.span else ""
        layer = "" if self.layer is None else f" of layer {self.layer}"
        return f"{title_of(self.estimator)} {number(self.value)}{span} of {self.n:,} x {self.dim:,} embeddings{layer}"

    def rows(self) -> list[dict[str, Any]]:
        """One row of all fields."""
        return [self.as_dict() | {"warnings": "; ".join(self.warnings)}]

    def plot(self, ax: Any = None) -> Any:
        """The value with its interval, as a share of the largest rank that there can be.

        Arguments:
            ax: matplotlib axes to draw on; new ones by default.

        Returns:
            The axes.

        Raises:
            SonoscaleError: matplotlib is not installed.
        """
        axes = new_axes(ax)
        most = min(self.n, self.dim)
        if math.isfinite(self.low) and math.isfinite(self.high):
            axes.plot([self.low / most, self.high / most], [self.estimator] * 2, color="C0", linewidth=2)
        axes.plot([self.normalised], [self.estimator], "o", color="C0")
        axes.set(xlim=(0, max(1.0, self.normalised)), xlabel=f"share of the largest rank, min(n, dim) = {most:,}")
        axes.set_title(self.headline, fontsize=9)
        return axes

    def __repr__(self) -> str:
        return "\n".join([self.headline, *(f"warning: {warning}" for warning in self.warnings)])

    def _repr_html_(self) -> str:
        warnings = "".join(f"<li>{html.escape(warning)}</li>" for warning in self.warnings)
        return f"<p><b>{html.escape(self.headline)}</b></p>" + (f"<ul>{warnings}</ul>" if warnings else "")

    def as_dict(self) -> dict[str, Any]:
        """All fields and `n_per_dim`, JSON-able: what is not finite becomes None."""
        return plain({**dataclasses.asdict(self), "n_per_dim": self.n_per_dim})

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> RankRecord:
        """What `as_dict` gave.

        Raises:
            SonoscaleError: a field is missing or unknown.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values = {key: value for key, value in content.items() if key != "n_per_dim"}
        missing = {k for k, f in fields.items() if f.default is dataclasses.MISSING} - set(values)
        if missing or set(values) - set(fields):
            raise SonoscaleError(
                f"not a rank record: missing {sorted(missing)}, unknown {sorted(set(values) - set(fields))}"
            )
        if values["low"] is None and values["high"] is None:  # measured without an interval
            values["low"] = values["high"] = math.nan
        values |= {key: math.inf for key in ("value", "low", "high") if values[key] is None}
        for key, value in values.items():
            if not _KINDS[str(fields[key].type)](value):
                raise SonoscaleError(f"not a rank record: {key} = {repr(value)[:80]} is no {fields[key].type}")
        if values["n"] < 1 or values["dim"] < 1:
            raise SonoscaleError(f"not a rank record: n = {values['n']} and dim = {values['dim']} must be at least 1")
        return cls(**{**values, "warnings": tuple(values.get("warnings") or ())})


def number(value: float) -> str:
    """A value to four digits."""
    return "infinite" if math.isinf(value) else f"{value:.4g}" if abs(value) < 1000 else f"{value:.6g}"


@in_one_line
def write_records(
    records: Iterable[RankRecord], path: Path | str, *, subsets: Sequence[str] | None = None, **more: Any
) -> None:
    """Write records to a `.json` file (`{"records": [...]}`) or a `.parquet` file, atomically.

    Arguments:
        records: what to write.
        path: where to.
        subsets: for a Parquet file, what each record is of: a column `subset`.
        more: further keys of the JSON file; of a Parquet file they are JSON in its metadata, under `sonoscale`.

    Raises:
        SonoscaleError: neither JSON nor Parquet by its name.

    Example:
        >>> import numpy as np, tempfile
        >>> from sonoscale.rank import rankme
        >>> record = rankme(np.eye(20, 4) + 0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_records([record], f"{folder}/records.json")
        ...     read_records(f"{folder}/records.json") == [record]
        True
    """
    check_arguments(write_records, locals())
    path, rows = Path(path), [record.as_dict() for record in records]
    if path.suffix == ".json":
        write_json(path, {"records": rows, **more})
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(rows, schema=_schema(pa))
        if subsets is not None:
            table = table.append_column("subset", pa.array(subsets, pa.string()))
        if more:
            table = table.replace_schema_metadata({"sonoscale": json.dumps(plain(more), allow_nan=False)})
        with replacing(path) as partial:
            pq.write_table(table, partial, write_page_checksum=True)
    else:
        raise SonoscaleError(f"{path}: records are written to .json or .parquet files")


@in_one_line
def read_records(path: Path | str) -> list[RankRecord]:
    """Read what `write_records` wrote.

    Arguments:
        path: a `.json` or `.parquet` file.

    Returns:
        The records, in the order of the file.

    Raises:
        SonoscaleError: no such file, or not one of records.

    Example:
        >>> read_records("none.json")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: none.json: no such file
    """
    check_arguments(read_records, locals())
    path = Path(path)
    if not path.exists():
        raise SonoscaleError(f"{path}: no such file")
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(path, page_checksum_verification=True)
            rows = table.select([name for name in table.column_names if name != "subset"]).to_pylist()
        else:
            rows = read_json(path, "a file of rank records")["records"]
        return [RankRecord.from_dict(row) for row in rows]
    except Exception as error:  # damaged Parquet makes exceptions of any kind
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        reason = reason.removeprefix(f"{path}: ").removeprefix("not a rank record: ")
        raise SonoscaleError(f"{path}: not a file of rank records: {reason}") from None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_count(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": _is_count,
    "int | None": lambda value: value is None or _is_count(value),
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
    "tuple[str, ...]": lambda value: value is None or _are_texts(value),
}
"""What the fields of a record may hold, by their types."""


def _schema(pa: Any) -> Any:
    """The columns and their types, which an empty column does not show."""
    types = {
        "str": pa.string(), "float": pa.float64(), "float | None": pa.float64(), "bool": pa.bool_(),
        "int": pa.int64(), "int | None": pa.int64(), "tuple[str, ...]": pa.list_(pa.string()),
    }  # fmt: skip
    columns = [(field.name, types[str(field.type)]) for field in dataclasses.fields(RankRecord)]
    return pa.schema([*columns, ("n_per_dim", pa.float64())])
