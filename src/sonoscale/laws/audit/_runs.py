"""From a table to independent configurations: the unit of everything that the audit counts."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._better import is_better
from sonoscale.laws._data import as_column, check_pair, constant_column
from sonoscale.laws._names import is_score, more_is_better
from sonoscale.laws._target import mixed_units
from sonoscale.laws.audit._columns import Covariate, check_size, find_columns, overlooked, scaled

__all__ = ["Rows", "Runs", "gather", "mean_over"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The rows of the table, checked, in an order that depends on their values alone.

    Attributes:
        rank: [n], its logarithm.
        quality: [n], more is better.
        covariates: [n, C], logarithms where all values are above zero.
        others: column -> [n], the rivals that are not covariates, more is better.
        config: [n] number of the configuration.
        cell: [n] number of the configuration and design: rows of one cell differ by their seeds only.
        family: [n] number of the family, or None.
        step, layer: [n], or None.
    """

    rank: Array
    quality: Array
    covariates: Array
    others: dict[str, Array]
    config: Index
    cell: Index
    family: Index | None
    step: Array | None
    layer: Array | None

    def __len__(self) -> int:
        return len(self.rank)

    def take(self, kept: NDArray[np.bool_]) -> Rows:
        """Those rows, their configurations and cells numbered anew; families keep their numbers."""
        return Rows(
            rank=self.rank[kept],
            quality=self.quality[kept],
            covariates=self.covariates[kept],
            others={name: column[kept] for name, column in self.others.items()},
            config=_renumber(self.config[kept]),
            cell=_renumber(self.cell[kept]),
            family=None if self.family is None else self.family[kept],
            step=None if self.step is None else self.step[kept],
            layer=None if self.layer is None else self.layer[kept],
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Runs:
    """One point per independent configuration: means over its rows.

    Attributes:
        rank, quality: [G];
        covariates: [G, C];
        others: column -> [G];
        family: [G] or None.
        rows: the rows that were averaged;
        size: [G] rows of each configuration.
        everything: all rows, those of earlier steps and other layers too.
        names: the covariates, in the order of the columns.
        family_labels: of each family number.
        higher_is_better: of quality as it is in the table.
        held_constant: covariates are the same in all rows, so that capacity is held equal by design.
        notes: what was decided about the table, in sentences.
    """

    rank: Array
    quality: Array
    covariates: Array
    others: dict[str, Array]
    family: Index | None
    rows: Rows
    size: Array
    everything: Rows
    names: tuple[Covariate, ...]
    family_labels: tuple[str, ...]
    higher_is_better: bool
    held_constant: bool
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rank)


def gather(
    table: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    rank: str,
    quality: str,
    covariates: Sequence[str] | None,
    family: str | None,
    replicate: str | None,
    higher_is_better: bool | None,
    rivals: Sequence[str],
    step: str | None,
    layer: str | None,
) -> Runs:
    """Check the columns, drop exact copies of rows, and average each configuration.

    A configuration is what `replicate` says; without it, rows with the same family and the same covariates
    (losses aside, which are measured and not chosen). Where there is a step, the points are the rows of each
    configuration's last step; where there is a layer, those of its last layer.

    Raises:
        SonoscaleError: For a column that is missing, malformed, constant, in mixed units or not above zero where a
            logarithm is due, and for a configuration in two families.
    """
    chosen = find_columns(table, covariates, rank=rank, quality=quality, taken=(family, replicate, step, layer))
    names = list(dict.fromkeys([quality, rank, *chosen.names, *rivals]))
    for name in (*names, *(each for each in (family, replicate, step, layer) if each)):
        if name not in table:
            raise SonoscaleError(f"the table has no column {name!r}; there are: {', '.join(map(str, table))}")
    for name in (step, layer):
        if name is not None and replicate is None:
            raise SonoscaleError(
                f"with {name!r}, name the column (replicate) that says which rows are one configuration"
            )
    n = len(table[quality])
    columns = {name: as_column(table[name], name=name) for name in (*names, *filter(None, (step, layer)))}
    for name, column in columns.items():
        check_pair(column, columns[quality], x_name=name, y_name=quality)
    for name in (rank, quality):
        reason = constant_column(columns[name], name=name)
        if reason:
            raise SonoscaleError(f"{reason}: there is nothing to audit")
    for name, column in columns.items():
        if name != rank and not constant_column(column, name=name):
            check_size(column, name=name)
    fractions = columns[quality].max() <= 1.5  # a score a little above 1 is a mistake, a loss is not
    mixed = mixed_units(columns[quality], quality) if is_score(quality) or not fractions else None
    if mixed:
        raise SonoscaleError(mixed)
    labels = {name: _labels(table[name], name, n) for name in (family, replicate) if name}
    better = is_better(quality, columns[quality], None, along="", told=higher_is_better) is not False
    logs = scaled(columns, chosen.names, rank=rank)

    kept, copies = _without_copies(table, n)
    # Sorted by values, so that neither the order of rows nor the names of families can change a draw.
    keys = [*filter(None, (step, layer)), quality, rank, *chosen.names]
    order = kept[np.lexsort([logs.columns[name][kept] for name in keys[::-1]])]
    of_family = None if family is None else [labels[family][i] for i in order]
    design = [tuple(columns[c.name][i] for c in logs.covariates if c.design) for i in order]
    told: list[str] = []
    if higher_is_better is None and not better:
        told = [f"{quality} is a loss or an error by its name: less of it is taken as better"]
    if replicate is not None:
        configs: list[Any] = [labels[replicate][i] for i in order]
    elif any(c.design for c in logs.covariates):
        configs = design if of_family is None else list(zip(design, of_family, strict=True))
        if len(set(configs)) < len(configs):
            same = [*filter(None, [family]), *(c.name for c in logs.covariates if c.design)]
            told += [
                f"rows with the same {', '.join(same)} are taken as one configuration (no replicate column was named)"
            ]
    else:
        configs = list(range(len(order)))
        told += ["every row is taken as a configuration of its own (no replicate column was named)"]
    numbered = _number(configs)
    told += overlooked(table, order, len(set(configs)), replicate)
    families = None if of_family is None else _number(of_family)
    if families is not None and of_family is not None:
        _check_families(numbered, families, configs, of_family)
    steps = None if step is None else columns[step][order]
    cells = list(zip(numbered.tolist(), design, [0.0] * len(order) if steps is None else steps.tolist(), strict=True))
    everything = Rows(
        rank=logs.columns[rank][order],
        quality=(1.0 if better else -1.0) * columns[quality][order],
        covariates=np.array([logs.columns[c.name][order] for c in logs.covariates]).reshape(-1, len(order)).T,
        others={
            name: (-1.0 if more_is_better(name) is False else 1.0) * columns[name][order]
            for name in dict.fromkeys(rivals)
            if name not in chosen.names
        },
        config=numbered,
        cell=_number(cells),
        family=families,
        step=steps,
        layer=None if layer is None else columns[layer][order],
    )
    return _averaged(
        _last(everything),
        everything,
        logs.covariates,
        labels=() if of_family is None else tuple(str(label) for label in dict.fromkeys(of_family)),
        higher_is_better=better,
        held_constant=len(logs.covariates) < len(chosen.names),
        notes=[*chosen.notes, *logs.notes, *copies, *told],
    )


def mean_over(values: Array, groups: Index) -> Array:
    """Means of the rows [n, ...] of each group: [G, ...]."""
    count = np.bincount(groups)
    total = np.zeros((len(count), *values.shape[1:]))
    np.add.at(total, groups, values)
    return total / count.reshape(-1, *[1] * (values.ndim - 1))


def _averaged(
    final: Rows, everything: Rows, names: Sequence[Covariate], *, labels: tuple[str, ...], higher_is_better: bool,
    held_constant: bool, notes: list[str],
) -> Runs:  # fmt: skip
    size = np.bincount(final.config)
    family = None
    if final.family is not None:
        family = np.zeros(len(size), dtype=np.intp)
        family[final.config] = final.family
    if len(final) > len(size):
        notes.append(f"{len(final)} rows are {len(size)} configurations, whose means are compared")
    if len(final) < len(everything):
        notes.append(
            f"{len(everything) - len(final)} rows of earlier steps or other layers serve their own tables only"
        )
    covariates = mean_over(final.covariates, final.config)
    differs = np.ptp(covariates, axis=0) > 1e-12 * np.abs(covariates).max(axis=0)
    notes += [
        f"{c.name} is the same in all runs compared: held constant"
        for c, d in zip(names, differs, strict=True)
        if not d
    ]
    return Runs(
        rank=mean_over(final.rank, final.config),
        quality=mean_over(final.quality, final.config),
        covariates=covariates[:, differs],
        others={name: mean_over(column, final.config) for name, column in final.others.items()},
        family=family,
        rows=final,
        size=size.astype(np.float64),
        everything=everything,
        names=tuple(c for c, d in zip(names, differs, strict=True) if d),
        family_labels=labels,
        higher_is_better=higher_is_better,
        held_constant=held_constant or not differs.all(),
        notes=tuple(notes),
    )


def _last(rows: Rows) -> Rows:
    """The rows of each configuration's last step, and of its last layer."""
    kept = np.ones(len(rows), dtype=bool)
    for column in (rows.step, rows.layer):
        if column is not None:
            last = np.full(int(rows.config.max()) + 1, -np.inf)
            np.maximum.at(last, rows.config, column)
            kept &= column == last[rows.config]
    return rows if kept.all() else rows.take(kept)


def _labels(values: Any, name: str, n: int) -> list[Hashable]:
    labels = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if len(labels) != n:
        raise SonoscaleError(f"{name} has {len(labels)} rows but the table has {n}")
    for row, label in enumerate(labels):
        if label is None or label != label or label == "":
            raise SonoscaleError(f"{name}, row {row}: {label!r} is no name")
    return labels


def _without_copies(table: Mapping[str, Any], n: int) -> tuple[Index, list[str]]:
    """The rows that are no copy of another in every column, and what was left out."""
    columns = [column for column in table.values() if len(column) == n]
    seen: dict[tuple[str, ...], int] = {}
    kept = [i for i in range(n) if seen.setdefault(tuple(repr(column[i]) for column in columns), i) == i]
    if len(kept) == n:
        return np.arange(n), []
    row = min(set(range(n)) - set(kept))
    told = f"{n - len(kept)} rows are copies of others in every column (row {row} first): counted once"
    return np.array(kept, dtype=np.intp), [told]


def _check_families(config: Index, family: Index, configs: list[Any], groups: list[Any]) -> None:
    first: dict[int, int] = {}
    for i, number in enumerate(config.tolist()):
        j = first.setdefault(number, i)
        if family[i] != family[j]:
            raise SonoscaleError(f"configuration {configs[i]!r} is in two families: {groups[j]!r} and {groups[i]!r}")


def _number(labels: Sequence[Hashable]) -> Index:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.intp)


def _renumber(numbers: Index) -> Index:
    return _number(numbers.tolist())
