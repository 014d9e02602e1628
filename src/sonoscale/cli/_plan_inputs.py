"""From the options of `sonoscale plan` to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sonoscale.laws.plan import Allocation, Designed

__all__ = ["Asked", "budgets", "names", "parts"]

_SIZES = ("params", "params_encoder", "parameters", "N")
_DATA = ("tokens", "clips_seen", "hours_seen", "D")
_QUALITIES = ("quality", "score", "accuracy", "loss")
_SWEPT = (
    "objective", "backbone", "width", "depth", "n_mels", "patch_mels", "patch_frames", "mask_ratio", "clip_seconds",
    "batch_size", "lr", "train_clips",
)  # fmt: skip


def names(text: str | None) -> list[str]:
    """Names with commas between."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def budgets(given: Mapping[str, float | None], more: Sequence[str]) -> dict[str, float]:
    """All budgets by name.

    Raises:
        SonoscaleError: `COLUMN=VALUE` is something else, or a budget is not a number above zero.
    """
    found = {name: value for name, value in given.items() if value is not None}
    for text in more:
        name, value = _pair(text, "--limit")
        found[name] = value
    for name, value in found.items():
        if not 0 < value < float("inf"):
            raise SonoscaleError(f"the budget of {name} must be a number above zero, not {value:g}")
    return found


def parts(table: dict[str, NDArray[Any]], by: str | None) -> dict[Any, NDArray[np.intp]]:
    """All rows, or those of each value of a column, in the order in which these come.

    Raises:
        SonoscaleError: No such column, or a row without a value.
    """
    import numpy as np

    if by is None:
        return {None: np.arange(len(next(iter(table.values()))))}
    _known(table, by)
    rows: dict[Any, list[int]] = {}
    for row, value in enumerate(table[by].tolist()):
        if value is None or value != value or value == "":
            raise SonoscaleError(f"{by}, row {row}: {value!r} names no part; fill it in, or leave the row out")
        rows.setdefault(value, []).append(row)
    return {value: np.array(places) for value, places in rows.items()}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options; `study` is the folder of a study, or None."""

    budgets: dict[str, float]
    quality: str | None
    size: str | None
    data: str | None
    design: list[str]
    curved: list[str]
    base: Path | None
    flops_column: str | None
    higher_is_better: bool | None
    replicate: list[str]
    hold_out_above: str | None
    train: str | None
    next_count: int
    next_flops: float | None
    force: bool
    bootstrap: int
    level: float
    seed: int
    study: Path | None

    @property
    def designs(self) -> bool:
        """Whether a design is chosen: columns of one are named, or the table is a study's."""
        return bool(self.design) or (self.study is not None and not self.size and not self.data)

    def plan(
        self, columns: dict[str, NDArray[Any]], rows: NDArray[np.intp], held: NDArray[np.bool_] | None
    ) -> Allocation | Designed:
        """The plan for these rows of a table, of which `held` says (for all rows) which are held out."""
        if self.design and (self.size or self.data):
            raise SonoscaleError("--design chooses a design, --size and --data split a budget: give one of them")
        table = {name: column[rows] for name, column in columns.items()}
        quality = self.quality or _first(table, _QUALITIES, "--quality")
        _known(table, quality)
        shared = self._shared(table) | {"held_out": None if held is None else held[rows], "places": rows}
        return (self._design if self.designs else self._allocation)(table, quality, shared)

    def _shared(self, table: dict[str, NDArray[Any]]) -> dict[str, Any]:
        clusters: list[str] | None = self.replicate or (["config"] if "config" in table else None)
        return {
            "clusters": clusters, "next_count": self.next_count, "next_flops": self.next_flops, "force": self.force,
            "bootstrap": self.bootstrap, "level": self.level, "seed": self.seed,
            "higher_is_better": self.higher_is_better,
        }  # fmt: skip

    def _allocation(self, table: dict[str, NDArray[Any]], quality: str, shared: dict[str, Any]) -> Allocation:
        from sonoscale.laws.plan import plan_allocation

        n = self.size or _first(table, _SIZES, "--size")
        d = self.data or _first(table, _DATA, "--data")
        for name in (n, d, *([self.flops_column] if self.flops_column else [])):
            _known(table, name)
        if self.curved or self.base:
            raise SonoscaleError(f"--{'curved' if self.curved else 'base'} goes with --design")
        limits = dict(self.budgets)
        flops = limits.pop("flops", None)
        most_n = min(filter(None, (limits.pop("params", None), limits.pop(n, None))), default=None)
        kinds = [kind for kind in ("hours", "clips") if kind in d]
        most_d = min(filter(None, (limits.pop(name, None) for name in (d, *kinds))), default=None)
        if limits:
            raise SonoscaleError(
                f"{n} and {d} say nothing of {', '.join(limits)}: budgets here are flops, params and --limit {d}=VALUE"
            )
        column = self.flops_column or ("flops_total" if self.study is not None and "flops_total" in table else None)
        cost = None if column is None else column
        return plan_allocation(
            table, n=n, d=d, y=quality, flops=flops, most_n=most_n, most_d=most_d, cost=cost,
            **shared,
        )  # fmt: skip

    def _design(self, table: dict[str, NDArray[Any]], quality: str, shared: dict[str, Any]) -> Designed:
        from sonoscale.cli import _plan_costs as costs
        from sonoscale.laws.plan import plan_design

        told: list[str] = []
        amount = next((name for name in costs.AMOUNTS if name in (self.design or table)), None)
        chosen = self.design
        if not chosen:
            chosen, gaps = costs.varying(table, (*_SWEPT, *([] if amount is None else [amount])))
            told += [f"{', '.join(gaps)}: left out of the design, since some runs have none"] if gaps else []
            amount = amount if amount in chosen else None
            if not chosen:
                raise SonoscaleError("no column of a design differs between these runs: name some with --design")
        for name in chosen:
            _known(table, name)
        base, cost = self.base or (self.study / "study.yaml" if self.study is not None else None), None
        if base is not None:
            start, notes = costs.base_run(base)
            told += notes
            cost = costs.exact_costs(start, hours_per_clip=_hours_per_clip(table))
            told += costs.not_counted(cost, table, chosen)
        limits = dict(self.budgets)
        if cost is None:
            for kind in ("hours", "clips"):
                like = [name for name in chosen if kind in name]
                if kind in limits and like:
                    limits[like[0]] = limits.pop(kind)
            lacking = [name for name in limits if name not in chosen]
            if lacking:
                raise SonoscaleError(
                    f"a table alone does not tell {', '.join(lacking)}: name with --base the YAML of the run that "
                    f"the designs start from, or limit a column of the design ({', '.join(chosen)})"
                )
        found = plan_design(
            table, y=quality, x=chosen, cost=cost, budgets=limits, amount=amount, curved=self.curved,
            **shared,
        )  # fmt: skip
        return found if not told else _noted(found, told)

    def held(self, table: dict[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
        """The rows of the table to hold out, or None."""
        import numpy as np

        from sonoscale.laws.extrapolation._groups import _trained

        if self.hold_out_above is not None and self.train is not None:
            raise SonoscaleError("--hold-out-above and --train both say what is held out: give one of them")
        if self.train is not None:
            _known(table, self.train)
            cells = np.array([_as_flag(cell) for cell in table[self.train].tolist()], dtype=object)
            return ~_trained({self.train: cells}, self.train, len(cells))
        if self.hold_out_above is None:
            return None
        if "=" in self.hold_out_above:
            name, value = _pair(self.hold_out_above, "--hold-out-above")
            _known(table, name)
            return _numbers(table, name) > value
        try:
            value = float(self.hold_out_above)
        except ValueError:
            raise SonoscaleError(
                f"--hold-out-above {self.hold_out_above}: give FLOPs, or COLUMN=VALUE, such as params=1e9"
            ) from None
        column = self.flops_column or next((name for name in ("flops_total", "flops", "C") if name in table), None)
        if column is not None:
            return _numbers(table, column) > value
        if self.designs:
            raise SonoscaleError(f"--hold-out-above {value:g}: the table has no column of FLOPs; give COLUMN=VALUE")
        n, d = self.size or _first(table, _SIZES, "--size"), self.data or _first(table, _DATA, "--data")
        _known(table, n)
        _known(table, d)
        return 6.0 * _numbers(table, n) * _numbers(table, d) > value


def _as_flag(cell: Any) -> Any:
    """0 and 1 as numbers, though words stand in the same column."""
    return int(cell) if isinstance(cell, str) and cell in ("0", "1") else cell


def _noted(found: Designed, notes: list[str]) -> Designed:
    from dataclasses import replace

    return replace(found, warnings=(*notes, *found.warnings))


def _hours_per_clip(table: Mapping[str, NDArray[Any]]) -> float | None:
    if "train_clips" not in table or "train_hours" not in table:
        return None
    return float(sum(table["train_hours"]) / sum(table["train_clips"]))


def _numbers(table: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float64]:
    import numpy as np

    try:
        found = np.asarray(table[name], dtype=np.float64)
    except (TypeError, ValueError):
        raise SonoscaleError(f"{name} holds text: rows cannot be held out above a number") from None
    if np.isnan(found).any():
        row = int(np.isnan(found).argmax())
        raise SonoscaleError(
            f"{name}, row {row}: {table[name][row]!s} is no number, and rows are to be held out above one: fill it in, "
            "or leave the row out"
        )
    return found


def _pair(text: str, option: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        if not equals or not name.strip():
            raise ValueError
        return name.strip(), float(value)
    except ValueError:
        raise SonoscaleError(f"{option} {text}: give COLUMN=VALUE, such as params=1e9") from None


def _first(table: Mapping[str, Any], wanted: Sequence[str], option: str) -> str:
    for name in wanted:
        if name in table:
            return name
    raise SonoscaleError(
        f"no column {', '.join(wanted)}: name one with {option}; there are: {', '.join(map(str, table))}"
    )


def _known(table: Mapping[str, Any], name: str) -> None:
    if name not in table:
        raise SonoscaleError(f"the table has no column {name!r}; there are: {', '.join(map(str, table))}")
