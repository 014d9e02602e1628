"""From a table of runs to independent configurations: the unit of everything that the audit counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import constant_column
from sonoscale.laws._names import LOSSES, find_sizes, is_loss, is_size, more_is_better
from sonoscale.laws._runs import RunTable, numbered
from sonoscale.laws._target import Target
from sonoscale.laws.audit._bases import orthonormal

__all__ = ["Configurations", "Covariate", "Rows", "gather", "mean_over"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_MOST = 0.5  # of the rows, above zero: one below is taken for a mistake
_LARGEST = 1e100
_UNEXPLAINED = 0.01  # share of the variance of a size
_INTERVAL = 2 * 1.959964  # width of a 95 % interval, in standard errors
_MOST_CONFIGURATIONS = 1000  # that are audited; of more, so many are drawn


@dataclass(frozen=True, kw_only=True)
class Covariate:
    """A covariate. `logged`: its logarithm is used. `design`: chosen before training, as a loss is not."""

    name: str
    logged: bool
    design: bool

    @property
    def label(self) -> str:
        """`log params`, or the name as it is."""
        return f"log {self.name}" if self.logged else self.name


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The rows of the table, checked, in an order that depends on their values alone.

    Attributes:
        rank: [n], its logarithm.
        quality: [n], more is better.
        covariates: [n, C], logarithms where all values are above zero.
        others: column -> [n], the baselines that are not covariates, more is better.
        config: [n] number of the configuration.
        cell: [n] number of the configuration, design and step: rows of one cell differ by their seeds only.
        family: [n] number of the family, or None.
        step, layer: [n], or None.
        rank_variance: [n] of the error of log rank, or None.
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
    rank_variance: Array | None = None

    def __len__(self) -> int:
        return len(self.rank)

    def take(self, kept: NDArray[np.bool_]) -> Rows:
        """Those rows, their configurations and cells numbered anew; families keep their numbers."""
        return Rows(
            rank=self.rank[kept],
            quality=self.quality[kept],
            covariates=self.covariates[kept],
            others={name: column[kept] for name, column in self.others.items()},
            config=numbered(self.config[kept]),
            cell=numbered(self.cell[kept]),
            family=None if self.family is None else self.family[kept],
            step=None if self.step is None else self.step[kept],
            layer=None if self.layer is None else self.layer[kept],
            rank_variance=None if self.rank_variance is None else self.rank_variance[kept],
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Configurations:
    """One point per independent configuration: means over its rows.

    Attributes:
        runs: the table of the rows that are audited.
        target: y and which end of it is good.
        rank, quality: [G], as in `Rows`;
        covariates: [G, C];
        others: column -> [G];
        family: [G] or None.
        rows: the rows that were averaged;
        size: [G] rows of each configuration.
        everything: all rows, those of earlier steps and other layers too.
        names: the covariates, in the order of the columns.
        family_labels: of each family number.
        held_constant: covariates are the same in all rows, so that capacity is held equal by design.
        rank_error: variance of the error of log rank in these points, by the interval of rank that the table has
            (`rankme_low`, `rankme_high` beside `rankme`, taken for 95 %), or None.
        unadjusted: columns that are sizes by their names and that the covariates do not make up, where covariates were
            not named.
        notes: what was decided about the table, in sentences.
    """

    runs: RunTable
    target: Target
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
    held_constant: bool
    rank_error: float | None
    unadjusted: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rank)

    def without(self, places: Sequence[int]) -> Configurations:
        """The others; the rows, which say what seeds do, stay."""
        kept = np.delete(np.arange(len(self)), list(places))
        return replace(
            self, rank=self.rank[kept], quality=self.quality[kept], covariates=self.covariates[kept],
            others={name: column[kept] for name, column in self.others.items()}, size=self.size[kept],
            family=None if self.family is None else numbered(self.family[kept]),
        )  # fmt: skip

    @property
    def sums(self) -> list[list[int]]:
        """Places of covariates whose logarithms add up to that of compute, where compute is not one of them."""
        sizes = find_sizes([c.name for c in self.names])
        places = {c.name: i for i, c in enumerate(self.names) if c.logged and c.design}
        kinds = [kind for kind in ("parameters", "data", "data seen") if sizes.get(kind) in places]
        both = [places[sizes[kind]] for kind in kinds[:2]] if len(kinds) > 1 else list(places.values())[:2]
        return [both] if len(both) == 2 and "compute" not in sizes else []

    @property
    def size_by(self) -> int | None:
        """Place of the covariate that says how large a run is: parameters, else the first logarithm."""
        logged = [i for i, c in enumerate(self.names) if c.logged and c.design]
        return next((i for i in logged if "param" in self.names[i].name.lower()), next(iter(logged), None))


def gather(
    runs: RunTable,
    *,
    rank: str,
    covariates: Sequence[str] | None = None,
    baselines: Sequence[str] = (),
    layer: str | None = None,
    seed: int = 0,
) -> Configurations:
    """Check the columns and average each configuration (see `RunTable.clusters`).

    Where the runs have steps, the points are the rows of each configuration's last step; where there is a layer, those
    of its last layer. Rows held out are left aside. Of more than 1,000 configurations, so many are drawn at random, and
    a note says so.

    Raises:
        SonoscaleError: For a column that is missing, malformed, constant, or not above zero where a logarithm is due;
            for steps or layers without configurations; and for a configuration in two families.
    """
    if runs.group_by:
        raise SonoscaleError(
            f"group ({', '.join(runs.group_by)}): an audit has one verdict; call audit_groups for one of each group, "
            "or name the column as family"
        )
    runs.need(rank, *([] if layer is None else [layer]))
    _check_clusters(runs, layer)
    held: list[str] = []
    if runs.held.any():
        held.append(f"{int(runs.held.sum())} rows are held out (held_out) and not audited")
        runs = runs.fitted
    names, decided = _find_covariates(runs, covariates, rank=rank, baselines=baselines, layer=layer)
    if covariates is not None:
        runs = runs.apart(*(name for name in names if _is_chosen(runs[name])))
    others = [name for name in dict.fromkeys(baselines) if name not in names]
    ordered = [name for name in (runs.step_by, layer) if name]
    runs = runs.use(
        rank, *names, *others, *ordered, labels=(runs.family_by,) if runs.family_by else (), with_y=True
    )  # fmt: skip
    columns = {name: runs[name] for name in dict.fromkeys((runs.y, rank, *names, *others, *ordered))}
    for name in (rank, runs.y):
        reason = constant_column(columns[name], name=name)
        if reason:
            raise SonoscaleError(f"{reason}: there is nothing to audit")
    for name, column in columns.items():
        if name != rank and not constant_column(column, name=name):
            _check_magnitude(column, name, runs)
    once = _without_repeats([*columns.values(), *([runs[runs.family_by]] if runs.family_by else [])], runs.clusters)
    if len(once) < len(runs):
        several = len(runs) - len(once)
        plural = "row repeats" if several == 1 else "rows repeat"
        note = f"{several} {plural} another configuration in {rank}, {runs.y} and all else: counted once"
        return gather(
            runs.take(once, *held, note), rank=rank, covariates=covariates, baselines=baselines, layer=layer, seed=seed
        )
    logs, entered, scaled = _scaled(columns, names, rank, runs)
    target = runs.target(along=[c.name for c in entered if c.design])

    # Sorted by values, so that neither the order of rows nor the names of families can change a draw.
    order = np.lexsort([logs[name] for name in (*ordered, runs.y, rank, *names)[::-1]])
    config = numbered(runs.clusters[order])
    count = int(config.max()) + 1
    if count > _MOST_CONFIGURATIONS:
        drawn = np.random.default_rng(seed).permutation(count) < _MOST_CONFIGURATIONS
        note = f"{_MOST_CONFIGURATIONS} of the {count} configurations are audited, drawn at random"
        some = runs.take(np.sort(order[drawn[config]]), *held, note)
        return gather(some, rank=rank, covariates=covariates, baselines=baselines, layer=layer, seed=seed)
    design = [tuple(columns[c.name][i] for c in entered if c.design) for i in order]
    family, labels = None, ()
    if runs.family_by is not None:
        _check_families(runs, runs.family_by)
        of_family = runs[runs.family_by][order].tolist()
        family, labels = numbered(of_family), tuple(str(label) for label in dict.fromkeys(of_family))
    steps = None if runs.step_by is None else columns[runs.step_by][order]
    cells = list(zip(config.tolist(), design, [0.0] * len(order) if steps is None else steps.tolist(), strict=True))
    everything = Rows(
        rank=logs[rank][order],
        quality=(1.0 if target.higher_is_better else -1.0) * columns[runs.y][order],
        covariates=np.array([logs[c.name][order] for c in entered]).reshape(-1, len(order)).T,
        others={name: (-1.0 if more_is_better(name) is False else 1.0) * columns[name][order] for name in others},
        config=config,
        cell=numbered(cells),
        family=family,
        step=steps,
        layer=None if layer is None else columns[layer][order],
        rank_variance=_variance(runs, rank, order),
    )
    way = "more" if target.higher_is_better else "less"
    taken = {runs.y, rank, *names, *others, *ordered, *runs.clusters_by, *runs.group_by}
    missed = _unadjusted(runs, [logs[c.name] for c in entered], taken) if covariates is None else ()
    said = [f"audited: {runs.y} ({way} is better, {target.because}), {runs.counts}", *runs.notes, *held]
    notes = [*said, *decided, *scaled]
    return _averaged(everything, runs, target, entered, labels, len(entered) < len(names), missed, notes)


def mean_over(values: Array, groups: Index) -> Array:
    """Means of the rows [n, ...] of each group: [G, ...]."""
    count = np.bincount(groups)
    total = np.zeros((len(count), *values.shape[1:]))
    np.add.at(total, groups, values)
    return total / count.reshape(-1, *[1] * (values.ndim - 1))


def _without_repeats(columns: Sequence[NDArray[Any]], clusters: Index) -> Index:
    """The rows [m] of these columns [n] that are not copies of a row of another cluster."""
    key = np.zeros(len(clusters), dtype=np.intp)
    for values in columns:
        codes = numbered(values if values.dtype.kind in "biuf" else values.tolist())
        key = np.unique(key * (int(codes.max()) + 1) + codes, return_inverse=True)[1].reshape(-1)
    first = np.unique(key, return_index=True)[1][key]
    return np.flatnonzero(clusters[first] == clusters)


def _check_clusters(runs: RunTable, layer: str | None) -> None:
    """Refuse steps or layers where nothing says which rows are one configuration."""
    for name in filter(None, (runs.step_by, layer)):
        runs.need(name)
        if not runs.clusters_by:
            raise SonoscaleError(
                f"{name!r} needs configurations of several rows, but each row is its own: name the columns of the "
                "configuration (clusters)"
            )
    sizes = {*find_sizes(runs.filled, besides=(runs.y,)).values(), runs.family_by}
    if runs.step_by is None or not sizes.issuperset(runs.clusters_by):
        return
    steps = [str(step) for step in runs.columns[runs.step_by].tolist()]
    if len(set(steps)) > 1 and len(set(zip(runs.clusters.tolist(), steps, strict=True))) == runs.n_clusters:
        raise SonoscaleError(
            f"{runs.step_by!r}: no configuration has several steps where rows with the same "
            f"{', '.join(runs.clusters_by)} are one: name the columns of the configuration (clusters)"
        )


def _find_covariates(
    runs: RunTable, covariates: Sequence[str] | None, *, rank: str, baselines: Sequence[str], layer: str | None
) -> tuple[list[str], list[str]]:
    """The covariates that were named, or the sizes and the loss that the table is known to have; and what was decided.

    Raises:
        SonoscaleError: Where the rank, the quality or a label is named as a covariate or a baseline.
    """
    if rank == runs.y:
        raise SonoscaleError(f"{rank!r} is named both as rank and as quality (y)")
    sizes = find_sizes(runs.filled, besides=(runs.y,)).values()
    taken = {rank, runs.y, runs.family_by, runs.step_by, layer, *(n for n in runs.clusters_by if n not in sizes)}
    for kind, given in (("covariate", covariates or ()), ("baseline", baselines)):
        for name in given:
            if name in taken:
                raise SonoscaleError(f"{name!r} cannot be a {kind}: it is the rank, the quality (y) or a label")
    if covariates is not None:
        return list(dict.fromkeys(covariates)), []
    found = list(find_sizes(runs.filled, besides=taken).values())
    present = {name.lower(): name for name in runs.filled if name not in taken}
    found += [present[name] for name in LOSSES if name in present][:1]
    empty = [name for name in runs.columns if name not in runs.filled]
    kinds = [name for name in empty if name not in taken and (find_sizes([name]) or name.lower() in LOSSES)]
    notes = [f"{', '.join(kinds)}: no row has a value, not adjusted for"] if kinds else []
    if "loss_of" in runs.columns and len(set(map(str, runs.columns["loss_of"].tolist()))) > 1:
        dropped = [name for name in found if is_loss(name)]
        found = [name for name in found if name not in dropped]
        notes += [f"{name} is not adjusted for: by loss_of, losses of several kinds are in it" for name in dropped]
    notes.append(f"covariates, by their names: {', '.join(found)}" if found else "no column is a covariate by its name")
    return found, notes


def _is_chosen(values: NDArray[Any]) -> bool:
    """Whether a column is whole numbers, as what is chosen before training is: a loss differs between seeds."""
    return values.dtype.kind in "biu" or (values.dtype.kind == "f" and bool((values == np.round(values)).all()))


def _scaled(
    columns: Mapping[str, Array], names: Sequence[str], rank: str, runs: RunTable
) -> tuple[dict[str, Array], list[Covariate], list[str]]:
    """Logarithms of the rank and of each covariate that is above zero in all rows; constant ones are left out.

    Returns:
        The columns as they enter, the covariates among them, and what was decided.

    Raises:
        SonoscaleError: For a rank, parameters, data or compute that are not above zero in some row, and for what is
            below zero in some rows and above it in most, but for a loss.
    """
    out, covariates, notes = dict(columns), [], []
    ranks = columns[rank]
    if (ranks <= 0).any():
        i = int((ranks <= 0).argmax())
        raise SonoscaleError(
            f"{rank}, row {runs.rows[i]}: {ranks[i]:g} is not above zero, as every rank is; correct it or leave the "
            "row out (of a logarithm of rank, give the rank itself)"
        )
    out[rank] = np.log(ranks)
    for name in names:
        column = columns[name]
        if constant_column(column, name=name):
            notes.append(f"{name} is the same in all rows: held constant, not adjusted for")
            continue
        logged = bool((column > 0).all())
        if not logged and is_size(name):
            i = int((column <= 0).argmax())
            raise SonoscaleError(f"{name}, row {runs.rows[i]}: {column[i]:g} is not above zero, as its logarithm needs")
        if logged:
            out[name] = np.log(column)
        else:
            i = int((column < 0).argmax() if (column < 0).any() else (column == 0).argmax())
            if column[i] < 0 and (column > 0).mean() > _MOST and not is_loss(name):
                raise SonoscaleError(
                    f"{name}, row {runs.rows[i]}: {column[i]:g} is below zero, though {(column > 0).mean():.0%} of the "
                    "rows are above it; correct it or leave the row out"
                )
            notes.append(f"{name} enters as it is, not as a logarithm: it is {column[i]:g} in row {runs.rows[i]}")
        covariates.append(Covariate(name=name, logged=logged, design=not is_loss(name)))
    notes.append(f"logarithms are taken of: {', '.join([rank, *(c.name for c in covariates if c.logged)])}")
    return out, covariates, notes


def _check_magnitude(column: Array, name: str, runs: RunTable) -> None:
    """Refuse numbers so large or small that their squares overflow or vanish."""
    size = float(np.abs(column).max())
    if not 1 / _LARGEST < size < _LARGEST:
        i = int(np.abs(column).argmax())
        raise SonoscaleError(
            f"{name}, row {runs.rows[i]}: {column[i]:g} is the largest in size, whose square no number can hold; give "
            f"it in another unit, between {1 / _LARGEST:g} and {_LARGEST:g}"
        )


def _check_families(runs: RunTable, name: str) -> None:
    families = runs[name].tolist()
    first: dict[int, int] = {}
    for i, number in enumerate(runs.clusters.tolist()):
        j = first.setdefault(number, i)
        if families[i] != families[j]:
            raise SonoscaleError(
                f"{name}, row {runs.rows[i]}: {families[i]!r}, but row {runs.rows[j]} of the same configuration has "
                f"{families[j]!r}: a configuration is in one family"
            )


def _averaged(
    everything: Rows, runs: RunTable, target: Target, names: Sequence[Covariate], labels: tuple[str, ...],
    held_constant: bool, unadjusted: tuple[str, ...], notes: list[str],
) -> Configurations:  # fmt: skip
    final = _last(everything)
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
    return Configurations(
        runs=runs,
        target=target,
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
        held_constant=held_constant or not differs.all(),
        rank_error=None
        if final.rank_variance is None
        else float(np.mean(mean_over(final.rank_variance, final.config) / size)),
        unadjusted=unadjusted,
        notes=tuple(notes),
    )


def _unadjusted(runs: RunTable, covariates: Sequence[Array], taken: set[str]) -> tuple[str, ...]:
    """Columns of sizes besides those taken, whose logarithm these covariates [n] do not explain."""
    basis = orthonormal(np.column_stack([np.ones(len(runs)), *covariates]))
    found = []
    for name, values in runs.columns.items():
        if name in taken or not is_size(name) or is_loss(name) or values.dtype.kind not in "iuf":
            continue
        column = values.astype(np.float64)
        if not (np.isfinite(column).all() and (column > 0).all()) or constant_column(column, name=name):
            continue
        log = np.log(column) - np.log(column).mean()
        left = log - basis @ (basis.T @ log)
        if left @ left > _UNEXPLAINED * (log @ log):
            found.append(name)
    return tuple(found)


def _variance(runs: RunTable, rank: str, order: Index) -> Array | None:
    """Of the error of log rank in each row, where the table has an interval of rank in every one."""
    ends = [runs.columns.get(f"{rank}_{end}") for end in ("low", "high")]
    if any(one is None for one in ends):
        return None
    try:
        low, high = (np.asarray(one, dtype=np.float64)[order] for one in ends)
    except (TypeError, ValueError):
        return None
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low > 0).all() and (high >= low).all()):
        return None
    return (np.log(high / low) / _INTERVAL) ** 2


def _last(rows: Rows) -> Rows:
    """The rows of each configuration's last step, and of its last layer."""
    kept = np.ones(len(rows), dtype=bool)
    for column in (rows.step, rows.layer):
        if column is not None:
            last = np.full(int(rows.config.max()) + 1, -np.inf)
            np.maximum.at(last, rows.config, column)
            kept &= column == last[rows.config]
    return rows if kept.all() else rows.take(kept)
