"""What a study varies: axes of values, of ranges, and of several keys that move together."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import Field, model_validator

from sonoscale.config import Config, validate
from sonoscale.encoders import EncoderConfig
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import ObjectiveConfig, TrainConfig

__all__ = ["DATA_KEYS", "SECTIONS", "Axis", "Range", "axis_of", "check_axis", "nearest_key", "run_keys"]

SECTIONS = ("data", "encoder", "objective", "train")
"""Sections of a run that a study holds the base of."""

DATA_KEYS = ("clips", "hours", "mixture")
"""All of the data that may differ between the runs of a study: others would change the held-out clips."""

_MULTIPLES = {"encoder.width": 4, "train.lr_width": 4}  # what each must be a multiple of
_DIGITS = 6  # to which values of a range are rounded, so that every machine finds the same


class Range(Config):
    """Values from one number to another."""

    range: tuple[float, float]  # the first and the last value
    n: int | None = Field(default=None, ge=2, le=10_000)  # values; without it, any in between, by designs that can
    scale: Literal["linear", "log"] = "linear"  # how they are spaced: by differences or by ratios
    multiple: float | None = Field(default=None, gt=0)  # round to multiples of this; by default what the key needs

    @model_validator(mode="after")
    def _check(self) -> Range:
        first, last = self.range
        if first == last:
            raise ValueError(f"range = {list(self.range)}: the two ends are the same")
        if self.scale == "log" and min(first, last) <= 0:
            raise ValueError(f"range = {list(self.range)}: a log scale needs both ends above 0")
        return self

    def at(self, share: float) -> float:
        """The value at a share of the way from the first to the last."""
        first, last = self.range
        if self.scale == "log":
            return math.exp(math.log(first) + share * (math.log(last) - math.log(first)))
        return first + share * (last - first)


@dataclass(frozen=True)
class Axis:
    """One thing that a study varies.

    Attributes:
        name: as the study file calls it.
        keys: dotted keys of a run.
        levels: values of the keys, one mapping per level; None where the axis is continuous.
        ranges: of each key, where it is continuous.
        ordered: whether its levels have a lowest and a highest.
    """

    name: str
    keys: tuple[str, ...]
    levels: tuple[dict[str, Any], ...] | None
    ranges: dict[str, Range]
    ordered: bool

    def at(self, share: float) -> dict[str, Any]:
        """The keys' values at a share in [0, 1) of the axis."""
        if self.levels is not None:
            return self.levels[min(int(share * len(self.levels)), len(self.levels) - 1)]
        return {key: _rounded(key, one.at(share), one.multiple) for key, one in self.ranges.items()}

    @property
    def ends(self) -> tuple[dict[str, Any], ...]:
        """The lowest and the highest level, as far as there is an order; else all levels."""
        if self.levels is None:
            return ()
        if not self.ordered:
            return self.levels
        key = self.keys[0]
        order = sorted(self.levels, key=lambda level: float(_number(level[key])))
        return (order[0], order[-1])


@cache
def run_keys() -> dict[str, Any]:
    """Dotted keys of a run that can be varied -> the types of their values."""
    keys: dict[str, Any] = {"data.clips": int, "data.hours": float, "data.mixture": dict}
    for section, model in (("encoder", EncoderConfig), ("objective", ObjectiveConfig), ("train", TrainConfig)):
        hints = typing.get_type_hints(model)
        keys |= {f"{section}.{name}": hints[name] for name in model.model_fields}
    return keys


def nearest_key(key: str) -> str | None:
    """The key of a run that this most likely means: the nearest whole, or by its last part."""
    known = list(run_keys())
    if close := difflib.get_close_matches(key, known, n=1, cutoff=0.75):
        return close[0]
    last = key.rpartition(".")[2]
    by_last = {name.rpartition(".")[2]: name for name in reversed(known)}
    found = difflib.get_close_matches(last, list(by_last), n=1, cutoff=0.6)
    return by_last[found[0]] if found else None


def check_axis(name: str, raw: Any) -> Any:
    """An axis of a study file, checked and in its normal form: a tuple, a `Range`, or a mapping of these.

    Raises:
        ValueError: no such key of a run, no values, or values that cannot be.
    """
    if isinstance(raw, Mapping) and not _is_range(raw):
        if not raw:
            raise ValueError(f"sweep.{name} is empty: give keys of a run that move together, each with its values")
        checked: Any = {str(key): _values(f"{name}.{key}", values) for key, values in raw.items()}
    else:
        checked = _values(name, raw)
    axis_of(name, checked)
    return checked


def axis_of(name: str, values: Any) -> Axis:
    """What an axis in its normal form is.

    Raises:
        ValueError: no such key of a run; keys that move together have different numbers of values.
    """
    if isinstance(values, dict):
        named = {_full(name, key): each for key, each in values.items()}
        return _linked(name, named)
    if isinstance(values, tuple) and all(isinstance(value, Mapping) for value in values) and name != "data.mixture":
        levels = tuple({_full(name, str(key)): each for key, each in value.items()} for value in values)
        keys = tuple(dict.fromkeys(key for level in levels for key in level))
        for key in keys:
            _check_key(key)
        return Axis(name, keys, tuple(_tidy(level) for level in levels), {}, False)
    _check_key(name)
    return _linked(name, {name: values})


def _linked(name: str, values: dict[str, Any]) -> Axis:
    """An axis whose keys go through their values together."""
    for key in values:
        _check_key(key)
    free = [key for key, each in values.items() if isinstance(each, Range) and each.n is None]
    if free and len(free) < len(values):
        raise ValueError(f"sweep.{name}: give n for {free[0]} too, as the keys that move with it have fixed values")
    if free:
        return Axis(name, tuple(values), None, values, True)
    listed = {key: _listed(key, each) for key, each in values.items()}
    lengths = {key: len(each) for key, each in listed.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise ValueError(f"sweep.{name}: keys that move together need the same number of values: {said}")
    levels = tuple(_tidy(dict(zip(listed, level, strict=True))) for level in zip(*listed.values(), strict=True))
    first = next(iter(listed))
    return Axis(name, tuple(listed), levels, {}, all(_number(level[first]) is not None for level in levels))


def _values(name: str, raw: Any) -> Any:
    """A list or a range, in its normal form."""
    if isinstance(raw, Range):
        return raw
    if isinstance(raw, Mapping):
        if not _is_range(raw):
            raise ValueError(f"sweep.{name} = {dict(raw)}: give a list of values, or {{range: [first, last], n: 4}}")
        try:
            return validate(Range, raw, source=f"sweep.{name}")
        except SonoscaleError as error:
            raise ValueError(str(error)) from None
    if isinstance(raw, str) or not isinstance(raw, Sequence):
        raise ValueError(f"sweep.{name} = {raw!r}: give a list of values, or {{range: [first, last], n: 4}}")
    if not raw:
        raise ValueError(f"sweep.{name} is empty: give at least one value")
    return tuple(raw)


def _is_range(raw: Mapping[Any, Any]) -> bool:
    return "range" in raw or (bool(raw) and set(raw) <= set(Range.model_fields))


def _full(name: str, key: str) -> str:
    """A key below a section, or as it is."""
    return f"{name}.{key}" if name in SECTIONS and "." not in key else key


def _check_key(key: str) -> None:
    if key in run_keys():
        return
    section, _, rest = key.partition(".")
    if key == "seed":
        raise ValueError(
            "sweep.seed: seeds are no axis of a design; give them as seeds, and more of them by replicates"
        )
    if section == "data" and rest not in DATA_KEYS and not _misspelt_data(rest):
        raise ValueError(
            f"sweep: '{key}' would change the held-out clips, and ranks measured on different clips cannot be "
            f"compared; of the data only {', '.join(f'data.{one}' for one in DATA_KEYS[:-1])} and "
            f"data.{DATA_KEYS[-1]} can be swept"
        )
    near = None if key in SECTIONS else nearest_key(key)
    if near is None:
        raise ValueError(
            f"sweep: '{key}' is not a key of a run; use section.key with a section of {', '.join(SECTIONS)}, or a "
            "section or a name of yours with mappings of keys that move together"
        )
    raise ValueError(f"sweep: '{key}' is not a key of a run; did you mean '{near}'?")


def _misspelt_data(rest: str) -> bool:
    return bool(difflib.get_close_matches(rest, DATA_KEYS, n=1, cutoff=0.75))


def _listed(key: str, values: Any) -> list[Any]:
    """The values of a list or of a range with a number of them, each once."""
    if not isinstance(values, Range):
        return list(values)
    assert values.n is not None
    found = [_rounded(key, values.at(i / (values.n - 1)), values.multiple) for i in range(values.n)]
    if len(set(found)) < len(found):
        raise ValueError(f"sweep.{key}: {values.n} values of {list(values.range)} are not all different: {found}")
    return found


def _tidy(level: dict[str, Any]) -> dict[str, Any]:
    """A level with a number where a run has a list of them: a single budget."""
    return {
        key: (value,) if _takes_list(key) and isinstance(value, int | float) else value for key, value in level.items()
    }


def _rounded(key: str, value: float, multiple: float | None) -> Any:
    whole = _holds(key, int) and not _holds(key, float)
    step = multiple or _MULTIPLES.get(key) or (1 if whole else None)
    if step:
        value = round(value / step) * step
    number: Any = round(value) if whole else float(f"{value:.{_DIGITS}g}")
    return (number,) if _takes_list(key) else number


def _takes_list(key: str) -> bool:
    return key in ("train.budgets", "train.flops")


def _holds(key: str, kind: type) -> bool:
    return kind in _leaves(run_keys()[key])


def _leaves(annotation: Any) -> set[Any]:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union, tuple, typing.Annotated):
        return {leaf for argument in typing.get_args(annotation) for leaf in _leaves(argument)}
    return {annotation}


def _number(value: Any) -> Any:
    """The number that a value is or holds alone, or None."""
    if isinstance(value, tuple | list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
