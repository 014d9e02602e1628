"""Which columns are the obvious covariates, and which of them enter as logarithms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import constant_column

__all__ = ["OBVIOUS", "Chosen", "Covariate", "Scaled", "check_size", "find_columns", "overlooked", "scaled"]

Array = NDArray[np.float64]

OBVIOUS: Mapping[str, tuple[str, ...]] = {
    "parameters": ("params_encoder", "params", "n_params", "num_params", "parameters"),
    "data": ("train_hours", "train_clips", "hours", "tokens", "clips", "hours_seen", "samples"),
    "data seen": ("clips_seen", "tokens_seen", "samples_seen"),
    "compute": ("flops_total", "flops", "compute", "flops_encoder"),
    "loss": ("loss", "train_loss", "valid_loss", "val_loss"),
}
"""What is adjusted for by default: of each kind, the first column that the table has."""

_SIZES = ("param", "token", "flop", "hour", "clip", "sample", "compute")
"""Columns with these words in their names count something and cannot be zero or less."""

_MOST = 0.5  # of the rows, above zero: one below is taken for a mistake
_LARGEST = 1e100

_CONFIGURATIONS = ("config", "run", "model", "name")
"""Columns that often name a configuration."""


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

    @property
    def counts_parameters(self) -> bool:
        return "param" in self.name.lower()


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The names of the covariates, and what was decided."""

    names: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Columns as they enter: logarithms of the rank, and where `covariates` say so."""

    columns: dict[str, Array]
    covariates: tuple[Covariate, ...]
    notes: tuple[str, ...]


def find_columns(
    table: Mapping[str, Any],
    covariates: Sequence[str] | None,
    *,
    rank: str,
    quality: str,
    taken: Sequence[str | None],
) -> Chosen:
    """The covariates that were named, or the obvious ones that the table has.

    Raises:
        SonoscaleError: Where the rank, the quality or a label is named as a covariate.
    """
    if rank == quality:
        raise SonoscaleError(f"{rank!r} is named both as rank and as quality")
    if covariates is not None:
        for name in covariates:
            if name in (rank, quality, *taken):
                raise SonoscaleError(f"{name!r} cannot be a covariate: it is the rank, the quality or a label")
        return Chosen(names=tuple(dict.fromkeys(covariates)), notes=())
    present = {str(name).lower(): str(name) for name in table}
    found: list[str] = []
    for candidates in OBVIOUS.values():
        free = [present[c] for c in candidates if c in present and present[c] not in (rank, quality, *taken)]
        found += free[:1]
    notes: list[str] = []
    if "loss_of" in table and len({str(value) for value in table["loss_of"]}) > 1:
        dropped = [name for name in found if "loss" in name.lower()]
        found = [name for name in found if name not in dropped]
        notes += [f"{name} is not adjusted for: by loss_of, losses of several kinds are in it" for name in dropped]
    notes.append(
        f"covariates taken for themselves: {', '.join(found)}" if found else "no column looks like a covariate"
    )
    return Chosen(names=tuple(found), notes=tuple(notes))


def scaled(columns: Mapping[str, Array], names: Sequence[str], *, rank: str) -> Scaled:
    """Logarithms of the rank and of each covariate that is above zero in all rows; constant ones are left out.

    Raises:
        SonoscaleError: For a rank, parameters, data or compute that are not above zero in some row, and for what is
            below zero in some rows and above it in most, but for a loss.
    """
    out, covariates, notes = dict(columns), [], []
    ranks = columns[rank]
    if (ranks <= 0).any():
        row = int((ranks <= 0).argmax())
        raise SonoscaleError(
            f"{rank}, row {row}: {ranks[row]:g} is not above zero, as every rank is; correct it or leave the row out "
            "(of a logarithm of rank, give the rank itself)"
        )
    out[rank] = np.log(ranks)
    for name in names:
        column = columns[name]
        if constant_column(column, name=name):
            notes.append(f"{name} is the same in all rows: held constant, not adjusted for")
            continue
        logged = bool((column > 0).all())
        if not logged and any(word in name.lower() for word in _SIZES):
            row = int((column <= 0).argmax())
            raise SonoscaleError(f"{name}, row {row}: {column[row]:g} is not above zero, as its logarithm needs")
        if logged:
            out[name] = np.log(column)
        else:
            row = int((column < 0).argmax() if (column < 0).any() else (column == 0).argmax())
            if column[row] < 0 and (column > 0).mean() > _MOST and "loss" not in name.lower():
                raise SonoscaleError(
                    f"{name}, row {row}: {column[row]:g} is below zero, though {(column > 0).mean():.0%} of the rows "
                    "are above it; correct it or leave the row out"
                )
            notes.append(f"{name} enters as it is, not as a logarithm: it is {column[row]:g} in row {row}")
        covariates.append(Covariate(name=name, logged=logged, design="loss" not in name.lower()))
    notes.append(f"logarithms are taken of: {', '.join([rank, *(c.name for c in covariates if c.logged)])}")
    return Scaled(columns=out, covariates=tuple(covariates), notes=tuple(notes))


def check_size(column: Array, *, name: str) -> None:
    """Refuse what cannot be used.

    Raises:
        SonoscaleError: For numbers so large or small that their squares overflow or vanish.
    """
    size = float(np.abs(column).max())
    if not 1 / _LARGEST < size < _LARGEST:
        row = int(np.abs(column).argmax())
        raise SonoscaleError(
            f"{name}, row {row}: {column[row]:g} is the largest in size, whose square no number can hold; give it in "
            f"another unit, between {1 / _LARGEST:g} and {_LARGEST:g}"
        )


def overlooked(table: Mapping[str, Any], rows: NDArray[np.intp], count: int, replicate: str | None) -> list[str]:
    """A column that looks like the configuration, was not named, and has fewer values than there are configurations."""
    if replicate is not None:
        return []
    for name in _CONFIGURATIONS:
        if name in table and (fewer := len({str(table[name][i]) for i in rows})) < count:
            told = f"{name!r} has {fewer} values for {count} configurations"
            return [f"{told}: if its rows are dependent, name it as replicate"]
    return []
