"""A study in one file: a base run, what to vary, what to test on."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sonoscale.config import Config, validate
from sonoscale.corpora import DataConfig, TaskConfig
from sonoscale.encoders import EncoderConfig, Readout
from sonoscale.errors import SonoscaleError
from sonoscale.own_code import MARK
from sonoscale.pretrain import ObjectiveConfig, TrainConfig
from sonoscale.study._axes import DATA_KEYS, axis_of, check_axis, run_keys
from sonoscale.study._quality_config import QualityConfig

DESIGNS = ("one-at-a-time", "grid", "fractional", "latin-hypercube", "sobol", "isoflop")
"""Kinds of design."""

_WITH_POINTS = ("fractional", "latin-hypercube", "sobol")


class LawConfig(Config):
    """How the laws are fitted."""

    bootstrap: int = Field(default=1000, ge=100)  # resamples of whole configurations
    level: float = Field(default=0.95, gt=0.5, lt=1)  # coverage of all intervals

    @model_validator(mode="after")
    def _check(self) -> LawConfig:
        need = math.ceil(4 / (1 - self.level) - 1e-9)
        if self.bootstrap < need:
            raise ValueError(f"bootstrap = {self.bootstrap} is too few for level = {self.level}: give at least {need}")
        return self


def _first_seeds(raw: Any) -> Any:
    return tuple(range(raw)) if isinstance(raw, int) and not isinstance(raw, bool) else raw


Seeds = Annotated[tuple[int, ...], BeforeValidator(_first_seeds)]
"""A list of seeds, or how many: 3 for 0, 1 and 2."""


class SliceConfig(Config):
    """A budget of floating-point operations, to which every shape is trained exactly."""

    flops: float = Field(gt=0)  # of the whole training, decoder and teacher included
    sweep: dict[str, Any] | None = None  # shapes to train to it, all combinations; by default the sweep of the design

    @model_validator(mode="before")
    @classmethod
    def _normal(cls, raw: Any) -> Any:
        return _normal_sweep(raw)


class DesignConfig(Config):
    """Which points of the sweep are trained."""

    kind: Literal["one-at-a-time", "grid", "fractional", "latin-hypercube", "sobol", "isoflop"]
    points: tuple[int, ...] | None = None  # of fractional, latin-hypercube, sobol: how many; [12, 12] adds 12 to the 12
    seed: int = Field(default=0, ge=0)  # of latin-hypercube and sobol
    centre: bool | None = None  # train the base run too; by default in one-at-a-time only
    slices: tuple[SliceConfig, ...] = ()  # of isoflop: the budgets
    sweep: dict[str, Any] | None = None  # by default that of the study, or of the family

    @model_validator(mode="before")
    @classmethod
    def _normal(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping):
            _check_kind(raw.get("kind"))
            points = raw.get("points")
            if isinstance(points, int) and not isinstance(points, bool):
                raw = {**raw, "points": (points,)}
        return _normal_sweep(raw)

    @model_validator(mode="after")
    def _check(self) -> DesignConfig:
        kind = self.kind
        if (kind in _WITH_POINTS) != (self.points is not None):
            need = f"design.kind = {kind}: give points, the number of them to train"
            raise ValueError(need if kind in _WITH_POINTS else f"design.kind = {kind} takes no points: leave them out")
        if self.points is not None and (not self.points or min(self.points) < 1 or self.points[0] < 2):
            raise ValueError(f"design.points = {list(self.points)}: give 2 or more, and numbers to add to them")
        if (kind == "isoflop") != bool(self.slices):
            raise ValueError(
                "design.kind = isoflop: give slices, such as [{flops: 1.0e+12}, {flops: 3.0e+12}]"
                if kind == "isoflop"
                else f"design.kind = {kind} takes no slices: leave them out, or use isoflop"
            )
        budgets = [one.flops for one in self.slices]
        if len(set(budgets)) < len(budgets):
            raise ValueError(f"design.slices: a budget is there twice: {budgets}")
        if kind == "isoflop" and self.centre:
            raise ValueError("design.centre: the base run of isoflop has no budget of its own; leave it out")
        return self


def _check_where(raw: Any) -> Any:
    if raw not in ("centre", "corners") and not (isinstance(raw, Mapping) and raw):
        raise ValueError("give centre, corners, or a mapping of keys to their values there")
    return raw


Where = Annotated[Literal["centre", "corners"] | dict[str, Any], BeforeValidator(_check_where)]
"""Points of a design."""


MOST_SEED = 2**63 - 1
"""Seeds are below, as those of runs are."""


class ReplicateConfig(Config):
    """More seeds at chosen points."""

    at: Where  # centre (the base), corners (all axes at an end), or keys with their values there
    seeds: Seeds  # besides those of all points

    @model_validator(mode="after")
    def _check(self) -> ReplicateConfig:
        _check_seeds(self.seeds)
        for key in self.at if isinstance(self.at, dict) else ():
            if key not in run_keys():
                axis_of(key, (0,))  # says what is wrong with it
        return self


class FamilyConfig(Config):
    """A base configuration of its own, for which the whole design is trained."""

    name: str = Field(min_length=1)  # the column `family` of the ledger
    data: dict[str, Any] = Field(default_factory=dict)  # clips, hours or mixture, instead of the study's
    encoder: dict[str, Any] = Field(default_factory=dict)  # keys that differ from the study's
    objective: dict[str, Any] = Field(default_factory=dict)  # likewise
    train: dict[str, Any] = Field(default_factory=dict)  # likewise
    sweep: dict[str, Any] | None = None  # by default the study's
    design: tuple[DesignConfig, ...] | None = None  # by default the study's

    @model_validator(mode="before")
    @classmethod
    def _normal(cls, raw: Any) -> Any:
        return _normal_sweep(_normal_design(raw))

    @model_validator(mode="after")
    def _check(self) -> FamilyConfig:
        for section in ("data", "encoder", "objective", "train"):
            known = [key.partition(".")[2] for key in run_keys() if key.startswith(f"{section}.")]
            words = {"train": TrainConfig.other_words}.get(section, {})
            for key in getattr(self, section):
                if key in words and key not in known:
                    raise ValueError(
                        f"family '{self.name}': unknown key '{section}.{key}'; did you mean '{section}.{words[key]}'?"
                    )
                if key not in known:
                    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                    hint = f"did you mean '{section}.{close[0]}'?" if close else f"valid keys here: {', '.join(known)}"
                    if section == "data":
                        hint += f" (a study has one pool of data; families may differ in {', '.join(DATA_KEYS)})"
                    raise ValueError(f"family '{self.name}': unknown key '{section}.{key}'; {hint}")
        if self.train.get("budgets") is not None and self.train.get("flops") is not None:
            raise ValueError(f"family '{self.name}': train.budgets and train.flops: give one of them")
        return self


class StudyConfig(Config):
    """A designed sweep around a base run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")  # names the results folder
    description: str = ""  # shown at the top of the report
    data: DataConfig
    encoder: EncoderConfig = EncoderConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    train: TrainConfig = TrainConfig()
    families: tuple[FamilyConfig, ...] = ()  # several base runs, each of which is swept
    sweep: dict[str, Any] = Field(default_factory=dict)  # dotted key of the base run -> values, a range, or linked keys
    design: tuple[DesignConfig, ...] = Field(
        default_factory=lambda: (DesignConfig(kind="one-at-a-time"),)
    )  # which points of the sweep are trained: a kind, a mapping with it, or a list of these
    seeds: Seeds = (0, 1)  # each configuration is trained once per seed; a number stands for 0, 1, ...
    replicates: tuple[ReplicateConfig, ...] = ()  # more seeds at chosen points
    tasks: tuple[TaskConfig, ...] = Field(min_length=1)
    protocols: tuple[str, ...] = ("linear", "knn", "few-shot")  # by which tasks are scored, each by those for its kind
    readouts: tuple[Readout, ...] = ("frequency+std",)  # what is probed of tokens; quality is that of the first
    layers: bool | tuple[int, ...] = False  # true: rank and scores of every layer too; or which, 0 the first
    estimators: tuple[str, ...] = ()  # of ranks, besides rankme and rankme_centred: further columns of the ledger
    quality: QualityConfig = QualityConfig()  # the rule by which quality is made of scores
    ceiling: str | None = None  # a strong encoder, such as hf:owner/name, whose scores are shown as the ceiling
    law: LawConfig = LawConfig()
    workers: int | None = Field(default=None, ge=1)  # processes; by default one per core

    @model_validator(mode="before")
    @classmethod
    def _normal(cls, raw: Any) -> Any:
        return _normal_sweep(_normal_design(raw))

    @model_validator(mode="after")
    def _check(self) -> StudyConfig:
        _check_seeds(self.seeds)
        _check_twice("tasks", [task.name for task in self.tasks])
        _check_twice("families", [family.name for family in self.families])
        for name in ("protocols", "readouts"):
            given = getattr(self, name)
            if not given or len(set(given)) != len(given):
                raise ValueError(f"{name} = {list(given)}: give at least one, each once")
        _check_protocols(self.protocols)
        _check_layers(self.layers)
        _check_estimators(self.estimators)
        if not self.design:
            raise ValueError(f"design is empty: give one of {', '.join(DESIGNS)}, or several")
        return self


def _normal_sweep(raw: Any) -> Any:
    """A section with its sweep in its normal form."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("sweep"), Mapping):
        return raw
    return {**raw, "sweep": {str(name): check_axis(str(name), values) for name, values in raw["sweep"].items()}}


def _normal_design(raw: Any) -> Any:
    """A section with a tuple of designs: one may be given alone, and by its kind alone."""
    if not isinstance(raw, Mapping) or raw.get("design") is None:
        return raw
    given = raw["design"]
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return {**raw, "design": tuple(_one_design(one) for one in several)}


def _one_design(raw: Any) -> DesignConfig:
    if isinstance(raw, DesignConfig):
        return raw
    if isinstance(raw, str):
        _check_kind(raw)
        raw = {"kind": raw}
    if not isinstance(raw, Mapping):
        raise ValueError(f"design = {raw!r}: give one of {', '.join(DESIGNS)}, or a mapping with its kind")
    try:
        return validate(DesignConfig, raw, source="design")
    except SonoscaleError as error:
        raise ValueError(str(error).removeprefix("design: ").replace("unknown key '", "unknown key 'design.")) from None


def _check_kind(kind: Any) -> None:
    if kind not in DESIGNS:
        close = difflib.get_close_matches(str(kind), DESIGNS, n=1, cutoff=0.4)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ValueError(f"design.kind = {kind!r}: {hint}There are {', '.join(DESIGNS)}")


def _check_seeds(seeds: Sequence[int]) -> None:
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0 or max(seeds) >= MOST_SEED:
        raise ValueError(
            f"seeds = {list(seeds)}: give at least one, each once, 0 or more and below 2^63 - 1; or how many"
        )


def _check_twice(what: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what}: the name '{twice[0]}' is used twice")


def _check_protocols(names: tuple[str, ...]) -> None:
    """Raises:
    ValueError: one is no protocol.
    """
    if set(names) <= {"linear", "knn", "few-shot"}:
        return  # without the import of all protocols
    from sonoscale.probe import find_protocol

    for name in names:
        if name.startswith(MARK):  # a file or a ledger that somebody else wrote must not run code
            raise ValueError(
                f"protocols: {name}: a study file runs no code of a file; install the protocol as a package with an "
                "entry point of the group sonoscale.protocols, and give its name"
            )
        try:
            find_protocol(name)
        except SonoscaleError as error:
            raise ValueError(f"protocols: {error}") from None


def _check_layers(layers: bool | tuple[int, ...]) -> None:
    if not isinstance(layers, bool) and (min(layers, default=0) < 0 or len(set(layers)) < len(layers)):
        raise ValueError(f"layers = {list(layers)}: give true, false, or numbers from 0, each once")


def _check_estimators(names: tuple[str, ...]) -> None:
    """Raises:
    ValueError: one is no estimator, or is measured in any case.
    """
    if not names:
        return
    from sonoscale.rank import ESTIMATORS
    from sonoscale.study._schema import COLUMNS

    for name in names:
        if name not in ESTIMATORS:
            raise ValueError(f"estimators: there is no {name!r}; there are {', '.join(ESTIMATORS)}")
        if name in {column.name for column in COLUMNS}:
            raise ValueError(f"estimators: {name} is measured in any case; leave it out")
