"""The verb: what to train next for a budget, how certain that is, and which runs would make it more certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.laws._data import as_names, check_draws
from sonoscale.laws._names import SIZES, find_sizes
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws._runs import RunTable, missing
from sonoscale.laws.loglinear._diagnose import dependent_terms
from sonoscale.laws.loglinear._terms import make_terms, term_matrix
from sonoscale.laws.plan._allocation import plan_allocation
from sonoscale.laws.plan._base_costs import base_costs
from sonoscale.laws.plan._design import plan_design
from sonoscale.laws.plan._results import Allocation, Designed, GroupPlans

__all__ = ["plan"]

LEDGER_FILE = "ledger.parquet"
AMOUNTS = ("examples_seen", "step", "hours_seen", "clips_seen")
"""Columns that say how much was trained on; costs are counted by training examples."""

_SWEPT = (
    "objective", "backbone", "width", "depth", "n_mels", "patch_mels", "patch_frames", "mask_ratio", "clip_seconds",
    "batch_size", "lr", "train_clips",
)  # fmt: skip
_STUDY = {"run", "config", "step", "quality"}


@in_one_line
def plan(
    source: Source,
    *,
    flops: float | None = None,
    params: float | None = None,
    hours: float | None = None,
    clips: float | None = None,
    latency: float | None = None,
    memory: float | None = None,
    limits: Mapping[str, float] | None = None,
    n: str | None = None,
    d: str | None = None,
    design: str | Sequence[str] | None = None,
    curved: str | Sequence[str] = (),
    base: str | PathLike[str] | None = None,
    flops_column: str | None = None,
    next_runs: int = 4,
    next_flops: float | None = None,
    force: bool = False,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    **reading: Unpack[Reading],
) -> Allocation | Designed | GroupPlans:
    """What to train next for a budget.

    A table of runs gives the best split of the budget between parameters and data (`plan_allocation`); a study, or
    named columns of a design, the best design of an encoder (`plan_design`).

    Arguments:
        source: a CSV or Parquet file, the folder of a study, a mapping or data frame of columns, or a `RunTable`.
        flops: budget: FLOPs of the training.
        params: budget: parameters of the encoder.
        hours: budget: hours of audio. clips: budget: clips of audio.
        latency: budget: encoder FLOPs for a second of audio.
        memory: budget: bytes of weights, gradients and optimiser in training.
        limits: any other budget, column -> the most that is allowed.
        n, d: columns of parameters and of data, between which the budget is split; None: by their names.
        design: columns to choose the values of; None: of a study, all that differ between its runs.
        curved: columns of the design whose best may lie inside what was tried.
        base: YAML of a run or a study from which exact costs of designs are counted; None: the `study.yaml` in the
            folder of a study. Needs pre-training installed.
        flops_column: column of FLOPs, to which the cost of parameters and data is fitted; None: `flops` of a
            study, else 6 N D.
        next_runs: how many next runs to suggest.
        next_flops: FLOPs that one may cost at most; None: as much as the most expensive run of the data, within the
            budget.
        force: plan even where the answer lies more than 100 times beyond the data.
        bootstrap: resamples.
        level: of intervals.
        seed: of resampling.
        reading: options of `read_runs`: y, clusters, held_out, group, family, step, omit, higher_is_better, unit. Rows
            held out are predicted and compared with what was observed; each `group` gets a plan of its own.

    Returns:
        An `Allocation` or a `Designed`; for groups, a `GroupPlans` with one of these, or the reason why there is none,
        for each.

    Raises:
        SonoscaleError: For what `read_runs`, `plan_allocation` and `plan_design` refuse; for options that do not go
            together; and where no group has a plan.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5)))
        >>> loss = (1.7 + 400 / n**0.34 + 1200 / d**0.36) * np.exp(0.003 * rng.standard_normal(25))
        >>> found = plan({"params": n, "tokens": d, "loss": loss}, flops=1e21, bootstrap=100)
        >>> sorted(found.best)
        ['params', 'tokens']
        >>> len(found.next_runs.runs)
        4
    """
    runs = as_runs(source, **reading)
    if isinstance(next_runs, bool) or not isinstance(next_runs, (int, np.integer)) or next_runs < 0:
        raise SonoscaleError(f"next_runs must be a whole number of runs, 0 or more, not {next_runs!r}")
    check_draws(bootstrap, level, seed)
    if limits is not None and not isinstance(limits, Mapping):
        raise SonoscaleError(f"limits must map columns to the most that is allowed, not {limits!r}")
    for option, value in (("n", n), ("d", d), ("flops_column", flops_column)):
        if value is not None and not isinstance(value, str):
            raise SonoscaleError(f"{option} must be the name of a column, not {value!r}")
    if base is not None and not isinstance(base, (str, PathLike)):
        raise SonoscaleError(f"base must be the path of a YAML file, not {base!r}")
    named = {"flops": flops, "params": params, "hours": hours, "clips": clips, "latency": latency, "memory": memory}
    for name in set(limits or {}) & {name for name, value in named.items() if value is not None}:
        raise SonoscaleError(f"{name} is given twice: as a budget and in limits")
    chosen = _Options(
        budgets=_budgets(named | dict(limits or {})), n=n, d=d, design=_names(design, "design"),
        curved=_names(curved, "curved"), base=base,
        flops_column=flops_column,
        options={"next_runs": next_runs, "next_flops": next_flops, "force": force, "bootstrap": bootstrap,
                 "level": level, "seed": seed},
    )  # fmt: skip
    if not runs.group_by:
        return chosen.plan(runs)
    groups, plans = [], []
    for labels, part in runs.parts():
        groups.append(labels)
        try:
            plans.append(chosen.plan(part))
        except SonoscaleError as error:
            plans.append(str(error))
    if all(isinstance(one, str) for one in plans):
        where = ", ".join(f"{name} = {value}" for name, value in groups[0].items())
        raise SonoscaleError(f"{where}: {plans[0]}")
    return GroupPlans(groups=tuple(groups), plans=tuple(plans))


@dataclass(frozen=True, kw_only=True)
class _Options:
    """The options of `plan`, for one table after another."""

    budgets: dict[str, float]
    n: str | None
    d: str | None
    design: tuple[str, ...]
    curved: tuple[str, ...]
    base: str | PathLike[str] | None
    flops_column: str | None
    options: dict[str, Any]

    def plan(self, runs: RunTable) -> Allocation | Designed:
        if self.design and (self.n or self.d):
            raise SonoscaleError("design chooses a design, n and d split a budget: give one of them")
        study = set(runs.columns) >= _STUDY
        if study:
            runs = _with_examples(runs)
        chooses = bool(self.design) or (study and not self.n and not self.d)
        return self._design(runs) if chooses else self._allocation(runs, study)

    def _allocation(self, runs: RunTable, study: bool) -> Allocation:
        for name, given in (("curved", self.curved), ("base", self.base)):
            if given:
                raise SonoscaleError(f"{name} goes with design")
        sizes = find_sizes(runs.filled, besides=(runs.y,))
        n = self.n or sizes.get("parameters")
        d = self.d or sizes.get("data seen") or sizes.get("data")
        for option, found, kinds in (("n", n, ("parameters",)), ("d", d, ("data seen", "data"))):
            if found is None:
                usual = ", ".join(name for kind in kinds for name in SIZES[kind])
                raise SonoscaleError(f"no column {usual}: name one ({option}); there are: {', '.join(runs.columns)}")
        assert n is not None
        assert d is not None
        runs.need(n, d, *([self.flops_column] if self.flops_column else []))
        limits = dict(self.budgets)
        flops = limits.pop("flops", None)
        most_n = min(filter(None, (limits.pop("params", None), limits.pop(n, None))), default=None)
        kinds = [kind for kind in ("hours", "clips") if kind in d]
        most_d = min(filter(None, (limits.pop(name, None) for name in (d, *kinds))), default=None)
        if limits:
            raise SonoscaleError(
                f"{n} and {d} say nothing of {', '.join(limits)}: budgets here are flops, params and a limit on {d}"
            )
        column = self.flops_column or ("flops" if study and "flops" in runs.filled else None)
        return plan_allocation(
            runs, n=n, d=d, flops=flops, most_n=most_n, most_d=most_d, cost=column, **self.options
        )  # fmt: skip

    def _design(self, runs: RunTable) -> Designed:
        notes: list[str] = []
        amount = next((name for name in AMOUNTS if name in (self.design or runs.columns)), None)
        chosen = self.design
        if not chosen:
            chosen, gaps = _varying(runs, (*_SWEPT, *([] if amount is None else [amount])))
            notes += [f"{', '.join(gaps)}: left out of the design, since some runs have none"] if gaps else []
            chosen, settled = _apart(runs, chosen)
            notes += [
                f"{name}: left out of the design, since in these runs it goes with {', '.join(others)}"
                for name, others in settled.items()
            ]
            amount = amount if amount in chosen else None
            if not chosen:
                raise SonoscaleError("no column of a design differs between these runs: name some (design)")
        runs.need(*chosen)
        base, cost = self.base, None
        folder = Path(runs.source).parent if Path(runs.source).name == LEDGER_FILE else Path(runs.source)
        if base is None and (file := folder / "study.yaml").is_file():
            base = file
        if base is not None:
            cost, more = base_costs(base, runs.columns, chosen)
            notes += more
        limits = dict(self.budgets)
        if cost is None:
            for kind in ("hours", "clips"):
                like = [name for name in chosen if kind in name]
                if kind in limits and like:
                    limits[like[0]] = limits.pop(kind)
            lacking = [name for name in limits if name not in chosen]
            if lacking:
                raise SonoscaleError(
                    f"a table alone does not say {', '.join(lacking)} of a design: name the YAML of the run that the "
                    f"designs start from (base), or limit a column of the design ({', '.join(chosen)})"
                )
        found = plan_design(
            runs, x=chosen, cost=cost, budgets=limits, amount=amount, curved=self.curved, **self.options
        )  # fmt: skip
        return replace(found, warnings=(*notes, *found.warnings))


def _budgets(named: Mapping[str, float | None]) -> dict[str, float]:
    """All budgets by name.

    Raises:
        SonoscaleError: A budget is not a number above zero.
    """
    found = {name: value for name, value in named.items() if value is not None}
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < float("inf"):
            raise SonoscaleError(f"the budget of {name} must be a number above zero, not {value!r}")
    return {name: float(value) for name, value in found.items()}


def _names(given: str | Sequence[str] | None, option: str) -> tuple[str, ...]:
    return () if given is None else as_names(given, option)


def _with_examples(runs: RunTable) -> RunTable:
    """With a column `examples_seen`, which ledgers of earlier versions lack: steps times the batch."""
    columns = runs.columns
    if "examples_seen" in columns or not {"step", "batch_size"} <= set(columns):
        return runs
    if columns["step"].dtype.kind not in "iuf" or columns["batch_size"].dtype.kind not in "iuf":
        return runs
    return replace(runs, columns={**columns, "examples_seen": columns["step"] * columns["batch_size"]})


def _apart(runs: RunTable, names: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """These columns without those that the columns before them determine, and which these are.

    In sweeps of several families the learning rate or the backbone may differ between families alone.
    """
    kept: list[str] = []
    settled: dict[str, list[str]] = {}
    for name in names:
        terms, _ = make_terms(runs.columns, [*kept, name], None, [], rows=runs.rows)
        dependent = dependent_terms(term_matrix(terms, runs.columns, len(runs)), terms)
        if dependent:
            settled[name] = [one for one in kept if any(one in term for term in dependent)]
        else:
            kept.append(name)
    return tuple(kept), settled


def _varying(runs: RunTable, names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Those of these columns that differ between rows and have no gaps; and those left out for their gaps."""
    found, gaps = [], []
    for name in names:
        if name not in runs.columns:
            continue
        values, lacking = runs.columns[name], missing(runs.columns[name])
        if len(set(values[~np.asarray(lacking)].tolist())) + bool(lacking.any()) > 1:
            (gaps if lacking.any() else found).append(name)
    return tuple(found), gaps
