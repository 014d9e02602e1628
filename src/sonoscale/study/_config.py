"""A study in one file: a base run, what to vary, what to test on."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from sonoscale.config import Config
from sonoscale.corpora import DataConfig, FolderTaskConfig, TaskConfig
from sonoscale.encoders import EncoderConfig, Readout
from sonoscale.pretrain import ObjectiveConfig, TrainConfig


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


class StudyConfig(Config):
    """A designed sweep around a base run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")  # names the results folder
    description: str = ""  # shown at the top of the report
    data: DataConfig
    encoder: EncoderConfig = EncoderConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    train: TrainConfig = TrainConfig()
    seeds: tuple[int, ...] = (0, 1)  # each configuration is trained once per seed
    design: Literal["one-at-a-time", "grid"] = "one-at-a-time"  # vary each key from the base, or all combinations
    sweep: dict[str, tuple[Any, ...]] = Field(default_factory=dict)  # dotted key of the base run -> values
    tasks: tuple[TaskConfig, ...] = Field(min_length=1)
    protocols: tuple[str, ...] = ("linear",)  # by which every task is scored; quality is the mean over all
    readouts: tuple[Readout, ...] = ("mean",)  # what is probed of an encoder's tokens; quality is that of the first
    law: LawConfig = LawConfig()
    workers: int | None = Field(default=None, ge=1)  # processes; by default one per core

    @model_validator(mode="after")
    def _check(self) -> StudyConfig:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds = {list(self.seeds)}: give at least one, each once")
        for key, values in self.sweep.items():
            if not values:
                raise ValueError(f"sweep.{key} is empty: give at least one value")
        names = [task.name for task in self.tasks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"tasks: the name '{twice[0]}' is used twice")
        if not self.protocols or len(set(self.protocols)) != len(self.protocols):
            raise ValueError(f"protocols = {list(self.protocols)}: give at least one, each once")
        _check_protocols(self.protocols)
        if not self.readouts or len(set(self.readouts)) != len(self.readouts):
            raise ValueError(f"readouts = {list(self.readouts)}: give at least one, each once")
        if self.data.kind == "procedural" and any(isinstance(t, FolderTaskConfig) for t in self.tasks):
            raise ValueError("tasks of kind 'folder' need data of kind 'folder': their paths are relative to data.root")
        return self


def _check_protocols(names: tuple[str, ...]) -> None:
    """Raises:
    ValueError: one is no protocol.
    """
    if names == ("linear",):
        return  # without the import of all protocols
    from sonoscale.probe import PROTOCOLS

    for name in names:
        if name not in PROTOCOLS:
            raise ValueError(f"protocols: there is no {name!r}; there are {', '.join(PROTOCOLS)}")
