"""The one table of runs that every verb reads, with one rule each for what a column of it may mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_column, canonical_order, codes_of, numbered
from sonoscale.laws._names import find_sizes, is_loss, is_score
from sonoscale.laws._target import Target, Unit, find_target, mixed_units

__all__ = ["RunTable", "guess_note", "has_values", "missing", "numbered"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False, kw_only=True)
class RunTable:
    """Runs, checked once and read alike by every verb. Made by `read_runs`.

    Attributes:
        source: where it came from, for messages.
        columns: name -> values [n], of the rows that count.
        rows: [n] places of these rows in the table that was read, from 0; copies and omitted rows leave gaps.
        y: the column of the quality or loss.
        held: [n] true in rows that are not fitted but predicted.
        clusters: [n] number of the cluster of each row: rows of one (seeds and checkpoints of a configuration) are
            dependent.
        clusters_by: the columns that say so; empty where each row is its own.
        group_by: columns of the groups that are fitted or judged separately.
        family_by: the column of families, or None.
        step_by: the column of training steps, or None.
        omit: rows with a missing cell are left out, and not refused.
        higher_is_better, unit: what was asked of y, or None.
        notes: what was decided about the table, in sentences.
        guessed: where nothing but equal sizes made rows one configuration, what else is said of them; else None.
    """

    source: str
    columns: Mapping[str, NDArray[Any]]
    rows: Index
    y: str
    held: NDArray[np.bool_]
    clusters: Index
    clusters_by: tuple[str, ...]
    group_by: tuple[str, ...] = ()
    family_by: str | None = None
    step_by: str | None = None
    omit: bool = False
    higher_is_better: bool | None = None
    unit: Unit | None = None
    notes: tuple[str, ...] = ()
    guessed: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> NDArray[Any]:
        self.need(name)
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        """The names of the columns, as those of a data frame."""
        return iter(self.columns)

    @property
    def filled(self) -> tuple[str, ...]:
        """The columns with a value in some row: what is meant by a column's name holds for these alone."""
        return tuple(name for name, values in self.columns.items() if has_values(values))

    @property
    def n_clusters(self) -> int:
        """Independent clusters of rows."""
        return int(self.clusters.max(initial=-1)) + 1

    @property
    def counts(self) -> str:
        """`24 runs`, or `24 runs of 12 configurations`."""
        runs = f"{len(self)} run{'s' * (len(self) != 1)}"
        if self.n_clusters == len(self):
            return runs
        return f"{runs} of {self.n_clusters} configuration{'s' * (self.n_clusters != 1)}"

    def need(self, *names: str) -> None:
        """Refuse columns that the table does not have.

        Raises:
            SonoscaleError: With the name and the columns that there are.
        """
        for name in names:
            if not isinstance(name, str):
                raise SonoscaleError(
                    f"a column is called by its name, not {name!r}; there are: {', '.join(self.columns)}"
                )
            if name not in self.columns:
                raise SonoscaleError(f"the table has no column {name!r}; there are: {', '.join(self.columns)}")

    def take(self, kept: NDArray[np.bool_] | Index, *notes: str) -> RunTable:
        """Those of the rows, which keep their places; clusters are numbered anew."""
        where = np.flatnonzero(kept) if np.asarray(kept).dtype == bool else np.asarray(kept, dtype=np.intp)
        return replace(
            self,
            columns={name: values[where] for name, values in self.columns.items()},
            rows=self.rows[where],
            held=self.held[where],
            clusters=numbered(self.clusters[where]),
            notes=(*self.notes, *notes),
        )

    def apart(self, *names: str) -> RunTable:
        """Where equal sizes alone made rows one configuration: those that differ in these columns are others too."""
        more = [name for name in names if name not in self.clusters_by]
        if self.guessed is None or not more:
            return self
        numbers = self.clusters
        for name in more:
            codes = codes_of(self[name])
            numbers = np.unique(numbers * (int(codes.max()) + 1) + codes, return_inverse=True)[1].reshape(-1)
        numbers = numbered(numbers)
        if int(numbers.max()) == int(self.clusters.max()):
            return self
        before, by = guess_note(self.clusters_by, self.guessed), (*self.clusters_by, *more)
        each = int(numbers.max()) + 1 == len(self)
        notes = [guess_note(by, self.guessed) if note == before else note for note in self.notes]
        if each:
            notes.remove(guess_note(by, self.guessed))
        return replace(
            self, clusters=numbers, clusters_by=() if each else by, guessed=None if each else self.guessed,
            notes=tuple(notes),
        )  # fmt: skip

    def ordered(self, *names: str) -> RunTable:
        """The rows in an order that these columns of numbers alone decide: that of a file changes no resample."""
        return self.take(canonical_order(*(self[name] for name in names)))

    @property
    def fitted(self) -> RunTable:
        """The rows that are not held out."""
        return self.take(~self.held)

    @property
    def held_out(self) -> RunTable:
        """The rows that are held out."""
        return self.take(self.held)

    def parts(self) -> list[tuple[dict[str, Any], RunTable]]:
        """Each group with its rows, in the order in which they come; one without labels where there are no groups.

        Raises:
            SonoscaleError: A row without a group.
        """
        if not self.group_by:
            return [({}, self)]
        part = replace(self.use(labels=self.group_by), group_by=())
        keys = list(zip(*(part.columns[name].tolist() for name in self.group_by), strict=True))
        rows: dict[tuple[Any, ...], list[int]] = {}
        for row, key in enumerate(keys):
            rows.setdefault(key, []).append(row)
        return [
            (
                {name: _as_label(value) for name, value in zip(self.group_by, key, strict=True)},
                part.take(np.array(mine, dtype=np.intp)),
            )
            for key, mine in rows.items()
        ]

    def whole(self, what: str) -> RunTable:
        """The table as it is; `what` a verb does with one table, for the message.

        Raises:
            SonoscaleError: The table has groups.
        """
        if self.group_by:
            raise SonoscaleError(f"group ({', '.join(self.group_by)}): {what}: take each group by itself")
        return self

    def use(
        self, *numbers: str, positive: Iterable[str] = (), labels: Iterable[str] = (), with_y: bool = False
    ) -> RunTable:
        """The table with these columns checked: numbers as finite float64, labels without gaps.

        Arguments:
            numbers: columns of finite numbers.
            positive: columns of numbers above zero.
            labels: columns in which every row must have a value.
            with_y: y too, as numbers; in rows held out it may be missing (NaN).

        Returns:
            A table without the rows that lack one of these, where missing cells are omitted.

        Raises:
            SonoscaleError: With column, row and value, for a column that is not there, a cell that is missing (unless
                omitted), is no number, is not finite, or is not above zero.
        """
        positive, labels = tuple(positive), tuple(labels)
        wanted = dict.fromkeys((*numbers, *positive, *labels))
        self.need(*wanted, *([self.y] if with_y else []))
        lacking = np.zeros(len(self), dtype=bool)
        first: tuple[str, int] | None = None
        for name in [*wanted, *([self.y] if with_y else [])]:
            gaps = missing(self.columns[name])
            if gaps.all():
                raise SonoscaleError(f"{self.source}: no row has a value in {name}")
            if name == self.y and name not in wanted:
                gaps &= ~self.held
            if gaps.any() and first is None:
                first = name, int(gaps.argmax())
            lacking |= gaps
        if first is not None and not self.omit:
            name, row = first
            raise SonoscaleError(
                f"{name}, row {self.rows[row]}: no value; fill it in, leave the row out, or leave out every such row "
                "(omit)"
            )
        for name in labels:
            _check_labels(self.columns[name][~lacking], name, self.rows[~lacking])
        if lacking.all():
            shown = [*wanted, *([self.y] if with_y and self.y not in wanted else [])]
            raise SonoscaleError(f"{self.source}: no row has a value in all of {', '.join(shown)}")
        table = self if first is None else self.take(~lacking, _omitted(self, lacking, first[0]))
        columns = dict(table.columns)
        for name in dict.fromkeys((*numbers, *positive)):
            columns[name] = as_column(columns[name], name=name, positive=name in positive, rows=table.rows)
        if with_y and self.y not in columns:
            raise SonoscaleError(f"the table has no column {self.y!r}")
        if with_y:
            columns[self.y] = _y_column(table)
        return replace(table, columns=columns)

    def target(self, along: Sequence[str] = ()) -> Target:
        """Which end of y is good and where it ends: the same for every verb.

        As asked, else by the name of y, else as it runs along the sizes that the table is known to have (compute, or
        parameters and data), else along the columns that a verb varies.

        Arguments:
            along: these columns.

        Raises:
            SonoscaleError: Where nothing says so, or the name says one and the data the other; where fractions and
                percentages are mixed; where y of a held-out row is out of range.
        """
        found = self.find_target(along)
        if found is None:
            raise SonoscaleError(
                f"nothing says whether more {self.y} is better, neither its name nor a column of size: say it "
                "(higher_is_better)"
            )
        return found

    def find_target(self, along: Sequence[str] = (), *, unsure: bool = False) -> Target | None:
        """The same, or None where nothing says which end of y is good; `unsure`: see `find_target`."""
        known = self.use(with_y=True) if self.omit else self
        values = _y_column(known)
        fitted = np.isfinite(values) & ~known.held
        if not fitted.any():
            raise SonoscaleError(f"{self.source}: no row to fit: {'all are held out' if known.held.all() else 'none'}")
        size, words = _size(known, along)
        found = find_target(
            self.y, values[fitted], size=None if size is None else size[fitted], along=words,
            clusters=known.clusters[fitted], higher_is_better=self.higher_is_better, unit=self.unit,
            rows=known.rows[fitted], unsure=unsure,
        )  # fmt: skip
        if found is not None:
            _check_held(known, found, values)
        return found


def _check_held(table: RunTable, target: Target, values: Array) -> None:
    """Refuse y of held-out rows [n] that is outside its range, or not in the unit of the fitted rows."""
    known = np.isfinite(values) & table.held
    if is_score(table.y) and known.any():
        used = known | ~table.held
        reason = mixed_units(values[used], f"{table.y} of fitted and held-out rows together", table.rows[used])
        if reason:
            raise SonoscaleError(reason)
    outside = (values > target.ceiling) | (values < 0) if target.direction == "score" else values <= 0
    outside &= known
    if outside.any():
        i = int(outside.argmax())
        why = f"is outside 0 to {target.ceiling:g}" if target.direction == "score" else "is not above zero"
        raise SonoscaleError(f"{table.y}, row {table.rows[i]}: {values[i]:g} {why}")


def _size(table: RunTable, along: Sequence[str]) -> tuple[Array | None, str]:
    """What runs are larger by [n], NaN where unknown, and its name: compute, or the product of the known sizes."""
    found = find_sizes(table.filled, besides=(table.y,))
    if "compute" in found:
        names = [found["compute"]]
    else:
        names = [found[kind] for kind in found if kind != "data" or "data seen" not in found]
    along = [name for name in along if name in table.columns and not is_loss(name)]  # a loss falls with size
    size = _product(table, names) or _product(table, along)
    return (None, "") if size is None else size


def _product(table: RunTable, names: Sequence[str]) -> tuple[Array, str] | None:
    kept, total = [], np.zeros(len(table))
    for name in names:
        values = table.columns[name]
        if values.dtype.kind not in "iuf":
            continue
        with np.errstate(all="ignore"):
            logs = np.where(values > 0, np.log(values.astype(np.float64)), np.nan)
        if np.isfinite(logs).any():
            kept.append(name)
            total = total + logs
    if not kept or not np.isfinite(total).any():
        return None
    return np.exp(np.clip(total - np.nanmean(total), -700, 700)), " * ".join(kept)


def _y_column(table: RunTable) -> Array:
    """y [n] as finite numbers, NaN in held-out rows where it is missing."""
    given = table.columns[table.y]
    gaps = missing(given)
    known = ~(gaps & table.held)
    values = np.full(len(table), np.nan)
    values[known] = as_column(given[known], name=table.y, rows=table.rows[known])
    return values


def missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=bool)
    return np.array(
        [one is None or one == "" or (isinstance(one, float) and math.isnan(one)) for one in values.tolist()],
        dtype=bool,
    )


def guess_note(names: Sequence[str], besides: str) -> str:
    """That rows of equal sizes are taken as one configuration."""
    return (
        f"rows with the same {', '.join(names)}{besides} are taken as one configuration: if they are not, name the "
        "column of the configuration (clusters)"
    )


def has_values(values: NDArray[Any]) -> bool:
    """Whether a column has a value in some row."""
    if values.dtype.kind != "O":
        return not missing(values).all()
    return any(not (one is None or one == "" or (isinstance(one, float) and math.isnan(one))) for one in values)


def _check_labels(values: NDArray[Any], name: str, rows: Index) -> None:
    for row, value in zip(rows.tolist(), values.tolist() if values.dtype.kind == "O" else (), strict=False):
        try:
            hash(value)
        except TypeError:
            raise SonoscaleError(f"{name}, row {row}: {value!r} is a {type(value).__name__}, not a label") from None


def _omitted(table: RunTable, lacking: NDArray[np.bool_], name: str) -> str:
    rows = table.rows[lacking].tolist()
    shown = ", ".join(map(str, rows[:6])) + (", ..." if len(rows) > 6 else "")
    return f"row{'s' * (len(rows) > 1)} {shown} left out: no value in {name} or another needed column"


def _as_label(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) else str(value)
